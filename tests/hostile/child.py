"""The process in which attempts run: an index a line comes in, and what came of it goes out as a line of JSON."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from levelfield.records.errors import LevelfieldError

FEWEST_WORDS = 4
"""Shorter messages are no sentences: they cannot say what was seen and what to do."""


def outcome(module: Any, seed: int, index: int) -> dict[str, str]:
    """What came of one attempt in a folder of its own, which is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="hostile-"))
    here = Path.cwd()
    try:
        said = module.attempt(seed, index, folder)
        verdict, _, what = said.partition(": ")
        return {"verdict": verdict, "what": what, "trace": ""}
    except LevelfieldError as error:
        text = str(error)
        if is_sentence(text):
            return {"verdict": "refused", "what": text, "trace": ""}
        return {"verdict": "wrong", "what": f"no sentence: {text!r}", "trace": traceback.format_exc()}
    except BaseException as error:  # what escapes is what is counted
        what = f"{type(error).__name__}: {error}"[:300]
        return {"verdict": "traceback", "what": what, "trace": traceback.format_exc()[-8000:]}
    finally:
        os.chdir(here)
        _remove(folder)


def is_sentence(text: str) -> bool:
    """Whether a message speaks to a person: some words, no traceback, no address of an object, no class of ours."""
    return len(text.split()) >= FEWEST_WORDS and not any(mark in text for mark in ("Traceback", " at 0x", "<class "))


def _remove(folder: Path) -> None:
    """Also what was made unreadable on purpose."""
    for directory, _, _ in os.walk(folder):
        os.chmod(directory, 0o700)  # os.walk looks inside after this
    shutil.rmtree(folder)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)  # what the code under test prints is no answer
    module = importlib.import_module(sys.argv[1])
    seed = int(sys.argv[2])
    if hasattr(module, "prepare"):
        module.prepare()  # what all attempts of a kind share
    print(json.dumps({"verdict": "ready"}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(outcome(module, seed, int(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
