"""What everyone expects of a command line: versions, short help, completion, single values set, progress when piped."""

import json
import logging
import os
import re
import subprocess
import sys
import tomllib

import pytest

from levelfield import __version__
from levelfield.records.errors import SpecError
from levelfield.study.overrides import with_values_set
from levelfield.study.spec_file import load_study
from tests.conftest import run, without
from tests.narrowed import present


def test_the_version_and_short_help(invoke):
    assert invoke("--version")[:2] == (0, f"levelfield {__version__}\n")
    for arguments in (("-h",), ("fit", "-h")):
        code, output, _ = invoke(*arguments)
        assert (code, output.startswith("Usage: levelfield")) == (0, True)


def test_a_shell_completes_verbs_and_options():
    asked = {"_LEVELFIELD_COMPLETE": "complete_bash", "COMP_WORDS": "levelfield com", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "levelfield"], capture_output=True, text=True, env={**os.environ, **asked}, check=False
    )
    assert (done.returncode, done.stdout.split()) == (0, ["compare"])


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("a.b=[1e9, 3e9]", {"a": {"b": [1e9, 3e9]}}),
        ("a.c=true", {"a": {"c": True}}),
        ("a.c.d=word with spaces", {"a": {"c": {"d": "word with spaces"}}}),
        ('a.c="x=y"', {"a": {"c": "x=y"}}),
        ("list.vit.rate=0.1", {"list": [{"name": "nfnet"}, {"name": "vit", "rate": 0.1}]}),
        ("list.0.rate=0.1", {"list": [{"name": "nfnet", "rate": 0.1}, {"name": "vit"}]}),
    ],
)
def test_a_value_is_set_where_its_key_says(change, found):
    plain = {"list": [{"name": "nfnet"}, {"name": "vit"}]}
    assert with_values_set(plain, [change]) == plain | found
    assert plain == {"list": [{"name": "nfnet"}, {"name": "vit"}]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("a", "--set takes KEY=VALUE"),
        ("a..b=1", "--set takes KEY=VALUE"),
        ("list.vitt.rate=1", "no entry 'vitt' (did you mean 'vit'?)"),
        ("word.b=1", "holds 'w', expected a table or a list"),
    ],
)
def test_a_key_that_leads_nowhere_is_refused(change, said):
    with pytest.raises(SpecError, match=re.escape(said)):
        with_values_set({"list": [{"name": "vit"}], "word": "w"}, [change])


def test_a_study_is_planned_and_run_with_single_values_changed(tiny_study, tmp_path, invoke):
    budgets = tomllib.loads(tiny_study.read_text())["ladder"]["budgets"]
    higher = [budget * 1.1 for budget in budgets]
    assert load_study(tiny_study, [f"ladder.budgets={higher}"]).ladder.budgets == tuple(higher)
    code, output, error = invoke("plan", tiny_study, "--no-calibrate", "--json", "--set", f"ladder.budgets={higher}")
    assert code == 0, error
    assert {row["budget_flops"] for row in json.loads(output)["rows"]} == set(higher)
    code, _, error = invoke("run", tiny_study, "--dir", tmp_path / "study", "--set", "ladder.budgts=[1e9]")
    assert (code, "did you mean 'budgets'?" in error) == (2, True)


@pytest.mark.slow
def test_progress_that_is_piped_tells_losses_and_how_long_it_takes_at_most(undisturbed, tiny_study, tmp_path):
    said = undisturbed.with_name("said.txt").read_text()
    lines = [line for line in said.splitlines() if line.startswith("[")]
    assert len(lines) == len(list(undisturbed.glob("trials/*/result.json")))
    assert all(re.search(r"(loss [\d.]+|diverged), at most [\d.]+\s(s|min) left$", line) for line in lines), lines
    bounds = [re.search(r"at most ([\d.]+)\s(s|min) left", line) for line in (lines[0], lines[-1])]
    first, last = (float(bound[1]) * {"s": 1, "min": 60}[bound[2]] for bound in map(present, bounds))
    assert last < first
    done = run("-q", "run", tiny_study, "--dir", without("vit-*_s1_*", undisturbed, tmp_path / "study"))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert not [line for line in lines if line.startswith("[")]


def test_how_much_is_said_may_be_written_before_and_behind_the_verb(tmp_path, invoke, monkeypatch):
    monkeypatch.setattr(logging.getLogger("levelfield"), "level", 0)
    monkeypatch.setattr(logging.root, "handlers", logging.root.handlers)
    for arguments in (("-q", "count", "nfnet:F0"), ("count", "nfnet:F0", "--quiet")):
        code, output, _ = invoke(*arguments)
        assert (code, "parameters" in output) == (0, True)
        assert logging.getLogger("levelfield").level == logging.ERROR
    invoke("count", "nfnet:F0", "-v")
    assert logging.getLogger("levelfield").level == logging.DEBUG
    assert invoke("count", "--", "-v")[0] == 2
