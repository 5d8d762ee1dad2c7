"""A study that never ran, made by a small generator: two planted laws, measured with noise."""

from __future__ import annotations

import dataclasses
import math
import random

from levelfield.records.allowed import TooFewSteps
from levelfield.records.observation import Observation
from levelfield.report import LockedPrediction, RecipeFact, RefusedCell, StudyFacts, StudyTotals, TrialRow
from levelfield.scaling.results.analysis import Analysis, Winner
from levelfield.scaling.results.intervals import CurvePoint, Interval
from levelfield.scaling.results.laws import LawFit, RowErrors
from levelfield.scaling.results.optima import Allocation, IsoflopPoint, IsoflopProfile, LearningRateCell
from levelfield.scaling.results.reasons.beside import AtMiddleLoss, Crosses, ScatterAsNoise, StraightBetweenPoints
from levelfield.scaling.results.reasons.laws import FewBudgets, FittedPoints
from levelfield.scaling.results.reasons.optima import BestSizeAtEnd, FewVertices, FittedOnVertices
from levelfield.scaling.results.reasons.verdicts import FamilyNearChance, NothingInCommon
from levelfield.scaling.results.refusals import AddRungs, AddSizes, AllocationOf, LawOf, Refusal
from levelfield.scaling.results.verdicts import (
    Ancova,
    BudgetVerdict,
    Comparison,
    Confound,
    Control,
    Crossover,
    DifferenceCurve,
    FamiliesBy,
    Gain,
    HelpsMore,
    Swap,
    SwapCell,
    SwapEffect,
    Verdict,
)

BUDGETS = (1e10, 3e10, 1e11, 3e11, 1e12)
CHANCE, FLOOR = math.log(100), 0.787
SIZES = {
    "nfnet": {"nfnet:w16-d1x1x1": 2.1e4, "nfnet:w24-d1x2x2": 7.4e4, "nfnet:w32-d1x2x3": 1.9e5},
    "vit": {"vit:w48-d3-p8": 1.0e5, "vit:w64-d4-p4": 2.2e5, "vit:w96-d6-p4": 6.9e5},
}
_LAWS = {"nfnet": (640.0, 0.236, 3.0e4), "vit": (380.0, 0.205, 1.1e5)}  # coefficient, exponent, optimal size at 1e11
_SECONDS_PER_FLOP = {"nfnet": 1 / 9e9, "vit": 1 / 4.2e10}
_RATES = {"nfnet": 0.4, "vit": 4e-3}


def observations() -> tuple[Observation, ...]:
    """Search runs on three learning rates a cell, and three fresh seeds a winner."""
    draw = random.Random(7)
    runs = []
    for family, sizes in SIZES.items():
        for budget in BUDGETS:
            cells = {model: _loss(family, budget, params) for model, params in sizes.items()}
            best = min(cells, key=cells.__getitem__)
            for model, params in sizes.items():
                for rate, factor in ((0.5, 1.07), (1.0, 1.0), (2.0, 1.05)):
                    loss = min(cells[model] * factor * math.exp(draw.gauss(0, 0.012)), CHANCE)
                    runs.append(_run(family, model, params, budget, "search", loss, rate, 0))
            for seed in (1, 2, 3):
                loss = min(cells[best] * math.exp(draw.gauss(0, 0.015)), CHANCE)
                runs.append(_run(family, best, sizes[best], budget, "winner", loss, 1.0, seed))
    return tuple(runs)


def analysis(runs: tuple[Observation, ...] | None = None) -> Analysis:
    """What the statistics would say of :func:`observations`, by simple means."""
    runs = runs or observations()
    winners = tuple(_winner(family, budget, runs) for family in SIZES for budget in BUDGETS)
    return Analysis(
        families=("nfnet", "vit"),
        rate_batch=256,
        winners=winners,
        laws=tuple(_law(family, currency) for family in SIZES for currency in ("flops", "device_seconds")),
        isoflop=tuple(_profile(family, budget, runs) for family in SIZES for budget in BUDGETS),
        learning_rates=tuple(_cells(runs)),
        allocations=(
            Allocation(
                family="nfnet",
                params_exponent=_interval(0.47, 0.08),
                examples_exponent=_interval(0.52, 0.08),
                status=FittedOnVertices(num=5, num_rungs=5),
            ),
            Allocation(
                family="vit",
                params_exponent=None,
                examples_exponent=None,
                status=FewVertices(num=2, num_rungs=5, needed=4),
            ),
        ),
        comparisons=(_comparison("flops", winners, 0.0), _comparison("device_seconds", winners, 0.19)),
        controls=(
            Control(
                family="nfnet", budget_flops=1e11, difference=_interval(0.004, 0.019), verdict="equivalent", passed=True
            ),
            Control(
                family="vit", budget_flops=1e11, difference=_interval(-0.011, 0.024), verdict="equivalent", passed=True
            ),
        ),
        swaps=(
            Swap(
                budget_flops=1e11,
                cells=tuple(
                    SwapCell(
                        family=family,
                        optimizer=optimizer,
                        own=own,
                        model=f"{family}:w24",
                        base_lr=0.1,
                        num_seeds=3,
                        loss=_interval(loss, 0.04),
                        edges=() if own else ("base_lr",),
                    )
                    for family, optimizer, own, loss in (
                        ("nfnet", "adamw", False, 1.92),
                        ("nfnet", "sgd", True, 1.81),
                        ("vit", "adamw", True, 2.01),
                        ("vit", "sgd", False, 2.31),
                    )
                ),
                effects=(
                    SwapEffect(
                        what=FamiliesBy(a="nfnet", b="vit", optimizer="adamw"), difference=_interval(-0.045, 0.03)
                    ),
                    SwapEffect(what=HelpsMore(optimizer="adamw", a="nfnet", b="vit"), difference=_interval(0.2, 0.05)),
                ),
                level=0.9,
            ),
        ),
        refusals=(
            Refusal(
                what=AllocationOf(family="vit"),
                why=(FewVertices(num=2, num_rungs=5, needed=4, last=BestSizeAtEnd(side="smallest")),),
                remedy=AddSizes(),
            ),
        ),
        search_flops={"nfnet": 1.33e13, "vit": 1.41e13},
        search_trials={"nfnet": 45, "vit": 45},
        seed_noise=0.014,
        example_noise=0.006,
    )


def facts(runs: tuple[Observation, ...] | None = None) -> StudyFacts:
    runs = runs or observations()
    return StudyFacts(
        title="Digit pairs: NFNet against ViT from 10¹⁰ to 10¹² FLOPs",
        question="With two minutes of compute and an unlimited stream of digit pairs, do ConvNets keep up with ViTs?",
        hypothesis="NFNets lead by FLOPs at every rung and lose most of the lead by device time.",
        data="digit-pairs: 100 classes at 32 px, an unlimited stream, 10 % label noise (known floor 0.787 nats)",
        metric="held-out cross-entropy in nats of averaged weights on 20,000 report examples",
        device="Intel Xeon, 1 thread",
        budgets=BUDGETS,
        recipes=(
            RecipeFact(family="nfnet", preset="short-run", text="SGD with AGC 0.16, skip gain unclipped, no decay"),
            RecipeFact(family="vit", preset="faithful", text="AdamW, beta2 0.999, global clip 1.0, decay 0.03"),
        ),
        caveats=("CPU seconds rank the families as this CPU does; a GPU may rank them otherwise.",),
        longer_run=(
            "A rung at 3×10¹² FLOPs (about 9 minutes here) would halve the interval of the exponents.",
            "Five seeds instead of three would decide a margin of 3 %.",
        ),
        commands=("pip install levelfield==0.1.0", "levelfield run study.toml --workers 2", "levelfield verify study/"),
        versions={"levelfield": "0.1.0", "torch": "2.9.1", "python": "3.11.9"},
        fingerprints={"study": "5d0c62e1b7a94f2e", "data": "b1946ac92492d2347c6235b4d2611184"},
        refused_cells=(
            RefusedCell(
                family="nfnet",
                model="nfnet:w32-d1x2x3",
                budget_flops=1e10,
                reason=TooFewSteps(steps=212, batch=8, least=500),
            ),
            RefusedCell(
                family="vit",
                model="vit:w96-d6-p4",
                budget_flops=1e10,
                reason=TooFewSteps(steps=307, batch=8, least=500),
            ),
        ),
        trials=tuple(_trial(run) for run in runs),
        totals=StudyTotals(num_trials=len(runs), train_flops=4.1e13, evaluate_flops=6.2e12, device_seconds=2610.0),
        predictions=(
            LockedPrediction(
                family="nfnet",
                budget_flops=3e12,
                predicted=_interval(0.96, 0.05),
                recipe="nfnet at 3e+12 training FLOPs: loss 0.960 [0.914, 1.009] (90%)",
                locked="2026-11-22 14:03 UTC",
                fingerprint="9f86d081",
                seen=0.981,
            ),
        ),
    )


def weak_analysis() -> Analysis:
    """One family, one rung, no seeds: nothing may be drawn but what there is."""
    return Analysis(
        families=("nfnet",),
        winners=(),
        laws=(),
        isoflop=(),
        learning_rates=(),
        allocations=(),
        comparisons=(),
        controls=(),
        swaps=(),
        refusals=(
            Refusal(
                what=LawOf(family="nfnet", currency="flops"), why=(FewBudgets(num=1, needed=4),), remedy=AddRungs()
            ),
        ),
        search_flops={},
        search_trials={},
        seed_noise=None,
    )


def weak_facts() -> StudyFacts:
    return StudyFacts(
        title="A weak study",
        question="Is one family enough?",
        data="digits",
        metric="held-out cross-entropy",
        budgets=(1e10,),
        recipes=(),
        versions={},
        fingerprints={},
    )


def untimed(full: Analysis) -> Analysis:
    """The same study on a machine where nothing was timed."""
    return dataclasses.replace(
        full,
        winners=tuple(dataclasses.replace(winner, device_seconds=None) for winner in full.winners),
        laws=tuple(law for law in full.laws if law.currency == "flops"),
        comparisons=tuple(comparison for comparison in full.comparisons if comparison.currency == "flops"),
    )


def _loss(family: str, budget: float, params: float) -> float:
    coefficient, exponent, size = _LAWS[family]
    optimum = size * (budget / 1e11) ** 0.48
    best = FLOOR + coefficient * budget**-exponent
    return min(best * math.exp(0.035 * math.log(params / optimum) ** 2), CHANCE * 0.995)


def _run(
    family: str, model: str, params: float, budget: float, role: str, loss: float, rate: float, seed: int
) -> Observation:
    return Observation(
        run=f"{model.replace(':', '-')}_{budget:.0e}_{role}_{rate}_s{seed}",
        family=family,
        model=model,
        role=role,  # pyright: ignore[reportArgumentType]
        loss=loss,
        budget_flops=budget,
        train_flops=budget * 0.999,
        params=params,
        examples=budget / (params * 260),
        epochs=budget / (params * 260) / 2**40,
        global_batch_size=64,
        peak_lr=_RATES[family] * rate / 2,
        base_lr=_RATES[family] * rate,
        seed=seed,
        device_seconds=budget * _SECONDS_PER_FLOP[family],
        device="Intel Xeon, 1 thread",
        chance=CHANCE,
        floor=FLOOR,
    )


def _interval(estimate: float, half: float) -> Interval:
    return Interval(estimate=estimate, low=estimate - half, high=estimate + half)


def _winner(family: str, budget: float, runs: tuple[Observation, ...]) -> Winner:
    own = [r for r in runs if r.family == family and r.budget_flops == budget and r.role == "winner"]
    losses = tuple(r.loss for r in own)
    mean = sum(losses) / len(losses)
    first = own[0]
    edges = ("size",) if family == "vit" and budget < 1e11 else ()
    return Winner(
        family=family,
        budget_flops=budget,
        model=first.model,
        params=first.params,
        examples=first.examples,
        epochs=first.epochs,
        base_lr=first.base_lr,
        global_batch_size=first.global_batch_size,
        num_seeds=len(losses),
        seed_losses=losses,
        loss=Interval(estimate=mean, low=mean * 0.975, high=mean * 1.027),
        device_seconds=first.device_seconds,
        near_chance=mean > 0.85 * CHANCE,
        data_limited=False,
        edges=edges,
    )


def _law(family: str, currency: str) -> LawFit:
    coefficient, exponent, _ = _LAWS[family]
    per_unit = 1.0 if currency == "flops" else _SECONDS_PER_FLOP[family]
    grid = [10 ** (10.4 + 0.1 * step) for step in range(22)]
    curve = []
    for c in grid:
        y, width = FLOOR + coefficient * c**-exponent, 0.02 + 0.03 * abs(math.log10(c) - 11.2)
        curve.append(CurvePoint(x=c * per_unit, y=y, low=y * (1 - width), high=y * (1 + width)))
    return LawFit(
        family=family,
        currency=currency,  # pyright: ignore[reportArgumentType]
        form="saturating",
        parameters={
            "A": _interval(coefficient, 0.2 * coefficient),
            "b": _interval(exponent, 0.03),
            "E": _interval(FLOOR, 0.09),
        },
        theta=(math.log(coefficient), exponent, FLOOR),
        log_input_units=(math.log(per_unit),),
        log_loss_unit=0.0,
        errors=RowErrors(variances=(1e-4,), degrees_of_freedom=2.0),
        chosen=True,
        remarks=(FittedPoints(num_kept=4, num_rows=5),),
        num_budgets=4,
        fitted_low=3e10 * per_unit,
        fitted_high=1e12 * per_unit,
        curve=tuple(curve),
        backtest=(1e12 * per_unit, curve[16].y * 1.02, curve[16].y),
        delta=0.02,
    )


def _profile(family: str, budget: float, runs: tuple[Observation, ...]) -> IsoflopProfile:
    own: dict[str, Observation] = {}
    for run in runs:
        here = run.family == family and run.budget_flops == budget and run.role == "search"
        if here and run.loss < own.get(run.model, run).loss + 1e-12:
            own[run.model] = run
    points = tuple(
        IsoflopPoint(model=r.model, params=r.params or 0, examples=r.examples or 0, epochs=r.epochs, loss=r.loss)
        for r in own.values()
    )
    best = min(points, key=lambda point: point.loss)
    inside = best.params not in (min(p.params for p in points), max(p.params for p in points))
    vertex = Interval(estimate=best.params * 1.1, low=best.params * 0.7, high=best.params * 1.7) if inside else None
    return IsoflopProfile(
        family=family,
        budget_flops=budget,
        points=points,
        best_model=best.model,
        optimal_params=vertex or BestSizeAtEnd(side="smallest"),
    )


def _cells(runs: tuple[Observation, ...]) -> list[LearningRateCell]:
    cells = []
    searched = [run for run in runs if run.role == "search"]
    for family, model, budget in sorted({(r.family, r.model, r.budget_flops) for r in searched}):
        own = [r for r in searched if (r.family, r.model, r.budget_flops) == (family, model, budget)]
        shift = 0.5 if budget > 2e11 else 1.0
        tried = tuple(((r.base_lr or 0) * shift, r.loss) for r in own)
        best = min(tried, key=lambda pair: pair[1])[0]
        edge = best in (min(tried)[0], max(tried)[0])
        cells.append(
            LearningRateCell(
                family=family,
                model=model,
                budget_flops=budget,
                params=own[0].params,
                epochs=own[0].epochs,
                examples=own[0].examples,
                tried=tried,
                best_base_lr=best,
                status="bound" if edge else "bracketed" if budget in (1e10, 1e11, 1e12) else "one-sided",
            )
        )
    return cells


def _comparison(currency: str, winners: tuple[Winner, ...], shift: float) -> Comparison:
    verdicts = []
    for budget in BUDGETS:
        a, b = (next(w for w in winners if w.family == f and w.budget_flops == budget) for f in ("nfnet", "vit"))
        difference = _interval(math.log(a.loss.estimate / b.loss.estimate) + shift, 0.03)
        near = a.near_chance and b.near_chance
        verdict = "cannot tell" if near else _verdict(difference)
        cost = budget if currency == "flops" else (a.device_seconds or budget)
        reasons = (FamilyNearChance(family="vit"),) if near else ()
        verdicts.append(BudgetVerdict(budget=cost, difference=difference, verdict=verdict, reasons=reasons))
    known = [(verdict.budget, verdict.difference) for verdict in verdicts if verdict.difference]
    slope = (known[-1][1].estimate - known[0][1].estimate) / math.log(known[-1][0] / known[0][0])
    middle = math.sqrt(known[0][0] * known[-1][0])
    overall = _interval(-0.13 + shift * 0.6, 0.045)
    return Comparison(
        a="nfnet",
        b="vit",
        currency=currency,  # pyright: ignore[reportArgumentType]
        margin=0.05,
        per_budget=tuple(verdicts),
        overall=BudgetVerdict(budget=BUDGETS[-1], difference=overall, verdict=_verdict(overall), reasons=()),
        smallest_decidable_margin=0.031,
        seeds_to_decide=None,
        curve=DifferenceCurve(
            points=tuple(CurvePoint(x=x, y=d.estimate, low=d.low - 0.02, high=d.high + 0.02) for x, d in known),
            status=(StraightBetweenPoints(),),
        ),
        ancova=Ancova(
            middle=middle,
            offset=_interval(known[0][1].estimate / 2 + known[-1][1].estimate / 2, 0.03),
            slope=_interval(slope, 0.01),
            common_offset=_interval(-0.1, 0.03),
            num_points=2 * len(known),
            line=tuple(CurvePoint(x=x, y=d.estimate, low=d.low, high=d.high) for x, d in (known[0], known[-1])),
            status=(ScatterAsNoise(),),
        ),
        gain=Gain(loss=1.4, log_ratio=_interval(0.4, 0.1), status=(AtMiddleLoss(),)),
        crossover=Crossover(
            place=Interval(estimate=middle, low=middle / 2, high=middle * 2) if currency == "flops" else None,
            probability_of_none=0.12,
            status=(Crosses(better="nfnet", may_lie_outside=False, probability_of_none=0.12),),
        ),
        confounds=(
            Confound(
                name="optimizer",
                a_values="sgd",
                b_values="adamw",
                separated=True,
                forbids=False,
                why=NothingInCommon(),
            ),
        ),
        span=(BUDGETS[1], BUDGETS[-1]),
    )


def _verdict(difference: Interval) -> Verdict:
    if difference.high < -0.05:
        return "better"
    if difference.low > 0.05:
        return "worse"
    return "equivalent" if difference.low > -0.05 and difference.high < 0.05 else "cannot tell"


def _trial(run: Observation) -> TrialRow:
    return TrialRow(
        name=run.run,
        family=run.family,
        model=run.model,
        budget_flops=run.budget_flops,
        role=run.role,
        status="finished",
        peak_lr=run.peak_lr,
        global_batch_size=run.global_batch_size,
        seed=run.seed,
        values=(("loss", run.loss),),
        device_seconds=run.device_seconds,
    )
