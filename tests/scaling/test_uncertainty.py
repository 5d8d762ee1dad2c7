"""The noise of runs and of held-out examples."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from levelfield.records.errors import InputError
from levelfield.scaling.noise.uncertainty import (
    effective_examples,
    example_covariance,
    noise_of,
    pooled_sd,
)
from levelfield.scaling.verdicts.contrasts import Seconds, Statement, evidence_of, simultaneous_band
from levelfield.scaling.verdicts.margins import (
    PlannedNoise,
    smallest_decidable_gap,
    smallest_decidable_margin,
)
from tests.narrowed import present
from tests.scaling.planted import winner_rows, with_examples


def test_the_pooled_sd_is_within_cells_alone():
    sd, degrees = pooled_sd([[0.0, 2.0], [100.0, 102.0], [7.0]])
    assert sd == pytest.approx(math.sqrt(2))
    assert degrees == 2
    assert pooled_sd([[1.0], [2.0]]) == (None, 0.0)


def test_the_noise_model_agrees_with_the_slow_bootstrap_of_runs_and_examples():
    generator = np.random.default_rng(3)
    rows = winner_rows(generator, budgets=(1e11,), seed_sd=0.0, seeds=12)
    _, held = with_examples(rows, generator, num_examples=400)
    cells = [[held[row.run] for row in rows if row.family == family] for family in ("nfnet", "vit")]
    log_losses = [[math.log(run.mean(dtype=np.float64)) for run in cell] for cell in cells]
    noise = noise_of(
        log_losses,
        runs=[[row.run for row in rows if row.family == family] for family in ("nfnet", "vit")],
        held_out_losses=held,
    )
    error = noise.standard_errors(np.array([[1.0, -1.0]]))[0]
    differences = []
    for _ in range(1500):
        examples = generator.integers(0, 400, 400)
        means = []
        for cell in cells:
            runs = generator.integers(0, len(cell), len(cell))
            means.append(np.mean([math.log(cell[run][examples].mean(dtype=np.float64)) for run in runs]))
        differences.append(means[0] - means[1])
    assert error == pytest.approx(np.std(differences), rel=0.12)


def test_few_images_to_train_on_widen_what_is_known_of_others_like_them():
    generator = np.random.default_rng(6)
    rows = winner_rows(generator, budgets=(1e11,), seed_sd=0.002)
    _, held = with_examples(rows, generator, num_examples=400)
    cells = [[row for row in rows if row.family == family] for family in ("nfnet", "vit")]
    told = {
        "log_losses": [[math.log(held[row.run].mean(dtype=np.float64)) for row in cell] for cell in cells],
        "runs": [[row.run for row in cell] for cell in cells],
        "held_out_losses": held,
    }
    apart = np.array([[1.0, -1.0]])
    free = noise_of(**told).example_variances(apart)
    assert noise_of(**told, trained_on=[None, None]).example_variances(apart) == free
    assert noise_of(**told, trained_on=[320.0, 320.0]).example_variances(apart) == pytest.approx(free * (1 + 400 / 320))
    one = noise_of(**told, trained_on=[320.0, None]).example_variances(apart)
    assert free < one


def test_an_interval_that_ignores_the_pairing_of_examples_is_several_times_too_wide():
    generator = np.random.default_rng(4)
    rows = winner_rows(generator, budgets=(1e11,), seed_sd=0.002)
    judged, held = with_examples(rows, generator, num_examples=2000, disagreement=0.1)
    cells = [[held[row.run] for row in judged if row.family == family] for family in ("nfnet", "vit")]
    shared = example_covariance(cells)
    paired = math.sqrt(shared[0, 0] + shared[1, 1] - 2 * shared[0, 1])
    unpaired = math.sqrt(shared[0, 0] + shared[1, 1])
    assert unpaired > 5 * paired


def test_the_paired_interval_covers_the_true_difference_and_neither_half_of_it_would():
    """Runs and examples both move the difference; an interval over seeds alone, or of few seeds alone, fails."""
    hits, seeds_only = 0, 0
    num = 200
    for place in range(num):
        generator = np.random.default_rng([11, place])
        rows = winner_rows(generator, budgets=(1e11, 4e11), seed_sd=0.005)
        judged, held = with_examples(rows, generator, num_examples=500)
        keys = sorted({(row.family, row.budget_flops) for row in judged})
        cells = [[row for row in judged if (row.family, row.budget_flops) == key] for key in keys]
        noise = noise_of(
            [[math.log(row.loss) for row in cell] for cell in cells],
            runs=[[row.run for row in cell] for cell in cells],
            held_out_losses=held,
        )
        means = np.array([np.mean([math.log(row.loss) for row in cell]) for cell in cells])
        weights = np.array([[1.0, 0.0, -1.0, 0.0]])
        estimate, error = float((weights @ means)[0]), float(noise.standard_errors(weights)[0])
        hits += abs(estimate) < 1.65 * error
        seeds_only += abs(estimate) < 1.86 * present(noise.seed_sd) * math.sqrt(2 / 3)
    print(f"coverage at 0.9: runs x examples {hits / num}, seeds alone {seeds_only / num}")
    assert 0.83 <= hits / num <= 0.96
    assert seeds_only / num < 0.6


def test_per_example_losses_of_another_evaluation_are_an_error():
    rows = winner_rows(np.random.default_rng(0), budgets=(1e11,))
    judged, held = with_examples(rows, np.random.default_rng(0), num_examples=50)
    keys, losses = [[row.run for row in judged]], [[math.log(row.loss) for row in judged]]
    noise_of(losses, runs=keys, held_out_losses=held)
    with pytest.raises(InputError, match=r"average .* but its loss is"):
        noise_of([[loss + 0.1 for loss in losses[0]]], runs=keys, held_out_losses=held)
    with pytest.raises(InputError, match="the same examples for every run"):
        noise_of(losses, runs=keys, held_out_losses={**held, judged[0].run: held[judged[0].run][:-1]})


def test_a_loss_carried_by_five_images_counts_few_effective_examples():
    losses = np.full(360, 0.001)
    losses[:5] = 4.0
    assert effective_examples(losses) < 6
    assert effective_examples(np.full(360, 0.3)) == pytest.approx(360)


@pytest.mark.slow
def test_equal_families_are_called_equivalent_at_the_smallest_decidable_margin_with_the_stated_power():
    generator = np.random.default_rng(5)
    seeds, seed_sd, example_sd, num_examples = 3, 0.02, 1.0, 20000
    planned = PlannedNoise(
        seed_sd=seed_sd, num_seeds=seeds, example_sd=example_sd, num_examples=num_examples, controls=False
    )
    margin, gap = smallest_decidable_margin(planned, power=0.8), smallest_decidable_gap(planned, power=0.8)
    num, weights, known = 600, np.array([1.0, -1.0]), example_sd**2 / num_examples
    difference = Statement(a="a", b="b", place=1.0, weights=weights, seconds_weights=np.zeros(2))
    equivalent = better = 0
    for _ in range(num):
        losses = seed_sd * generator.standard_normal((2, seeds))
        noise = noise_of(losses.tolist(), places=[("a", 1.0), ("b", 1.0)])
        noise = dataclasses.replace(noise, example_covariance=np.eye(2) * known / 2)
        means = losses.mean(axis=-1) + math.sqrt(known / 2) * generator.standard_normal(2)
        seconds = Seconds(sd=0.0, num_runs=np.ones(2))
        evidence = evidence_of(means, noise, seconds, np.random.default_rng(1), num_draws=999)
        judged = simultaneous_band([difference], evidence, level=0.9).judge(difference)
        equivalent += abs(judged.estimate) + judged.inner < margin
        better += judged.estimate - gap < -judged.outer
    assert equivalent / num == pytest.approx(0.8, abs=0.05)
    assert better / num == pytest.approx(0.8, abs=0.05)


@pytest.mark.slow
def test_the_smallest_decidable_margin_shrinks_with_seeds_and_examples_and_is_infinite_with_one_seed():
    def margin(num_seeds, num_examples):
        planned = PlannedNoise(
            seed_sd=0.02, num_seeds=num_seeds, example_sd=1.0, num_examples=num_examples, num_rungs=5
        )
        return smallest_decidable_margin(planned)

    assert margin(6, 20000) < margin(3, 20000) < margin(3, 2000)
    assert margin(1, 20000) == math.inf


def by_family_and_rung(sds, seeds, place: int):
    """The noise of families a and b on five rungs, noise and seeds given cell by cell."""
    generator = np.random.default_rng([17, place])
    losses = [(sd * generator.standard_normal(num)).tolist() for sd, num in zip(sds, seeds, strict=True)]
    return losses, noise_of(losses, places=[(family, 10.0**rung) for rung in range(5) for family in ("a", "b")])


def test_a_noisy_family_of_few_seeds_is_not_judged_by_a_calm_one_of_many():
    found = [by_family_and_rung([0.05, 0.01] * 5, [3, 8] * 5, place) for place in range(30)]
    noisy, calm = (np.mean([noise.run_sds[side::2] for _, noise in found], axis=0) for side in (0, 1))
    assert noisy == pytest.approx(np.full(5, 0.05), rel=0.15)
    assert calm == pytest.approx(np.full(5, 0.01), rel=0.15)
    losses, noise = found[0]
    assert noise.seed_sd is not None
    assert noise.seed_sd < 0.035, "pooled over the study the calm seeds dominate"
    assert np.ptp(noise_of(losses).run_sds) == 0, "without places all cells are alike"


def test_noise_that_falls_with_compute_is_seen_to_fall():
    sds = np.repeat([0.06, 0.03, 0.015, 0.008, 0.005], 2)
    found = [by_family_and_rung(sds, [3] * 10, place)[1] for place in range(30)]
    shown = np.exp(np.mean([np.log(noise.run_sds) for noise in found], axis=0))
    assert shown == pytest.approx(sds, rel=0.45)
    covariance = found[0].covariance([0, 8])
    assert covariance is not None
    assert covariance[0, 0] == pytest.approx(found[0].run_sds[0] ** 2 / 3)


def test_the_noise_of_one_group_of_seeds_is_that_of_student():
    noise = noise_of([[0.0, 0.01, 0.03]])
    variances, degrees = noise.seed_variances(np.ones((1, 1)))
    assert variances[0] == pytest.approx(np.var([0.0, 0.01, 0.03], ddof=1) / 3, rel=0.05)
    assert degrees[0] == pytest.approx(2, rel=0.1)


def test_no_contrast_is_known_better_than_seeds_allow_where_the_share_of_examples_comes_out_negative():
    """Examples that cells find hard alike, and seeds that disagree on each more than cells do."""
    rng = np.random.default_rng(0)
    hard = rng.standard_exponential(1000)
    profiles = [[hard + 0.3 * rng.standard_exponential(1000) for _ in range(3)] for _ in range(6)]
    held_out = {f"{cell}.{seed}": losses for cell, runs in enumerate(profiles) for seed, losses in enumerate(runs)}
    sds = 1e-4 * np.array([-1.0, 0.0, 1.0])
    for run, losses in held_out.items():
        held_out[run] = losses / losses.mean() * math.exp(sds[int(run[-1])])
    log_losses = [[math.log(held_out[f"{cell}.{seed}"].mean()) for seed in range(3)] for cell in range(6)]
    runs = [[f"{cell}.{seed}" for seed in range(3)] for cell in range(6)]
    noise = noise_of(log_losses, runs=runs, held_out_losses=held_out)
    plain, positive = (found(range(6)) for found in (noise.covariance, noise.positive_covariance))
    assert plain is not None
    assert positive is not None
    least = float((noise.run_sds**2 / noise.num_seeds).min())
    assert np.linalg.eigvalsh(plain)[0] < 0
    assert np.linalg.eigvalsh(positive)[0] == pytest.approx(least, rel=1e-3)
