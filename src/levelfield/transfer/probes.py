"""Probes of frozen features: logistic regression, ridge regression of a few shots, nearest neighbours.

NumPy, SciPy and scikit-learn alone; a probe knows nothing of networks.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from levelfield.records.errors import RefusedError
from levelfield.records.probe import ProbeScore

Floats: TypeAlias = NDArray[np.float64]
Labels: TypeAlias = NDArray[np.int64]

INVERSE_PENALTIES = tuple(10.0**exponent for exponent in range(-5, 2))
"""scikit-learn's C, tried on the select split: penalties over features that were brought to unit variance."""
MOST_ITERATIONS = 1000
HEAD_INVERSE_PENALTY = 0.1
"""scikit-learn's C of a head that is learnt on: no split is spent on choosing it, and training mends what it misses."""
_FLOPS_PER_WEIGHT = 4  # logits and gradient, a multiply-accumulate each

FEW_SHOTS = (1, 5, 10, 25)
FEW_SHOT_SEEDS = (0, 1, 2)
RIDGE_PENALTY = 2.0**10
_BIAS = 100.0  # a constant feature, so large that its weight is hardly penalised
_STD_FLOOR = 1e-5

NEIGHBOURS = 20
TEMPERATURE = 0.07
_CHUNK = 1024


class LinearProbe(NamedTuple):
    """Its score, and what its iterations cost."""

    score: ProbeScore
    solver_flops: float


def linear_probe(
    train: tuple[NDArray[np.floating], Labels],
    select: tuple[NDArray[np.floating], Labels],
    report: tuple[NDArray[np.floating], Labels],
) -> LinearProbe:
    """Multinomial logistic regression by L-BFGS, its penalty chosen by loss on ``select``, judged on ``report``.

    Each part is (features [N, D], labels [N]). Features are standardised by the training part. The setting says so
    where the penalty lies at the edge of what was tried, or where the solver stopped at its limit.

    Raises:
        RefusedError: the training part holds fewer than two classes.
    """
    mean, std = _moments(train[0])
    scaled = [((x - mean) / std, y) for x, y in (train, select, report)]
    if len(np.unique(train[1])) < 2:
        raise RefusedError("a linear probe needs training images of two classes or more")
    fits = [_logistic(*scaled[0], inverse_penalty=c, iterations=MOST_ITERATIONS) for c in INVERSE_PENALTIES]
    best = int(np.argmin([_mean_loss(_losses(fit, *scaled[1])) for fit, _ in fits]))
    fit, converged = fits[best]
    losses = _losses(fit, *scaled[2])
    top1 = float((fit.predict(scaled[2][0]) == report[1]).mean())
    iterations = sum(int(np.max(fitted.n_iter_)) for fitted, _ in fits)
    notes = [f"C = {INVERSE_PENALTIES[best]:g}"]
    notes += ["at the edge of what was tried"] * (best in (0, len(fits) - 1))
    notes += [] if converged else [f"stopped after {MOST_ITERATIONS} iterations"]
    loss = float(losses.mean()) if np.isfinite(losses).all() else None
    score = ProbeScore(probe="linear", top1=top1, loss=loss, setting=", ".join(notes))
    weights = train[0].shape[1] * len(fit.classes_)
    return LinearProbe(score, float(iterations) * len(train[1]) * weights * _FLOPS_PER_WEIGHT)


def head_of_features(x: Floats, y: Labels, *, num_outputs: int, iterations: int) -> tuple[Floats, Floats]:
    """Kernel [num_outputs, D] and bias [num_outputs] of a logistic regression on the features as they are.

    The penalty is over standardised features, and the standardisation is multiplied into the kernel. A class that is
    not in ``y`` is as likely as the least likely one that is; where there is one class only, all of the kernel is zero.
    """
    kernel, bias = np.zeros((num_outputs, x.shape[1])), np.zeros(num_outputs)
    classes = np.unique(y)
    if len(classes) < 2:
        return kernel, bias
    mean, std = _moments(x)
    fit, _ = _logistic((x - mean) / std, y, inverse_penalty=HEAD_INVERSE_PENALTY, iterations=iterations)
    # Of two classes scikit-learn fits one logit: half of it for the one, half against the other.
    coefficients, intercepts = fit.coef_, fit.intercept_
    if len(classes) == 2:
        coefficients, intercepts = np.vstack([-coefficients, coefficients]) / 2, np.r_[-intercepts, intercepts] / 2
    bias[:] = intercepts.min()
    kernel[classes] = coefficients / std
    bias[classes] = intercepts - kernel[classes] @ mean
    return kernel, bias


def head_loss(kernel: Floats, bias: Floats, x: NDArray[np.floating], y: Labels) -> float:
    """The mean cross-entropy, in nats, of a head on features [N, D] with labels [N]."""
    logits = x.astype(np.float64) @ kernel.T + bias
    logits -= logits.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y]))


def few_shot_probes(
    train: tuple[NDArray[np.floating], Labels],
    report: tuple[NDArray[np.floating], Labels],
    *,
    shots: Sequence[int] = FEW_SHOTS,
    seeds: Sequence[int] = FEW_SHOT_SEEDS,
) -> Iterator[ProbeScore]:
    """Ridge regression onto classes from a few images each, for every number of shots and every seed.

    Numbers of shots that some class does not have are left out.

    Source: big_vision evaluators/fewshot_lsr.py, with the shots, seeds and penalty of configs/common_fewshot.py.
    """
    x, y = train
    classes, counts = np.unique(y, return_counts=True)
    for seed in seeds:
        generator = np.random.default_rng(seed)
        members = [generator.permutation(np.flatnonzero(y == label)) for label in classes]
        for number in shots:
            if number > counts.min():
                continue
            chosen = np.concatenate([rows[:number] for rows in members])
            right = ridge_answers(x[chosen], y[chosen], report[0]) == report[1]
            setting = f"penalty {RIDGE_PENALTY:g}"
            yield ProbeScore(probe="few-shot", top1=float(right.mean()), shots=number, seed=seed, setting=setting)


def ridge_answers(
    x: NDArray[np.floating], y: Labels, queries: NDArray[np.floating], *, penalty: float = RIDGE_PENALTY
) -> Labels:
    """The class of every query by least squares with an L2 ``penalty`` onto targets of 1 and -1.

    Features are standardised by ``x``, and a constant of 100 joins them.
    """
    weights, classes, moments = _ridge(x, y, penalty)
    return classes[np.argmax(_with_bias(queries, moments) @ weights, axis=1)]


def knn_probe(
    train: tuple[NDArray[np.floating], Labels],
    report: tuple[NDArray[np.floating], Labels],
    *,
    neighbours: int = NEIGHBOURS,
    temperature: float = TEMPERATURE,
) -> ProbeScore:
    """Votes of the nearest training images by cosine similarity, each of weight exp(similarity / temperature).

    Source: Wu et al., arXiv 1805.01978, section 3.4; 20 neighbours as in DINO's evaluation (arXiv 2104.14294).
    """
    (x, y), (queries, answers) = train, report
    number = min(neighbours, len(y))
    known, hits = _normalised(x), []
    num_classes = int(max(y.max(), answers.max())) + 1
    for start in range(0, len(queries), _CHUNK):
        similarity = _normalised(queries[start : start + _CHUNK]) @ known.T
        nearest = np.argpartition(-similarity, number - 1, axis=1)[:, :number]
        weights = np.exp(np.take_along_axis(similarity, nearest, 1) / temperature)
        votes = np.zeros((len(similarity), num_classes))
        np.add.at(votes, (np.arange(len(votes))[:, None], y[nearest]), weights)
        hits.append(votes.argmax(axis=1) == answers[start : start + _CHUNK])
    setting = f"{number} neighbours, temperature {temperature:g}"
    return ProbeScore(probe="knn", top1=float(np.concatenate(hits).mean()), setting=setting)


def _logistic(x: Floats, y: Labels, *, inverse_penalty: float, iterations: int):
    """The fitted model, and whether its solver came to rest."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        fit = LogisticRegression(C=inverse_penalty, max_iter=iterations).fit(x, y)
    for warning in seen:
        if not issubclass(warning.category, ConvergenceWarning):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return fit, not any(issubclass(warning.category, ConvergenceWarning) for warning in seen)


def _losses(fit, x: Floats, y: Labels) -> Floats:
    """Cross-entropy of every example in nats; infinite where its class was never trained on."""
    log_probabilities = fit.predict_log_proba(x)
    place = {label: column for column, label in enumerate(fit.classes_)}
    columns = np.array([place.get(label, -1) for label in y])
    return np.where(columns < 0, np.inf, -log_probabilities[np.arange(len(y)), columns])


def _mean_loss(losses: Floats) -> float:
    """The mean over the classes that were trained on; infinite where there are none."""
    finite = losses[np.isfinite(losses)]
    return float(finite.mean()) if len(finite) else np.inf


def _ridge(x: NDArray[np.floating], y: Labels, penalty: float) -> tuple[Floats, Labels, tuple[Floats, Floats]]:
    moments = _moments(x)
    rows: Floats = _with_bias(x, moments)
    classes = np.unique(y)
    targets = np.where(y[:, None] == classes, 1.0, -1.0)
    if len(rows) >= rows.shape[1]:
        weights = np.linalg.solve(rows.T @ rows + penalty * np.eye(rows.shape[1]), rows.T @ targets)
    else:  # the same weights from the smaller of the two systems
        weights = rows.T @ np.linalg.solve(rows @ rows.T + penalty * np.eye(len(rows)), targets)
    return np.asarray(weights, dtype=np.float64), classes, moments


def _moments(x: NDArray[np.floating]) -> tuple[Floats, Floats]:
    wide: Floats = np.asarray(x, dtype=np.float64)
    return wide.mean(axis=0), wide.std(axis=0) + _STD_FLOOR


def _with_bias(x: NDArray[np.floating], moments: tuple[Floats, Floats]) -> Floats:
    mean, std = moments
    return np.pad((x - mean) / std, ((0, 0), (0, 1)), constant_values=_BIAS)


def _normalised(x: NDArray[np.floating]) -> Floats:
    wide: Floats = np.asarray(x, dtype=np.float64)
    return wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
