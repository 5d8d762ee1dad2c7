"""Running verbs inside this process, many a second, through the boundary that a process has."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Mapping
from typing import NamedTuple

from levelfield.cli import _verb
from levelfield.cli.boundary import BUG, _code_of
from tests.hostile.child import is_sentence


class Answer(NamedTuple):
    """What a command came to: its exit code, and what it wrote."""

    code: int
    out: str
    errors: str

    @property
    def complaint(self) -> str:
        """What was wrong with the way it ended; empty where nothing was."""
        if self.code == BUG or "Traceback" in self.errors:
            raise AssertionError(self.errors[-3000:])  # counted as the traceback that it is
        if self.code not in (0, 1, 2, 75):
            return f"exit code {self.code}"
        if self.code and not is_sentence(self.errors):
            return f"exit code {self.code} without a sentence: {self.errors!r}"
        return ""


def answer(*arguments: object, environment: Mapping[str, str] | None = None) -> Answer:
    """The answer of ``levelfield`` to ``arguments``."""
    out, errors = io.StringIO(), io.StringIO()
    argv, surroundings = sys.argv, dict(os.environ)
    sys.argv = ["levelfield", *map(str, arguments)]
    os.environ.update(environment or {})
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            code = _code_of(_verb)
    finally:
        sys.argv = argv
        os.environ.clear()
        os.environ.update(surroundings)
    return Answer(code, out.getvalue(), errors.getvalue())
