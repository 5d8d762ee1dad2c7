"""What a source yields of every example, by name, and what is known of it beforehand."""

from __future__ import annotations

from levelfield.records.codec import later, record

IGNORED = 255
"""What a pixel of a mask says that belongs to no class."""

STRETCH = "stretch"
"""The field, int64 an example, that tells which examples err together: frames of a film, steps of an episode."""

PARTNER, OWN_SHARE = "partner", "own_share"
"""The fields of a mixed example: the label, int64, of what was mixed into it, and how much, float32, is its own."""


@record
class Scale:
    """The mean and the standard deviation of each number of a field, over what is trained on; 1 for what never changes.

    A field that has one is told in these units.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]


@record
class FieldFacts:
    """The fields of a source, by ``names``, and what a task may know of them without seeing one.

    ``label`` is one of ``num_classes`` whole numbers, and so is every pixel of ``mask`` that is not ``IGNORED``; None
    where a source has no such field. ``label_noise`` is the share of labels that were exchanged for another one, drawn
    evenly; None where nobody knows.

    ``text`` int [C, L] are up to C texts of ``context`` tokens each, whole numbers below ``vocabulary``, 0 throughout
    where there are fewer. Held-out examples are told apart among ``candidates``.

    ``state`` float32 [S] is what is sensed, ``action`` float32 [``chunk``, A] what is done from there on, in the units
    of ``state_scale`` and ``action_scale``; ``within`` bool [``chunk``] says how far the episode goes. ``action_noise``
    is the variance of actions, in their units, that nothing seen or sensed tells; None where nobody knows.
    """

    names: tuple[str, ...] = ("image", "label")
    num_classes: int | None = None
    label_noise: float | None = None
    vocabulary: int | None = later(default=None)
    context: int | None = later(default=None)
    candidates: int | None = later(default=None)
    chunk: int | None = later(default=None)
    state_scale: Scale | None = later(default=None)
    action_scale: Scale | None = later(default=None)
    action_noise: float | None = later(default=None)
