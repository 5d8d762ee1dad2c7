"""All verdicts of a study together: every pair of families in both currencies, and the controls, in one band."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from levelfield.records.observation import Observation
from levelfield.records.reason import Reason
from levelfield.scaling.noise.regret import SearchRegret, regret_of
from levelfield.scaling.noise.uncertainty import (
    MIN_EFFECTIVE_EXAMPLES,
    HeldOutLosses,
    Noise,
    effective_examples,
    noise_of,
    pooled_sd,
)
from levelfield.scaling.results.laws import CURRENCIES, Currency
from levelfield.scaling.results.reasons.verdicts import (
    LossRises,
    NoFreshWinner,
    NoisyClock,
    NoNoise,
    NoStandIn,
    SeedsAlone,
)
from levelfield.scaling.results.verdicts import Comparison, Confound, Control
from levelfield.scaling.tables.confounds import FEWER_TRIALS, confounds, forbidding, less_searched
from levelfield.scaling.tables.rows import Rows
from levelfield.scaling.tables.rungs import Rung, rungs, seed_groups
from levelfield.scaling.verdicts.between.between import Between, absent, between
from levelfield.scaling.verdicts.between.curves import FamilyCurve, two_curves
from levelfield.scaling.verdicts.compare import (
    Question,
    budget_verdicts,
    decidable_margin,
    overall_verdict,
    seeds_to_decide,
)
from levelfield.scaling.verdicts.contrasts import (
    NUM_BAND_DRAWS,
    Band,
    Evidence,
    Seconds,
    Statement,
    evidence_of,
    simultaneous_band,
)
from levelfield.scaling.verdicts.control import control_record, control_statement, tested
from levelfield.scaling.verdicts.foresight import uncertainty_budget
from levelfield.scaling.verdicts.places import at_equal_flops, at_equal_seconds
from levelfield.scaling.verdicts.stand_ins import StandIns, stand_ins


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contest:
    """The winners and controls of a study as cells of one noise model, in this order.

    ``few_examples`` is True where a handful of report examples carries the loss. ``stand_ins`` are the rows of a table
    without winners. ``confounds`` are those of every pair, ``less_searched`` its family that was tried much less often
    (empty where neither was). ``never`` says why losses on this data compare nothing at all.
    """

    winners: tuple[Rung, ...]
    controls: tuple[Rung, ...]
    noise: Noise
    few_examples: bool
    margin: float
    level: float
    regret: SearchRegret
    stand_ins: StandIns | None
    confounds: Mapping[tuple[str, str], tuple[Confound, ...]]
    less_searched: Mapping[tuple[str, str], str]
    never: tuple[Reason, ...] = ()
    measure: str = "loss"

    @property
    def cells(self) -> dict[Rung, int]:
        return {rung: place for place, rung in enumerate((*self.winners, *self.controls))}

    def held(
        self,
        *,
        generator: np.random.Generator,
        num_draws: int = NUM_BAND_DRAWS,
        rising: Mapping[str, Reason] = MappingProxyType({}),
    ) -> tuple[tuple[Comparison, ...], tuple[Control, ...]]:
        """Every pair of families in both currencies, and every control, from ``num_draws`` draws of the errors.

        ``rising`` says of families that their loss rises again with compute: more compute alone does not explain them,
        and there is no verdict on them.
        """
        cells = self.cells
        asked = [self._asked(pair, currency, cells, rising) for pair in self.confounds for currency in CURRENCIES]
        at = {(rung.family, rung.budget_flops): rung for rung in self.winners}
        tests = [
            control_statement(control, at.get((control.family, control.budget_flops)), cells, len(cells))
            for control in self.controls
        ]
        statements = [statement for question, _ in asked for statement in question.asked] + tested(tests)
        evidence = self._evidence(generator, num_draws) if asked or tests else None
        band = None
        if evidence is not None and self.winners and statements:
            band = simultaneous_band(statements, evidence, level=self.level)
        comparisons = []
        for question, curves in asked:
            told = self._between(curves, evidence, generator)
            comparisons.append(self._comparison(question, band, told))
        controls = tuple(
            control_record(control, test, band, self.margin) for control, test in zip(self.controls, tests, strict=True)
        )
        return tuple(comparisons), controls

    def _evidence(self, generator: np.random.Generator, num_draws: int) -> Evidence | None:
        """The cells and how they may err; None where nothing is known of the noise."""
        if self.stand_ins is not None:
            noise, log_losses, regret = self.stand_ins.noise, self.stand_ins.log_losses, None
            seconds = Seconds(sd=0.0, num_runs=np.ones(len(log_losses)))
        else:
            noise, seconds, regret = self.noise, _seconds(tuple(self.cells)), self.regret
            log_losses = np.array([rung.log_loss for rung in self.cells])
        if noise is None or noise.seed_sd is None:
            return None
        return evidence_of(log_losses, noise, seconds, generator, regret=regret, num_draws=num_draws)

    def _asked(
        self, pair: tuple[str, str], currency: Currency, cells: Mapping[Rung, int], rising: Mapping[str, Reason]
    ) -> tuple[Question, tuple[FamilyCurve, FamilyCurve] | Reason]:
        """The question about ``pair`` in ``currency``, and the two curves that it is about."""
        a, b = pair
        left, right = (tuple(rung for rung in self.winners if rung.family == family) for family in pair)
        found = self.confounds.get(pair, ())
        peaked = (LossRises(family=family, why=rising[family]) for family in pair if family in rising)
        why_never = (*self.never, *forbidding(found), *peaked)
        if not (left and right):
            why = why_never[0] if why_never else NoFreshWinner(family=b if left else a)
            curves = why if why_never or self.stand_ins is None else self._described(pair, currency)
            return Question(a=a, b=b, currency=currency, statements=(), unasked=why, confounds=found), curves
        curves = two_curves(left, right, cells, currency, few_examples=self.few_examples)
        unasked = None
        if currency == "flops":
            statements = at_equal_flops(left, right, cells, len(cells), self.few_examples)
        elif isinstance(curves, Reason):
            statements, unasked = [], curves
        else:
            statements = at_equal_seconds(*curves)
        remarks: tuple[Reason, ...] = (SeedsAlone(),) if self.noise.example_covariance is None else ()
        if currency == "device_seconds" and statements:
            remarks = (*remarks, NoisyClock())
        question = Question(
            a=a,
            b=b,
            currency=currency,
            statements=tuple(
                _held_back(statement, why_never, self.less_searched.get(pair, "")) for statement in statements
            ),
            unasked=unasked,
            remarks=remarks,
            confounds=found,
        )
        return question, why_never[0] if why_never else curves

    def _described(self, pair: tuple[str, str], currency: Currency) -> tuple[FamilyCurve, FamilyCurve] | Reason:
        """The curves of a table's stand-ins."""
        assert self.stand_ins is not None
        a, b = ([rung for rung in self.stand_ins.rungs if rung.family == family] for family in pair)
        if not (a and b):
            return NoStandIn(family=pair[1] if a else pair[0])
        log_losses = self.stand_ins.log_losses
        return two_curves(a, b, self.stand_ins.cells, currency, log_losses=log_losses)

    def _between(
        self,
        curves: tuple[FamilyCurve, FamilyCurve] | Reason,
        evidence: Evidence | None,
        generator: np.random.Generator,
    ) -> Between:
        if isinstance(curves, Reason):
            return absent(curves)
        if evidence is None:
            return absent(NoNoise())
        found = between(*curves, evidence, generator, level=self.level)
        if self.stand_ins is None:
            return found
        status = (*found.curve.status, self.stand_ins.note)
        return found._replace(curve=dataclasses.replace(found.curve, status=status))

    def _comparison(self, question: Question, band: Band | None, told: Between) -> Comparison:
        per_budget = budget_verdicts(question, band, self.margin)
        decidable = decidable_margin(question, band)
        places = [statement.place for statement in question.joint]
        return Comparison(
            a=question.a,
            b=question.b,
            currency=question.currency,
            margin=self.margin,
            per_budget=per_budget,
            overall=overall_verdict(question, per_budget, band, self.margin, crosses=told.crosses),
            smallest_decidable_margin=decidable,
            seeds_to_decide=seeds_to_decide(question, band, self.margin, decidable),
            uncertainty=uncertainty_budget(question, band, self.margin),
            measure=self.measure,
            confounds=question.confounds,
            span=(min(places), max(places)) if places else None,
            top_flops=max((rung.budget_flops for rung in self.winners), default=None),
            **told._asdict(),
        )


def contest_of(
    rows: Sequence[Observation],
    *,
    held_out_losses: HeldOutLosses | None,
    margin: float,
    level: float,
    named_confounds: Sequence[str] = (),
    equal_search: bool = False,
    no_verdict_because: Reason | None = None,
    measure: str = "loss",
    compared: Sequence[str],
    generator: np.random.Generator | None = None,
) -> Contest:
    """The contest among the winners and controls of checked ``rows``, or among stand-ins where there is no winner.

    Every pair of the families ``compared`` is a question of it. ``generator`` serves the searches that are run again to
    see how far their choice can be trusted.

    Raises:
        InputError: two cells claim one rung, or per-example losses do not belong to their runs.
    """
    families = sorted(Rows.of(rows).coded("family").present)
    winners, controls = rungs(rows, "winner"), rungs(rows, "control")
    cells = (*winners, *controls)
    known = held_out_losses or {}
    counts = [effective_examples(known[run.run]) for cell in cells for run in cell.runs if run.run in known]
    others = seed_groups(rows)
    noise = noise_of(
        [cell.log_losses for cell in cells],
        places=[(cell.family, cell.budget_flops) for cell in cells],
        runs=[[run.run for run in cell.runs] for cell in cells],
        held_out_losses=held_out_losses,
        other_groups=[group.log_losses for group in others],
        other_places=[(group.family, group.budget_flops) for group in others],
        trunks=[[run.cluster for run in cell.runs] for cell in cells],
        trained_on=[cell.limiting_images for cell in cells],
    )
    generator = generator or np.random.default_rng(0)
    pairs = list(itertools.combinations(compared, 2))
    return Contest(
        winners=winners,
        controls=controls,
        noise=noise,
        few_examples=min(counts, default=math.inf) < MIN_EFFECTIVE_EXAMPLES,
        margin=margin,
        level=level,
        regret=regret_of(rows, cells, noise.run_sds, generator),
        stand_ins=None if winners else stand_ins(rows, families, generator, level=level),
        confounds={pair: confounds(rows, *pair, named=named_confounds, equal_search=equal_search) for pair in pairs},
        less_searched={pair: "" if equal_search else less_searched(rows, *pair) for pair in pairs},
        never=(no_verdict_because,) if no_verdict_because else (),
        measure=measure,
    )


def _held_back(statement: Statement, why_never: tuple[Reason, ...], less_searched: str) -> Statement:
    """The statement where a confound forbids it, or where one family's recipe was sought much less hard."""
    fewer = {less_searched: (FEWER_TRIALS,)}
    return dataclasses.replace(
        statement,
        undecidable=(*why_never, *statement.undecidable),
        a_edges=(*statement.a_edges, *fewer.get(statement.a, ())),
        b_edges=(*statement.b_edges, *fewer.get(statement.b, ())),
    )


def _seconds(cells: Sequence[Rung]) -> Seconds:
    sd, _ = pooled_sd([rung.log_seconds for rung in cells if rung.log_seconds])
    return Seconds(sd=sd or 0.0, num_runs=np.array([rung.num_seeds for rung in cells], dtype=float))
