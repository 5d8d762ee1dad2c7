"""``levelfield compare`` on tables that others made: a verdict with its confounds, never a claim of cause."""

import csv
import json
import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OTHERS = ROOT / "examples" / "others.csv"
RUNS = Path(os.environ.get("LEVELFIELD_RUNS") or ROOT.parent / "shared" / "runs")
COLUMNS = ("--family", "arch", "--loss", "val_loss")
SEARCHED = ("--seed", "seed", "--params", "params", "--rate", "lr", "--epochs", "epochs")


def by_flops(text: str) -> dict:
    found = json.loads(text)
    return next(each for each in found["comparisons"] if each["currency"] == "flops")


def test_a_table_with_fresh_seeds_gets_a_verdict_and_what_is_confounded_with_it(invoke):
    code, out, _ = invoke("compare", OTHERS, *COLUMNS, *SEARCHED, "--role", "role")
    assert code == 0
    assert out.startswith("At equal training FLOPs convnet has a lower loss than transformer (−6.3 %")
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
    assert "not claimed but seen: at 1e+19 training FLOPs the loss of convnet lies below" in found["sentence"]
    assert found["ancova"]["offset"]["high"] < 0
    assert "stand in for winners" in found["curve"]["status"]
    assert len(json.loads(out)["optimism"]) == 10


def test_a_named_confound_is_listed_although_it_is_balanced_and_must_be_a_column(invoke):
    _, out, _ = invoke("compare", OTHERS, *COLUMNS, "--role", "role", "--seed", "seed", "--confound", "augmentation")
    assert "confounded with resolution" in out
    code, _, error = invoke("compare", OTHERS, *COLUMNS, "--confound", "resolutoin")
    assert (code, error.count("\n")) == (2, 1)
    assert "no column 'resolutoin' for --confound (did you mean 'resolution'?)" in error


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


@pytest.fixture
def openclip(tmp_path) -> Path:
    """The ConvNeXt and ViT rows of open_clip's results that were trained on LAION-2B, as a table."""
    path = RUNS / "openclip_results" / "openclip_results.csv"
    if not path.exists():
        pytest.skip(f"the table of others' runs {path.name} is not here")
    with open(path, newline="") as file, open(path.parent / "model_profile.csv", newline="") as profiles:
        sizes = {row["model"]: row["image_size"] for row in csv.DictReader(profiles)}
        rows = list(csv.DictReader(file))
    lines = ["flops,error,arch,name,resolution,batch,augreg,soup"]
    for row in rows:
        tag = re.fullmatch(r"laion2b_s(\d+)b_b(\d+k)(.*)", row["pretrained"])
        family = re.match(r"(convnext|ViT)", row["name"])
        if tag and family:
            flops = float(row["FLOPs (B)"]) * 1e9 * float(tag[1]) * 1e9
            facts = [sizes[row["name"]], tag[2], str("augreg" in tag[3]), str("soup" in tag[3])]
            cells = [f"{flops:.6g}", f"{1 - float(row['ImageNet 1k']):.4f}", family[1].lower(), row["name"], *facts]
            lines.append(",".join(cells))
    table = tmp_path / "openclip.csv"
    table.write_text("\n".join(lines) + "\n")
    return table


def test_convnext_and_vit_of_open_clip_are_described_with_their_confounds_and_not_judged(openclip, invoke):
    columns = ("--family", "arch", "--loss", "error", "--cluster", "name")
    code, out, _ = invoke("compare", openclip, *columns)
    assert code == 0
    assert out.startswith("Cannot tell: convnext has no winner on fresh seeds.")
    assert "the loss of convnext lies below that of vit" in out
    assert "confounded with resolution, batch, augreg" in out
    found = by_flops(invoke("compare", openclip, *columns, "--json")[1])
    assert "all 15 rows, of 10 clusters that err together" in found["curve"]["status"]
    offset = found["ancova"]["common_offset"]
    # Straight lines through all 15 rows, taken as independent, give -0.0830 with an error of 0.0112.
    assert offset["low"] < -0.0830 < offset["high"]
    assert offset["estimate"] == pytest.approx(-0.0830, abs=0.0112)
    assert found["gain"]["log_ratio"]["low"] > 0, "the same error takes a vit more compute"


def test_rows_of_one_cluster_that_count_as_many_would_narrow_the_interval(openclip, invoke):
    def width(*columns: str) -> float:
        found = by_flops(invoke("compare", openclip, "--family", "arch", "--loss", "error", *columns, "--json")[1])
        return found["ancova"]["offset"]["high"] - found["ancova"]["offset"]["low"]

    lone = openclip.read_text().splitlines()
    openclip.write_text("\n".join([f"{lone[0]},run", *(f"{line},{place}" for place, line in enumerate(lone[1:]))]))
    assert width("--cluster", "name") > width("--cluster", "run")
