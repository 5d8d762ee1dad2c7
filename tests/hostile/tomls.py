"""Study files of any kind of nonsense: refused in a sentence, or a plan whose first trial trains.

Sound studies are mutated as tables (values, keys, lists, overrides, axes) and as text (bytes, lines). What loads and
plans must be well-formed: names that stay in their folder, finite numbers, the same plan again from its own JSON and
TOML, and three steps of the first trial with a finite loss or a clear divergence.
"""

from __future__ import annotations

import atexit
import copy
import datetime
import functools
import json
import math
import random
import shutil
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from levelfield.data.sources import Source, open_source
from levelfield.records.codec import to_json, to_plain
from levelfield.records.study import StudySpec
from levelfield.records.trial import TrialSpec
from levelfield.report.words.told import told
from levelfield.study.bill.bill import bill
from levelfield.study.bill.transfer_bill import transfer_bill
from levelfield.study.execute.parts import build_state, training_loader
from levelfield.study.plan.candidate import cost_of
from levelfield.study.plan.plan import plan, refuse_if_nothing_is_allowed
from levelfield.study.plan.undecidable import undecidable
from levelfield.study.planned import Plan
from levelfield.study.run import study_facts
from levelfield.study.spec_file import load_study, quickstart_text, study_from_plain
from levelfield.tasks.registry import task_named
from levelfield.train.loop import training_steps
from levelfield.train.step import TrainingStep
from levelfield.train.timing import Stopwatch
from tests.conftest import TINY_STUDY
from tests.study.pictures import FOLDER_STUDY, write_folder
from tests.study.toml_text import as_toml

COUNT = 1000
STEPS = 3
MOST_FLOPS = 3e9
"""Of three steps: a mutation that makes a larger trial is planned and not trained."""
MOST_PIXELS = 2e7
ROOT = Path(__file__).parents[2]

NUMBERS: tuple[Any, ...] = (
    0, -1, 1, 2, 3, 7, 8, 64, 1000, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63), 10**30, 10**400, 10**5000,
    0.0, -0.0, 0.5, 0.999999, 1.0, 1.5, 4.0, 1e-300, 5e-324, 1e-12, 1e9, 1e12, 1e30, 1e300, 1.7e308, -1e308,
    math.nan, math.inf, -math.inf,
)  # fmt: skip
TEXTS: tuple[str, ...] = (
    "", " ", ".", "..", "../../x", "a/b", "a\\b", "/etc/passwd", "~", "-x", "\0", "\x1b[2J", "\u202eabc", "x" * 300,
    "x" * 30_000, "true", "1", "1e9", "nan", "sgd", "evil", "raw", "nfnet", "vit", "timm", "digits", "images", "none",
    "nfnet:w8-d1x1-s4", "vit:w8-d1-p8", "nfnet:w1000000000-d1", "vit:w8-d1000000-p4", "vit:w65536-d1-p8", "vit:--",
    "vit:w8-d1-p3", "nfnet:F7+", "vit:", ":", "vit:w8-d1-p8,pool=token", "nfnet-short", "vit-short", "recipe.momentum",
    "recipe.optimizer", "recipe.peak_lr", "recipe.ema_fraction", "model.p", "model.w", "model.", "batch_factor",
    "日本語",
)  # fmt: skip
KEYS = (
    "name", "axes", "swap", "override", "transfer", "data", "seed", "threads", "cap", "budgets", "locked", "max_steps",
    "weights", "probes", "probe_examples", "report_path", "num_digits", "sizez", "", "a.b", "bracket_winners", "dtype",
    "execution",
)  # fmt: skip
RECIPE_FIELDS = (
    "optimizer", "momentum", "beta1", "beta2", "weight_decay", "agc_lambda", "agc_eps", "clip_skip_gain", "dropout",
    "global_clip_norm", "ema_fraction", "label_smoothing", "stochastic_depth", "nesterov", "sam_rho", "sam_fraction",
    "layer_decay", "multiplicity", "warmup_fraction", "peak_lr", "preset", "nothing",
)  # fmt: skip
AXIS_FIELDS = ("batch_factor", "model.p", "model.s", "model.w", "model.h", "model.g", "model.m", "model.d")


def attempt(seed: int, index: int, folder: Path) -> str:
    """Write one mutated study, and do with it what a user does."""
    draw = random.Random(f"{seed}/{index}")
    path = folder / "study.toml"
    path.write_bytes(_mutated(draw))
    spec = load_study(path)
    facts = study_facts(spec)
    planned = plan(spec, facts, {})
    refuse_if_nothing_is_allowed(planned)
    for value in (planned, bill(spec, facts, planned), transfer_bill(spec, facts, planned)):
        to_json(value)  # refuses what is not finite
    _ = [told(each) for each in undecidable(spec, facts, planned)]
    wrong = _ill_formed(spec, planned) or _changed_by_a_round_trip(spec, planned, facts, folder)
    if wrong:
        return f"wrong: {wrong}"
    first = min(planned.trials, key=lambda trial: (trial.budget_flops, trial.spec.name)).spec
    return _trained(first, open_source(spec.data), facts)


def _ill_formed(spec: StudySpec, planned: Plan) -> str:
    runs = Path("/runs")
    names = [spec.name, *(entry.name for entry in spec.families), *(trial.spec.name for trial in planned.trials)]
    for name in names:
        if (runs / name).resolve().parent != runs or len(name.encode()) > 255:
            return f"the name {name[:80]!r} leaves its folder or is too long"
    if len(planned.cells) > 5000 or any(cell.affordable.steps < 0 for cell in planned.cells):
        return f"{len(planned.cells)} cells, or fewer than no steps"
    for trial in planned.trials:
        spent = trial.spec.gradient_examples_per_step * trial.spec.steps
        if not (spent >= 1 and trial.spec.recipe.peak_lr > 0):
            return f"{trial.spec.name} trains nothing"
    return ""


def _changed_by_a_round_trip(spec: StudySpec, planned: Plan, facts: Any, folder: Path) -> str:
    plain = to_plain(spec)
    if study_from_plain(json.loads(json.dumps(plain))) != spec:
        return "its own JSON is another study"
    again = folder / "again.toml"
    again.write_text(as_toml(plain))
    if plan(load_study(again), facts, {}) != planned:
        return "its own TOML gives another plan"
    return ""


def _trained(spec: TrialSpec, source: Source, facts: Any) -> str:
    """Three steps: a finite loss, or a divergence that is known as one."""
    cost = cost_of(spec.architecture, facts.resolution, facts.head, facts.in_channels)
    pixels = spec.global_batch_size * source.in_channels * source.resolution**2
    if STEPS * spec.gradient_examples_per_step * cost.flops_per_example > MOST_FLOPS or pixels > MOST_PIXELS:
        return "right: planned, too large to train here"
    torch.set_num_threads(1)
    device = torch.device("cpu")
    state = build_state(spec, source, device=device)
    step = TrainingStep(spec, task_named(spec.task), device=device)
    batches = iter(training_loader(spec, source, start_step=0))
    for report in training_steps(state, step, batches, num_steps=STEPS, stopwatch=Stopwatch(device)):
        if report.finite != (math.isfinite(report.loss) and math.isfinite(report.gradient_norm)):
            return f"wrong: loss {report.loss} is called finite: {report.finite}"
        if not report.finite:
            return "right: diverged"
    return "right: trained" if state.step == STEPS else f"wrong: {state.step} steps instead of {STEPS}"


def _mutated(draw: random.Random) -> bytes:
    plain = copy.deepcopy(draw.choice(_sound_studies()))
    if draw.random() < 0.2:
        return _torn(as_toml(plain), draw)
    kinds = _GENTLE if draw.random() < 0.5 else _MUTATIONS
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        draw.choice(kinds)(plain, draw)
    return as_toml(plain).encode()


def _torn(text: str, draw: random.Random) -> bytes:
    """Text-level damage: bytes changed, cut out or repeated, lines doubled."""
    content = bytearray(text.encode())
    for _ in range(draw.choice((1, 1, 2, 10))):
        at = draw.randrange(len(content))
        kind = draw.randrange(5)
        if kind == 0:
            content[at] = draw.randrange(256)
        elif kind == 1:
            del content[at : at + draw.choice((1, 5, 200))]
        elif kind == 2:
            content[at:at] = bytes(draw.choices(b'[]{}="\n,.0123456789e_-', k=draw.choice((1, 3, 20))))
        elif kind == 3:
            lines = bytes(content).split(b"\n")
            lines.insert(draw.randrange(len(lines)), draw.choice(lines))
            content = bytearray(b"\n".join(lines))
        else:
            content[at:at] = draw.choice((b"[" * 5000, b"{a=" * 3000, b"9" * 6000, b"\xff\xfe", b"\0"))
    return bytes(content)


def _value(draw: random.Random, near: Any = None, depth: int = 0) -> Any:
    """A value of any kind; often a number beside the one that stood there."""
    kind = draw.random() * (1.0 if depth < 3 else 0.85)  # deeper down no more lists and tables
    if kind < 0.2 and isinstance(near, int | float) and not isinstance(near, bool):
        scaled = near * draw.choice((0, -1, 0.5, 0.9, 1.1, 2, 10, 1e3, 1e6, 1e12))
        return int(scaled) if isinstance(near, int) and math.isfinite(scaled) else scaled
    if kind < 0.5:
        return draw.choice(NUMBERS)
    if kind < 0.75:
        return draw.choice(TEXTS)
    if kind < 0.85:
        return draw.choice((True, False, datetime.date(2024, 1, 1), datetime.datetime(2024, 1, 1, 1, 1)))
    if kind < 0.95:
        return [_value(draw, depth=depth + 1) for _ in range(draw.choice((0, 1, 2, 5, 40)))]
    if kind < 0.97:
        return [draw.choice((1, 0.5, "a"))] * draw.choice((1000, 20_000))
    return {draw.choice(KEYS): _value(draw, depth=depth + 1) for _ in range(draw.choice((0, 1, 3)))}


def _places(node: Any, found: list[tuple[Any, Any]] | None = None) -> list[tuple[Any, Any]]:
    """Every (container, key or index) in the tree."""
    found = [] if found is None else found
    for key in list(node) if isinstance(node, dict) else range(len(node)):
        found.append((node, key))
        if isinstance(node[key], dict | list):
            _places(node[key], found)
    return found


def _replace(plain: dict[str, Any], draw: random.Random) -> None:
    node, key = draw.choice(_places(plain))
    node[key] = _value(draw, node[key])


def _replace_leaf(plain: dict[str, Any], draw: random.Random) -> None:
    leaves = [(node, key) for node, key in _places(plain) if not isinstance(node[key], dict | list)]
    if leaves:
        node, key = draw.choice(leaves)
        node[key] = _value(draw, node[key])


def _remove(plain: dict[str, Any], draw: random.Random) -> None:
    node, key = draw.choice(_places(plain))
    del node[key]


def _add(plain: dict[str, Any], draw: random.Random) -> None:
    tables = [plain, *(node[key] for node, key in _places(plain) if isinstance(node[key], dict))]
    draw.choice(tables)[draw.choice(KEYS)] = _value(draw)


def _swap(plain: dict[str, Any], draw: random.Random) -> None:
    (node, key), (other, name) = draw.choice(_places(plain)), draw.choice(_places(plain))
    node[key], other[name] = copy.deepcopy(other[name]), copy.deepcopy(node[key])


def _bend_a_list(plain: dict[str, Any], draw: random.Random) -> None:
    lists = [node[key] for node, key in _places(plain) if isinstance(node[key], list) and node[key]]
    if lists:
        chosen = draw.choice(lists)
        bend: Callable[[], Any] = draw.choice(
            (
                chosen.reverse,
                lambda: chosen.append(copy.deepcopy(chosen[-1])),
                lambda: chosen.pop(draw.randrange(len(chosen))),
                lambda: chosen.append(_value(draw, chosen[-1])),
                lambda: chosen.extend(copy.deepcopy(chosen) * 30),
            )
        )
        bend()


def _families(plain: dict[str, Any]) -> list[dict[str, Any]]:
    found = plain.get("families")
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _override(plain: dict[str, Any], draw: random.Random) -> None:
    for entry in draw.sample(_families(plain), k=min(1, len(_families(plain)))):
        entry["override"] = {field: _value(draw, 0.1) for field in draw.sample(RECIPE_FIELDS, k=draw.choice((1, 1, 2)))}


def _axis(plain: dict[str, Any], draw: random.Random) -> None:
    field = draw.choice((*AXIS_FIELDS, *(f"recipe.{name}" for name in RECIPE_FIELDS)))
    values = draw.choice(
        (
            [0.25, 0.5, 1, 2],
            [4, 8, 16],
            [1, 2],
            [0.9, 0.95, 0.99],
            [0.04, 0.16],
            [1, 2, 4],
            [8, 8],
            [],
            ["sgd", "adamw"],
        )
    )
    values = [_value(draw, each) if draw.random() < 0.2 else each for each in values]
    for entry in _families(plain):
        axes = entry.setdefault("axes", {})
        if isinstance(axes, dict):
            axes[draw.choice(("odd", "shape", "../x", "", "a,b"))] = {"field": field, "values": values}


def _nudge(plain: dict[str, Any], draw: random.Random) -> None:
    """Another number of the same size."""
    numbers = [(node, key) for node, key in _places(plain) if type(node[key]) in (int, float)]
    if numbers:
        node, key = draw.choice(numbers)
        scaled = node[key] * draw.choice((0.25, 0.5, 0.8, 1.25, 2, 4))
        node[key] = int(scaled) if isinstance(node[key], int) else scaled


def _shorten_a_list(plain: dict[str, Any], draw: random.Random) -> None:
    lists = [node[key] for node, key in _places(plain) if isinstance(node[key], list) and len(node[key]) > 1]
    if lists:
        chosen = draw.choice(lists)
        chosen.pop(draw.randrange(len(chosen)))


def _sound_override(plain: dict[str, Any], draw: random.Random) -> None:
    choices: dict[str, tuple[Any, ...]] = {
        "weight_decay": (0, 1e-3, 1, 1e9),
        "label_smoothing": (0.1, 0.999),
        "dropout": (0.5, 0.999),
        "warmup_fraction": (0, 0.5),
        "multiplicity": (2, 4, 1000),
        "sam_rho": (1e-30, 0.05, 1e9),
        "global_clip_norm": (1e-30, 1, 1e9),
        "agc_lambda": (1e-30, 0.1, 1e9),
        "layer_decay": (1e-9, 0.5),
        "optimizer": ("sgd", "adamw"),
        "ema_fraction": (1e-9, 1),
    }
    for entry in _families(plain):
        field = draw.choice(list(choices))
        entry["override"] = {field: draw.choice(choices[field])}


_GENTLE = (_nudge, _nudge, _nudge, _shorten_a_list, _remove, _sound_override, _sound_override)
_MUTATIONS = (
    _replace,
    _replace_leaf,
    _replace_leaf,
    _replace_leaf,
    _remove,
    _add,
    _swap,
    _bend_a_list,
    _override,
    _axis,
)


@functools.cache
def _sound_studies() -> tuple[dict[str, Any], ...]:
    """Studies that plan, as tables: the shipped ones, those of photographs on some random pictures instead."""
    pictures = _pictures()
    texts = [quickstart_text(), TINY_STUDY, FOLDER_STUDY]
    texts += [(ROOT / path).read_text() for path in ("examples/cifar10.toml", "studies/0001_digit_pairs/study.toml")]
    texts += [(ROOT / path).read_text() for path in ("studies/0003_pretraining/study.toml",)]
    sound = [_at_hand(tomllib.loads(text), pictures) for text in texts]
    mixed = copy.deepcopy(sound[1])
    size = {"resolution": 16, "select_examples": 20, "report_examples": 20}
    drawn = {"source": "fractals", "num_classes": 100, "stream_examples": 1000, **size}
    mixed["data"] = {
        "source": "mixture",
        "parts": [
            {"weight": 3, "data": {"source": "digit-pairs", **size}},
            {"weight": 1, "data": drawn},
        ],
    }
    mixed["ladder"]["max_epochs"] = 1e6
    return (*sound, mixed)


def _at_hand(plain: dict[str, Any], pictures: Path) -> dict[str, Any]:
    for table in (plain, *plain.get("transfer", ())):
        data = table["data"]
        if "path" in data:
            kept = {key: data[key] for key in ("resolution", "augment", "corrupt") if key in data}
            small = {"source": "images", "path": str(pictures), "select_examples": 20, "report_examples": 20}
            table["data"] = kept | small
            if table is plain:
                plain["ladder"]["max_epochs"] = 1e6
        table.pop("probe_examples", None)
    return plain


def _pictures() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="hostile-pictures-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    write_folder(folder / "all", seed=0, count=40, side=16)
    return folder / "all"


def _warm_up() -> None:
    """What is loaded or set up once in a process is no part of the first attempt's time."""
    spec = study_from_plain(_sound_studies()[1])
    facts = study_facts(spec)
    _trained(plan(spec, facts, {}).trials[0].spec, open_source(spec.data), facts)


_warm_up()
