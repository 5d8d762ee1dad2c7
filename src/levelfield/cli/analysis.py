"""Reading a study or a CSV into its analysis, and saying what it found."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from levelfield.cli.console import say, say_table

if TYPE_CHECKING:
    from levelfield.cli.columns import TableOptions
    from levelfield.records.observation import Observation
    from levelfield.report import TransferFact
    from levelfield.scaling.ladder.belief import Asked
    from levelfield.scaling.results.analysis import Analysis
    from levelfield.scaling.tables.runs import Runs


def read_analysis(
    source: Path,
    table: TableOptions,
    *,
    margin: float | None = None,
    named_confounds: Sequence[str] = (),
    compared: bool = True,
    level: float = 0.9,
    measure: str | None = None,
    asked: Asked | None = None,
) -> Analysis:
    """The analysis of a study's directory, or of the table of runs at ``source``, there without verdicts on request.

    Raises:
        InputError: see :func:`read_analysed`.
    """
    analysis, _ = read_analysed(
        source,
        table,
        margin=margin,
        named_confounds=named_confounds,
        compared=compared,
        level=level,
        measure=measure,
        asked=asked,
    )
    return analysis


def read_analysed(
    source: Path,
    table: TableOptions,
    *,
    margin: float | None = None,
    named_confounds: Sequence[str] = (),
    compared: bool = True,
    level: float = 0.9,
    measure: str | None = None,
    asked: Asked | None = None,
) -> tuple[Analysis, Sequence[Observation]]:
    """That analysis, and the rows behind it.

    Raises:
        InputError: there is neither at ``source``, or the table cannot be read as it was said to be.
    """
    from levelfield.records.errors import InputError
    from levelfield.scaling.ladder.belief import Asked

    if source.is_dir():
        from levelfield.records.store import StudyDirectory
        from levelfield.study.outcome.outcome import analyse_outcome, read_outcome

        if not StudyDirectory(source).is_one:
            raise InputError(
                f"{source} is a directory that holds no study (no study.json); expected the directory of a study, made "
                "by `levelfield run`, or a table of runs such as runs.csv"
            )
        refuse_columns_of_a_study(source, table)
        with collecting_nothing():
            outcome = read_outcome(source, measure=measure)
            found = analyse_outcome(outcome, source, margin=margin, level=level, asked=asked or Asked())
            return found, outcome.table
    from levelfield.scaling.face import analysed

    with collecting_nothing():
        runs = read_table(source, table, measure=measure)
        found = analysed(
            runs,
            margin=margin or 0.05,
            level=level,
            named_confounds=named_confounds,
            compared=compared,
            asked=asked or Asked(),
        )
        return found, runs.rows


@contextlib.contextmanager
def collecting_nothing() -> Iterator[None]:
    """A million rows or ten thousand trials hold no cycle, and the collector would walk through all of them again and
    again."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def read_table(source: Path, table: TableOptions, *, measure: str | None = None) -> Runs:
    """The rows of the table of runs at ``source``.

    Raises:
        InputError: there is none, or it cannot be read as it was said to be.
    """
    from levelfield.records.errors import InputError, SpecError
    from levelfield.scaling.tables.runs import read_runs

    if not source.exists():
        raise InputError(f"{source}: no such file; expected a table of runs (CSV or Parquet) or a study's directory")
    if measure is not None:
        raise SpecError(f"--measure {measure} names what a study has measured; of a table, --loss names the column")
    return read_runs(source, **table.reading)


def refuse_columns_of_a_study(source: Path, table: TableOptions) -> None:
    """A study's columns are known.

    Raises:
        InputError: the command line names some.
    """
    from levelfield.records.errors import InputError

    if table.given:
        raise InputError(f"{source} is a study, whose columns are known; leave out the options that name columns")


def say_notices(analysis: Analysis) -> None:
    """What was left out of a table, or taken for something else."""
    for notice in analysis.notices:
        say(f"note: {notice}")


def say_refusals(analysis: Analysis) -> None:
    from levelfield.report.words.told import all_told, told

    rows = [(told(each.what), all_told(each.why), all_told((each.remedy,))) for each in analysis.refusals]
    say_table("Refused, and why", ("what", "why", "what would decide it"), rows)


def say_optima(analysis: Analysis) -> None:
    """What each family's optimum says of the form of its law, in sentences."""
    from levelfield.report.words.numbers import family_name, sentence
    from levelfield.report.words.of_optima import optimum_sentences

    for optimum in analysis.optima:
        for text in optimum_sentences(optimum):
            say(f"  {family_name(optimum.family)}: {sentence(text)}")


def say_findings(analysis: Analysis) -> None:
    """The headline and each verdict, in sentences."""
    from levelfield.report.words.controls import control_outcome
    from levelfield.report.words.numbers import family_name
    from levelfield.report.words.told import all_told, told
    from levelfield.report.words.verdicts import comparison_sentence, headline

    say()
    say(headline(analysis), "strong")
    for comparison in analysis.comparisons:
        say(f"  {comparison_sentence(analysis, comparison)}")
    for control in analysis.controls:
        outcome = control_outcome(analysis, control)
        text = f"  A/A control, {family_name(control.family)}: {control.verdict} ({outcome})"
        say(text, "plain" if control.passed else "alarm")
    for refusal in analysis.refusals[:5]:
        say(f"  refused: {told(refusal.what)}: {all_told((*refusal.why, refusal.remedy))}")
    if len(analysis.refusals) > 5:
        say(f"  … and {len(analysis.refusals) - 5} more refusals in the report")


def read_transfers(directory: Path) -> tuple[TransferFact, ...]:
    """What the transfers of the study in ``directory`` have shown; none where it has none."""
    from levelfield.publish import transfer_facts
    from levelfield.study.outcome.outcome import read_outcome

    return transfer_facts(read_outcome(directory), directory)


def say_executions(directory: Path) -> None:
    """That the study in ``directory`` mixes executions, where it does."""
    from levelfield.report.words.executions import mixed_executions
    from levelfield.report.words.numbers import sentence
    from levelfield.study.outcome.outcome import read_outcome

    if mixed := mixed_executions(read_outcome(directory).executions):
        say(sentence(mixed))


def say_transfers(directory: Path) -> None:
    """What each transfer of the study in ``directory`` says of pre-training, in sentences."""
    for transfer in read_transfers(directory):
        for sentence in transfer.sentences:
            say(f"  {sentence}")
