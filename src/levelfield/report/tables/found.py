"""Runs side by side: a table of those that were judged alike, and one of all there is."""

from __future__ import annotations

from collections.abc import Sequence

from levelfield.records.evaluation import Share
from levelfield.records.found_run import FoundRun
from levelfield.report.tables.table import Column, Table, TableCell, number_cell, text_cell, words_column
from levelfield.report.words import numbers

_COLUMNS = (
    Column(title="Rank"),
    words_column("What"),
    words_column("Backbone"),
    words_column("Start"),
    words_column("Made by"),
    Column(title="Training"),
    Column(title="Pre-training"),
)
_LAST = (words_column("State"), words_column("Where"))


def compared_tables(found: Sequence[FoundRun]) -> tuple[Table, ...]:
    """One table for each way of judging that any of ``found`` has, its best first, and one of what has no score.

    Numbers of two tables do not compare: other images, another split or another measure judged them.
    """
    groups: dict[tuple[str, str], list[FoundRun]] = {}
    for run in found:
        if run.ranked_by is not None:
            groups.setdefault((run.comparable, run.ranked_by), []).append(run)
    tables = [_of_group(number, runs) for number, runs in enumerate(groups.values(), start=1)]
    rest = [run for run in found if run.ranked_by is None]
    return (*tables, *([_of_rest(rest)] if rest else []))


def table_of_all(found: Sequence[FoundRun]) -> Table:
    """Every run in one table, for a file: ``group`` says which numbers compare."""
    measures = tuple(dict.fromkeys(name for run in found for name in run.scores))
    keys: list[tuple[str, str | None]] = []
    for run in found:
        if run.ranked_by is not None and (run.comparable, run.ranked_by) not in keys:
            keys.append((run.comparable, run.ranked_by))
    rows = []
    for run in found:
        judged = run.ranked_by is not None
        group = keys.index((run.comparable, run.ranked_by)) + 1 if judged else None
        scores = [cell for name in measures for cell in _spread(run.scores.get(name))]
        told = (run.kind, run.backbone, run.start, run.what, run.data, run.judged, run.state, run.path)
        rows.append(
            (
                _plain(group),
                *(text_cell(text or "") for text in told),
                _plain(run.train_flops),
                _plain(run.start_flops),
                _plain(run.num_judged),
                *scores,
            )
        )
    titles = [f"{name}{end}" for name in measures for end in ("", "_low", "_high")]
    words = ("what", "backbone", "start", "made_by", "data", "judged_on", "state", "where")
    return Table(
        name="runs",
        title="Runs",
        columns=(
            Column(title="group"),
            *map(words_column, words),
            Column(title="train_flops"),
            Column(title="start_flops"),
            Column(title="num_judged"),
            *(Column(title=title) for title in titles),
        ),
        rows=tuple(rows),
    )


def _of_group(number: int, runs: Sequence[FoundRun]) -> Table:
    by = str(runs[0].ranked_by)
    ranked = sorted(runs, key=lambda run: (run.scores[by].estimate, run.path))
    measures = tuple(dict.fromkeys(name for run in ranked for name in run.scores))
    return Table(
        name=f"runs-{number}",
        title=f"By {by} on the {runs[0].judged}",
        columns=(*_COLUMNS, *(Column(title=name) for name in measures), *_LAST),
        rows=tuple(
            (
                number_cell(rank, str(rank)),
                *_shared(run),
                *(_shown(name, run.scores.get(name)) for name in measures),
                text_cell(run.state),
                text_cell(run.path),
            )
            for rank, run in enumerate(ranked, start=1)
        ),
    )


def _of_rest(runs: Sequence[FoundRun]) -> Table:
    ranked = sorted(runs, key=lambda run: (run.kind, run.path))
    columns = (*_COLUMNS[1:], words_column("Data"), *_LAST)
    rows = tuple((*_shared(run), text_cell(run.data), text_cell(run.state), text_cell(run.path)) for run in ranked)
    return Table(name="runs-rest", title="Studies, and what has no score", columns=columns, rows=rows)


def _shared(run: FoundRun) -> tuple[TableCell, ...]:
    return (
        text_cell(run.kind),
        text_cell(run.backbone or numbers.MISSING),
        text_cell(run.start or ("random" if run.backbone else numbers.MISSING)),
        text_cell(run.what),
        number_cell(run.train_flops, numbers.flops(run.train_flops)),
        number_cell(run.start_flops, numbers.flops(run.start_flops)),
    )


def _shown(name: str, score: Share | None) -> TableCell:
    if score is None:
        return number_cell(None, numbers.MISSING)
    written = numbers.percent if name == "error" else numbers.loss
    text = written(score.estimate)
    if score.low is not None and score.high is not None:
        text += f" [{written(score.low)}, {written(score.high)}]"
    return number_cell(score.estimate, text)


def _spread(score: Share | None) -> tuple[TableCell, ...]:
    return tuple(_plain(each) for each in ((score.estimate, score.low, score.high) if score else (None, None, None)))


def _plain(value: float | None) -> TableCell:
    return number_cell(value, "" if value is None else str(value))
