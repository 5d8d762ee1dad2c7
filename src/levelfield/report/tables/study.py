"""The tables of a study: verdicts, winners, laws, search, trials."""

from __future__ import annotations

from collections.abc import Sequence

from levelfield.records.measure import Measure
from levelfield.report.facts import StudyFacts
from levelfield.report.figures.comparison import verdict_words
from levelfield.report.figures.loss import CURRENCY_TITLES
from levelfield.report.tables.comparison import confounds_table, optimism_table, pair_name, trends_table
from levelfield.report.tables.control import controls_table, predictions_table, swap_effects_table, swaps_table
from levelfield.report.tables.foretold import foretold_table
from levelfield.report.tables.optimum import optima_table, rates_table, size_laws_table
from levelfield.report.tables.table import (
    MOST_SHOWN,
    Column,
    Table,
    TableCell,
    family_cell,
    model_cell,
    number_cell,
    reasons_cell,
    text_cell,
    words_column,
)
from levelfield.report.tables.transfer import transfer_tables
from levelfield.report.words import measures, numbers
from levelfield.report.words.told import all_told
from levelfield.scaling.results.analysis import Analysis
from levelfield.scaling.results.laws import LawFit

_LESS_THAN_AN_EPOCH = " No run saw a hundredth of an epoch."


def verdict_table(analysis: Analysis) -> Table:
    """Every comparison at every budget, overall first."""
    rows = []
    for comparison in analysis.comparisons:
        for verdict in (comparison.overall, *comparison.per_budget):
            overall = verdict is comparison.overall
            difference = verdict.difference
            rows.append(
                (
                    text_cell(pair_name(comparison)),
                    text_cell(CURRENCY_TITLES[comparison.currency]),
                    TableCell(text="overall", value=0.0)
                    if overall
                    else TableCell(text=numbers.currency(verdict.budget, comparison.currency), value=verdict.budget),
                    text_cell(verdict_words(comparison, verdict)),
                    TableCell(text=numbers.ratio_interval(difference), value=difference.estimate if difference else ""),
                    reasons_cell(*verdict.reasons),
                )
            )
    return Table(
        name="verdicts",
        title="Verdicts at every budget",
        columns=(
            words_column("Families"),
            words_column("Currency"),
            Column(title="Budget"),
            words_column("Verdict"),
            Column(title="Difference of loss"),
            words_column("Reasons"),
        ),
        rows=tuple(rows),
        empty="Nothing was compared: see the refusals.",
    )


def winners_table(analysis: Analysis) -> Table:
    """The best-tuned cell of each family at each budget."""
    in_epochs = any((winner.epochs or 0.0) >= 0.01 for winner in analysis.winners)
    rows = tuple(
        (
            family_cell(w.family),
            number_cell(w.budget_flops, numbers.power(w.budget_flops)),
            model_cell(w.family, w.model),
            number_cell(w.loss.estimate, numbers.loss_interval(w.loss)),
            number_cell(w.num_seeds, str(w.num_seeds)),
            number_cell(w.params, numbers.count(w.params)),
            number_cell(w.examples, numbers.count(w.examples)),
            *((number_cell(w.epochs, numbers.epochs(w.epochs)),) if in_epochs else ()),
            number_cell(w.base_lr, numbers.plain(w.base_lr)),
            number_cell(w.global_batch_size, numbers.plain(w.global_batch_size, 6)),
            number_cell(w.device_seconds, numbers.seconds(w.device_seconds)),
            text_cell(_winner_remarks(w.near_chance, w.data_limited, w.edges)),
        )
        for w in analysis.winners
    )
    titles = (
        analysis.measure.name.capitalize(),
        "Seeds",
        "Parameters",
        "Examples",
        *["Epochs"] * in_epochs,
        measures.rate_title(analysis.rate_batch),
        "Batch",
        "Device time",
    )
    return Table(
        name="winners",
        title="Winners",
        note="The best-tuned cell of each family at each budget, on fresh seeds and the report split: "
        f"{measures.named(analysis.measure)} with its interval, and its {measures.learning_rate(analysis.rate_batch)}."
        f"{'' if in_epochs else _LESS_THAN_AN_EPOCH}",
        columns=(
            words_column("Family"),
            Column(title="FLOPs"),
            words_column("Model"),
            *(Column(title=title) for title in titles),
            words_column("Remarks"),
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
                family_cell(law.family),
                text_cell(CURRENCY_TITLES[law.currency]),
                text_cell(f"{numbers.law_form(law.form, law.recency)}: {_coefficients(law)}"),
                text_cell(numbers.powered_interval(law.parameters.get("b"))),
                text_cell(numbers.powered_interval(law.parameters.get("E"))),
                text_cell(backtest or numbers.MISSING),
                text_cell("yes" if law.chosen else "no"),
                text_cell("; ".join(filter(None, (all_told(law.remarks), numbers.profiled(law.profiles))))),
            )
        )
    return Table(
        name="laws",
        title="Fitted laws",
        note=f"{measures.named(analysis.measure).capitalize()}, L, against compute C; b is the exponent, and E is what "
        "no compute removes. By its coefficients a law can be computed by hand. The chosen form is the one that pooled "
        "backtests of all families "
        "prefer: fitted below a cut, judged above it.",
        columns=(
            words_column("Family"),
            words_column("Currency"),
            words_column("Law"),
            Column(title="Exponent b"),
            Column(title="Irreducible loss E"),
            words_column("Backtest"),
            words_column("Chosen"),
            words_column("Status"),
        ),
        rows=tuple(rows),
        empty="No law could be fitted: see the refusals.",
    )


def _coefficients(law: LawFit) -> str:
    """Every parameter to four digits: enough to compute the curve by hand."""
    estimates = {name: numbers.power(value.estimate, 4) for name, value in law.parameters.items()}
    return ", ".join(f"{name}\u00a0=\u00a0{text}" for name, text in estimates.items())


def search_table(analysis: Analysis) -> Table:
    """What the search cost each family, and whether that was equal."""
    families = [family for family in analysis.families if family in analysis.search_trials]
    rows = tuple(
        (
            family_cell(family),
            number_cell(analysis.search_trials[family], str(analysis.search_trials[family])),
            number_cell(analysis.search_flops.get(family), numbers.flops(analysis.search_flops.get(family))),
        )
        for family in families
    )
    return Table(
        name="search",
        title="What the search cost",
        note=search_sentence(analysis),
        columns=(words_column("Family"), Column(title="Search trials"), Column(title="Search compute")),
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


def refused_cells_table(facts: StudyFacts) -> Table:
    """Cells of the plan that the protocol does not allow, and why."""
    rows = tuple(
        (
            family_cell(cell.family),
            model_cell(cell.family, cell.model),
            number_cell(cell.budget_flops, numbers.power(cell.budget_flops)),
            reasons_cell(cell.reason),
        )
        for cell in facts.refused_cells
    )
    return Table(
        name="refused-cells",
        title="Cells not run",
        columns=(words_column("Family"), words_column("Model"), Column(title="FLOPs"), words_column("Why")),
        rows=rows,
        empty="Every planned cell was allowed.",
    )


def trials_table(facts: StudyFacts) -> Table:
    """Every trial, finished or not; where they are more than a page shows, those that judged or failed stand first."""
    trials = facts.trials
    if len(trials) > MOST_SHOWN:
        trials = sorted(trials, key=lambda trial: trial.role in ("search", "audit") and trial.status != "failed")
    rows = tuple(
        (
            text_cell(trial.name),
            family_cell(trial.family),
            model_cell(trial.family, trial.model),
            number_cell(trial.budget_flops, numbers.power(trial.budget_flops)),
            text_cell(trial.role),
            number_cell(trial.peak_lr, numbers.plain(trial.peak_lr)),
            number_cell(trial.global_batch_size, numbers.plain(trial.global_batch_size, 6)),
            number_cell(trial.seed, str(trial.seed)),
            *(_value_cell(measure, dict(trial.values).get(measure.name)) for measure in facts.measures),
            number_cell(trial.device_seconds, numbers.seconds(trial.device_seconds)),
            text_cell(f"{trial.status}: {trial.reason}" if trial.reason else trial.status),
        )
        for trial in trials
    )
    return Table(
        name="trials",
        title="All trials",
        columns=(
            words_column("Trial"),
            words_column("Family"),
            words_column("Model"),
            Column(title="FLOPs"),
            words_column("Role"),
            *(Column(title=title) for title in ("Peak rate", "Batch", "Seed")),
            *(Column(title=measures.title(measure)) for measure in facts.measures),
            Column(title="Device time"),
            words_column("Status"),
        ),
        rows=rows,
        empty="No trial was handed over.",
    )


def _value_cell(measure: Measure, value: float | None) -> TableCell:
    return number_cell(value, measures.shown(measure, value))


def study_tables(analysis: Analysis, facts: StudyFacts) -> dict[str, Table]:
    """All tables by name."""
    tables: Sequence[Table] = (
        verdict_table(analysis),
        trends_table(analysis),
        confounds_table(analysis),
        optimism_table(analysis),
        winners_table(analysis),
        laws_table(analysis),
        size_laws_table(analysis),
        optima_table(analysis),
        rates_table(analysis),
        foretold_table(facts.foretold, facts.predictions, measure=analysis.measure.name),
        search_table(analysis),
        controls_table(analysis),
        swaps_table(analysis),
        swap_effects_table(analysis),
        predictions_table(facts),
        refused_cells_table(facts),
        trials_table(facts),
    )
    of_transfers = (table for transfer in facts.transfers for table in transfer_tables(transfer))
    return {table.name: table for table in (*tables, *of_transfers)}


def _winner_remarks(near_chance: bool, data_limited: bool, edges: tuple[str, ...]) -> str:
    remarks = ["near chance, not fitted"] * near_chance + ["data-limited"] * data_limited
    return "; ".join(remarks + [f"bound on {numbers.listed(edges)}"] * bool(edges))
