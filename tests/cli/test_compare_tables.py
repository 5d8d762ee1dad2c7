"""``levelfield compare`` on tables that others made: a verdict with its confounds, never a claim of cause."""

import csv
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from benchmarks.openclip_table import openclip_rows

ROOT = Path(__file__).parents[2]
OTHERS = ROOT / "examples" / "others.csv"
COLUMNS = ("--family", "arch", "--loss", "val_loss")
SEARCHED = ("--seed", "seed", "--params", "params", "--rate", "lr", "--epochs", "epochs")


def by_flops(text: str) -> dict:
    found = json.loads(text)
    return next(each for each in found["comparisons"] if each["currency"] == "flops")


def test_a_table_with_fresh_seeds_gets_a_verdict_and_what_is_confounded_with_it(invoke):
    code, out, _ = invoke("compare", OTHERS, *COLUMNS, *SEARCHED, "--role", "role")
    assert code == 0
    told = out.replace("\u202f", " ")
    assert told.startswith(
        "At equal training FLOPs and the largest budget of both (10²⁰ FLOPs) one cannot tell convnet from transformer "
        "(+2.5 % [−1.3 %, +6.5 %]); below 3.2×10¹⁹ FLOPs convnet is ahead, above 7×10¹⁹ FLOPs transformer is; the "
        "trend crosses zero at 4.6×10¹⁹ FLOPs"
    )
    assert "overall\tdepends on compute\t" in out
    assert "what is confounded with the family is listed, and no cause is claimed" in out
    assert "confounded with resolution" in out
    assert re.search(r"resolution\t256\t224\tno value is common", out)
    assert "augmentation" not in out, "it is the same for both"
    assert "noise floor of ln loss, pooled: 1.09\u202f% from seeds" in out


def test_a_table_of_search_runs_alone_is_described_and_its_luck_is_named(invoke):
    code, out, _ = invoke("compare", OTHERS, *COLUMNS, "--json")
    found = by_flops(out)
    assert code == 0
    assert found["overall"]["verdict"] == "cannot tell"
    assert "not claimed but seen: at 10¹⁹ training FLOPs the loss of convnet lies below" in found["sentence"]
    assert found["ancova"]["offset"]["high"] < 0
    assert "stand in for winners" in found["curve"]["status"][-1]["sentence"]
    assert len(json.loads(out)["optimism"]) == 10


def test_a_named_confound_is_listed_although_it_is_balanced_and_must_be_a_column(invoke):
    _, out, _ = invoke("compare", OTHERS, *COLUMNS, "--role", "role", "--seed", "seed", "--confound", "augmentation")
    assert "confounded with resolution" in out
    code, _, error = invoke("compare", OTHERS, *COLUMNS, "--confound", "resolutoin")
    assert (code, error.count("\n")) == (2, 1)
    assert "no column 'resolutoin' to be named a confound (did you mean 'resolution'?)" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--family", "archi", "--loss", "val_loss"), "no column 'archi' for family (did you mean 'arch'?)"),
        (("--family", "arch"), "no column 'loss' for loss (did you mean 'val_loss'?)"),
        ((*COLUMNS, "--margin", "2"), "--margin must be in (0, 1) of ln loss, saw 2.0"),
    ],
)
def test_a_table_that_cannot_be_meant_is_answered_with_exit_code_2(arguments, message, invoke):
    code, _, error = invoke("compare", OTHERS, *arguments)
    assert code == 2
    assert message in error


def test_winners_at_the_end_of_what_a_table_tried_have_only_a_bound(invoke, tmp_path):
    """The two larger sizes of the transformer are left out, so that its winners are the largest tried."""
    with open(OTHERS, newline="") as file:
        rows = list(csv.DictReader(file))
    best = {row["flops"]: float(row["params"]) for row in rows if row["role"] == "winner"}
    kept = [r for r in rows if not (r["arch"] == "transformer" and float(r["params"]) > 1.01 * best[r["flops"]])]
    path = tmp_path / "cut.csv"
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(kept)
    _, out, _ = invoke("compare", path, *COLUMNS, *SEARCHED, "--role", "role")
    assert out.startswith("Cannot tell: transformer lies at an edge of its search (size)")
    assert "Not claimed but seen: at equal training FLOPs and the largest budget" in out


CONVNEXT_BELOW = -0.09


@pytest.fixture
def openclip(tmp_path) -> Path:
    """Made-up results in open_clip's columns: the ConvNeXts 9 % below the ViTs, some shown in two or three variants."""
    generator = np.random.default_rng(0)
    models = [(f"convnext_{size}", 256 if size < 3 else 320, 40 * 4**size, 3 - size % 2) for size in range(5)]
    models += [(f"ViT-{size}", 224, 50 * 3.5**size, 1) for size in range(6)]
    results, profiles = ["name,pretrained,FLOPs (B),ImageNet 1k"], ["model,image_size"]
    for name, resolution, flops, variants in models:
        profiles.append(f"{name},{resolution}")
        below = CONVNEXT_BELOW if name.startswith("convnext") else 0.0
        luck = 0.015 * generator.standard_normal()
        for variant in range(variants):
            error = 0.33 * (flops / 50) ** -0.11 * math.exp(below + luck + 0.005 * generator.standard_normal())
            tag = f"laion2b_s34b_b{'82' if below else '79'}k" + ("_augreg" if below else "") + "_soup" * (variant == 1)
            results.append(f"{name},{tag},{flops:g},{1 - error:.4f}")
    results.append("ViT-9,openai,999,0.7")
    (tmp_path / "openclip_results.csv").write_text("\n".join(results) + "\n")
    (tmp_path / "model_profile.csv").write_text("\n".join([*profiles, "ViT-9,224"]) + "\n")
    rows = openclip_rows(tmp_path)
    assert {row["name"] for row in rows} == {name for name, *_ in models}, "other data sets are left out"
    table = tmp_path / "openclip.csv"
    with open(table, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=[*rows[0], "run"])
        writer.writeheader()
        writer.writerows({**row, "run": str(place)} for place, row in enumerate(rows))
    return table


OPENCLIP = ("--family", "arch", "--loss", "error", "--cluster", "name")


def test_results_of_two_groups_are_described_with_their_confounds_and_not_judged(openclip, invoke):
    code, out, _ = invoke("compare", openclip, *OPENCLIP)
    assert code == 0
    assert out.startswith("Cannot tell: ConvNeXt has no winner on fresh seeds.")
    assert "the error rate of ConvNeXt lies below that of ViT" in out
    assert "confounded with resolution, batch, augreg" in out
    assert re.search(r"augreg\tTrue\tFalse\tno value is common", out)
    found = by_flops(invoke("compare", openclip, *OPENCLIP, "--json")[1])
    assert (found["curve"]["status"][-1]["code"], found["curve"]["status"][-1]["num_clusters"]) == (
        "all-rows-stand-in",
        11,
    )
    offset = found["ancova"]["common_offset"]
    assert offset["low"] < CONVNEXT_BELOW < offset["high"] < 0
    assert found["gain"]["log_ratio"]["low"] > 0, "the same error takes a vit more compute"


def test_rows_of_one_cluster_that_count_as_many_would_narrow_the_interval(openclip, invoke):
    def width(cluster: str) -> float:
        found = by_flops(invoke("compare", openclip, *OPENCLIP[:-1], cluster, "--json")[1])
        return found["ancova"]["offset"]["high"] - found["ancova"]["offset"]["low"]

    assert width("name") > width("run")


@pytest.mark.slow
def test_a_table_without_timings_is_not_compared_by_them(invoke, tmp_path):
    options = (*COLUMNS, *SEARCHED, "--role", "role")
    code, out, _ = invoke("compare", OTHERS, *options, "--json")
    assert code == 0
    assert {each["currency"] for each in json.loads(out)["comparisons"]} == {"flops"}
    assert "device-seconds" not in invoke("compare", OTHERS, *options)[1]
    with open(OTHERS, newline="") as file:
        rows = [{**row, "s": str(float(row["flops"]) / 1e15)} for row in csv.DictReader(file)]
    path = tmp_path / "timed.csv"
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    found = json.loads(invoke("compare", path, *options, "--seconds", "s", "--json")[1])
    assert {each["currency"] for each in found["comparisons"]} == {"flops", "device_seconds"}
