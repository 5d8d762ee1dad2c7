"""The tables of optima: of a budget, and of the learning rate."""

from __future__ import annotations

from levelfield.report.tables.table import (
    Column,
    Table,
    family_cell,
    number_cell,
    reasons_cell,
    text_cell,
    words_column,
)
from levelfield.report.words import measures, numbers
from levelfield.report.words.told import all_told
from levelfield.scaling.optimum.rates import rate_at
from levelfield.scaling.results.analysis import Analysis
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.laws import SizeLaw
from levelfield.scaling.results.optima import RateSurface


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
            number_cell(line.examples and line.examples.estimate, _counted(line.examples)),
            reasons_cell(*line.status),
        )
        for found in analysis.optima
        for line in (found.profiles, found.closed_form, found.parabola)
    )
    return Table(
        name="optima",
        title="The optimum of a budget, three ways",
        note="Optimal size and examples grow as compute to their exponents. The profiles are local curves with a cubic "
        "term at each budget; the closed form is that of L = E + A·N⁻ᵅ + B·D⁻ᵝ fitted to all of them; the "
        "parabola through all sizes is common, and misplaces the optimum of lopsided profiles. On a fixed set epochs "
        "grow as examples do. Where closed form and profiles differ beyond noise, the form is doubtful.",
        columns=(
            words_column("Family"),
            words_column("Method"),
            Column(title="Exponent of size"),
            Column(title="Exponent of examples"),
            Column(title="At FLOPs"),
            Column(title="Optimal parameters"),
            Column(title="Optimal examples"),
            words_column("Status"),
        ),
        rows=rows,
        empty="No budget was spent on several sizes.",
    )


def size_laws_table(analysis: Analysis) -> Table:
    """The laws of loss by size and examples, with every coefficient."""
    names = ("E", "A", "alpha", "B", "beta") + ("R",) * any(law.form == "repeated" for law in analysis.size_laws)
    rows = tuple(
        (
            family_cell(law.family),
            text_cell(numbers.law_form(law.form)),
            *(text_cell(numbers.powered_interval(law.parameters.get(name))) for name in names),
            number_cell(law.held_out and law.held_out.error, _off(law)),
            text_cell("yes" if law.chosen else "no"),
            text_cell("; ".join(filter(None, (all_told(law.remarks), numbers.profiled(law.profiles))))),
        )
        for law in analysis.size_laws
    )
    return Table(
        name="size-laws",
        title="Laws of size and examples",
        note="Loss L against parameters N and examples D, fitted to the best run of every size at every budget. Where "
        "examples repeat, D′ is what D of them are worth: no more than R + 1 times the distinct ones. Intervals "
        "resample runs within their budget. Off beyond: the root mean square error at runs dearer than those fitted.",
        columns=(
            words_column("Family"),
            words_column("Law"),
            *(Column(title=name) for name in names),
            Column(title="Off beyond"),
            words_column("Chosen"),
            words_column("Status"),
        ),
        rows=rows,
        empty="No law of size and examples could be fitted.",
    )


def _off(law: SizeLaw) -> str:
    return numbers.MISSING if law.held_out is None else numbers.percent(law.held_out.error)


def _counted(size: Interval | None) -> str:
    if size is None:
        return numbers.MISSING
    return f"{numbers.count(size.estimate)} [{numbers.count(size.low)}, {numbers.count(size.high)}]"


def rates_table(analysis: Analysis) -> Table:
    """How the optimal learning rate moves with size and examples."""
    rows = tuple(
        (
            family_cell(found.family),
            number_cell(found.rate and found.rate.estimate, _plainly(found.rate)),
            text_cell(_at(found.centre)),
            text_cell(numbers.number_interval(found.params_exponent)),
            text_cell(numbers.number_interval(found.examples_exponent)),
            number_cell(found.tolerance, numbers.percent(found.tolerance, 2)),
            text_cell(_flat(found)),
            reasons_cell(found.status),
        )
        for found in analysis.rate_surfaces
    )
    return Table(
        name="rates",
        title="The optimal learning rate as a surface",
        note=f"The best {measures.learning_rate(analysis.rate_batch)} in the middle of the tuned cells, and the "
        "powers of size and of examples (on a fixed set: of epochs) that it follows from there. In the flat range the "
        "loss exceeds the best "
        "by no more than the tolerance: one run's noise, or 1 % where that is unknown.",
        columns=(
            words_column("Family"),
            Column(title=measures.rate_title(analysis.rate_batch)),
            words_column("In the middle"),
            Column(title="Exponent of size"),
            Column(title="Exponent of examples"),
            Column(title="Tolerance"),
            Column(title="Flat range there"),
            words_column("Status"),
        ),
        rows=rows,
        empty="No tuning curve has a known size and length.",
    )


def _plainly(rate: Interval | None) -> str:
    if rate is None:
        return numbers.MISSING
    return f"{numbers.plain(rate.estimate)} [{numbers.plain(rate.low)}, {numbers.plain(rate.high)}]"


def _at(centre: tuple[float, ...]) -> str:
    return f"{numbers.count(centre[0])} parameters, {numbers.count(centre[1])} examples" if centre else numbers.MISSING


def _flat(surface: RateSurface) -> str:
    found = rate_at(surface, *surface.centre[:2], level=0.9) if len(surface.centre) == 2 else None
    return numbers.MISSING if found is None else " to ".join(numbers.plain(end) for end in found.flat)
