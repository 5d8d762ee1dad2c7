"""``levelfield predict``: the best recipe for a budget not yet spent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = "Example:  levelfield predict runs/quickstart --budget 1e12"


def predict(
    directory: Annotated[Path, typer.Argument(help="The directory of a study.")],
    budget: Annotated[float, typer.Option(help="Training FLOPs to be spent, such as 1e12.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Predict loss, size, examples and learning rate for a budget not yet spent, with intervals."""
    from levelfield.cli.analysis import read_analysis
    from levelfield.cli.console import say, say_json
    from levelfield.records.errors import SpecError
    from levelfield.scaling.predict import predict as predict_at

    if not budget > 0:
        raise SpecError(f"--budget must be positive training FLOPs, saw {budget}")
    predictions = predict_at(read_analysis(directory), budget=budget)
    if json:
        say_json(predictions)
        return
    for prediction in predictions:
        say(prediction.sentence)
