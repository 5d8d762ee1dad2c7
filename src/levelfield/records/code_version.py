"""Which code made a result: the version, and the commit where the package runs from a checkout."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path

from levelfield import __version__


@functools.cache
def code_version() -> str:
    """Such as "0.1.0", "0.1.0+g54030cc" in a checkout, or "0.1.0+g54030cc.dirty" with uncommitted changes."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return __version__
    commit = _git(root, "rev-parse", "--short=12", "HEAD")
    if not commit:
        return __version__
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
