"""``levelfield fit`` on anybody's table: names as they are, numbers of any size, laws that can be computed by hand."""

import json
import re

import numpy as np
import pytest


@pytest.fixture
def write(tmp_path):
    """A ladder of losses as a CSV, by family."""

    def written(families, budgets=np.geomspace(1e16, 1e22, 9), header="flops,loss,arch"):
        lines = [f"{c},{law(c)},{name}" for name, law in families.items() for c in budgets]
        path = tmp_path / "runs.csv"
        path.write_text("\n".join((header, *lines)) + "\n")
        return path

    return written


def power(c):
    return 60 * c**-0.08


def test_families_are_called_as_the_table_calls_them(write, invoke):
    path = write({"1.07e9": power, "1.13e9": lambda c: 1.1 * power(c)})
    _, said, _ = invoke("fit", path, "--family", "arch")
    assert {line.split("\t")[0] for line in said.splitlines() if "C⁻ᵇ" in line} == {"1.07e9", "1.13e9"}
    _, said, _ = invoke("compare", path, "--family", "arch")
    assert "1.07e9 against 1.13e9" in said
    assert "one cannot tell 1.07e9 from 1.13e9" in said


NUMBER = re.compile(r"(?:(?P<mantissa>-?[\d.]+)×)?10(?P<exponent>[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)|(?P<plain>-?[\d.]+)")


def coefficients(said: str, form: str) -> dict[str, float]:
    """Those printed in the row of the law ``form``, such as ``A = 1.3×10⁻⁴``."""
    (row,) = (line for line in said.replace("\u00a0", " ").splitlines() if f"\t{form}: " in line)
    found = {}
    for text in row.split(f"{form}: ")[1].split("\t")[0].split(", "):
        name, _, value = text.partition(" = ")
        written = NUMBER.fullmatch(value.replace("−", "-"))
        assert written, value
        power_of_ten = (written["exponent"] or "⁰").translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
        found[name] = float(written["plain"] or written["mantissa"] or 1) * 10.0 ** int(power_of_ten)
    return found


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_the_printed_law_can_be_computed_by_hand_at_any_scale(scale, write, invoke):
    def law(c):
        return scale * (1.7 + 4000 * c**-0.2)

    _, said, _ = invoke("fit", write({"a": law}))
    found = coefficients(said, "L = E + A·C⁻ᵇ")
    for c in np.geomspace(1e16, 1e22, 5):
        assert found["E"] + found["A"] * c ** -found["b"] == pytest.approx(law(c), rel=0.01)


def test_every_law_for_programs_carries_its_equation_and_source(write, invoke):
    found = json.loads(invoke("fit", write({"a": power}), "--json")[1])
    assert {law["form"] for law in found["laws"]} == {"log-log", "saturating"}
    (line,) = (law for law in found["laws"] if law["form"] == "log-log")
    assert (line["equation"], line["latex"]) == ("ln L = ln A - b ln C", r"\ln L = \ln A - b \ln C")
    assert line["source"].startswith("2310.16764")


@pytest.mark.slow
def test_every_parameter_of_a_law_is_printed_by_its_name(write, invoke):
    def broken(c):
        return 3 * (c / 1e19) ** (-0.02 if c < 1e19 else -0.15)

    path = write({"a": broken}, budgets=np.geomspace(1e16, 1e22, 40))
    _, said, _ = invoke("fit", path, "--form", "broken")
    found = coefficients(said, "L = E + A·C^(−c0)·(1 + (C/d)^(1/f))^(−c1·f)")
    c, by_hand = 1e21, found["A"] * 1e21 ** -found["c0"]
    by_hand *= (1 + (c / found["d"]) ** (1 / found["f"])) ** (-found["c1"] * found["f"])
    assert found["E"] + by_hand == pytest.approx(broken(c), rel=0.02)


def laws(invoke, path, *options):
    code, said, error = invoke("fit", path, *options, "--json")
    assert code == 0, error
    return {law["form"]: law for law in json.loads(said)["laws"]}


def noisy(c):
    return (1.7 + 4000 * c**-0.2) * np.exp(0.02 * np.sin(1e3 * np.log(c)))


def test_the_form_that_is_asked_for_is_believed_whatever_backtests_prefer(write, invoke):
    path = write({"a": power})
    assert laws(invoke, path)["log-log"]["chosen"]
    for form in ("saturating", "shifted"):
        found = laws(invoke, path, "--form", form)
        assert [name for name, law in found.items() if law["chosen"]] == [form]
        assert "form-asked-for" in [remark["code"] for remark in found[form]["remarks"]]


def test_a_form_with_more_parameters_than_the_points_bear_is_refused_and_not_replaced(write, invoke):
    path = write({"a": power}, budgets=np.geomspace(1e16, 1e22, 5))
    code, said, _ = invoke("fit", path, "--form", "broken")
    assert code == 2
    assert "5 budgets away from chance: the 6 parameters of 'broken' are needed and one more" in said


@pytest.mark.slow
def test_the_huber_scale_that_was_asked_for_reaches_the_law_of_size_and_examples(tmp_path, invoke):
    sizes, lengths = (1e7, 3e7, 1e8, 3e8, 1e9), (1e9, 3e9, 1e10, 3e10, 1e11)
    lines = "".join(
        f"{6 * n * d},{n},{d},{1.5 + 400 * n**-0.34 + 2000 * d**-0.36 + 0.02 * ((3 * a + b) % 7)}\n"
        for a, n in enumerate(sizes)
        for b, d in enumerate(lengths)
    )
    path = tmp_path / "runs.csv"
    path.write_text("flops,N,D,loss\n" + lines)
    columns = ("--params", "N", "--examples", "D", "--json")
    (asked,), (left,) = (
        json.loads(invoke("fit", path, *columns, *more)[1])["size_laws"] for more in (("--delta", "0.001"), ())
    )
    assert asked["delta"] == 0.001
    assert left["delta"] > 0.001
    assert asked["parameters"]["E"]["estimate"] != left["parameters"]["E"]["estimate"]


def test_level_recency_and_delta_are_those_that_were_asked_for(write, invoke):
    path = write({"a": noisy}, budgets=np.geomspace(1e16, 1e22, 30))
    narrow, wide = (laws(invoke, path, "--form", "saturating", "--level", level)["saturating"] for level in (0.5, 0.99))
    widths = [law["parameters"]["b"]["high"] - law["parameters"]["b"]["low"] for law in (narrow, wide)]
    assert (narrow["parameters"]["b"]["level"], widths[0] < widths[1]) == (0.5, True)
    found = json.loads(invoke("fit", path, "--recency", "0.75", "--delta", "0.001", "--json")[1])["laws"]
    assert [law["recency"] for law in found if law["chosen"]] == [0.75]
    assert {law["delta"] for law in found} == {0.001}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--form", "log-lin"), "no law of compute has the form 'log-lin' (did you mean 'log-log'?)"),
        (("--form", "repeated"), "no law of compute has the form 'repeated' (known: broken, log-log,"),
        (("--recency", "-1"), "recency must be a power of compute of at least 0, saw -1.0"),
        (("--delta", "0"), "delta must be a positive Huber scale in ln loss, saw 0.0"),
        (("--level", "1"), "level must be in (0, 1)"),
    ],
)
def test_what_cannot_be_asked_for_is_answered_with_exit_code_2(options, message, write, invoke):
    code, _, error = invoke("fit", write({"a": power}), *options)
    assert (code, error.count("\n")) == (2, 1)
    assert message in error


def test_a_table_that_supports_no_law_says_why_and_ends_with_exit_code_2(write, invoke):
    path = write({"a": power}, budgets=[1e18, 1e19])
    code, said, _ = invoke("fit", path)
    assert code == 2
    assert "2 budgets away from chance, at least 4 are needed\tadd rungs" in said
    code, said, _ = invoke("fit", path, "--json")
    assert (code, json.loads(said)["laws"]) == (2, [])


@pytest.mark.slow
def test_a_curve_of_600_rows_is_told_to_a_program_in_less_than_a_megabyte(invoke, tmp_path):
    compute = np.geomspace(1e9, 1e13, 600)
    loss = power(compute) * np.exp(0.004 * np.random.default_rng(0).standard_normal(600))
    path = tmp_path / "curve.csv"
    path.write_text("flops,loss\n" + "".join(f"{c},{v}\n" for c, v in zip(compute, loss, strict=True)))
    code, said, _ = invoke("fit", path, "--json")
    print(f"fit --json of 600 rows: {len(said):,} bytes")
    assert code == 0
    assert len(said) < 1e6
    law = next(each for each in json.loads(said)["laws"] if each["chosen"])
    assert len(law["rows"]) == 600
    assert len(law["theta"]) == len(law["parameters"])
