"""How pictures of a scene are made here: MuJoCo's three ways, of which the first that works is taken."""

from __future__ import annotations

import functools
import os
import subprocess
import sys

from levelfield.records.errors import SpecError

WAYS = ("egl", "osmesa", "glfw")
"""A GPU or Mesa without a screen; Mesa in software; a screen."""
VARIABLE = "MUJOCO_GL"
_PROBE = "import mujoco; c = mujoco.GLContext(16, 16); c.make_current(); c.free()"
_SECONDS = 60


@functools.cache
def rendering_here() -> str:
    """The way that works here; what the variable MUJOCO_GL says is taken at its word.

    Each is tried in a process of its own: one that fails leaves a library loaded that the next cannot use.

    Raises:
        SpecError: none works, or the extra ``robot`` is not installed.
    """
    refuse_without_robot()
    if said := os.environ.get(VARIABLE):
        return said
    failed = []
    for way in WAYS:
        try:
            done = subprocess.run(
                [sys.executable, "-c", _PROBE],
                env={**os.environ, VARIABLE: way},
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            failed.append(f"{way}: no answer in {_SECONDS} s")
            continue
        if done.returncode == 0:
            return way
        failed.append(f"{way}: {(done.stderr.strip().splitlines() or ['it failed'])[-1][:120]}")
    raise SpecError(
        f"MuJoCo can draw nothing here ({'; '.join(failed)}): install Mesa (Debian: libegl1 libgl1-mesa-dri, or "
        f"libosmesa6), or set {VARIABLE}"
    )


def refuse_without_robot() -> None:
    """Refuse to go on without the simulator.

    Raises:
        SpecError: it is not installed.
    """
    from importlib.util import find_spec

    lacking = [name for name in ("mujoco", "gymnasium", "gymnasium_robotics") if find_spec(name) is None]
    if lacking:
        raise SpecError(
            f"simulated robots need {', '.join(lacking)}, which is not installed: pip install 'levelfield[robot]'"
        )
