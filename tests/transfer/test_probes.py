"""Probes against closed forms and against scikit-learn, on features that are computed once."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from levelfield.compute.analytic import count
from levelfield.data.sources import open_source
from levelfield.data.transforms import to_float
from levelfield.families.base import Backbone
from levelfield.families.registry import parse
from levelfield.records.data import DigitsSpec, Split
from levelfield.records.errors import RefusedError, SpecError, StoreError
from levelfield.records.probe import ProbeSpec
from levelfield.records.probe_store import ProbeDirectory
from levelfield.study.execute.probe import run_probe
from levelfield.transfer import probes as probing
from levelfield.transfer.backbone import PretrainedBackbone, backbone_of_trial
from levelfield.transfer.features import features_of
from levelfield.transfer.probes import few_shot_probes, knn_probe, linear_probe, ridge_answers
from levelfield.transfer.surgery import assembled
from tests.transfer.conftest import CPU

DATA = DigitsSpec(resolution=16, select_examples=300, report_examples=400)


@pytest.fixture(scope="module")
def digits():
    """Pixels of scikit-learn's digits in three parts."""
    pixels, labels = load_digits(return_X_y=True)
    x, y = np.asarray(pixels, dtype=np.float32), np.asarray(labels, dtype=np.int64)
    order = np.random.default_rng(0).permutation(len(y))
    return tuple((x[rows], y[rows]) for rows in np.split(order, [900, 1300]))


def test_the_linear_probe_of_digits_is_scikit_learns(digits):
    train, select, report = digits
    found = linear_probe(train, select, report)
    scaler = StandardScaler().fit(train[0])
    x = scaler.transform(train[0])
    fits = {10.0**e: LogisticRegression(C=10.0**e, max_iter=1000).fit(x, train[1]) for e in range(-5, 2)}
    chosen = min(fits, key=lambda c: -np.log(_right(fits[c], scaler, select)).mean())
    assert found.score.setting == f"C = {chosen:g}"
    assert found.score.top1 == pytest.approx(fits[chosen].score(scaler.transform(report[0]), report[1]), abs=1 / 497)
    assert found.score.loss == pytest.approx(-np.log(_right(fits[chosen], scaler, report)).mean(), rel=1e-3)
    assert found.score.top1 > 0.95


def _right(fit, scaler, part):
    return fit.predict_proba(scaler.transform(part[0]))[np.arange(len(part[1])), part[1]]


def test_a_penalty_at_the_edge_of_the_grid_is_said_to_be_there(digits, monkeypatch):
    monkeypatch.setattr(probing, "INVERSE_PENALTIES", (1e-5, 1e-4))
    assert linear_probe(*digits).score.setting == "C = 0.0001, at the edge of what was tried"


def test_a_solver_that_stopped_early_is_said_to_have_done_so(digits, monkeypatch):
    monkeypatch.setattr(probing, "MOST_ITERATIONS", 2)
    assert "stopped after 2 iterations" in linear_probe(*digits).score.setting


def test_a_class_that_was_never_trained_on_leaves_no_loss(digits):
    train, select, report = digits
    seen = train[1] != 3
    score = linear_probe((train[0][seen], train[1][seen]), select, report).score
    assert score.loss is None
    assert 0.8 < score.top1 < 0.95
    with pytest.raises(RefusedError, match="two classes"):
        linear_probe((train[0][:1], train[1][:1]), select, report)


@pytest.mark.parametrize(("num_points", "num_features"), [(50, 12), (12, 50), (30, 30)])
def test_few_shot_ridge_is_the_closed_form_in_float64(num_points, num_features):
    draw = np.random.default_rng(num_points)
    x = draw.normal(2, 3, (num_points, num_features))
    y = np.concatenate([np.arange(4), draw.integers(0, 4, num_points - 4)])
    queries = draw.normal(2, 3, (500, num_features))
    found, classes, _ = probing._ridge(x, y, 1024.0)
    # The same minimum as least squares over rows that hold the penalty, solved by orthogonal factors.
    scaled = (x - x.mean(0)) / (x.std(0) + 1e-5)
    rows = np.concatenate([scaled, np.full((num_points, 1), 100.0)], axis=1)
    targets = np.array([[1.0 if label == c else -1.0 for c in range(4)] for label in y])
    ballast = np.concatenate([rows, 32 * np.eye(num_features + 1)])
    expected = np.linalg.lstsq(ballast, np.concatenate([targets, np.zeros((num_features + 1, 4))]), rcond=None)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-11)
    assert classes.tolist() == [0, 1, 2, 3]
    test = np.concatenate([(queries - x.mean(0)) / (x.std(0) + 1e-5), np.full((500, 1), 100.0)], axis=1)
    assert np.array_equal(ridge_answers(x, y, queries), (test @ expected).argmax(1))


def test_few_shots_are_drawn_by_seed_as_many_of_every_class(digits):
    train, _, report = digits
    scores = list(few_shot_probes(train, report))
    assert [(s.shots, s.seed) for s in scores] == [(n, seed) for seed in (0, 1, 2) for n in (1, 5, 10, 25)]
    assert scores == list(few_shot_probes(train, report))
    means = {n: np.mean([s.top1 for s in scores if s.shots == n]) for n in (1, 5, 10, 25)}
    assert means[1] < means[5] < means[25]
    assert means[25] > 0.85


def test_shots_that_a_class_does_not_have_are_left_out(digits):
    train, _, report = digits
    kept = np.sort(np.concatenate([np.flatnonzero(train[1] != 7), np.flatnonzero(train[1] == 7)[:6]]))
    scores = list(few_shot_probes((train[0][kept], train[1][kept]), report, seeds=(0,)))
    assert [score.shots for score in scores] == [1, 5]


def test_nearest_neighbours_vote_as_scikit_learns_do(digits):
    train, _, report = digits
    votes = KNeighborsClassifier(20, metric="cosine", algorithm="brute")
    votes.set_params(weights=lambda distance: np.exp((1 - distance) / 0.07)).fit(*train)
    assert knn_probe(train, report).top1 == pytest.approx(votes.score(*report), abs=1e-12)
    few = (train[0][:10], train[1][:10])
    assert "10 neighbours" in knn_probe(few, report).setting


@pytest.fixture
def probe(pretrained):
    backbone = backbone_of_trial(pretrained)
    return ProbeSpec(architecture=backbone.facts.architecture, start=backbone.identity, data=DATA), backbone


def test_features_are_those_of_the_network_and_are_computed_once(probe, tmp_path, monkeypatch):
    spec, backbone = probe
    source = open_source(DATA)
    found = features_of(spec, backbone, source, "train", folder=tmp_path, device=CPU)
    network = assembled(
        parse(spec.architecture), backbone.state, head=backbone.facts.head, resolution=16, in_channels=1
    )
    assert isinstance(network, Backbone)
    fields = source.batch("train", np.arange(source.split_sizes["train"])).fields
    with torch.no_grad():
        expected = network.features(to_float(torch.from_numpy(fields["image"]))).numpy()
    np.testing.assert_allclose(found.x, expected, rtol=1e-4, atol=1e-5)
    assert np.array_equal(found.y, fields["label"])
    monkeypatch.setattr("levelfield.transfer.features.assembled", None)
    again = features_of(spec, backbone, source, "train", folder=tmp_path, device=CPU)
    assert np.array_equal(again.x, found.x)
    assert np.array_equal(again.y, found.y)


def test_other_threads_have_features_of_their_own_so_that_a_probe_is_what_its_execution_gives(probe, tmp_path):
    spec, backbone = probe
    held = torch.get_num_threads()
    try:
        for threads in (1, 2, 2, 1):
            torch.set_num_threads(threads)
            features_of(spec, backbone, open_source(DATA), "report", folder=tmp_path, device=CPU)
    finally:
        torch.set_num_threads(held)
    assert len(list(tmp_path.iterdir())) == 2


def test_damaged_features_are_computed_again(probe, tmp_path):
    spec, backbone = probe
    source = open_source(DATA)
    found = features_of(spec, backbone, source, "report", folder=tmp_path, device=CPU)
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(kept.read_bytes()[:1000])
    again = features_of(spec, backbone, source, "report", folder=tmp_path, device=CPU)
    assert np.array_equal(again.x, found.x)


def test_other_weights_data_or_splits_have_features_of_their_own(probe, tmp_path):
    spec, backbone = probe
    turned = {name: -tensor for name, tensor in backbone.state.items()}
    others: list[tuple[ProbeSpec, PretrainedBackbone, DigitsSpec, Split]] = [
        (spec, backbone, DATA, "report"),
        (spec, backbone, DATA, "select"),
        (spec, backbone, dataclasses.replace(DATA, resolution=20), "report"),
        (spec, dataclasses.replace(backbone, state=turned, identity="weights:turned"), DATA, "report"),
    ]
    for number, (wanted, held, data, split) in enumerate(others, start=1):
        named = dataclasses.replace(wanted, start=held.identity, data=data)
        features_of(named, held, open_source(data), split, folder=tmp_path, device=CPU)
        assert len(list(tmp_path.iterdir())) == number
    with pytest.raises(SpecError, match="was given weights:turned"):
        features_of(spec, others[-1][1], open_source(DATA), "report", folder=tmp_path, device=CPU)


@pytest.mark.slow
def test_a_probe_is_published_with_what_it_cost(probe, tmp_path):
    spec, backbone = probe
    source = open_source(DATA)
    directory = ProbeDirectory(tmp_path / "probe")
    result = run_probe(spec, directory, source, backbone, features_folder=tmp_path / "features", device=CPU)
    assert directory.result() == result
    assert {score.probe for score in result.scores} == {"linear", "few-shot", "knn"}
    forward = count(spec.architecture, resolution=16, num_outputs=100, in_channels=1).forward_flops
    assert result.train_flops == (source.split_sizes["train"] + 300) * forward
    assert result.evaluate_flops == 400 * forward
    assert result.start_flops == backbone.train_flops
    assert result.solver_flops > 0
    linear = next(score for score in result.scores if score.probe == "linear")
    assert linear.top1 > 2 * result.chance_top1
    cold = ProbeDirectory(tmp_path / "cold")
    assert run_probe(spec, cold, source, backbone, features_folder=tmp_path / "other", device=CPU) == result


def test_a_probe_of_some_training_images_takes_the_same_ones_for_every_backbone(probe, tmp_path):
    spec, backbone = probe
    source = open_source(DATA)
    some = dataclasses.replace(spec, num_train=200, probes=("knn",))
    train = features_of(some, backbone, source, "train", folder=tmp_path, device=CPU)
    few, more = (train.subset(number, key=source.fingerprint) for number in (50, 200))
    assert len(few) == 50
    assert {row.tobytes() for row in few.x} <= {row.tobytes() for row in more.x}
    assert train.subset(10**6, key="any") is train
    result = run_probe(some, ProbeDirectory(tmp_path / "p"), source, backbone, features_folder=tmp_path, device=CPU)
    forward = count(spec.architecture, resolution=16, num_outputs=100, in_channels=1).forward_flops
    assert result.train_flops == 200 * forward
    with pytest.raises(RefusedError, match="is to take 5000 training images"):
        run_probe(
            dataclasses.replace(spec, num_train=5000),
            ProbeDirectory(tmp_path / "q"),
            source,
            backbone,
            features_folder=tmp_path,
            device=CPU,
        )


def test_a_directory_that_holds_another_probe_is_refused(probe, tmp_path):
    spec, _ = probe
    directory = ProbeDirectory(tmp_path)
    directory.open(spec)
    with pytest.raises(StoreError, match="another probe"):
        directory.open(dataclasses.replace(spec, probes=("knn",)))


def test_bfloat16_features_are_near_those_of_float32(probe, tmp_path):
    spec, backbone = probe
    source = open_source(DATA)
    plain = features_of(spec, backbone, source, "report", folder=tmp_path, device=torch.device("cpu"))
    half = features_of(
        dataclasses.replace(spec, dtype="bfloat16"), backbone, source, "report", folder=tmp_path, device=CPU
    )
    assert not np.array_equal(half.x, plain.x)
    assert np.abs(half.x - plain.x).max() < 0.1 * np.abs(plain.x).max()
