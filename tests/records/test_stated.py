"""Values are checked where they are made: out of a file and in Python alike, nothing coerced."""

import dataclasses
import math

import pytest

from levelfield.families.nfnet.spec import NFNetSpec
from levelfield.families.registry import parse
from levelfield.families.vit.spec import ViTSpec
from levelfield.records.codec import from_plain, to_plain
from levelfield.records.data import DigitPairsSpec, DigitsSpec, ImagesSpec, data_identity
from levelfield.records.errors import SpecError
from levelfield.records.execution import DEFAULT_EXECUTION
from levelfield.records.grid import LearningRateGrid
from levelfield.records.head import LinearHead
from levelfield.records.probe import ProbeSpec
from levelfield.records.stated import is_name
from levelfield.records.study import AxisSpec, FamilyEntry, LadderSpec, SearchSpec, VerdictSpec
from levelfield.records.transfer import TransferSpec
from levelfield.records.trial import RecipeSpec, TrialSpec

RECIPE = RecipeSpec(preset="made", optimizer="sgd", peak_lr=0.1, ema_fraction=0.05, agc_lambda=0.1)
TRIAL = TrialSpec(
    architecture="vit:w8-d1-p8",
    data=DigitPairsSpec(),
    recipe=RECIPE,
    head=LinearHead(num_outputs=100),
    budget_flops=1e9,
    global_batch_size=8,
    steps=500,
)
LADDER = LadderSpec(budgets=(1e9, 1e10))
GRID = LearningRateGrid(low=0.1, start=0.2, high=0.4)
ENTRY = FamilyEntry(name="vit", sizes=("vit:w8-d1-p8",), recipe="vit-short", base_lr=GRID, lr_batch_exponent=0.5)
AXIS = AxisSpec(field="batch_factor", values=(0.5, 1, 2))
TRANSFER = TransferSpec(name="clothes", data=DigitsSpec(), probes=("knn",))
PROBE = ProbeSpec(architecture="vit:w8-d1-p8", start="trial:0", data=DigitsSpec())
FOLDER = ImagesSpec(path="pictures", resolution=32)

NO_NUMBERS = (True, "1", None, math.nan, math.inf, -math.inf, 10**400, [1], (1,), {"a": 1}, 1j)
NO_TEXTS = (1, True, None, b"text", "a\0b", "\x1b[2J", "\ud800", "x" * 20_001)
NUMBERS = [(TRIAL, "budget_flops"), (RECIPE, "peak_lr"), (RECIPE, "weight_decay"), (LADDER, "max_epochs")]
WHOLE = [(TRIAL, "steps"), (TRIAL, "seed"), (DigitPairsSpec(), "stream_examples"), (SearchSpec(), "cap")]
TEXTS = [(TRIAL, "architecture"), (ENTRY, "name"), (FOLDER, "path"), (RECIPE, "preset")]


@pytest.mark.parametrize(("good", "field"), NUMBERS)
@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: str(value)[:9])
def test_what_is_no_finite_number_is_refused_where_one_is_meant(good, field, value):
    with pytest.raises(SpecError, match=rf"{field} must be "):
        dataclasses.replace(good, **{field: value})


@pytest.mark.parametrize(("good", "field"), WHOLE)
@pytest.mark.parametrize("value", [*NO_NUMBERS, 1.0, 2**63, -(2**63) - 1], ids=lambda value: str(value)[:9])
def test_what_is_no_whole_number_is_refused_where_one_is_meant(good, field, value):
    with pytest.raises(SpecError, match=rf"{field} must be "):
        dataclasses.replace(good, **{field: value})


@pytest.mark.parametrize(("good", "field"), TEXTS)
@pytest.mark.parametrize("value", NO_TEXTS, ids=lambda value: str(value)[:4].encode("ascii", "replace"))
def test_what_is_no_text_that_can_be_shown_is_refused(good, field, value):
    with pytest.raises(SpecError, match=rf"{field} must be "):
        dataclasses.replace(good, **{field: value})


@pytest.mark.parametrize(
    ("good", "field", "value"),
    [
        (RECIPE, "optimizer", "evil"),
        (RECIPE, "nesterov", 1),
        (RECIPE, "agc_lambda", True),
        (RECIPE, "agc_eps", 0.0),
        (RECIPE, "momentum", "x"),
        (RECIPE, "momentum", 1.0),
        (RECIPE, "peak_lr", 1e308),
        (RECIPE, "peak_lr", 1e-45),
        (RECIPE, "weight_decay", 1e300),
        (RECIPE, "global_clip_norm", -1),
        (RECIPE, "multiplicity", 10**9),
        (DEFAULT_EXECUTION, "threads", 0),
        (DEFAULT_EXECUTION, "threads", 10**6),
        (DEFAULT_EXECUTION, "prefetch", -1),
        (DEFAULT_EXECUTION, "num_devices", 0),
        (DEFAULT_EXECUTION, "microbatch_size", 0),
        (DEFAULT_EXECUTION, "engine", "compiled"),
        (DEFAULT_EXECUTION, "launcher", "lsf"),
        (TRIAL, "seed", -1),
        (TRIAL, "steps", 10**15),
        (TRIAL, "global_batch_size", 2**40),
        (TRIAL, "budget_flops", 1e300),
        (TRIAL, "dtype", "float64"),
        (TRIAL, "recipe", {"preset": "made"}),
        (TRIAL, "data", None),
        (TRIAL, "test_resolution", 10**6),
        (LADDER, "budgets", [1e9]),
        (LADDER, "budgets", ()),
        (LADDER, "budgets", (1e9, 1e9)),
        (LADDER, "budgets", (1e9, 1e300)),
        (LADDER, "budgets", tuple(map(float, range(1, 1000)))),
        (LADDER, "locked", (1e10,)),
        (LADDER, "largest_batch", 100),
        (LADDER, "largest_batch", 2**40),
        (LADDER, "batch_coefficient", 1e30),
        (LADDER, "max_steps", 499),
        (GRID, "high", 0.3),
        (GRID, "low", -0.1),
        (GRID, "high", 0.2 * 2.0**1000),
        (GRID, "low", 0.2 * 2.0**-1000),
        (ENTRY, "name", "../../x"),
        (ENTRY, "name", ""),
        (ENTRY, "name", ".."),
        (ENTRY, "name", "x" * 101),
        (ENTRY, "sizes", ()),
        (ENTRY, "sizes", ("vit:w8-d1-p8",) * 2),
        (ENTRY, "axes", {"a/b": AXIS}),
        (ENTRY, "axes", {"one": AXIS, "two": AXIS}),
        (ENTRY, "override", {"momentum": [1]}),
        (AXIS, "values", (1,)),
        (AXIS, "values", (2, 1)),
        (AXIS, "values", (1, 1.0)),
        (AXIS, "values", (1, "2")),
        (AXIS, "values", (0, 1)),
        (AXIS, "values", (1, math.inf)),
        (AXIS, "values", (1, 1e9)),
        (AXIS, "values", (True, 2)),
        (AXIS, "field", "batch_factor.x"),
        (AXIS, "field", "model.patch"),
        (AXIS, "field", "recipe.peak_lr"),
        (AXIS, "field", "recipe.preset"),
        (AXIS, "field", "data.seed"),
        (SearchSpec(), "cap", 10**9),
        (SearchSpec(), "audit_budgets", (1e9, 1e9)),
        (VerdictSpec(), "seeds", 10**9),
        (VerdictSpec(), "margin", 1.0),
        (VerdictSpec(), "weights", "mean"),
        (DigitPairsSpec(), "resolution", 10**6),
        (DigitPairsSpec(), "stream_examples", 2**63 - 1),
        (DigitPairsSpec(), "max_scale", 1e9),
        (DigitPairsSpec(), "seed", -1),
        (DigitsSpec(), "select_examples", 1437),
        (FOLDER, "path", ""),
        (FOLDER, "path", "x" * 5000),
        (FOLDER, "report_examples", 0),
        (FOLDER, "augment", "mixup"),
        (TRANSFER, "name", "a/b"),
        (TRANSFER, "name", "x" * 101),
        (TRANSFER, "probes", ("knn", "knn")),
        (TRANSFER, "spends", (0.5,)),
        (TRANSFER, "spends", (-1.0, 1.0)),
        (TRANSFER, "share", 1e-300),
        (TRANSFER, "budgets", ()),
        (TRANSFER, "probe_examples", 0),
        (PROBE, "num_train", 0),
    ],
    ids=lambda value: (type(value).__name__ if dataclasses.is_dataclass(value) else str(value))[:20],
)
def test_a_value_that_cannot_be_meant_is_refused_where_it_is_made(good, field, value):
    with pytest.raises(SpecError, match=r"must be|is no recipe field"):
        dataclasses.replace(good, **{field: value})


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"optimizer": "evil"}, "optimizer must be one of 'sgd', 'adamw', saw 'evil'"),
        ({"momentum": "x"}, "momentum must be a finite number, saw 'x'"),
        ({"agc_lambda": True}, "agc_lambda must be a finite number or absent, saw True"),
        ({"peak_lr": 1.0}, "no field 'peak_lr'"),
        ({"beta2": 0.9}, "beta2 = 0.9 would change nothing: the optimizer is sgd"),
        ({"agc_lambda": None, "agc_eps": 0.1}, "agc_eps = 0.1 would change nothing"),
        ({"sam_fraction": 0.5}, "sam_fraction = 0.5 would change nothing: nothing climbs without sam_rho"),
        ({"optimizer": "adamw", "momentum": 0.5}, "momentum = 0.5 would change nothing: the optimizer is adamw"),
    ],
)
def test_an_override_is_checked_as_the_recipe_is_and_never_ignored(override, message):
    with pytest.raises(SpecError, match=message):
        RecipeSpec.of("made", {"optimizer": "sgd", "agc_lambda": 0.1}, peak_lr=0.1, override=override)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"steps": "500"}, "steps: Input should be a valid integer, saw '500'"),
        ({"steps": 500.0}, "steps: Input should be a valid integer, saw 500.0"),
        ({"steps": True}, "steps: Input should be a valid integer, saw True"),
        ({"budget_flops": "1e9"}, "budget_flops: Input should be a valid number, saw '1e9'"),
        ({"budget_flops": True}, "budget_flops: Input should be a valid number, saw True"),
        ({"budget_flops": math.nan}, "budget_flops must be a finite number, saw nan"),
        ({"architecture": 5}, "architecture: Input should be a valid string, saw 5"),
        ({"recipe": [1]}, "recipe: "),
        ({"seed": 10**6000}, "integer string conversion"),
    ],
)
def test_nothing_in_a_file_is_coerced(edit, message):
    with pytest.raises(SpecError) as caught:
        from_plain(TrialSpec, to_plain(TRIAL) | edit)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_whole_number_may_stand_where_any_number_may():
    assert from_plain(TrialSpec, to_plain(TRIAL) | {"budget_flops": 10**9}) == TRIAL


def test_what_is_nested_beyond_all_reason_is_refused():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(SpecError, match="nested deeper than"):
        from_plain(TrialSpec, to_plain(TRIAL) | {"seed": deep})


@pytest.mark.parametrize(
    "text",
    [
        "vit:w1000000000-d1-p4",
        "vit:w8-d1000000-p4",
        "vit:w8-d1-p1000000",
        "vit:w8-d1-p4-m100000000",
        "vit:B/99999999",
        "nfnet:w1000000000-d1x1",
        "nfnet:w8-d1000000",
        "nfnet:w8-d1x1-g99999999",
        "nfnet:w" + "9" * 5000,
        "nfnet:w8\x1b-d1",
        "timm:convnext_atto,depths=1x1x1x99999999",
        "timm:convnext_atto,../../x=1",
        "timm:" + "a" * 300,
    ],
    ids=lambda text: text[:24].encode("ascii", "replace"),
)
def test_absurd_sizes_are_refused_before_anything_is_counted(text):
    with pytest.raises(SpecError):
        parse(text)


@pytest.mark.parametrize("width", [10**9, 2**63, "8", 8.0, True])
def test_absurd_sizes_made_in_python_are_refused_as_well(width):
    with pytest.raises((SpecError, TypeError)):
        ViTSpec.ladder(width=width, depth=1, patch_size=4)
    with pytest.raises((SpecError, TypeError)):
        NFNetSpec.ladder(width=width, depths=(1,))


@pytest.mark.parametrize("name", ["0003-pretraining", "quickstart", "mein Versuch", "日本語", "a.b_c+d"])
def test_ordinary_names_are_names(name):
    assert is_name(name)


@pytest.mark.parametrize(
    "name", ["", " ", "a ", ".", "..", ".hidden", "-x", "~", "a/b", "a\\b", "c:", "a\nb", "é" * 51]
)
def test_names_that_leave_their_folder_are_none(name):
    assert not is_name(name)


def test_report_examples_that_nobody_said_are_those_of_before():
    said = ImagesSpec(path="a", resolution=32, report_examples=5000)
    unsaid = ImagesSpec(path="b", resolution=32)
    assert data_identity(said) == data_identity(unsaid)
    assert data_identity(said)["report_examples"] == 5000
