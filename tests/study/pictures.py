"""A folder of small random images of two classes."""

from pathlib import Path

import numpy as np
from PIL import Image


def write_folder(path: Path, *, seed: int, count: int = 30, side: int = 8) -> None:
    """``count`` PNG images a class under ``path``/cat and ``path``/dog."""
    draw = np.random.default_rng(seed)
    for label in ("cat", "dog"):
        (path / label).mkdir(parents=True)
        for index in range(count):
            Image.fromarray(draw.integers(0, 255, (side, side, 3), dtype=np.uint8)).save(path / label / f"{index}.png")
