"""Everything Levelfield raises on purpose.

::

    LevelfieldError
    ├── InputError          the input is wrong: exit code 2, nothing was changed
    │   ├── SpecError       a study, trial or architecture text that cannot be meant
    │   ├── DataError       a data source that is missing, corrupt or has moved
    │   ├── WeightsError    a weight file that is damaged, needs code, or holds something else
    │   ├── DamagedError    a file of a study that was changed, damaged or lost after it was written
    │   └── RefusedError    the numbers do not support the question (too few budgets, an optimum at an edge, …)
    ├── UnfinishedError     the time allowed is over: exit code 75, the same command goes on
    └── WorkError           the work failed: exit code 1, finished results are kept
        ├── StoreError      a directory that is in use, cannot be written, or holds something else
        │   └── BusyError   somebody else is at that work, and alive
        ├── RankLostError   one of the processes that train a trial together has died or hangs: all of them stop
        ├── LeaseLostError  an attempt that others may believe to be dead, or have replaced: it stops, and harms nothing
        └── TrialError      a trial that could not be run to its end

A message says what was seen, what was expected and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from levelfield.records.reason import Reason

MOST_NAMES = 40
"""Known names that an error lists at the most."""
_MOST_SHOWN = 300
_MOST_BITS = 1024
"""Whole numbers beyond are larger than any float, and Python writes none of more than 4,300 digits."""


class LevelfieldError(Exception):
    """The root of the tree; ``exit_code`` is what the command line returns."""

    exit_code = 1


class InputError(LevelfieldError):
    """The input is wrong: nothing was changed."""

    exit_code = 2


class SpecError(InputError):
    """A study, trial or architecture text that cannot be meant."""


class DataError(InputError):
    """A data source that is missing, corrupt or has moved."""


class WeightsError(InputError):
    """A weight file that is damaged, that only running code could read, or that holds something else."""


class DamagedError(InputError):
    """A file of a study that was changed, damaged or lost after it was written: nothing is read from it.

    ``seen`` is what was seen, ``remedy`` what to do.
    """

    def __init__(self, seen: str, remedy: str) -> None:
        super().__init__(f"{seen}; {remedy}")
        self.seen = seen
        self.remedy = remedy


class RefusedError(InputError):
    """The numbers do not support the question asked of them; ``reason`` is why, where it has a code.

    Who shows the error writes the reason's sentence; its own text names the code and the fields.
    """

    def __init__(self, why: str | Reason) -> None:
        super().__init__(str(why))
        self.reason = why if isinstance(why, Reason) else None


class UnfinishedError(LevelfieldError):
    """The time allowed is over and something is left to do: nothing failed, and the same command goes on.

    The code is sysexits' EX_TEMPFAIL, by which a script tells it from a failure.
    """

    exit_code = 75


class WorkError(LevelfieldError):
    """The work failed; finished results are kept."""


class StoreError(WorkError):
    """A directory that is in use, cannot be written, or holds something else."""


class BusyError(StoreError):
    """Somebody else is at that work, and alive."""


class LeaseLostError(WorkError):
    """An attempt that others may believe to be dead, or have replaced: it has stopped, and published nothing."""


class RankLostError(WorkError):
    """One of the processes that train a trial together has died or hangs: all stop, and nothing is published."""


class TrialError(WorkError):
    """A trial that could not be run to its end."""


def did_you_mean(seen: str, known: Iterable[str]) -> str:
    """A hint such as ``" (did you mean 'budgets'?)"``, or the known names when nothing is close but for its case."""
    names = sorted(known)
    by_lower = {name.lower(): name for name in names}
    close = get_close_matches(seen.lower(), by_lower, n=1, cutoff=0.6)
    if close:
        return f" (did you mean {by_lower[close[0]]!r}?)"
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f" (known: {', '.join(names[:MOST_NAMES])}{more})"


def quoted_names(names: Sequence[str], *, most: int = 5) -> str:
    """The first of ``names`` in quotes, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more


def expect(holds: bool, name: str, expected: str, seen: object) -> None:
    """Raise a :class:`SpecError` that names the value, unless ``holds``."""
    if not holds:
        raise SpecError(f"{name} must be {expected}, saw {shown(seen)}")


def first_line(error: BaseException) -> str:
    """What ``error`` says, or nothing: some say nothing at all."""
    return next(iter(str(error).splitlines()), "")


def shown(seen: object) -> str:
    """``seen`` as a message shows it: as Python writes it, shortened where nobody would read on."""
    if isinstance(seen, int) and seen.bit_length() > _MOST_BITS:
        return f"a whole number of {seen.bit_length()} bits"
    text = repr(seen)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}… ({len(text)} characters)"


def lacks_memory(error: Exception) -> bool:
    """Whether ``error`` says that memory has run out: on a CPU torch raises a RuntimeError for that."""
    words = ("out of memory", "can't allocate memory", "not enough memory", "Unable to allocate")
    return isinstance(error, MemoryError) or any(each in str(error) for each in words)
