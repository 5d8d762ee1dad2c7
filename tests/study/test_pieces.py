"""Running for a limited time: what is left goes on by the same command, to the same results."""

import importlib.util
import json
import re
import tomllib
from pathlib import Path

import pytest

from levelfield.study.run import RunProgress, run_study
from levelfield.study.spec_file import load_study
from tests.conftest import lasting_files, one_complaint, run, without

RUN_0002 = Path(__file__).parents[2] / "studies" / "0002_digit_strings" / "run.py"


@pytest.mark.slow
def test_when_the_time_is_over_the_code_says_that_nothing_failed(tiny_study, tmp_path):
    done = run("run", tiny_study, "--dir", tmp_path / "out", "--for", "1s")
    assert "the time is over with" in one_complaint(done, 75)
    assert "run it again to go on" in done.stderr


@pytest.mark.parametrize("piece", ["soon", "9 months", "0m", "-1s"])
def test_a_time_that_cannot_be_meant_is_refused(piece, tiny_study, tmp_path):
    done = run("run", tiny_study, "--dir", tmp_path / "out", f"--for={piece}")
    assert "--for takes a time such as '90s', '9m' or '1.5h'" in one_complaint(done, 2)
    assert not (tmp_path / "out").exists()


class Enough(Exception):
    """Stands for whoever has seen what they wanted."""


@pytest.mark.slow
@pytest.mark.parametrize(("cheapest_first", "budget", "enough"), [(True, 1.36e8, 8), (False, 2.72e8, 2)])
def test_trials_start_at_the_top_rung_or_when_asked_at_the_lowest(cheapest_first, budget, enough, tiny_study, tmp_path):
    tiny_study.write_text(tiny_study.read_text().replace("[1.36e8]", "[1.36e8, 2.72e8]"))
    started = []

    def note(progress: RunProgress) -> None:
        if progress.event.kind == "started":
            started.append(progress.event.trial.budget_flops)
        if len(started) == enough:
            raise Enough

    with pytest.raises(Enough):
        run_study(load_study(tiny_study), tmp_path / "out", cheapest_first=cheapest_first, on_progress=note)
    assert started == enough * [budget]


@pytest.mark.slow
def test_a_study_in_pieces_comes_out_as_the_study_in_one(undisturbed, tiny_study, tmp_path):
    """The trials of one family, of which a search, its winner and the control come one after another."""
    cut = without("vit-*", undisturbed, tmp_path / "cut")
    trials = [json.loads(path.read_text())["wall_seconds"] for path in undisturbed.glob("trials/vit-*/timing.json")]
    piece = sum(trials) / 4  # however slow the machine is
    codes = []
    while len(codes) < 30 and (not codes or codes[-1] == 75):
        before = len(list(cut.glob("trials/*/result.json")))
        done = run("run", tiny_study, "--dir", cut, "--for", f"{piece:.1f}s", "--checkpoint-every", 1)
        codes.append(done.returncode)
        if len(list(cut.glob("trials/*/result.json"))) == before:
            piece *= 2  # it went by with starting
    assert codes[-1] == 0
    assert len(codes) > 2
    assert lasting_files(cut) == lasting_files(undisturbed)
    done = run("verify", cut, "--sample", 1, "--tolerance", 0.01)
    assert done.returncode == 0, done.stderr
    assert "equal: " in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("minutes", "dropped"), [(1e6, 0), (1e-6, 1)])
def test_study_0002_drops_its_highest_searched_rung_where_time_is_short_and_decides_once(minutes, dropped, tmp_path):
    specification = importlib.util.spec_from_file_location("run_0002", RUN_0002)
    assert specification is not None
    assert specification.loader is not None
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    # The smallest size of each family: every size is trained for a while to tell how long it takes.
    study = tmp_path / "small.toml"
    small = (RUN_0002.parent / "small.toml").read_text()
    study.write_text(re.sub(r'^(sizes = \["[^"]+").*\]$', r"\1]", small, flags=re.MULTILINE))
    chosen = script.decided(study, tmp_path, device="cpu", workers=1, minutes=minutes)
    kept, whole = (tomllib.loads(path.read_text()) for path in (chosen, study))
    budgets = whole["ladder"]["budgets"]
    assert kept["ladder"].pop("budgets") == budgets[: len(budgets) - dropped]
    del whole["ladder"]["budgets"]
    assert kept == whole, "neither seeds nor anything else"
    assert script.decided(study, tmp_path, device="cpu", workers=1, minutes=0).read_text() == chosen.read_text()
