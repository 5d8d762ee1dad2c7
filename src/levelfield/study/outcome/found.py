"""Every fine-tune, probe, trial, trained run and study below some directories: looked for, and read."""

from __future__ import annotations

import dataclasses
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from levelfield.records.attempts import attempts_at
from levelfield.records.codec import plain_from_json
from levelfield.records.data import DataSpec, Split, data_identity
from levelfield.records.errors import DamagedError, InputError, StoreError
from levelfield.records.evaluation import Share
from levelfield.records.fingerprint import fingerprint
from levelfield.records.found_run import FoundKind, FoundRun
from levelfield.records.probe import ProbeResult, ProbeScore, ProbeSpec
from levelfield.records.probe_store import ProbeDirectory
from levelfield.records.sealed import MEND, MOST_BYTES, read_file
from levelfield.records.store import TrialDirectory
from levelfield.records.trial import CLASSIFICATION, TrialResult, TrialSpec
from levelfield.scaling.noise.of_images import mean_ends, proportion_ends
from levelfield.study.outcome.outcome import Outcome, read_outcome

_LEVEL = 0.9
_ERROR = "error"
_HOW_SEEN = ("resolution", "augment", "randaugment")
"""Of data: how images are fed, which judges nobody by other images."""


def found_runs(
    roots: Iterable[Path], *, trials: bool = False, unreadable: list[str] | None = None
) -> Iterator[FoundRun]:
    """All that lies under ``roots``, each once: of a study itself, its winners at the largest budget, the runs that it
    foretold, and with ``trials`` each of its trials and probes.

    What is damaged is told in ``unreadable``, where that is given, and passed over.

    Raises:
        InputError: a root is no directory.
        DamagedError, StoreError: something there cannot be read, and nobody asked for it to be told.
    """
    told: set[Path] = set()
    for root in roots:
        if not root.is_dir():
            raise InputError(f"{root} is no directory; expected one with fine-tunes, probes or studies in it")
        for path in _places(root, trials=trials):
            if (real := path.resolve()) in told:
                continue
            told.add(real)
            try:
                yield from _read(path)
            except (DamagedError, StoreError) as error:
                if unreadable is None:
                    raise
                unreadable.append(str(error))


def _places(root: Path, *, trials: bool) -> Iterator[Path]:
    """Directories that hold a study, or a record of one run."""
    for folder, below, files in os.walk(root):
        here = Path(folder)
        below[:] = sorted(name for name in below if not name.startswith(".") and ".damaged-" not in name)
        if "study.json" in files:
            yield here
            below[:] = [name for name in below if name in ("trained", *(("trials", "probes") if trials else ()))]
        elif "spec.json" in files:
            yield here
            below.clear()
        elif "locked.json" in files:
            below[:] = [name for name in below if name == "trial"]


def _read(path: Path) -> Iterator[FoundRun]:
    if (path / "study.json").exists():
        yield from _of_study(path)
    elif _is_probe(path / "spec.json"):
        yield from _of_probe(path)
    else:
        yield from _of_trial(TrialDirectory(path))


def _is_probe(spec: Path) -> bool:
    """Whether ``spec`` is of a probe; what cannot be read is left to who reads trials, and says what is wrong."""
    content = read_file(spec, limit=MOST_BYTES, remedy=MEND)
    try:
        plain = plain_from_json(content or b"")
    except ValueError:
        return False
    return isinstance(plain, dict) and "probes" in plain


def _of_study(path: Path) -> Iterator[FoundRun]:
    """The study itself, and the winners of its largest budget that have any seed."""
    outcome = read_outcome(path)
    wanted, left = outcome.planned.num_wanted, len(outcome.planned.pending(outcome.results, outcome.probes))
    yield FoundRun(
        kind="study" if outcome.spec.verdict.look is None else "race",
        path=str(path),
        what=f"{', '.join(entry.name for entry in outcome.spec.families)}: {wanted} trials",
        state="finished" if outcome.complete else f"{wanted - left} of {wanted}",
        data=_place(outcome.spec.data),
        train_flops=(outcome.ledger + outcome.transfer_ledger).train_flops,
        scores={},
    )
    for entry in outcome.spec.families:
        yield from _winner_of(outcome, entry.name, path)


def _winner_of(outcome: Outcome, family: str, path: Path) -> Iterator[FoundRun]:
    """The seeds of ``family`` at its largest budget that has any, as one."""
    done = [
        (trial, outcome.results[trial.spec.fingerprint])
        for trial in outcome.planned.trials
        if trial.role == "winner" and trial.family == family and trial.spec.fingerprint in outcome.results
    ]
    kept = [(trial, result) for trial, result in done if trial.spec.held_out in result.held_out]
    if not kept:
        return
    top = max(trial.budget_flops for trial, _ in kept)
    runs = [(trial.spec, result) for trial, result in kept if trial.budget_flops == top]
    spec, result = runs[0]
    falling = [_falling(of, each) for of, each in runs]
    yield FoundRun(
        kind="winner",
        path=str(path),
        what=f"{len(runs)} seeds, {spec.recipe.preset}, rate {spec.recipe.peak_lr:.3g}, {spec.steps} steps",
        state="finished",
        backbone=spec.architecture,
        data=_place(spec.data),
        train_flops=float(np.mean([each.train_flops for _, each in runs])),
        scores={name: _over_seeds([each[name] for each in falling]) for name in falling[0]},
        **_judged(spec, result),
    )


def _over_seeds(values: list[float]) -> Share:
    low, high = mean_ends(np.array(values), _LEVEL) or (None, None)
    return Share(estimate=float(np.mean(values)), low=low, high=high)


def _of_trial(directory: TrialDirectory) -> Iterator[FoundRun]:
    held = directory.held()
    if held is None or held.spec is None:
        return
    spec, result, path = held.spec, held.result, directory.path
    kind: FoundKind = "trial" if spec.start is None else "fine-tune"
    if (path.parent / "locked.json").exists():
        kind = "trained"
    state = "begun" if attempts_at(path) else "not begun"
    if result is not None:
        state = result.status
    elif held.state is not None:
        state = held.state.state
    scored = result is not None and spec.held_out in result.held_out
    yield FoundRun(
        kind=kind,
        path=str(path),
        what=f"{spec.recipe.preset}, rate {spec.recipe.peak_lr:.3g}, {spec.steps} steps of {spec.global_batch_size}",
        state=state,
        backbone=spec.architecture,
        start=_short(spec.start),
        data=_place(spec.data),
        train_flops=None if result is None else result.train_flops,
        start_flops=None if result is None else result.start_flops,
        scores=_scores(directory, spec, result) if scored and result is not None else {},
        **(_judged(spec, result) if scored and result is not None else {}),
    )


def _scores(directory: TrialDirectory, spec: TrialSpec, result: TrialResult) -> dict[str, Share]:
    """What was measured, with intervals where its values by example were kept, or where it is a share of images."""
    num = result.held_out[spec.held_out].num_examples
    found = {}
    for measure, (name, value) in zip(result.measures, _falling(spec, result).items(), strict=True):
        ends = None
        if spec.task == CLASSIFICATION and measure.name == _ERROR:
            ends = proportion_ends(round(value * num), num, _LEVEL)
        elif (content := directory.companion(directory.report_path(measure.name), result)) is not None:
            each = np.asarray(measure.shortfall(np.load(io.BytesIO(content), allow_pickle=False)), dtype=np.float64)
            ends = mean_ends(each[~np.isnan(each)], _LEVEL)
        low, high = ends or (None, None)
        found[name] = Share(estimate=value, low=low, high=high)
    return found


def _falling(spec: TrialSpec, result: TrialResult) -> dict[str, float]:
    """Every measure's mean, better lower."""
    return {each.falling.name: result.loss(spec.held_out, each.name) for each in result.measures}


def _judged(spec: TrialSpec, result: TrialResult) -> dict[str, Any]:
    """By what a trial was judged: see :class:`FoundRun`."""
    num = result.held_out[spec.held_out].num_examples
    by = _judged_by(spec.task, spec.data, result.data_fingerprint, spec.held_out, num)
    return {
        "num_judged": num,
        "judged": f"{spec.held_out} split of {_place(spec.data)}, {num:,} images",
        "comparable": by,
    }


def _judged_by(task: str, data: DataSpec, content: str, split: Split, num: int) -> str:
    identity = {key: value for key, value in data_identity(data).items() if key not in _HOW_SEEN}
    return fingerprint("judged", [task, identity, content, split, num])


def _of_probe(path: Path) -> Iterator[FoundRun]:
    """A row of each way to probe; seeds of equally few shots are one."""
    directory = ProbeDirectory(path)
    held, spec = directory.held(), directory.spec()
    if held is None or spec is None:
        return
    common = FoundRun(
        kind="probe",
        path=str(path),
        what=", ".join(spec.probes),
        state="finished" if held.result is not None else "failed" if held.failure is not None else "begun",
        backbone=spec.architecture,
        start=_short(spec.start),
        data=_place(spec.data),
        scores={},
    )
    if held.result is None:
        yield common
        return
    by_way: dict[tuple[str, int | None], list[ProbeScore]] = {}
    for score in held.result.scores:
        by_way.setdefault((score.probe, score.shots), []).append(score)
    for (probe, shots), scores in by_way.items():
        yield _probed(common, spec, held.result, probe if shots is None else f"{shots}-shot", scores)


def _probed(common: FoundRun, spec: ProbeSpec, result: ProbeResult, way: str, scores: list[ProbeScore]) -> FoundRun:
    num, errors = result.num_report, [1 - score.top1 for score in scores]
    low, high = proportion_ends(round(errors[0] * num), num, _LEVEL)
    of_error = Share(estimate=errors[0], low=low, high=high) if len(errors) == 1 else _over_seeds(errors)
    loss = scores[0].loss
    of_loss = {} if loss is None else {"loss": Share(estimate=loss, low=None, high=None)}
    return dataclasses.replace(
        common,
        what=f"{way}, {len(scores)} draws" if len(scores) > 1 else f"{way}, {scores[0].setting}",
        train_flops=result.train_flops + (result.solver_flops if way == "linear" else 0.0),
        start_flops=result.start_flops,
        scores={**of_loss, _ERROR: of_error},
        num_judged=num,
        judged=f"report split of {_place(spec.data)}, {num:,} images",
        comparable=_judged_by(CLASSIFICATION, spec.data, result.data_fingerprint, "report", num),
    )


def _place(data: DataSpec) -> str:
    """Where images lie, or what draws them."""
    return str(getattr(data, "path", None) or data.source)


def _short(start: str | None) -> str | None:
    if start is None:
        return None
    kind, _, name = start.partition(":")
    return f"{kind}:{name[:8]}"
