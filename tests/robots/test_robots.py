"""Scripted experts solve their scenes, and what is recorded of them is the same whoever records it."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from levelfield.data.ingest.lerobot_writer import CAMERA
from levelfield.data.sources import open_source
from levelfield.records.data import DemonstrationsSpec
from levelfield.records.errors import SpecError
from levelfield.robots.demonstrate import Acting
from levelfield.robots.expert import ABOVE, pick_and_place, reach
from levelfield.robots.rendering import WAYS, rendering_here
from levelfield.robots.scenes import SCENES, scene_named
from levelfield.robots.sensed import Sensed
from levelfield.testing.sources import check_source

FRAMES = "data/chunk-000/file-000.parquet"
simulated = pytest.mark.skipif(
    importlib.util.find_spec("gymnasium_robotics") is None,
    reason="needs the extra robot: pip install 'levelfield[robot]'",
)


def sensed(gripper, block, goal, fingers=0.05) -> Sensed:
    return Sensed(np.array([*gripper, fingers, fingers]), np.array(block), np.array(goal))


def test_reach_goes_straight_to_the_goal_and_no_faster_than_it_can():
    action = reach()(Sensed(np.array([0, 0, 0, 0.0, 0.0]), None, np.array([0.03, -0.5, 0.0])))
    assert action.tolist() == pytest.approx([0.3, -1, 0, 0])


def test_a_block_is_approached_from_above_grasped_and_carried():
    expert, block, goal = pick_and_place(), [1.0, 0.5, 0.4], [1.2, 0.5, 0.6]
    beside = expert(sensed([1.1, 0.5, 0.4], block, goal))
    assert beside.tolist() == pytest.approx([-1, 0, 10 * ABOVE, 1])
    over = expert(sensed([1.0, 0.5, 0.45], block, goal))
    assert over.tolist() == pytest.approx([0, 0, -0.5, 1])
    at_it = expert(sensed([1.0, 0.5, 0.4], block, goal))
    assert at_it.tolist() == [0, 0, 0, -1]
    held = expert(sensed([1.0, 0.5, 0.4], block, goal, fingers=0.024))
    assert held.tolist() == pytest.approx([1, 0, 1, -1])
    slipped = expert(sensed([1.0, 0.5, 0.5], block, goal, fingers=0.0))
    assert slipped[3] == 1


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(SpecError, match="did you mean 'fetch-reach'"):
        scene_named("fetch-reech")
    with pytest.raises(SpecError, match="noise"):
        Acting(scene="fetch-reach", side=None, noise=2.0)


def test_without_the_simulator_the_extra_is_named(monkeypatch):
    rendering_here.cache_clear()
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "mujoco" else find(name))
    with pytest.raises(SpecError, match=r"mujoco.*pip install 'levelfield\[robot\]'"):
        rendering_here()


SUCCESSES = """
import sys
from levelfield.robots.demonstrate import Acting, acted
from levelfield.robots.scenes import Stage, scene_named
how = Acting(scene=sys.argv[1], side=None, noise=float(sys.argv[2]))
stage = Stage(scene_named(how.scene), side=None)
print(sum(acted(how, number, stage=stage).reached for number in range(40)))
"""


@simulated
@pytest.mark.slow
@pytest.mark.parametrize("scene", SCENES)
def test_the_expert_reaches_its_goal_led_astray_or_not(scene):
    """In a process of its own: others' libraries warn while they are loaded."""
    for noise in ("0.0", "0.1"):
        done = subprocess.run(
            [sys.executable, "-c", SUCCESSES, scene, noise], capture_output=True, text=True, check=True
        )
        assert int(done.stdout) >= 38
        assert not done.stderr


def recorded(out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "levelfield",
        "data",
        "demonstrate",
        "fetch-reach",
        str(out),
        "--side",
        "32",
        *more,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@simulated
@pytest.mark.slow
def test_what_is_recorded_does_not_depend_on_the_number_of_processes(tmp_path):
    for workers in ("1", "2"):
        done = recorded(tmp_path / workers, "--episodes", "5", "--workers", workers)
        assert done.returncode == 0, done.stderr
        assert "5 episodes" in done.stdout
    one, two = (pq.read_table(tmp_path / workers / FRAMES) for workers in ("1", "2"))
    assert one.equals(two)
    assert len({row["bytes"] for row in one.column(CAMERA).to_pylist()}) > len(one) // 2
    spec = DemonstrationsSpec(
        path=str(tmp_path / "1"), resolution=32, select_episodes=1, report_episodes=1, chunk=4, augment="none"
    )
    source = open_source(spec)
    check_source(source)
    assert source.fields.state_scale is not None
    assert len(source.fields.state_scale.mean) == 5
    other = recorded(tmp_path / "1", "--episodes", "1")
    assert other.returncode == 1
    assert "is there already" in other.stderr


@simulated
@pytest.mark.slow
def test_a_way_to_draw_is_found_here_and_one_that_was_said_is_taken(monkeypatch):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    rendering_here.cache_clear()
    assert rendering_here() in WAYS
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    rendering_here.cache_clear()
    assert rendering_here() == "osmesa"
    rendering_here.cache_clear()
