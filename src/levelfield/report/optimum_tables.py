"""The table of the optimum of a budget."""

from __future__ import annotations

from levelfield.report import numbers
from levelfield.report.table import Column, Table, family_cell, number_cell, text_cell, words_column
from levelfield.scaling.analysis import Analysis, Interval


def optima_table(analysis: Analysis) -> Table:
    """The optimum of a budget by profiles, closed form and parabola, one beneath the other."""
    rows = tuple(
        (
            family_cell(found.family),
            text_cell(line.method),
            text_cell(numbers.number_interval(line.params_exponent)),
            text_cell(numbers.number_interval(line.examples_exponent)),
            number_cell(found.budget_flops, numbers.power(found.budget_flops or 0.0)),
            number_cell(line.params and line.params.estimate, _counted(line.params)),
            text_cell(numbers.prose(line.status)),
        )
        for found in analysis.optima
        for line in (found.profiles, found.closed_form, found.parabola)
    )
    return Table(
        name="optima",
        title="The optimum of a budget, three ways",
        note="Optimal size and examples grow as compute to their exponents. The profiles are local curves with a cubic "
        "term at each budget; the closed form is that of L = E + A N^-alpha + B D^-beta fitted to all of them; the "
        "parabola through all sizes is common, and misplaces the optimum of lopsided profiles. On a fixed set epochs "
        "grow as examples do. Where closed form and profiles differ beyond noise, the form is doubtful.",
        columns=(
            words_column("Family"),
            words_column("Method"),
            Column(title="Exponent of size"),
            Column(title="Exponent of examples"),
            Column(title="At FLOPs"),
            Column(title="Optimal parameters"),
            words_column("Status"),
        ),
        rows=rows,
        empty="No budget was spent on several sizes.",
    )


def _counted(size: Interval | None) -> str:
    if size is None:
        return numbers.MISSING
    return f"{numbers.count(size.estimate)} [{numbers.count(size.low)}, {numbers.count(size.high)}]"
