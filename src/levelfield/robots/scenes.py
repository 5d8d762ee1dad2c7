"""The scenes there are: Fetch's arm, whose simulations ship with gymnasium-robotics."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levelfield.records.errors import SpecError, did_you_mean
from levelfield.robots.expert import Scripted, pick_and_place, reach
from levelfield.robots.rendering import VARIABLE, refuse_without_robot, rendering_here
from levelfield.robots.sensed import Sensed

FRAMES_A_SECOND = 25
"""20 steps of 2 ms of simulation an action (gymnasium-robotics, fetch_env.py)."""
LONGEST_EPISODE = 50
"""An episode's, as the scenes are registered."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A scene by its ``name`` here and there (``registered``), its ``task`` in words, and its scripted expert.

    A policy senses the arm alone, and the goal where that hangs in the air among other things (``senses_goal``).
    """

    name: str
    registered: str
    task: str
    senses_goal: bool
    expert: Callable[[], Scripted]

    @property
    def state_names(self) -> tuple[str, ...]:
        """What the numbers are called that a policy senses."""
        arm = ("gripper x", "gripper y", "gripper z", "right finger", "left finger")
        return (*arm, *(("goal x", "goal y", "goal z") if self.senses_goal else ()))

    def state(self, sensed: Sensed) -> NDArray[np.float32]:
        """Those numbers."""
        told = np.concatenate([sensed.arm, sensed.goal]) if self.senses_goal else sensed.arm
        return told.astype(np.float32)


ACTION_NAMES = ("dx", "dy", "dz", "fingers")

SCENES = {
    scene.name: scene
    for scene in (
        Scene(
            name="fetch-reach",
            registered="FetchReach-v4",
            task="move the gripper to the red ball",
            senses_goal=False,
            expert=reach,
        ),
        Scene(
            name="fetch-pick-and-place",
            registered="FetchPickAndPlace-v4",
            task="bring the block to the red ball",
            senses_goal=True,
            expert=pick_and_place,
        ),
    )
}


def scene_named(name: str) -> Scene:
    """The scene called ``name``.

    Raises:
        SpecError: there is none.
    """
    if name not in SCENES:
        raise SpecError(f"there is no scene {name!r}{did_you_mean(name, SCENES)}; there are {', '.join(SCENES)}")
    return SCENES[name]


class Stage:
    """A scene that is open: one episode after the other; ``side`` pixels of a picture, none where it is None.

    Raises:
        SpecError: it cannot be simulated here, or no picture of it can be made.
    """

    def __init__(self, scene: Scene, *, side: int | None) -> None:
        refuse_without_robot()
        if side is not None:
            os.environ[VARIABLE] = rendering_here()  # read where MuJoCo is imported, which it is below
        with contextlib.redirect_stderr(io.StringIO()):  # which says what has changed in scenes that are not here
            import gymnasium
            import gymnasium_robotics

        gymnasium.register_envs(gymnasium_robotics)
        drawn: dict[str, Any] = {} if side is None else {"render_mode": "rgb_array", "width": side, "height": side}
        self._environment = gymnasium.make(scene.registered, max_episode_steps=LONGEST_EPISODE, **drawn)

    def begin(self, seed: int) -> Sensed:
        """Begin the episode of that seed."""
        told, _ = self._environment.reset(seed=seed)
        return _sensed(told)

    def act(self, action: NDArray[np.float32]) -> tuple[Sensed, bool]:
        """What is sensed after ``action`` [4], in -1..1, and whether the goal is reached."""
        told, _, _, _, info = self._environment.step(action)
        return _sensed(told), bool(info["is_success"])

    def picture(self) -> NDArray[np.uint8]:
        """What is seen now, [side, side, 3]."""
        return np.ascontiguousarray(self._environment.render(), dtype=np.uint8)

    def close(self) -> None:
        """Give back what drawing holds."""
        self._environment.close()


def _sensed(told: dict[str, NDArray[np.float64]]) -> Sensed:
    """Source: gymnasium-robotics, fetch_env.py, ``_get_obs``: 25 numbers with an object, 10 without."""
    numbers = told["observation"]
    has_object = len(numbers) == 25
    fingers = numbers[9:11] if has_object else numbers[3:5]
    thing = numbers[3:6].copy() if has_object else None
    return Sensed(np.concatenate([numbers[:3], fingers]), thing, told["desired_goal"].copy())
