"""Speed of the solver on L = E + A N^-alpha + B D^-beta: 4,000 bootstraps, and one global fit.

    uv run python -m benchmarks.laws

240 runs are planted on the law that Besiroglu et al. (2404.10102, table 1) find in the Chinchilla runs, with
heavy-tailed noise of about 1 % in ln loss. The objective is theirs: the sum of Huber's loss, delta 0.001, of ln-loss
residuals. The peers are SciPy's BFGS in their log-sum-exp form, with gradients by torch's autograd and by hand, and the
4,500-start L-BFGS-B grid of Hoffmann et al. (2203.15556, appendix D.3). Peers run on a random sample and are scaled up;
every round runs all of them, on one thread, and CPU time is compared, so that a busy machine tilts no ratio.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from levelfield.records.reason import Reason
from levelfield.scaling.fitting.fit import fit_law
from levelfield.scaling.fitting.solver import solve_many
from levelfield.scaling.laws import LAWS, Floats

POINTS, BOOTSTRAPS, DELTA = 240, 4000, 1e-3
ROUNDS, REPLICATES_A_ROUND, STARTS_A_ROUND = 4, 6, 15
TRUTH = np.array([np.log(482.01), np.log(2085.43), np.log(1.8172), 0.3478, 0.3658])
"""a = ln A, b = ln B, e = ln E, alpha, beta: the order of the peers' form."""
GRID = np.array(
    list(
        itertools.product(
            np.arange(0.0, 26.0, 5.0),
            np.arange(0.0, 26.0, 5.0),
            np.arange(-1.0, 1.1, 0.5),
            np.arange(0.0, 2.1, 0.5),
            np.arange(0.0, 2.1, 0.5),
        )
    )
)
EQUAL = 1e-9
"""Objectives within this share of one another are equal."""


def planted(generator: np.random.Generator) -> tuple[Floats, Floats]:
    """ln N and ln D, of (points, 2), and ln loss."""
    size = generator.uniform(np.log(4e7), np.log(1.6e10), POINTS)
    compute = generator.uniform(np.log(1e18), np.log(3e21), POINTS)
    inputs = np.stack([size, compute - np.log(6) - size], axis=-1)
    return inputs, log_loss(TRUTH, inputs) + 0.007 * generator.standard_t(3, POINTS)


def log_loss(theta: Floats, inputs: Floats) -> Floats:
    exponents = _exponents(theta, inputs)
    top = exponents.max(axis=0)
    return top + np.log(np.exp(exponents - top).sum(axis=0))  # a third of the time of SciPy's logsumexp


def _exponents(theta: Floats, inputs: Floats) -> Floats:
    a, b, e, alpha, beta = theta
    return np.stack([a - alpha * inputs[:, 0], b - beta * inputs[:, 1], np.full(len(inputs), e)])


def objective(theta: Floats, inputs: Floats, y: Floats) -> float:
    size = np.abs(log_loss(theta, inputs) - y)
    near = np.minimum(size, DELTA)
    return float(np.sum(near * (size - 0.5 * near)))


def objective_and_gradient(theta: Floats, inputs: Floats, y: Floats) -> tuple[float, Floats]:
    exponents = _exponents(theta, inputs)
    top = exponents.max(axis=0)
    parts = np.exp(exponents - top)
    total = parts.sum(axis=0)
    residual = top + np.log(total) - y
    size = np.abs(residual)
    near = np.minimum(size, DELTA)
    pull = parts / total * np.clip(residual, -DELTA, DELTA)
    by_a, by_b, by_e = pull.sum(axis=1)
    slopes = np.array([by_a, by_b, by_e, -pull[0] @ inputs[:, 0], -pull[1] @ inputs[:, 1]])
    return float(np.sum(near * (size - 0.5 * near))), slopes


def objective_by_autograd(theta: Floats, inputs: torch.Tensor, y: torch.Tensor) -> tuple[float, Floats]:
    leaf = torch.tensor(theta, requires_grad=True)
    a, b, e, alpha, beta = leaf
    exponents = torch.stack([a - alpha * inputs[:, 0], b - beta * inputs[:, 1], e.expand(len(inputs))])
    value = torch.nn.functional.huber_loss(torch.logsumexp(exponents, dim=0), y, reduction="sum", delta=DELTA)
    value.backward()
    assert leaf.grad is not None
    return float(value.detach()), leaf.grad.numpy()


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds, and the answer."""
    started = time.process_time()
    answer = call()
    return time.process_time() - started, answer


def as_table(inputs: Floats) -> dict[str, list[float]]:
    return {"params": np.exp(inputs[:, 0]).tolist(), "examples": np.exp(inputs[:, 1]).tolist()}


def ours_in_peers_form(theta: Floats, units: Floats, loss_unit: float) -> Floats:
    """(fits, 5) from (ln A, alpha, ln B, beta, E) inside the fit to the peers' (a, b, e, alpha, beta)."""
    a, alpha, b, beta, floor = theta.T
    e = np.log(np.maximum(floor, 1e-300))
    return np.stack([a + alpha * units[0], b + beta * units[1], e, alpha, beta], axis=-1) + loss_unit * np.array(
        [1.0, 1.0, 1.0, 0.0, 0.0]
    )


def bootstraps(inputs: Floats, y: Floats, generator: np.random.Generator) -> None:
    law = LAWS["size-and-examples"]
    units, loss_unit = inputs.mean(axis=0), float(y.mean())
    whole = fit_law(law.form, as_table(inputs), np.exp(y).tolist(), delta=DELTA)
    assert not isinstance(whole, Reason), whole
    start = np.array(whole.theta)
    peers_start = ours_in_peers_form(start[None], units, loss_unit)[0]
    rows = generator.integers(0, POINTS, (BOOTSTRAPS, POINTS))
    counts = np.stack([np.bincount(row, minlength=POINTS) for row in rows]).astype(float)
    sample = generator.choice(BOOTSTRAPS, (ROUNDS, REPLICATES_A_ROUND), replace=False)
    seconds: dict[str, list[float]] = {"ours": [], "ours, seeded": [], "autograd": [], "by hand": []}
    excess: dict[str, list[float]] = {"autograd": [], "by hand": []}

    def batched(start: Floats | None) -> Floats:
        return solve_many(
            law, inputs - units, y - loss_unit, weights=counts, delta=DELTA, start=start, tolerance=1e-7, least_gain=0.0
        )

    def autograd(drawn: Floats, of_drawn: Floats) -> Any:
        tensors = torch.from_numpy(drawn), torch.from_numpy(of_drawn)
        return minimize(objective_by_autograd, peers_start, args=tensors, jac=True, method="BFGS")

    def by_hand(drawn: Floats, of_drawn: Floats) -> Any:
        return minimize(objective_and_gradient, peers_start, args=(drawn, of_drawn), jac=True, method="BFGS")

    seeded_excess = -np.inf
    for replicates in sample:
        spent, found = timed(lambda: batched(start))
        seconds["ours"].append(spent)
        ours = ours_in_peers_form(found, units, loss_unit)
        spent, again = timed(lambda: batched(None))
        seconds["ours, seeded"].append(spent)
        seeded = ours_in_peers_form(again, units, loss_unit)
        for replicate in replicates:
            drawn, of_drawn = inputs[rows[replicate]], y[rows[replicate]]
            reached = objective(ours[replicate], drawn, of_drawn)
            seeded_excess = max(seeded_excess, reached / objective(seeded[replicate], drawn, of_drawn) - 1)
            for name, peer in (("autograd", autograd), ("by hand", by_hand)):
                spent, ended = timed(lambda peer=peer, drawn=drawn, of_drawn=of_drawn: peer(drawn, of_drawn))
                seconds[name].append(spent * BOOTSTRAPS)
                excess[name].append(reached / objective(ended.x, drawn, of_drawn) - 1)
    ours_seconds = float(np.median(seconds["ours"]))
    print(f"\n{BOOTSTRAPS:,} bootstraps on {POINTS} points; peers on {sample.size} random replicates, scaled")
    print(f"ours, all replicates in one batch: {ours_seconds:.2f} CPU s (rounds {_listed(seconds['ours'])})")
    own = float(np.median(seconds["ours, seeded"]))
    print(
        f"ours, each replicate from its own grid of seeds: {own:.2f} CPU s; one start at most {seeded_excess:.0e} above"
    )
    for name in ("autograd", "by hand"):
        spent, above = float(np.mean(seconds[name])), np.array(excess[name])
        print(
            f"BFGS, gradient {name}: {spent:.0f} CPU s, {spent / ours_seconds:.0f}x ours; our objective is equal or "
            f"lower on {np.sum(above <= EQUAL)} of {len(above)} (its median excess {np.median(-above):.1e}, "
            f"largest {np.max(-above):.1e}; ours at most {np.max(above):.1e})"
        )


def global_fit(inputs: Floats, y: Floats, generator: np.random.Generator) -> None:
    table, losses = as_table(inputs), np.exp(y).tolist()
    starts = GRID[generator.choice(len(GRID), (ROUNDS, STARTS_A_ROUND), replace=False)]
    seconds: dict[str, list[float]] = {"ours": [], "numeric": [], "by hand": []}
    reached: list[float] = []
    found = None
    for of_round in starts:
        for _ in range(5):
            spent, found = timed(lambda: fit_law("size-and-examples", table, losses, delta=DELTA))
            seconds["ours"].append(spent)
        for start in of_round:
            spent, ended = timed(lambda start=start: minimize(objective, start, args=(inputs, y), method="L-BFGS-B"))
            seconds["numeric"].append(spent * len(GRID))
            reached.append(ended.fun)
            spent, ended = timed(
                lambda start=start: minimize(
                    objective_and_gradient, start, args=(inputs, y), jac=True, method="L-BFGS-B"
                )
            )
            seconds["by hand"].append(spent * len(GRID))
            reached.append(ended.fun)
    assert found is not None
    ours = float(np.median(seconds["ours"]))
    theta = ours_in_peers_form(np.array([found.theta]), np.array(found.log_input_units), found.log_loss_unit)[0]
    own = objective(theta, inputs, y)
    polished = minimize(objective_and_gradient, theta, args=(inputs, y), jac=True, method="BFGS").fun
    from_truth = minimize(objective_and_gradient, TRUTH, args=(inputs, y), jac=True, method="BFGS").fun
    print(f"\none global fit; peers on {starts[..., 0].size} of the {len(GRID):,} starts, scaled")
    print(f"ours (fit_law): {1e3 * ours:.1f} CPU ms, objective {own:.9g}, {found.agreement:.0%} of seeds agree")
    for name in ("numeric", "by hand"):
        spent = float(np.mean(seconds[name]))
        print(f"L-BFGS-B, gradient {name}: {spent:.0f} CPU s, {spent / ours:,.0f}x ours")
    near = np.mean(np.array(reached) <= own * (1 + 1e-4))
    print(f"best start of the sample ends {min(reached) / own - 1:+.1e} from ours; {near:.0%} end within 1e-4 of it")
    print(f"BFGS from our optimum ends {polished / own - 1:+.1e} from it, from the truth {from_truth / own - 1:+.1e}")


def _listed(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def main() -> None:
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    with threadpool_limits(1):
        inputs, y = planted(generator)
        bootstraps(inputs, y, generator)
        global_fit(inputs, y, generator)


if __name__ == "__main__":
    main()
