"""Which code made a result: the version, and the commit where the package runs from a checkout."""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path

from levelfield import __version__

SAID = "LEVELFIELD_COMMIT"
"""The environment variable by which whoever copies the code to a machine without its repository says which it is."""


@functools.cache
def code_version() -> str:
    """Such as "0.1.0", "0.1.0+g54030cc" in a checkout, or "0.1.0+g54030cc.dirty" with uncommitted changes.

    Where there is no checkout, the commit that :data:`SAID` names is taken on trust and marked: "0.1.0+g54030cc.said".
    """
    root = Path(__file__).parents[3]
    commit = _git(root, "rev-parse", "--short=12", "HEAD") if (root / ".git").exists() else ""
    if not commit:
        said = os.environ.get(SAID, "")
        return f"{__version__}+g{said[:12]}.said" if said else __version__
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", "src")
    return f"{__version__}+g{commit}" + (".dirty" if changed else "")


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
