"""Tables as rows of cells, drawn by the page and by the terminal alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from levelfield.report import numbers
from levelfield.report.facts import StudyFacts
from levelfield.report.figures.comparison import verdict_words
from levelfield.report.figures.loss import CURRENCY_TITLES
from levelfield.scaling.analysis import Analysis, Comparison


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A text, and what it sorts by; ``family`` asks for that family's mark before the text."""

    text: str
    value: float | str
    family: str | None = None


@dataclass(frozen=True, kw_only=True)
class Column:
    """``numeric`` columns are set flush right."""

    title: str
    numeric: bool = True


@dataclass(frozen=True, kw_only=True)
class Table:
    """``note`` is one sentence under the title; ``empty`` says why there are no rows."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    empty: str = ""

    def plain(self) -> list[list[str]]:
        """The rows as texts alone, for a terminal."""
        return [[cell.text for cell in row] for row in self.rows]


def verdict_table(analysis: Analysis) -> Table:
    """Every comparison at every budget, overall first."""
    rows = []
    for comparison in analysis.comparisons:
        for verdict in (comparison.overall, *comparison.per_budget):
            overall = verdict is comparison.overall
            difference = verdict.difference
            rows.append(
                (
                    _text(f"{_pair(comparison)}"),
                    _text(CURRENCY_TITLES[comparison.currency]),
                    Cell(text="overall", value=0.0)
                    if overall
                    else Cell(text=numbers.currency(verdict.budget, comparison.currency), value=verdict.budget),
                    _text(verdict_words(comparison, verdict)),
                    Cell(text=numbers.ratio_interval(difference), value=difference.estimate if difference else ""),
                    _text("; ".join(verdict.reasons)),
                )
            )
    return Table(
        name="verdicts",
        title="Verdicts at every budget",
        columns=(
            _words("Families"),
            _words("Currency"),
            Column(title="Budget"),
            _words("Verdict"),
            Column(title="Relative difference of loss"),
            _words("Reasons"),
        ),
        rows=tuple(rows),
        empty="Nothing was compared: see the refusals.",
    )


def winners_table(analysis: Analysis) -> Table:
    """The best-tuned cell of each family at each budget."""
    rows = tuple(
        (
            _family(w.family),
            _number(w.budget_flops, numbers.power(w.budget_flops)),
            _text(w.model),
            _number(w.loss.estimate, numbers.loss_interval(w.loss)),
            _number(w.num_seeds, str(w.num_seeds)),
            _number(w.params, numbers.count(w.params)),
            _number(w.examples, numbers.count(w.examples)),
            _number(w.epochs, numbers.epochs(w.epochs)),
            _number(w.base_lr, numbers.plain(w.base_lr)),
            _number(w.global_batch_size, numbers.plain(w.global_batch_size, 6)),
            _number(w.device_seconds, numbers.seconds(w.device_seconds)),
            _text(_winner_remarks(w.near_chance, w.data_limited, w.edges)),
        )
        for w in analysis.winners
    )
    titles = ("Loss", "Seeds", "Parameters", "Examples", "Epochs", "Rate at 256", "Batch", "Device time")
    return Table(
        name="winners",
        title="Winners",
        note="The best-tuned cell of each family at each budget, on fresh seeds and the report split. "
        "Learning rates are those at a batch of 256.",
        columns=(
            _words("Family"),
            Column(title="FLOPs"),
            _words("Model"),
            *(Column(title=title) for title in titles),
            _words("Remarks"),
        ),
        rows=rows,
        empty="No winner has been measured on fresh seeds.",
    )


def laws_table(analysis: Analysis) -> Table:
    """Every fitted law, the chosen ones marked."""
    rows = []
    for law in analysis.laws:
        backtest = ""
        if law.backtest is not None:
            at, predicted, seen = law.backtest
            place = numbers.currency(at, law.currency)
            backtest = f"{numbers.loss(predicted)} predicted, {numbers.loss(seen)} seen at {place}"
        rows.append(
            (
                _family(law.family),
                _text(CURRENCY_TITLES[law.currency]),
                _text({"log-log": "L = A·C⁻ᵇ", "saturating": "L = E + A·C⁻ᵇ"}[law.form]),
                _text(numbers.number_interval(law.parameters.get("b"))),
                _text(numbers.number_interval(law.parameters.get("E"))),
                _number(law.num_budgets, str(law.num_budgets)),
                _text(backtest or numbers.MISSING),
                _text("yes" if law.chosen else "no"),
                _text(law.status),
            )
        )
    return Table(
        name="laws",
        title="Fitted laws",
        note="The chosen form is the one that predicts a held-out top rung better.",
        columns=(
            _words("Family"),
            _words("Currency"),
            _words("Form"),
            Column(title="Exponent b"),
            Column(title="Irreducible loss E"),
            Column(title="Budgets"),
            _words("Backtest"),
            _words("Chosen"),
            _words("Status"),
        ),
        rows=tuple(rows),
        empty="No law could be fitted: see the refusals.",
    )


def search_table(analysis: Analysis) -> Table:
    """What the search cost each family, and whether that was equal."""
    families = [family for family in analysis.families if family in analysis.search_trials]
    rows = tuple(
        (
            _family(family),
            _number(analysis.search_trials[family], str(analysis.search_trials[family])),
            _number(analysis.search_flops.get(family), numbers.flops(analysis.search_flops.get(family))),
        )
        for family in families
    )
    return Table(
        name="search",
        title="What the search cost",
        note=search_sentence(analysis),
        columns=(_words("Family"), Column(title="Search trials"), Column(title="Search compute")),
        rows=rows,
        empty="No search trial has finished.",
    )


def search_sentence(analysis: Analysis) -> str:
    """Whether the families were searched equally hard, in one sentence."""
    spent = [analysis.search_flops[family] for family in analysis.families if family in analysis.search_flops]
    if len(spent) < 2 or min(spent) <= 0:
        return "The rule and the cap of the search are the same for every family."
    ratio = max(spent) / min(spent)
    equal = "equal within a fifth" if ratio <= 1.2 else f"unequal by a factor of {ratio:.2g}"
    return f"One rule and one cap for every family; what it came to is {equal} in FLOPs."


def controls_table(analysis: Analysis) -> Table:
    """The A/A controls."""
    rows = tuple(
        (
            _family(control.family),
            _number(control.budget_flops, numbers.flops(control.budget_flops)),
            Cell(
                text=numbers.ratio_interval(control.difference),
                value=control.difference.estimate if control.difference else "",
            ),
            _text(control.verdict),
            _text("passed" if control.passed else "ALARM"),
            _text(control.reason),
        )
        for control in analysis.controls
    )
    return Table(
        name="controls",
        title="A/A control",
        note="A family against itself on other seeds must never come out better or worse.",
        columns=(
            _words("Family"),
            Column(title="Budget"),
            Column(title="Relative difference of loss"),
            _words("Verdict"),
            _words("Outcome"),
            _words("Reason"),
        ),
        rows=rows,
        empty="No A/A control was run.",
    )


def predictions_table(facts: StudyFacts) -> Table:
    """Predictions locked before their rung ran, and how they fared."""
    rows = []
    for prediction in facts.predictions:
        predicted, seen = prediction.predicted, prediction.seen
        inside = None if seen is None else predicted.low <= seen <= predicted.high
        rows.append(
            (
                _family(prediction.family),
                _number(prediction.budget_flops, numbers.flops(prediction.budget_flops)),
                _text(numbers.loss_interval(predicted)),
                _number(seen, numbers.loss(seen)),
                _text({None: "not run yet", True: "inside", False: "outside"}[inside]),
                _text(prediction.locked),
                _text(prediction.fingerprint),
            )
        )
    return Table(
        name="predictions",
        title="Predictions locked in advance",
        columns=(
            _words("Family"),
            Column(title="Budget"),
            Column(title="Predicted loss"),
            Column(title="Seen"),
            _words("Score"),
            _words("Locked"),
            _words("Fingerprint"),
        ),
        rows=tuple(rows),
        empty="No prediction was locked in advance.",
    )


def refused_cells_table(facts: StudyFacts) -> Table:
    """Cells of the plan that the protocol does not allow, and why."""
    rows = tuple(
        (
            _family(cell.family),
            _text(cell.model),
            _number(cell.budget_flops, numbers.power(cell.budget_flops)),
            _text(cell.reason),
        )
        for cell in facts.refused_cells
    )
    return Table(
        name="refused-cells",
        title="Cells not run",
        columns=(_words("Family"), _words("Model"), Column(title="FLOPs"), _words("Why")),
        rows=rows,
        empty="Every planned cell was allowed.",
    )


def trials_table(facts: StudyFacts) -> Table:
    """Every trial, finished or not."""
    rows = tuple(
        (
            _text(trial.name),
            _family(trial.family),
            _text(trial.model),
            _number(trial.budget_flops, numbers.power(trial.budget_flops)),
            _text(trial.role),
            _number(trial.peak_lr, numbers.plain(trial.peak_lr)),
            _number(trial.global_batch_size, numbers.plain(trial.global_batch_size, 6)),
            _number(trial.seed, str(trial.seed)),
            _number(trial.loss, numbers.loss(trial.loss)),
            _number(trial.top1, numbers.percent(trial.top1)),
            _number(trial.device_seconds, numbers.seconds(trial.device_seconds)),
            _text(f"{trial.status}: {trial.reason}" if trial.reason else trial.status),
        )
        for trial in facts.trials
    )
    return Table(
        name="trials",
        title="All trials",
        columns=(
            _words("Trial"),
            _words("Family"),
            _words("Model"),
            Column(title="FLOPs"),
            _words("Role"),
            *(Column(title=title) for title in ("Peak rate", "Batch", "Seed", "Loss", "Top-1", "Device time")),
            _words("Status"),
        ),
        rows=rows,
        empty="No trial was handed over.",
    )


def study_tables(analysis: Analysis, facts: StudyFacts) -> dict[str, Table]:
    """All tables by name."""
    tables: Sequence[Table] = (
        verdict_table(analysis),
        winners_table(analysis),
        laws_table(analysis),
        search_table(analysis),
        controls_table(analysis),
        predictions_table(facts),
        refused_cells_table(facts),
        trials_table(facts),
    )
    return {table.name: table for table in tables}


def _words(title: str) -> Column:
    return Column(title=title, numeric=False)


def _text(text: str) -> Cell:
    return Cell(text=text, value=text)


def _number(value: float | None, text: str) -> Cell:
    return Cell(text=text, value="" if value is None else value)


def _family(family: str) -> Cell:
    return Cell(text=numbers.family_name(family), value=family, family=family)


def _pair(comparison: Comparison) -> str:
    return f"{numbers.family_name(comparison.a)} against {numbers.family_name(comparison.b)}"


def _winner_remarks(near_chance: bool, data_limited: bool, edges: tuple[str, ...]) -> str:
    remarks = ["near chance, not fitted"] * near_chance + ["data-limited"] * data_limited
    return "; ".join(remarks + [f"bound on {numbers.listed(edges)}"] * bool(edges))
