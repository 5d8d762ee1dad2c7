"""What a trial has seen is proven from its ledger, and refused where the ledger says otherwise."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch

from levelfield.data import arranged
from levelfield.data.order import Order, Turns
from levelfield.data.sources import open_source
from levelfield.records.data import DataSpec, DigitsSpec, ImagesSpec, MixturePart, MixtureSpec, data_content
from levelfield.records.errors import DataError, InputError, StoreError
from levelfield.records.fingerprint import digest
from levelfield.records.head import LinearHead
from levelfield.records.sealed import write_record
from levelfield.records.store import TrialDirectory
from levelfield.records.trial import TrialSpec
from levelfield.study import audit
from levelfield.study.audit import PartSeen, audit_trial
from levelfield.study.execute.trial import run_trial
from levelfield.study.plan.recipes import preset
from tests.narrowed import present
from tests.study.pictures import write_folder

CPU = torch.device("cpu")
DIGITS = DigitsSpec(select_examples=880, report_examples=880)
"""37 are left to train on."""
MIXED = MixtureSpec(
    parts=(
        MixturePart(data=DigitsSpec(select_examples=880, report_examples=880), weight=3),
        MixturePart(data=DigitsSpec(select_examples=400, report_examples=400, seed=1), weight=1),
    )
)


def trial(data: DataSpec = DIGITS, steps: int = 10, **recipe) -> TrialSpec:
    return TrialSpec(
        architecture="nfnet:w4-d1-s2",
        data=data,
        data_content=data_content(data, open_source(data).fingerprint),
        recipe=preset("nfnet-short", peak_lr=0.1, override=recipe),
        head=LinearHead(num_outputs=len(open_source(data).class_names)),
        budget_flops=1e8,
        global_batch_size=8,
        steps=steps,
    )


def trained(spec: TrialSpec, path) -> TrialDirectory:
    directory = TrialDirectory(path)
    run_trial(spec, directory, open_source(spec.data), device=CPU)
    return directory


def test_a_finished_trial_is_counted_and_compared_at_every_line(tmp_path):
    found = audit_trial(trained(trial(), tmp_path / "trial").path)
    assert found.parts == (PartSeen(num_examples=37, seen=37, least=2, most=3, epochs=80 / 37),)
    assert (found.examples, found.masked, found.finished, found.lines) == (80, 0, True, 11)


@pytest.mark.slow
def test_a_mixture_is_counted_part_by_part_and_views_are_counted(tmp_path):
    found = audit_trial(trained(trial(MIXED, multiplicity=2), tmp_path / "trial").path)
    first, second = found.parts
    assert first == PartSeen(num_examples=37, seen=30, least=0, most=2, epochs=30 / 37)
    assert second == PartSeen(num_examples=997, seen=10, least=0, most=2, epochs=10 / 997)


def test_a_trial_of_a_mixture_counts_epochs_by_the_part_that_is_used_up_first(tmp_path):
    result = present(trained(trial(MIXED), tmp_path / "trial").result())
    assert result.epochs == 80 / (37 * 4 // 3)


def tampered(directory: TrialDirectory, line: int, **changes) -> None:
    """Change a line of the trace, and make the result vouch for it."""
    lines = [json.loads(each) for each in directory.metrics_path.read_text().splitlines()]
    lines[line] |= changes
    content = "".join(json.dumps(each) + "\n" for each in lines)
    directory.metrics_path.write_text(content)
    result = present(directory.result())
    kept = {**result.kept, "metrics.jsonl": digest(content.encode())}
    write_record(directory.path / "result.json", dataclasses.replace(result, kept=kept))


@pytest.mark.parametrize("what", ["digest in the trace", "digest in the result", "count", "goes back"])
def test_a_ledger_that_disagrees_is_refused(what, tmp_path):
    directory = trained(trial(), tmp_path / "trial")
    if what == "digest in the trace":
        tampered(directory, 4, seen="0" * 32)
    elif what == "count":
        tampered(directory, 4, examples=41)
    elif what == "goes back":
        tampered(directory, 4, examples=3)
    else:
        result = present(directory.result())
        write_record(directory.path / "result.json", dataclasses.replace(result, seen_digest="1" * 32))
    with pytest.raises(DataError, match="goes back from 32" if what == "goes back" else "its ledger disagrees"):
        audit_trial(directory.path)


def test_a_run_that_skipped_or_repeated_examples_is_found(tmp_path, monkeypatch):
    """The order that trains is broken: what stands at position 41 stands at 40, too."""
    whole = Order.ids

    def repeating(self, positions):
        epochs, ids = whole(self, positions)
        return epochs, np.where(positions == 40, whole(self, np.array([41]))[1], ids)

    with monkeypatch.context() as broken:
        broken.setattr(Order, "ids", repeating)
        directory = trained(trial(), tmp_path / "trial")
        with pytest.raises(DataError, match="gives an example twice"):
            audit_trial(directory.path)
    with pytest.raises(DataError, match="disagrees with the order of its data between positions 40 and 48"):
        audit_trial(directory.path)


def test_an_unfinished_trial_is_audited_as_far_as_it_has_come(tmp_path):
    class Killed(Exception):
        pass

    def kill(report):
        if report.step == 5:
            raise Killed

    directory = TrialDirectory(tmp_path / "trial")
    with pytest.raises(Killed):
        run_trial(trial(), directory, open_source(DIGITS), device=CPU, on_step=kill)
    found = audit_trial(directory.path)
    assert (found.examples, found.finished) == (40, False)


def test_what_is_no_trial_or_has_not_trained_is_refused(tmp_path):
    with pytest.raises(InputError, match="is no trial"):
        audit_trial(tmp_path)
    TrialDirectory(tmp_path / "trial").open(trial())
    with pytest.raises(InputError, match="has not trained yet"):
        audit_trial(tmp_path / "trial")


def test_other_data_is_refused_and_moved_data_found(tmp_path, invoke):
    write_folder(tmp_path / "seen", seed=0, count=20, side=16)
    data = ImagesSpec(path=str(tmp_path / "seen"), resolution=16, select_examples=6, report_examples=6)
    directory = trained(trial(data, steps=2), tmp_path / "trial")
    (tmp_path / "seen").rename(tmp_path / "moved")
    code, said, _ = invoke("data", "audit", directory.path, "--data", tmp_path / "moved")
    assert (code, "each seen exactly once" in said) == (0, True)
    write_folder(tmp_path / "other", seed=1, count=20, side=16)
    with pytest.raises(StoreError, match="its data was changed"):
        audit_trial(directory.path, audit.moved_data(data, tmp_path / "other"))


@pytest.mark.slow
def test_the_command_tells_counts_and_a_disagreement_is_exit_code_2(tmp_path, invoke):
    directory = trained(trial(MIXED), tmp_path / "trial")
    code, said, _ = invoke("data", "audit", directory.path)
    assert code == 0
    assert "80 positions, each seen exactly once, in order version 1" in said
    assert "part 1: 37 of 37 examples seen, each 1 to 2 times; 1.622 epochs" in said
    assert "part 2: 20 of 997 examples seen, each once" in said
    code, said, _ = invoke("data", "audit", directory.path, "--json")
    assert json.loads(said)["parts"][0]["most"] == 2
    tampered(directory, 2, seen="f" * 32)
    code, _, complaint = invoke("data", "audit", directory.path)
    assert (code, "its ledger disagrees" in complaint) == (2, True)


@pytest.mark.parametrize(
    ("examples", "size", "views"),
    [(n, size, views) for n in (1, 5, 6, 7, 12, 13, 23) for size in (1, 3, 6) for views in (1, 2, 4)],
)
def test_counts_are_those_of_plain_counting(examples, size, views):
    order = Order(num_examples=size, seed=0, fingerprint="x", multiplicity=views)
    counted = np.bincount(order.ids(np.arange(examples))[1], minlength=size)
    (turns,) = order.turns(examples)
    found = audit._counted(turns, views)
    assert (found.least, found.most, found.seen) == (counted.min(), counted.max(), (counted > 0).sum())
    assert found.epochs == examples / views / size
    assert isinstance(turns, Turns)


def test_a_trial_resumed_in_another_order_of_examples_is_refused(tmp_path, monkeypatch):
    """Data, seed and version of the order: a change of any is refused where training would go on."""
    write_folder(tmp_path / "seen", seed=0, count=20, side=16)
    data = ImagesSpec(path=str(tmp_path / "seen"), resolution=16, select_examples=6, report_examples=6)
    spec, directory, source = trial(data), TrialDirectory(tmp_path / "trial"), open_source(data)

    class Killed(Exception):
        pass

    def kill(report):
        if report.step == 3:
            raise Killed

    with pytest.raises(Killed):
        run_trial(spec, directory, source, device=CPU, checkpoint_seconds=0, on_step=kill)
    with pytest.raises(StoreError, match="seed was 0, is 1"):
        run_trial(dataclasses.replace(spec, seed=1), directory, source, device=CPU)
    with monkeypatch.context() as later:
        later.setattr("levelfield.train.checkpoint.ORDER_VERSION", 2)
        with pytest.raises(StoreError, match="saw its examples in order version 1, here they stand in version 2"):
            run_trial(spec, directory, source, device=CPU)
    shutil.rmtree(tmp_path / "seen")
    write_folder(tmp_path / "seen", seed=9, count=20, side=16)
    other = open_source(data)
    assert other.fingerprint != source.fingerprint
    with pytest.raises(StoreError, match="its data was changed"):
        run_trial(spec, directory, other, device=CPU)
    with pytest.raises(StoreError, match=r"data_content|its data was changed"):
        run_trial(dataclasses.replace(spec, data_content=other.fingerprint), directory, other, device=CPU)
    assert arranged.examples_an_epoch(source) == 28
