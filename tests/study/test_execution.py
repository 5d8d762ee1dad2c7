"""How a trial is executed is no part of what it is: chosen at its start, kept to, and recorded beside its result."""

import dataclasses
import json
import re
import shutil

import pytest
import torch

from levelfield.data.sources import open_source
from levelfield.native.library import kernels
from levelfield.records.execution import DEFAULT_EXECUTION, ExecutionSpec
from levelfield.records.sealed import read_record, write_record
from levelfield.records.store import StudyDirectory, TrialDirectory
from levelfield.records.trial import TrialResult, TrialSpec, TrialTiming
from levelfield.report.words.executions import mixed_executions
from levelfield.study.bill.supposed import supposed_courses
from levelfield.study.execute.trial import run_trial
from levelfield.study.outcome.fixed import Fixed, fix
from levelfield.study.outcome.outcome import read_outcome
from levelfield.study.outcome.table import observations
from levelfield.study.plan.plan import plan
from levelfield.study.plan.recipes import preset
from levelfield.study.run import run_study, study_facts
from levelfield.study.spec_file import executed, load_study, quickstart_study
from levelfield.study.verify import verify_study
from levelfield.train.checkpoint import CheckpointFolder
from levelfield.train.engine.registry import GRAPH_VERSION
from tests.study.pictures import FOLDER_STUDY, write_folder
from tests.study.simulated import run_to_the_end, study, written_down
from tests.study.test_trial import CPU, DATA, Killed, files_of, trial

pytestmark = pytest.mark.slow

TWO = ExecutionSpec(threads=2)
PLAIN = ExecutionSpec(engine="plain")


@pytest.fixture(scope="module")
def source():
    return open_source(DATA)


def test_every_trial_of_the_quickstart_keeps_its_fingerprint_at_two_threads():
    spec, facts = quickstart_study(), study_facts(quickstart_study())
    planned, at_two = plan(spec, facts, {}), executed(spec, threads=2)
    wanted = [supposed_courses(each, facts, planned, at_most=100) for each in (spec, at_two)]
    assert wanted[0] == wanted[1]
    assert min(map(len, wanted[0])) >= 60


def test_how_trials_are_executed_is_neither_sealed_nor_compared(tmp_path):
    directory, spec = StudyDirectory(tmp_path), executed(study(), threads=2)
    fix(directory, spec, num_results=0)
    assert "execution" not in directory.sealed_path.read_text()
    assert fix(directory, executed(spec, threads=3), num_results=12) == Fixed(spec=study())


def test_what_is_asked_in_the_study_file_is_what_trials_are_executed_with(tmp_path, invoke):
    write_folder(tmp_path / "images", seed=0)
    path = tmp_path / "pictures.toml"
    path.write_text(FOLDER_STUDY + "\n[execution]\nthreads = 2\n")
    assert load_study(path).execution == TWO
    assert executed(load_study(path), threads=1).execution == DEFAULT_EXECUTION
    path.write_text(FOLDER_STUDY + "\n[execution]\nengine = 'fast'\n")
    code, _, error = invoke("run", path, "--dir", tmp_path / "study")
    wanted = "execution.engine: Input should be 'auto', 'plain', 'lean' or 'graph', saw 'fast'"
    assert (code, wanted in error) == (2, True), error
    assert not (tmp_path / "study").exists()


def begun(spec: TrialSpec, directory: TrialDirectory, source, execution: ExecutionSpec, *, at: int = 3) -> None:
    """Train ``spec`` up to step ``at``, with a checkpoint after every step."""

    def kill(report):
        if report.step == at:
            raise Killed

    with pytest.raises(Killed):
        run_trial(spec, directory, source, device=CPU, execution=execution, checkpoint_seconds=0, on_step=kill)


def test_a_trial_of_the_lean_engine_says_so_and_resumes_bit_for_bit_under_it(source, tmp_path):
    if kernels() is None:
        pytest.skip("no C compiler is installed")
    lean, spec = ExecutionSpec(engine="lean"), trial("nfnet")
    whole = run_trial(spec, TrialDirectory(tmp_path / "whole"), source, device=CPU, execution=lean)
    cut = TrialDirectory(tmp_path / "cut")
    begun(spec, cut, source, lean)
    asked = ExecutionSpec(engine="plain")
    resumed = run_trial(spec, cut, source, device=CPU, execution=asked)
    plain = run_trial(spec, TrialDirectory(tmp_path / "plain"), source, device=CPU, execution=asked)
    assert (whole.execution.engine, resumed.execution.engine, plain.execution.engine) == ("lean", "lean", "plain")
    assert len(resumed.executions) == 1
    assert resumed.weights_digest == whole.weights_digest != plain.weights_digest
    assert resumed.held_out == whole.held_out
    assert "engine lean" in whole.execution.words
    assert not whole.execution.repeats(plain.execution)


@pytest.mark.parametrize("family", ["nfnet", "vit"])
def test_a_trial_of_the_graph_engine_says_so_and_resumes_bit_for_bit_under_it(family, source, tmp_path):
    graph, spec = ExecutionSpec(engine="graph"), trial(family)
    whole, cut = (TrialDirectory(tmp_path / name) for name in ("whole", "cut"))
    result = run_trial(spec, whole, source, device=CPU, execution=graph, keeps_weights=True)
    begun(spec, cut, source, graph)
    resumed = run_trial(spec, cut, source, device=CPU, execution=ExecutionSpec(engine="plain"), keeps_weights=True)
    assert (result.execution.engine, result.execution.engine_version) == ("graph", GRAPH_VERSION)
    assert len(resumed.executions) == 1
    assert files_of(cut) == files_of(whole)
    assert cut.weights_path.read_bytes() == whole.weights_path.read_bytes()
    plain = run_trial(spec, TrialDirectory(tmp_path / "plain"), source, device=CPU, execution=PLAIN)
    assert result.loss("report") == pytest.approx(plain.loss("report"), rel=1e-4)


def test_a_trial_whose_reports_lag_ends_cut_or_not_as_one_whose_do_not(source, tmp_path):
    """Of 410 steps each fourth is logged; saves fall where the clock has them."""
    spec = trial("vit", steps=410, global_batch_size=2)
    runs = {name: TrialDirectory(tmp_path / name) for name in ("whole", "cut")}
    graph = ExecutionSpec(engine="graph")
    run_trial(spec, runs["whole"], source, device=CPU, execution=graph, checkpoint_seconds=1e9)
    reports = []

    def kill(report):
        reports.append(report.step)
        if report.step == 203:
            raise Killed

    with pytest.raises(Killed):
        run_trial(spec, runs["cut"], source, device=CPU, execution=graph, checkpoint_seconds=0.1, on_step=kill)
    run_trial(spec, runs["cut"], source, device=CPU, checkpoint_seconds=0.1)
    assert files_of(runs["cut"]) == files_of(runs["whole"])
    assert reports == list(range(1, 204))


def test_a_trial_that_diverges_between_two_looks_ends_with_the_weights_before(source, tmp_path):
    recipe = preset("vit-short", peak_lr=1e30, override={"global_clip_norm": None, "warmup_fraction": 0.0})
    results = [
        run_trial(
            trial("vit", recipe=recipe, steps=800),
            TrialDirectory(tmp_path / execution.engine),
            source,
            device=CPU,
            execution=execution,
        )
        for execution in (ExecutionSpec(engine="graph"), PLAIN)
    ]
    graph, plain = results
    assert (graph.status, graph.steps, graph.seen_digest) == ("diverged", plain.steps, plain.seen_digest)
    assert graph.steps % 8
    assert graph.reason == plain.reason


@pytest.mark.parametrize(("first", "asked_later"), [(DEFAULT_EXECUTION, TWO), (TWO, DEFAULT_EXECUTION)])
def test_a_resumed_trial_keeps_the_threads_that_it_was_begun_with(first, asked_later, source, tmp_path):
    spec, undisturbed, cut = trial("nfnet"), TrialDirectory(tmp_path / "one"), TrialDirectory(tmp_path / "cut")
    run_trial(spec, undisturbed, source, device=CPU, execution=first)
    begun(spec, cut, source, first)
    result = run_trial(spec, cut, source, device=CPU, execution=asked_later)
    assert [each.threads for each in result.executions] == [first.threads]
    assert torch.get_num_threads() == first.threads
    assert files_of(cut) == files_of(undisturbed)


def test_a_trial_that_is_resumed_by_another_torch_names_both_in_order(source, tmp_path):
    spec, directory = trial("vit"), TrialDirectory(tmp_path / "trial")
    begun(spec, directory, source, DEFAULT_EXECUTION)
    kept = CheckpointFolder(
        directory.path / "attempts/0001/checkpoints", trial=spec.fingerprint, data=source.fingerprint
    )
    saved = kept.load_latest()
    assert saved is not None
    step = saved["state"]["step"]
    saved["executions"][0]["torch_version"] = "1.0"  # as an earlier torch would have left it
    kept.save(step, saved)
    result = run_trial(spec, directory, source, device=CPU)
    assert [each.torch_version for each in result.executions] == ["1.0", str(torch.__version__)]
    assert result.executions[0].device == result.execution.device


def test_rendering_ahead_gives_the_same_result_and_its_time_is_not_taken_for_training(source, tmp_path):
    spec = trial("vit")
    results, timings = [], []
    for prefetch in (0, 2):
        directory = TrialDirectory(tmp_path / str(prefetch))
        results.append(run_trial(spec, directory, source, device=CPU, execution=ExecutionSpec(prefetch=prefetch)))
        timings.append(directory.timing())
    assert results[0] == dataclasses.replace(results[1], executions=results[0].executions)
    assert [timing.readers for timing in timings] == [0, 2]
    assert all(0 <= timing.waited < 1 and timing.data_seconds > 0 for timing in timings)
    assert timings[1].device_seconds < 2 * timings[0].device_seconds + 0.5


# What a study of mixed executions says


@pytest.fixture
def mixed(tmp_path) -> StudyDirectory:
    """A study of which some trials were executed by two threads, and one was resumed so."""
    spec = study()
    planned, results = run_to_the_end(spec)
    one = results[planned.trials[0].spec.fingerprint].execution
    two = dataclasses.replace(one, threads=2)
    for index, executions in ((0, (two,)), (1, (two,)), (2, (one, two))):
        key = planned.trials[index].spec.fingerprint
        results[key] = dataclasses.replace(results[key], executions=executions)
    return written_down(tmp_path / "mixed", spec, planned, results)


def test_status_compare_and_the_page_say_where_a_study_mixes_executions(mixed, invoke):
    counted = read_outcome(mixed.path).executions
    told = (
        f"the study mixes executions ({sum(counted.values()) - 3} trials with 1 thread on none, torch 0; 2 trials with "
    )
    told += (
        "2 threads on none, torch 0; 1 trial with 1 thread on none, torch 0, resumed with 2 threads on none, torch 0)"
    )
    assert mixed_executions(counted).startswith(told)
    for verb in ("status", "compare"):
        assert told[1:60] in invoke(verb, mixed.path)[1].replace("\n", " "), verb
    assert invoke("report", mixed.path)[0] == 0
    assert told[1:] in (mixed.path / "report.html").read_text()
    assert len(json.loads(invoke("status", mixed.path, "--json")[1])["executions"]) == 3


def test_seconds_of_another_engine_are_those_of_another_device():
    planned, results = run_to_the_end(study())
    first, second = (trial.spec.fingerprint for trial in planned.trials[:2])
    lean = dataclasses.replace(results[first].execution, engine="lean", engine_version="0")
    results[first] = dataclasses.replace(results[first], executions=(lean,))
    timings = {
        key: TrialTiming(
            fingerprint=key,
            device="CPU x",
            device_seconds=1.0,
            data_seconds=0.0,
            evaluate_seconds=0.0,
            wall_seconds=1.0,
        )
        for key in (first, second)
    }
    devices = {row.run: row.device for row in observations(planned, results, timings)}
    assert (devices[first], devices[second]) == ("CPU x by engine lean", "CPU x")


def test_a_study_of_one_execution_says_nothing_of_it(tmp_path, invoke):
    spec = study()
    directory = written_down(tmp_path / "alike", spec, *run_to_the_end(spec))
    for verb in ("status", "compare", "report"):
        assert "mixes executions" not in invoke(verb, directory.path)[1]
    assert "mixes executions" not in (directory.path / "report.html").read_text()


# What a verification then compares


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("execution")
    write_folder(folder / "images", seed=0)
    (folder / "pictures.toml").write_text(FOLDER_STUDY)
    run_study(executed(load_study(folder / "pictures.toml"), threads=2), folder / "study", device="cpu")
    return folder / "study"


def test_a_study_at_two_threads_is_verified_bit_for_bit_at_two_threads(finished):
    assert {each.execution.threads for each in StudyDirectory(finished).results().values()} == {2}
    (checked,) = verify_study(finished, sample=1, device="cpu")
    assert (checked.holds, checked.how, checked.made_elsewhere) == (True, "bit for bit", ""), checked


@pytest.mark.parametrize("touched", [False, True])
def test_what_another_torch_trained_is_verified_to_rounding(touched, finished, tmp_path, invoke):
    copied = tmp_path / "study"
    shutil.copytree(finished, copied)
    for path in copied.glob("trials/*/result.json"):
        result = read_record(TrialResult, path)
        was = dataclasses.replace(result.execution, torch_version="1.0")
        held_out = {
            split: dataclasses.replace(each, values={"loss": each.values["loss"] * (1.2 if touched else 1.001)})
            for split, each in result.held_out.items()
        }
        write_record(path, dataclasses.replace(result, executions=(was,), held_out=held_out))
    code, said, _ = invoke("verify", copied, "--sample", 1, "--device", "cpu")
    assert (code, "checked: 1 to rounding" in said) == (int(touched), True), said
    assert ("agrees: " in said, "DIFFERENT: " in said) == (not touched, touched)
    assert bool(re.search(r"report loss: \d\.\d+ in the study, \d\.\d+ now, -16.\d\d% apart", said)) == touched, said
    assert "it was trained with 2 threads on CPU" in said.replace("\n", " ")
