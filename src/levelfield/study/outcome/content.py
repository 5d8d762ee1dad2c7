"""What a study's directory was made of, compared with what it would be made of now, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from levelfield.records.data import DataSpec, data_identity
from levelfield.records.difference import changed_data, difference, refuse_other_data, refuse_other_start
from levelfield.records.errors import StoreError
from levelfield.records.probe import ProbeResult
from levelfield.records.sealed import read_record, read_record_if_there
from levelfield.records.store import StudyDirectory
from levelfield.records.study import StudySpec
from levelfield.records.trial import TrialResult
from levelfield.study.facts import DataFacts, TargetFacts
from levelfield.study.planned import Plan


def refuse_other_study(study: StudyDirectory, spec: StudySpec, facts: DataFacts) -> None:
    """A directory in which any trial has begun keeps the data that it began with, its transfers' too.

    Results need not exist: a checkpoint of a first trial is made of its data like a result is.

    Raises:
        StoreError: ``spec`` asks for other data, or other data lies there now.
    """
    if not study.begun or not study.facts_path.exists():
        return
    held = read_record_if_there(StudySpec, study.spec_path) or spec  # lost: the facts still say which content it was
    told = _changes(held, read_record(DataFacts, study.facts_path), spec, facts)
    if first := next(told, None):
        raise StoreError(f"{study.path} was begun on other data: {first}; restore it, or run in another directory")


def refuse_results_of_other_data(
    study: StudyDirectory,
    planned: Plan,
    results: Mapping[str, TrialResult],
    probes: Mapping[str, ProbeResult],
    facts: DataFacts,
) -> None:
    """Results that the plan uses must be of the data that ``facts`` describe, and of the weights of their own start.

    Raises:
        StoreError: one is not; it names the trial.
    """
    wanted = {trial.spec.fingerprint: (trial.spec.name, facts.fingerprint) for trial in planned.trials}
    for each in planned.transfers:
        wanted[each.spec.fingerprint] = each.spec.name, facts.target(each.transfer).fingerprint
    held = dict(results) | dict(probes)
    for key, (name, fingerprint) in wanted.items():
        if key in held:
            refuse_other_data(held[key].data_fingerprint, fingerprint, where=f"{study.path}, {name}")
    for each in planned.transfers:
        key, start = each.spec.fingerprint, results.get(each.pretraining or "")
        if key in held and start is not None:
            where = f"{study.path}, {each.spec.name}"
            refuse_other_start(held[key].start_weights, start.weights_digest, where=where)


def _changes(held: StudySpec, was: DataFacts, spec: StudySpec, now: DataFacts) -> Iterator[str]:
    """What has changed, in words: of the study's own data, then of the targets that both have."""
    yield from _change(held.data, was, spec.data, now)
    for start in was.starts:
        other = now.start_of(start.family)
        if other not in (None, start.identity):
            yield f"family {start.family!r} started from {start.identity}, now there is {other}"
    asked = {transfer.name: transfer.data for transfer in held.transfer}
    known = {target.name: target for target in was.targets}
    for transfer in spec.transfer:
        if transfer.name in asked and transfer.name in known:
            pairs = asked[transfer.name], known[transfer.name], transfer.data, now.target(transfer.name)
            yield from (f"transfer {transfer.name!r}, {change}" for change in _change(*pairs))


def _change(
    held: DataSpec, was: DataFacts | TargetFacts, spec: DataSpec, now: DataFacts | TargetFacts
) -> Iterator[str]:
    if data_identity(held) != data_identity(spec):
        yield difference(held, spec, name="data")
    elif was.fingerprint != now.fingerprint:
        yield changed_data(_described(was), _described(now))


def _described(facts: DataFacts | TargetFacts) -> str:
    return f"{facts.fingerprint} ({facts.num_train:,} to train on, {facts.head.num_outputs} classes)"
