"""All verdicts of a study together: every pair of families in both currencies, and the controls, in one band."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from levelfield.records.observation import Observation
from levelfield.scaling.analysis import Comparison, Control
from levelfield.scaling.compare import Question, budget_verdicts, decidable_margin, overall_verdict
from levelfield.scaling.contrasts import Band, Seconds, simultaneous_band
from levelfield.scaling.control import control_record, control_statement, decidable
from levelfield.scaling.frontier import Rung, rungs, seed_groups
from levelfield.scaling.places import at_equal_flops, at_equal_seconds
from levelfield.scaling.sentences import comparison_sentence
from levelfield.scaling.uncertainty import (
    MIN_EFFECTIVE_EXAMPLES,
    HeldOutLosses,
    Noise,
    effective_examples,
    noise_of,
    pooled_sd,
)

_NOISY_CLOCK = (
    "seconds are measured, hence noisy: their spread over seeds is in the interval, a busy machine's bias is not"
)

_SEEDS_ALONE = "the interval covers seeds alone: not every winner and control kept its loss on every report example"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contest:
    """The winners and controls of a study as cells of one noise model, in this order.

    ``few_examples`` is True where a handful of report examples carries the loss.
    """

    winners: tuple[Rung, ...]
    controls: tuple[Rung, ...]
    noise: Noise
    few_examples: bool
    margin: float
    level: float

    @property
    def cells(self) -> dict[Rung, int]:
        return {rung: place for place, rung in enumerate((*self.winners, *self.controls))}

    def held(
        self, families: Sequence[str], *, data: str, recipe: str, generator: np.random.Generator
    ) -> tuple[tuple[Comparison, ...], tuple[Control, ...]]:
        """Every pair of ``families`` in both currencies, and every control."""
        cells = self.cells
        questions = [question for pair in itertools.combinations(families, 2) for question in self._asked(pair, cells)]
        at = {(rung.family, rung.budget_flops): rung for rung in self.winners}
        tests = [
            control_statement(control, at.get((control.family, control.budget_flops)), cells, len(cells))
            for control in self.controls
        ]
        asked = [statement for question in questions for statement in question.asked] + decidable(tests)
        band = None
        if self.noise.seed_sd is not None and asked:
            band = simultaneous_band(
                asked,
                log_losses=np.array([rung.log_loss for rung in cells]),
                noise=self.noise,
                seconds=_seconds(tuple(cells)),
                level=self.level,
                generator=generator,
            )
        comparisons = tuple(self._comparison(question, band, data, recipe) for question in questions)
        controls = tuple(
            control_record(control, test, band, self.margin) for control, test in zip(self.controls, tests, strict=True)
        )
        return comparisons, controls

    def _asked(self, pair: tuple[str, str], cells: Mapping[Rung, int]) -> tuple[Question, Question]:
        a, b = pair
        left, right = (tuple(rung for rung in self.winners if rung.family == family) for family in pair)
        if not (left and right):
            why = f"{b if left else a} has no winner on fresh seeds"
            return (
                Question(a=a, b=b, currency="flops", statements=(), unasked=why),
                Question(a=a, b=b, currency="device_seconds", statements=(), unasked=why),
            )
        by_flops = at_equal_flops(left, right, cells, len(cells), self.few_examples)
        remarks = (_SEEDS_ALONE,) if self.noise.example_covariance is None else ()
        by_seconds, unasked = at_equal_seconds(left, right, cells, len(cells), self.few_examples)
        return (
            Question(a=a, b=b, currency="flops", statements=tuple(by_flops), remarks=remarks),
            Question(
                a=a,
                b=b,
                currency="device_seconds",
                statements=tuple(by_seconds),
                unasked=unasked,
                remarks=(*remarks, _NOISY_CLOCK) if by_seconds else remarks,
            ),
        )

    def _comparison(self, question: Question, band: Band | None, data: str, recipe: str) -> Comparison:
        per_budget = budget_verdicts(question, band, self.margin)
        comparison = Comparison(
            a=question.a,
            b=question.b,
            currency=question.currency,
            margin=self.margin,
            per_budget=per_budget,
            overall=overall_verdict(question, per_budget, band, self.margin),
            smallest_decidable_margin=decidable_margin(question, band),
            sentence="",
        )
        places = [statement.place for statement in question.joint]
        sentence = comparison_sentence(
            comparison,
            span=(min(places), max(places)) if places else None,
            top_flops=max((rung.budget_flops for rung in self.winners), default=None),
            data=data,
            recipe=recipe,
        )
        return dataclasses.replace(comparison, sentence=sentence)


def contest_of(
    rows: Sequence[Observation], *, held_out_losses: HeldOutLosses | None, margin: float, level: float
) -> Contest:
    """The contest among the winners and controls of checked ``rows``.

    Raises:
        InputError: two cells claim one rung, or per-example losses do not belong to their runs.
    """
    winners, controls = rungs(rows, "winner"), rungs(rows, "control")
    cells = (*winners, *controls)
    known = held_out_losses or {}
    counts = [effective_examples(known[run.run]) for cell in cells for run in cell.runs if run.run in known]
    return Contest(
        winners=winners,
        controls=controls,
        noise=noise_of(
            [cell.log_losses for cell in cells],
            runs=[[run.run for run in cell.runs] for cell in cells],
            held_out_losses=held_out_losses,
            other_groups=seed_groups(rows),
        ),
        few_examples=min(counts, default=math.inf) < MIN_EFFECTIVE_EXAMPLES,
        margin=margin,
        level=level,
    )


def _seconds(cells: Sequence[Rung]) -> Seconds:
    sd, _ = pooled_sd([rung.log_seconds for rung in cells if rung.log_seconds])
    return Seconds(sd=sd or 0.0, num_runs=np.array([rung.num_seeds for rung in cells], dtype=float))
