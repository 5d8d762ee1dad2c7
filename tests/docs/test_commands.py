"""Commands that a document tells a reader to type are typed, as they stand there, where a reader would."""

import csv
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.docs.commands import ROOT, blocks, commands_of, type_in
from tests.docs.places import for_own_data, for_photos
from tests.study.pictures import write_folder


def calls_of_the_readme() -> list[str]:
    called = [command.removeprefix("uv run ") for command in commands_of("README.md")]
    return [command for command in called if command.startswith("levelfield ")]


@pytest.mark.slow
def test_every_command_of_the_readme_runs(undisturbed, tmp_path):
    """On a study of seconds in place of the quickstart, and on a table that has the columns it speaks of."""
    commands = calls_of_the_readme()
    assert len(commands) > 15
    write_folder(tmp_path / "pictures", seed=0, count=2)
    with open(ROOT / "examples/others.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        size = float(row.pop("params"))
        row |= {"loss": row["val_loss"], "N": str(size), "D": str(float(row["flops"]) / 6 / size)}
    with open(tmp_path / "runs.csv", "w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    shutil.copytree(undisturbed, tmp_path / "runs/quickstart")
    name = next(path.name for path in sorted((tmp_path / "runs/quickstart/trials").iterdir()))
    allowed = {0: "", 2: " law to "}
    for command in commands:
        if command.startswith(("levelfield race ", "levelfield train ")):
            continue  # take hours: tests/cli/test_race.py and test_train.py run the shortest there are
        if command.startswith("levelfield run study.toml"):  # the quickstart itself, printed by a line before
            command += " --dir runs/own --for 5s"
            allowed[75] = "the time is over"
        done = type_in(command.replace("NAME", name), tmp_path)
        # One budget makes no law, and whoever asks for one is told so.
        assert done.returncode in allowed, f"{command}\n{done.stderr}"
        assert done.returncode == 0 or allowed[done.returncode] in done.stderr, f"{command}\n{done.stderr}"


@pytest.mark.slow
def test_own_data_followed_to_the_letter_is_built_and_plans_a_study_that_can_decide(tmp_path):
    page = "docs/how-to/own-data.md"
    (spec,) = re.findall(r"^```toml\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "my-photos.toml").write_text(spec)
    draw = np.random.default_rng(0)
    for part, count in (("train", 1100), ("test", 100)):
        for label in range(10):
            (tmp_path / f"photos/{part}/{label}").mkdir(parents=True)
            for number in range(count):
                picture = Image.fromarray(draw.integers(0, 255, (16, 16, 3), dtype=np.uint8))
                picture.save(tmp_path / f"photos/{part}/{label}/{number}.png")
    for_own_data(tmp_path)
    *made, plan, run = [command for command in commands_of(page) if " data build`" not in command]
    assert len(made) == 11
    for command in made:
        done = type_in(command, tmp_path)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert len(list((tmp_path / "built").glob("*/manifest.json"))) == 9
    done = type_in(f"{plan} --no-calibrate", tmp_path)  # the README's is measured
    assert done.returncode == 0, done.stderr
    assert "at most" in done.stdout
    assert "What this design cannot decide" not in done.stdout
    for family in ("NFNet", "ViT"):
        for budget in ("8×10⁹", "1.6×10¹⁰", "3.2×10¹⁰", "6.4×10¹⁰"):
            assert len(re.findall(rf"^{family}\t{budget}\sFLOPs\t.*\tyes$", done.stdout, re.MULTILINE)) >= 3
    done = type_in(f"{run} --for 5s", tmp_path)
    assert done.returncode == 75, done.stderr


@pytest.mark.slow
def test_the_tutorial_on_photos_ends_with_a_backbone_that_timm_loads_and_classify_uses(tmp_path, monkeypatch):
    page = "docs/tutorial/photos.md"
    for_photos(tmp_path)
    commands = commands_of(page)
    assert [command.split()[1] for command in commands] == [
        "data", "probe", "finetune", "runs", "convert", "classify"
    ]  # fmt: skip
    said = {}
    for command in commands:
        done = type_in(command, tmp_path)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        said[command.split()[1]] = done.stdout
    ranked = said["runs"].split("# ")[1]
    assert ranked.startswith("By loss on the report split of photos, 24 images")
    assert {"probe", "fine-tune"} <= set(re.split(r"[\t\n]", ranked)), "judged by the same photos, so in one table"
    assert re.search(r"\b(cat|dog|hen)\b", said["classify"])
    monkeypatch.chdir(tmp_path)
    (block,) = blocks(page, "python")
    exec(compile(block, page, "exec"), {})
