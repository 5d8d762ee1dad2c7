"""Which episodes of a robot a trial sees."""

from __future__ import annotations

from typing import Literal

from levelfield.records.data_bounds import MOST_HELD_OUT, expect_common
from levelfield.records.errors import expect
from levelfield.records.stated import stated

MOST_CHUNK = 256
"""Actions that are told at once."""


@stated
class DemonstrationsSpec:
    """Episodes that somebody, or some script, has acted: a folder in LeRobot's layout, version 3, whose frames lie in
    Parquet, or Parquet with a row a frame.

    A column that is not named is called as LeRobot calls it (``observation.state``, ``action``), and the picture is the
    only one there is. ``state_columns`` are put side by side. Every frame is an example: what is seen and sensed there,
    and the ``chunk`` of actions from there on, as far as the episode goes.

    ``select_episodes`` and ``report_episodes`` are drawn whole: no episode has frames in two splits. ``augment``
    "shift" moves a picture by a few pixels (:mod:`levelfield.data.sources.demonstrations`).
    """

    source: Literal["demonstrations"] = "demonstrations"
    path: str
    image_column: str | None = None
    state_columns: tuple[str, ...] | None = None
    action_column: str | None = None
    resolution: int
    chunk: int = 8
    augment: Literal["none", "shift"] = "shift"
    corrupt: Literal["stop", "mask"] = "stop"
    select_episodes: int = 20
    report_episodes: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        expect_common(self)
        expect(1 <= self.chunk <= MOST_CHUNK, "chunk", f"from 1 to {MOST_CHUNK} actions", self.chunk)
        for name in ("select_episodes", "report_episodes"):
            number = getattr(self, name)
            expect(1 <= number <= MOST_HELD_OUT, name, f"from 1 to {MOST_HELD_OUT}", number)
        columns = self.state_columns
        held = columns is None or (len(columns) > 0 and len(set(columns)) == len(columns))
        expect(held, "state_columns", "distinct names, one or more", columns)

    @property
    def select_examples(self) -> None:
        """The frames of so many episodes: known once they are looked at."""
        return

    @property
    def report_examples(self) -> None:
        """See :attr:`select_examples`."""
        return
