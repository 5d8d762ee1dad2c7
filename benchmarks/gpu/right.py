"""Is training on the device right? Against float64 on the CPU, and the CPU's own error beside it."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from benchmarks.gpu.rows import Deadline, Row, Seen, Setting
from benchmarks.gpu.twins import CPU, Case, How, Trained, batches_of, copied, errors, step_taken, trained
from levelfield.data.generated.digit_renderer import rendered_on
from levelfield.data.generated.digit_strings import DigitStrings
from levelfield.data.generated.fractal_renderer import fractals_on
from levelfield.data.generated.fractals import Fractals
from levelfield.data.sources import Source, near, open_source, open_source_once
from levelfield.records.data import DigitPairsSpec, DigitStringsSpec, FractalsSpec, Split
from levelfield.records.execution import Engine, ExecutionSpec
from levelfield.records.store import TrialDirectory
from levelfield.records.trial import Dtype
from levelfield.study.execute.parts import build_state
from levelfield.study.execute.trial import run_trial
from levelfield.tasks.registry import task_named
from levelfield.train.checkpoint import CheckpointFolder
from levelfield.train.evaluate import evaluate
from levelfield.train.lagging import LaggingStep
from levelfield.train.state import TrainState
from levelfield.train.step import StepReport

TIMES_THE_CPUS = 2.0
"""The device's error may be this many times that of the CPU at the same precision, against the same float64."""
ALWAYS_ALLOWED: dict[Dtype, float] = {"float32": 1e-4, "bfloat16": 2e-2}
"""Below this the CPU's error is luck as much as rounding; convolutions in TF32 would give about 1e-3."""
AVERAGES_ALLOWED: dict[Dtype, float] = {"float32": 1e-5, "bfloat16": 5e-3}
NOISE = (("dropout", 0.1), ("stochastic_depth", 0.2))
SAM = (("sam_rho", 0.05), ("sam_fraction", 0.25))

SMALL = (
    Case(architecture="nfnet:w12-d1x1-s4", recipe="nfnet-short", peak_lr=0.2),
    Case(architecture="vit:w16-d1-p8", recipe="vit-short", peak_lr=0.01),
)
LARGER = (
    Case(architecture="nfnet:w48-d1x2x6x3-g8-s1", recipe="nfnet-short", peak_lr=0.2, batch=32),
    Case(architecture="vit:w192-d4-p4", recipe="vit-short", peak_lr=0.003, batch=32),
)
TOY_LARGER = (
    Case(architecture="nfnet:w16-d1x2-g8-s2", recipe="nfnet-short", peak_lr=0.2, batch=8),
    Case(architecture="vit:w32-d2-p8", recipe="vit-short", peak_lr=0.003, batch=8),
)
TINY_LADDER = """
name = "gpu-tiny"
question = "Does the command line train on this device?"

[data]
source = "digit-pairs"
resolution = 16
noise_contrast = 0.05
max_rotation_deg = 0.0
max_shift = 0.0
max_scale = 1.0
select_examples = 256
report_examples = 512

[ladder]
budgets = [1.36e8]
batch_coefficient = 0.05

"""
NFNET = """[[families]]
name = "nfnet"
recipe = "nfnet-short"
sizes = ["nfnet:w4-d1-s4"]
base_lr = { low = 3.2, start = 6.4, high = 12.8 }
lr_batch_exponent = 1.0

"""
VIT = """[[families]]
name = "vit"
recipe = "vit-short"
sizes = ["vit:w8-d1-p8"]
base_lr = { low = 0.032, start = 0.064, high = 0.128 }
lr_batch_exponent = 0.5
"""


def rows(setting: Setting, deadline: Deadline) -> Iterator[Row]:
    """Precision first, then randomness and stopping, then whole trials and the command line."""
    larger = TOY_LARGER if setting.toy else LARGER
    yield Row(title="float32 convolutions and products are float32, not TF32", measure=lambda: products(setting))
    yield Row(title="pictures drawn on the device equal the CPU's to the last bit", measure=lambda: pictures(setting))
    for dtype in ("float32", "bfloat16"):
        for case in (*SMALL, *larger):
            yield Row(title=f"5 steps, {dtype}: {case.title}", measure=partial(steps, setting, case, dtype))
    for dtype in ("float32", "bfloat16"):
        for case in (*SMALL, *larger):
            title = f"5 steps by the graph engine, {dtype}: {case.title}"
            yield Row(title=title, measure=partial(steps, setting, case, dtype, "graph"))
    for case in SMALL:
        yield Row(title=f"queued steps: {case.title}", measure=partial(queued, setting, case))
        yield Row(title=f"a step that is no number: {case.title}", measure=partial(not_finite, setting, case))
    for case in _other_recipes():
        yield Row(title=f"5 steps, float32: {case.title}", measure=partial(steps, setting, case, "float32"))
    for dtype in ("float32", "bfloat16"):
        for case in SMALL if setting.toy else larger:
            noisy = dataclasses.replace(case, override=NOISE)
            title = f"stopped at step 3 and resumed, {dtype}: {noisy.title}"
            yield Row(title=title, measure=partial(resumed, setting, noisy, dtype))
            title = f"the same by the graph engine, {dtype}: {noisy.title}"
            yield Row(title=title, measure=partial(resumed, setting, noisy, dtype, "graph"))
    for case in SMALL:
        yield Row(title=f"evaluation: {case.architecture}", measure=partial(evaluation, setting, case))
        for engine in ("plain", "graph"):
            title = f"a whole trial, engine {engine}, cut and resumed: {case.architecture}"
            yield Row(title=title, measure=partial(whole, setting, case, engine))
    yield Row(title="`levelfield run` with two workers", measure=lambda: command_line(setting, deadline), needs_s=20.0)


def _other_recipes() -> Iterator[Case]:
    """Sharpness-aware steps, and each family with the other's optimiser."""
    for case in SMALL:
        yield dataclasses.replace(case, override=SAM)
    for case, recipe, peak_lr in zip(SMALL, ("nfnet-adamw", "vit-sgd-agc"), (0.01, 0.3), strict=True):
        yield dataclasses.replace(case, recipe=recipe, peak_lr=peak_lr)


def products(setting: Setting) -> Seen:
    """A convolution and a matrix product as a trial finds them, against float64: TF32 would be off by 3e-4."""
    torch.manual_seed(0)
    images, kernel = torch.randn(8, 64, 16, 16), torch.randn(64, 64, 3, 3)
    matrix = torch.randn(512, 512)

    def off(seen: torch.Tensor, wanted: torch.Tensor) -> float:
        return float((seen.cpu().double() - wanted).norm() / wanted.norm())

    there = (tensor.to(setting.device) for tensor in (images, kernel, matrix))
    moved, weights, square = there
    convolution = off(F.conv2d(moved, weights), F.conv2d(images.double(), kernel.double()))
    product = off(square @ square, matrix.double() @ matrix.double())
    found = {"convolution's error": convolution, "product's error": product}
    torch.backends.cudnn.allow_tf32 = True
    found["convolution's error by torch's default"] = off(
        F.conv2d(moved, weights), F.conv2d(images.double(), kernel.double())
    )
    torch.backends.cudnn.allow_tf32 = False
    return Seen(figures=found, right=max(convolution, product) < 1e-5)


def _rendered_on(source: Source, device: torch.device) -> Source:
    """What ``near`` gives a GPU, on any device."""
    if isinstance(source, Fractals):
        return fractals_on(source, device)
    assert isinstance(source, DigitStrings)
    return rendered_on(source, device)


def pictures(setting: Setting) -> Seen:
    """Every split of the pairs, of study 0002's strings and of fractals; sizes that are no multiple of anything."""
    specs = (
        DigitPairsSpec(),
        DigitStringsSpec(resolution=48),
        DigitStringsSpec(num_digits=4, resolution=33, max_rotation_deg=90, max_scale=1.5, max_shift=0.2),
        FractalsSpec(),
        FractalsSpec(num_classes=37, resolution=61, pattern="patch", label_noise=0.2),
    )
    equal = compared = 0
    for spec in specs:
        source = open_source(spec)
        drawn = _rendered_on(source, setting.device)
        parts: dict[Split, NDArray[np.int64]] = {
            "train": np.arange(700) + 2**39, "report": np.arange(300), "select": np.array([7])
        }  # fmt: skip
        for split, ids in parts.items():
            wanted, seen = source.batch(split, ids), drawn.batch(split, ids)
            same = (torch.as_tensor(seen.fields["image"]).cpu().numpy() == wanted.fields["image"]).all((1, 2, 3)) & (
                seen.fields["label"] == wanted.fields["label"]
            )
            equal, compared = equal + int(same.sum()), compared + len(ids)
    return Seen(figures={"equal": equal, "of": compared}, right=equal == compared)


@functools.cache
def reference(case: Case, resolution: int) -> Trained:
    """Five steps in float64 on the CPU."""
    return trained(case.trial(resolution=resolution), CPU, in_float64=True)


def steps(setting: Setting, case: Case, dtype: Dtype, by: How = "plain") -> Seen:
    """The errors of five steps on the device and on the CPU, both against float64 on the CPU."""
    spec = case.trial(resolution=16 if setting.toy else 32, dtype=dtype)
    exact = reference(case, spec.data.resolution)
    here, there = errors(trained(spec, CPU), exact), errors(trained(spec, setting.device, by=by), exact)
    figures = {
        "error of the displacement": there.moved,
        "the CPU's": here.moved,
        f"worst tensor ({there.worst_name})": there.worst,
        f"the CPU's ({here.worst_name})": here.worst,
        "averages": there.averaged,
        "the CPU's averages": here.averaged,
        "losses": there.losses,
        "the CPU's losses": here.losses,
    }
    right = there.moved <= max(TIMES_THE_CPUS * here.moved, ALWAYS_ALLOWED[dtype])
    right &= there.averaged <= max(TIMES_THE_CPUS * here.averaged, AVERAGES_ALLOWED[dtype])
    return Seen(figures=figures, right=right)


def queued(setting: Setting, case: Case) -> Seen:
    """The plain step, and the same queued, by whose flag a dead one would change nothing."""
    spec = case.trial(resolution=16 if setting.toy else 32)
    plain, late = (trained(spec, setting.device, by=by) for by in ("plain", "queued"))
    off = errors(late, plain)
    figures = {"equal to the last bit": _yes(late.equals(plain)), "apart by": off.moved, "averages": off.averaged}
    return Seen(figures=figures, right=max(off.moved, off.averaged) < 1e-6)


def not_finite(setting: Setting, case: Case) -> Seen:
    """Two steps, then a weight that is no number, then three more that are queued, by both."""
    spec, figures, right = case.trial(resolution=16 if setting.toy else 32), {}, True
    for by in ("queued", "graph"):
        state = build_state(spec, open_source_once(spec.data), device=setting.device)
        step, batches = step_taken(spec, setting.device, by), list(batches_of(spec))
        assert isinstance(step, LaggingStep)
        for batch in batches[:2]:
            step(state, batch)
        first = next(iter(state.parameters.values()))
        first.detach().view(-1)[0] = torch.nan
        before = copied(state)
        for batch in batches[2:]:
            step.queue(state, batch)
        reports = list(step.told(state, step.drained()))
        unchanged = all(
            torch.equal(each.nan_to_num(), before[name].nan_to_num()) for name, each in copied(state).items()
        )
        ended = [(report.step, report.finite) for report in reports] == [(2, False)] and state.step == 2
        figures |= {f"{by}: ended there": _yes(ended), f"{by}: weights unchanged": _yes(unchanged)}
        right &= ended and unchanged
    return Seen(figures=figures, right=right)


def resumed(setting: Setting, case: Case, dtype: Dtype, by: How = "plain") -> Seen:
    """Six steps whole, again, and by way of a checkpoint; and twice by torch's defaults, which promise no order."""
    spec = case.trial(resolution=16 if setting.toy else 32, dtype=dtype, steps=6)

    def pause(state: TrainState) -> TrainState:
        with tempfile.TemporaryDirectory() as folder:
            checkpoints = CheckpointFolder(Path(folder), trial=spec.fingerprint, data="drawn")
            checkpoints.save(state.step, {"state": state.to_plain()})
            saved = checkpoints.load_latest()
        assert saved is not None
        fresh = build_state(spec, open_source_once(spec.data), device=setting.device)
        fresh.restore(saved["state"])
        return fresh

    run: Callable[..., Trained] = partial(trained, spec, setting.device, by=by)
    one, again, cut = run(), run(), run(pause=pause)
    torch.backends.cudnn.deterministic = False
    loose, loose_again = run(), run()
    torch.backends.cudnn.deterministic = True
    figures = {
        "resumed equals whole": _yes(cut.equals(one)),
        "whole equals whole again": _yes(again.equals(one)),
        "the same by torch's defaults": _yes(loose.equals(loose_again)),
        "last loss": one.losses[-1],
        "apart by": abs(cut.losses[-1] - one.losses[-1]),
    }
    return Seen(figures=figures, right=cut.equals(one) and again.equals(one))


def evaluation(setting: Setting, case: Case) -> Seen:
    """The same weights judged here and there, in both precisions."""
    spec = case.trial(resolution=16 if setting.toy else 32, held_out="report")
    source, task = open_source_once(spec.data), task_named(spec.task)
    figures, right = {}, True
    weights = trained(spec, CPU).weights
    tolerances: dict[Dtype, float] = {"float32": 1e-5, "bfloat16": 2e-2}
    for dtype, tolerance in tolerances.items():
        judged = []
        for device in (CPU, setting.device):
            model = build_state(spec, source, device=device).model
            model.load_state_dict(weights, strict=False)
            judged.append(evaluate(model, task, near(source, device), "report", device=device, dtype=dtype))
        here, there = (each.mean.values["loss"] for each in judged)
        off = abs(there / here - 1)
        changed = int((judged[0].each["error"] != judged[1].each["error"]).sum())
        figures |= {f"{dtype} loss": there, f"{dtype} off by": off, f"{dtype} other answers": changed}
        right &= off <= tolerance
    return Seen(figures=figures, right=right)


class Cut(Exception):
    """Stands for a crash right after a step."""


def whole(setting: Setting, case: Case, engine: Engine) -> Seen:
    """Twelve steps to a result, undisturbed and killed after seven; the results must be equal."""
    spec = case.trial(resolution=16 if setting.toy else 32, steps=12, held_out="report")
    source = open_source_once(spec.data)

    def kill(report: StepReport) -> None:
        if report.step == 7:
            raise Cut

    execution = ExecutionSpec(engine=engine)
    run = partial(run_trial, spec, source=source, device=setting.device, execution=execution, checkpoint_seconds=0)
    with tempfile.TemporaryDirectory() as folder:
        undisturbed = run(TrialDirectory(Path(folder) / "undisturbed"))
        directory = TrialDirectory(Path(folder) / "cut")
        with contextlib.suppress(Cut):
            run(directory, on_step=kill)
        result, timing = run(directory), directory.timing()
    assert timing is not None
    figures = {
        "results equal": _yes(result == undisturbed),
        "loss": result.held_out["report"].values["loss"],
        "attempts": timing.attempts,
        "steps lost": timing.lost_steps,
        "ms a step": 1e3 * timing.device_seconds / spec.steps,
    }
    return Seen(figures=figures, right=result == undisturbed and timing.attempts == 2)


def command_line(setting: Setting, deadline: Deadline) -> Seen:
    """A study of one rung from the command (at toy size of ViT); without vl-convert only its page may be missing."""
    with tempfile.TemporaryDirectory() as folder:
        study, directory = Path(folder) / "tiny.toml", Path(folder) / "out"
        study.write_text(TINY_LADDER + ("" if setting.toy else NFNET) + VIT)
        run = _levelfield("run", study, "--dir", directory, "--device", setting.device, "--workers", 2, within=deadline)
        status = _levelfield("status", directory, "--json", within=deadline)
    state = json.loads(status.stdout) if status.returncode == 0 else {}
    said = run.stderr.strip().splitlines()[-1:] or ["-"]
    figures = {
        "code": run.returncode,
        "trials": state.get("finished"),
        "complete": _yes(state.get("complete", False)),
        "it says": said[0],
    }
    without_page = run.returncode == 1 and "figures need vl-convert" in run.stderr
    return Seen(figures=figures, right=bool(state.get("complete")) and (run.returncode == 0 or without_page))


def _levelfield(*arguments: object, within: Deadline) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "levelfield", *map(str, arguments)]
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    return subprocess.run(command, capture_output=True, text=True, timeout=within.left(), env=environment, check=False)


def _yes(holds: bool) -> str:
    return "yes" if holds else "NO"
