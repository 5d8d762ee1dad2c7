"""The page that draws the house names what is there, in the order in which it calls."""

import itertools
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/explanation/architecture.md").read_text()
SOURCE = ROOT / "src/levelfield"


def walks() -> list[list[str]]:
    blocks = re.findall(r"^```\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [re.findall(r"^[ └]*([a-z_]+(?:/[a-z_]+)*(?:\.py|/))(?:\s|$)", block, re.MULTILINE) for block in blocks]


def test_every_place_that_the_page_names_exists():
    named = set(re.findall(r"`((?:[a-z_]+/)+(?:[a-z_]+\.py)?|[a-z_]+\.py)`", PAGE)) | {
        name for walk in walks() for name in walk
    }
    assert len(named) > 15
    assert [name for name in sorted(named) if not (SOURCE / name).exists() and name not in LEFT] == []


LEFT = {"trials/NAME/", "attempts/", "locked/", "trained/", "figures/", "tables/"}
"""What lies in the directory of a study."""


def test_each_hop_of_the_walk_of_a_trial_leads_to_the_next():
    walk = walks()[0]
    assert len(walk) == 7
    through = {  # what stands between the two, where one does not name the other
        "study/run.py": "cli/progress.py",
        "study/launch/worker.py": "study/launch/registry.py",
        "train/loop.py": "study/execute/training.py",
        "train/step.py": "study/execute/parts.py",
    }
    on = {"study/launch/registry.py": "study/launch/local.py"}
    assert module(*on.values()) in (SOURCE / next(iter(on))).read_text()
    for above, below in itertools.pairwise(walk):
        between = through.get(below)
        assert module(between or below) in (SOURCE / above).read_text() or below == "train/step.py"
        if between is not None:
            between = on.get(between, between)
            assert module(below) in (SOURCE / between).read_text(), f"{between} does not lead to {below}"


def module(name: str) -> str:
    return "levelfield." + name.removesuffix(".py").replace("/", ".")
