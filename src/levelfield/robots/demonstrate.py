"""Episodes acted by a scene's expert and recorded, in as many processes as are given: the same, however many."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from levelfield.data.draws import key_words
from levelfield.data.ingest.lerobot_writer import Episode, Recording, write_lerobot
from levelfield.records.errors import SpecError, WorkError
from levelfield.robots.rendering import rendering_here
from levelfield.robots.scenes import ACTION_NAMES, FRAMES_A_SECOND, LONGEST_EPISODE, Scene, Stage, scene_named

HELD_STEPS = 5
"""Frames that are recorded once the goal is reached: a policy is to stay there."""
MOST_NOISE = 1.0


@dataclass(frozen=True, kw_only=True)
class Acting:
    """How episodes are acted: pictures of ``side`` pixels, None where none are made; Gaussian ``noise`` on every action
    but the fingers', in the actions' own units; numbers drawn by ``seed``."""

    scene: str
    side: int | None
    noise: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        scene_named(self.scene)
        if self.side is not None and not 8 <= self.side <= 1024:
            raise SpecError(f"side must be from 8 to 1024 pixels, saw {self.side}")
        if not 0 <= self.noise <= MOST_NOISE:
            raise SpecError(f"noise must be from 0 to {MOST_NOISE:g}, in the actions' own units, saw {self.noise}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Acted:
    """An ``episode`` as it was recorded, without pictures where none were made, and whether it reached its goal."""

    episode: Episode
    reached: bool


@dataclass(frozen=True, kw_only=True)
class Demonstrated:
    """What was ``tried``, and the ``kept`` episodes of those, of so many ``frames`` in all."""

    tried: int
    kept: int
    frames: int


def acted(how: Acting, number: int, *, stage: Stage) -> Acted:
    """The episode ``number`` of the expert: begun, and led astray, by its own numbers.

    The action that is recorded is the expert's own: what it would do there, where the noise on the last one led.
    """
    scene = scene_named(how.scene)
    drawn = np.random.default_rng(key_words(4, "episode", how.scene, how.seed, number))
    sensed, expert = stage.begin(int(drawn.integers(2**31))), scene.expert()
    pictures, states, actions, left = [], [], [], None
    for _ in range(LONGEST_EPISODE):
        action = expert(sensed)
        if how.side is not None:
            pictures.append(stage.picture())
        states.append(scene.state(sensed))
        actions.append(action)
        led = action + np.append(how.noise * drawn.standard_normal(3), 0.0)
        sensed, reached = stage.act(np.clip(led, -1, 1).astype(np.float32))
        left = HELD_STEPS if reached and left is None else left
        if left is not None:
            left -= 1
            if left < 0:
                break
    side = how.side or 0
    shown = np.array(pictures, dtype=np.uint8).reshape(len(pictures), side, side, 3)
    return Acted(episode=Episode(shown, np.array(states), np.array(actions)), reached=left is not None)


def all_acted(how: Acting, number: int, *, workers: int) -> Iterator[Acted]:
    """The first ``number`` episodes, one after the other, however many processes act them.

    Raises:
        SpecError: nothing can be simulated here, or no picture of it can be made.
    """
    if how.side is not None:
        rendering_here()
    spawned = multiprocessing.get_context("spawn")  # a fork would share what draws
    with ProcessPoolExecutor(workers, mp_context=spawned) as pool:
        yield from pool.map(partial(_of_process, how), range(number))


def demonstrate(
    how: Acting, folder: Path, *, episodes: int, workers: int, told: Callable[[int], None] = lambda done: None
) -> Demonstrated:
    """Record the ``episodes`` of the expert in the new ``folder``, in LeRobot's layout; those that fail are left out.

    Raises:
        SpecError: see :func:`all_acted`.
        StoreError: the folder is there already, or cannot be written.
        WorkError: not one episode reached its goal.
    """
    scene, kept = scene_named(how.scene), 0

    def whole() -> Iterator[Episode]:
        nonlocal kept
        for done, each in enumerate(all_acted(how, episodes, workers=workers), start=1):
            told(done)
            if each.reached:
                kept += 1
                yield each.episode
        if not kept:
            raise WorkError(f"not one of {episodes} episodes of {how.scene} reached its goal: less noise?")

    frames = write_lerobot(folder, recording_of(scene), whole())
    return Demonstrated(tried=episodes, kept=kept, frames=frames)


def recording_of(scene: Scene) -> Recording:
    """What all episodes of ``scene`` have in common."""
    return Recording(
        robot="fetch",
        task=scene.task,
        fps=FRAMES_A_SECOND,
        state_names=scene.state_names,
        action_names=ACTION_NAMES,
    )


_STAGES: dict[tuple[str, int | None], Stage] = {}


def _of_process(how: Acting, number: int) -> Acted:
    """An episode on the stage of this process, which is opened once."""
    place = how.scene, how.side
    if place not in _STAGES:
        _STAGES[place] = Stage(scene_named(how.scene), side=how.side)
    return acted(how, number, stage=_STAGES[place])
