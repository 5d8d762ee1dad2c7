"""``levelfield predict``: the best recipe for a budget not yet spent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from levelfield.cli.columns import TableOptions, reads_table

if TYPE_CHECKING:
    from levelfield.scaling.next.predict import Prediction
    from levelfield.scaling.results.analysis import Analysis

EXAMPLES = (
    "Examples:  levelfield predict runs/quickstart --budget 1e12;  "
    "levelfield predict runs.csv --budget 1e20 --params N --examples D"
)


@reads_table
def predict(
    source: Annotated[Path, typer.Argument(help="A study's directory, or anybody's table of training runs.")],
    budget: Annotated[float, typer.Option(help="Training FLOPs to be spent, such as 1e12.")],
    table: TableOptions,
    unique_examples: Annotated[
        float | None,
        typer.Option(help="Distinct examples that the run may draw on (left out: the largest pool of the table)."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Predict loss, size, examples and learning rate for a budget not yet spent, with intervals."""
    from levelfield.cli.analysis import read_analysis
    from levelfield.cli.console import plain_with_sentences, say_json
    from levelfield.report.words.predictions import prediction_sentence
    from levelfield.scaling.next.predict import predict as predict_at

    analysis = read_analysis(source, table, compared=False)
    predictions = predict_at(analysis, budget=budget, unique_examples=unique_examples)
    if json:
        beside = [
            {"measure": analysis.measure, "notices": analysis.notices, "sentence": prediction_sentence(each)}
            for each in predictions
        ]
        say_json([plain_with_sentences(each) | more for each, more in zip(predictions, beside, strict=True)])
        return
    for prediction in predictions:
        say_prediction(prediction, analysis)


def say_prediction(prediction: Prediction, analysis: Analysis) -> None:
    """Every number with its interval, or the word that it is a guess."""
    from levelfield.cli.console import say
    from levelfield.report.words.measures import after, learning_rate
    from levelfield.report.words.numbers import (
        count,
        currency,
        epochs,
        family_name,
        loss_interval,
        percent,
        plain,
    )
    from levelfield.report.words.told import told

    name, budget = family_name(prediction.family), currency(prediction.budget_flops, "flops")
    far = ""
    if prediction.beyond_data is not None and prediction.beyond_data > 1:
        far = f", {plain(prediction.beyond_data)} times the largest fitted budget"
    say(f"{name} at {budget}{far}", "strong")
    lines, measure = [], analysis.measure
    if prediction.loss is not None:
        level = percent(prediction.loss.level, 0)
        lines.append(
            (f"held-out {measure.name}", f"{loss_interval(prediction.loss)}{after(measure)}, {level} interval")
        )
    if prediction.irreducible is not None and prediction.irreducible.high > 0:
        lines.append((f"irreducible {measure.name}", f"{loss_interval(prediction.irreducible)}{after(measure)}"))
    for what, value, interval, written in (
        ("parameters", prediction.params, prediction.params_interval, count),
        ("examples", prediction.examples, prediction.examples_interval, count),
        (learning_rate(analysis.rate_batch), prediction.base_lr, prediction.base_lr_interval, plain),
    ):
        if value is None:
            continue
        range_ = "a guess, no interval" if interval is None else f"[{written(interval.low)}, {written(interval.high)}]"
        lines.append((what, f"{written(value)} {range_}" if interval else f"{written(value)}, {range_}"))
    if prediction.base_lr_flat is not None:
        low, high = prediction.base_lr_flat
        lines.append(("flat range of the rate", f"{plain(low)} to {plain(high)}"))
    if prediction.epochs is not None:
        lines.insert(-1 - (prediction.base_lr_flat is not None), ("epochs", epochs(prediction.epochs)))
    for what, value in lines:
        say(f"  {what:<22}  {value}")
    for note in (*analysis.notices, *map(told, prediction.notes)):
        say(f"  note: {note}", "faint")
