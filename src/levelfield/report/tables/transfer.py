"""The tables of a transfer: what was judged, what pre-training was worth, what the ranks say."""

from __future__ import annotations

from collections.abc import Iterator

from levelfield.records.transfer import TransferRow
from levelfield.report.facts import TransferFact
from levelfield.report.tables.table import (
    Column,
    Table,
    TableCell,
    family_cell,
    number_cell,
    reasons_cell,
    text_cell,
    words_column,
)
from levelfield.report.words import numbers


def transfer_tables(transfer: TransferFact) -> Iterator[Table]:
    """All tables of ``transfer``, named after it."""
    yield judged_table(transfer)
    yield worth_table(transfer)
    yield transfer_laws_table(transfer)
    yield ranks_table(transfer)


def judged_table(transfer: TransferFact) -> Table:
    """Every arm at every rung, the mean over its fresh seeds."""
    rows: list[tuple[TableCell, ...]] = []
    asked = (transfer.analysis.metric, "error")  # losses have a column anyway
    metric = next((name for name in asked if name != "loss" and all(name in r.values for r in transfer.rows)), "loss")
    keys = dict.fromkeys((r.arm, r.family, r.budget_flops) for r in transfer.rows if not r.ranked)
    for arm, family, budget in keys:
        own = [r for r in transfer.rows if (r.arm, r.family, r.budget_flops, r.ranked) == (arm, family, budget, False)]
        values = [row.values[metric] for row in own]
        mean = sum(values) / len(values)
        losses = [row.values["loss"] for row in own if "loss" in row.values]
        first = own[0]
        rows.append(
            (
                text_cell(arm),
                family_cell(family),
                number_cell(budget, numbers.power(budget)),
                text_cell(first.model),
                number_cell(1 - mean, numbers.percent(1 - mean))
                if metric == "error"
                else number_cell(mean, numbers.loss(mean)),
                number_cell(None, numbers.MISSING)
                if len(losses) < len(own)
                else number_cell(sum(losses) / len(losses), numbers.loss(sum(losses) / len(losses))),
                number_cell(len(own), str(len(own))),
                number_cell(first.transfer_flops, numbers.power(first.transfer_flops)),
                number_cell(first.base_lr, numbers.plain(first.base_lr)),
                number_cell(first.spend, numbers.plain(first.spend)),
                text_cell(_remarks(first)),
            )
        )
    titles = (
        "Top-1" if metric == "error" else metric[:1].upper() + metric[1:],
        "Loss",
        "Seeds",
        "FLOPs here",
        "Rate at 256",
        "Spent of its allowance",
    )
    return Table(
        name=f"transfer-{transfer.name}",
        title=f"Transfer to {transfer.name}",
        note=f"{transfer.data} Means over fresh seeds; FLOPs here leave out those of pre-training.",
        columns=(
            words_column("Arm"),
            words_column("Family"),
            Column(title="Pre-training FLOPs"),
            words_column("Model"),
            *(Column(title=title) for title in titles),
            words_column("Remarks"),
        ),
        rows=tuple(rows),
        empty="Nothing has been judged on it yet.",
    )


def worth_table(transfer: TransferFact) -> Table:
    """Pre-trained against trained from scratch at every allowance."""
    rows = []
    for worth in transfer.analysis.worth:
        comparison = worth.comparison
        words = {"better": "worth it", "worse": "not worth it", "equivalent": "no difference"}
        for verdict in (comparison.overall, *comparison.per_budget):
            overall, difference = verdict is comparison.overall, verdict.difference
            rows.append(
                (
                    text_cell(f"{numbers.family_name(worth.family)} {comparison.a} against {comparison.b}"),
                    text_cell(numbers.CURRENCY_WORDS[comparison.currency]),
                    TableCell(text="overall", value=0.0)
                    if overall
                    else TableCell(text=numbers.currency(verdict.budget, comparison.currency), value=verdict.budget),
                    text_cell(words.get(verdict.verdict, verdict.verdict)),
                    TableCell(text=numbers.ratio_interval(difference), value=difference.estimate if difference else ""),
                    reasons_cell(*verdict.reasons),
                )
            )
    return Table(
        name=f"transfer-{transfer.name}-worth",
        title="Was pre-training worth it?",
        note=f"Relative difference of the {transfer.analysis.metric} at equal compute in all; either arm may spend "
        "less than it is allowed, where that is better.",
        columns=(
            words_column("Arms"),
            words_column("Currency"),
            Column(title="Allowance"),
            words_column("Verdict"),
            Column(title=f"Relative difference of {transfer.analysis.metric}"),
            words_column("Reasons"),
        ),
        rows=tuple(rows),
        empty="Nothing was trained from scratch beside it.",
    )


def transfer_laws_table(transfer: TransferFact) -> Table:
    """The laws of the metric against pre-training FLOPs, arm by arm."""
    rows = tuple(
        (
            text_cell(arm.arm),
            family_cell(law.family),
            text_cell(numbers.law_form(law.form, law.recency)),
            text_cell(numbers.number_interval(law.parameters.get("b"))),
            number_cell(law.num_budgets, str(law.num_budgets)),
            text_cell("yes" if law.chosen else "no"),
            reasons_cell(*law.remarks),
        )
        for arm in transfer.analysis.arms
        for law in arm.laws
        if law.currency == "flops"
    )
    return Table(
        name=f"transfer-{transfer.name}-laws",
        title=f"Laws of the {transfer.analysis.metric} against pre-training compute",
        note="L stands for the metric, C for the FLOPs of pre-training; the chosen form predicts a held-out top rung "
        "better.",
        columns=(
            words_column("Arm"),
            words_column("Family"),
            words_column("Form"),
            Column(title="Exponent b"),
            Column(title="Budgets"),
            words_column("Chosen"),
            words_column("Status"),
        ),
        rows=rows,
        empty="No law could be fitted: see the refusals.",
    )


def ranks_table(transfer: TransferFact) -> Table:
    """How far lower pre-training loss meant better transfer, arm by arm."""
    rows = tuple(
        (
            text_cell(found.what),
            text_cell(found.among),
            number_cell(found.num_backbones, str(found.num_backbones)),
            number_cell(found.num_pairs, str(found.num_pairs)),
            TableCell(text=numbers.number_interval(found.tau), value=found.tau.estimate if found.tau else ""),
            reasons_cell(found.status),
        )
        for found in transfer.analysis.agreements
    )
    return Table(
        name=f"transfer-{transfer.name}-ranks",
        title="Did lower pre-training loss mean better transfer?",
        note="Kendall's tau over pairs of backbones of one family: 1 the same order, 0 none, −1 the opposite one.",
        columns=(
            words_column("Arm"),
            words_column("Pairs among"),
            Column(title="Backbones"),
            Column(title="Pairs"),
            Column(title="Tau"),
            words_column("Status"),
        ),
        rows=rows,
        empty="No backbones off the frontier were transferred.",
    )


def _remarks(row: TransferRow) -> str:
    return f"bound on {numbers.listed(row.edges)}" if row.edges else ""
