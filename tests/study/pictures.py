"""A folder of small random images of two classes, and a study of them that takes a few seconds."""

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


FOLDER_STUDY = """
name = "pictures"
question = "Are they still there?"

[data]
source = "images"
path = "images"
resolution = 8
select_examples = 6
report_examples = 6

[ladder]
budgets = [1.2e8]
max_epochs = 1000
batch_coefficient = 0.01

[[families]]
name = "vit"
recipe = "vit-short"
sizes = ["vit:w8-d1-p4"]
base_lr = { low = 0.01, start = 0.01, high = 0.01 }
lr_batch_exponent = 0.5
"""
