"""A long shelf is made short by frozen probes before it races."""

import numpy as np
import pytest
import torch

from levelfield.data.sources import open_source
from levelfield.families.registry import build, parse
from levelfield.records.errors import WeightsError
from levelfield.records.head import LinearHead
from levelfield.records.screened import ShelfScreen
from levelfield.records.sealed import read_record
from levelfield.records.store import StudyDirectory
from levelfield.study.race.screen import screen_shelf
from levelfield.study.race.shelf import shelf_of
from levelfield.study.run import run_study
from levelfield.study.spec_file import load_study
from levelfield.transfer.features import features_at
from levelfield.transfer.probes import head_loss
from tests.study.pictures import FOLDER_STUDY, write_folder

CPU = torch.device("cpu")


def test_the_loss_of_a_head_is_torchs_cross_entropy():
    rng = np.random.default_rng(0)
    x, y, kernel, bias = rng.normal(size=(9, 4)), rng.integers(0, 3, 9), rng.normal(size=(3, 4)), rng.normal(size=3)
    logits = torch.from_numpy(x @ kernel.T + bias)
    expected = torch.nn.functional.cross_entropy(logits, torch.from_numpy(y))
    assert head_loss(kernel, bias, x, y) == pytest.approx(float(expected))


@pytest.fixture
def shelf(tmp_path):
    """A study of a few seconds on a folder of images, and the weights of three of its trials."""
    write_folder(tmp_path / "images", seed=0)
    (tmp_path / "made.toml").write_text(FOLDER_STUDY)
    spec = load_study(tmp_path / "made.toml")
    run_study(spec, tmp_path / "made")
    places = [str(held) for held in sorted((tmp_path / "made/trials").iterdir())[:3]]
    assert len(StudyDirectory(tmp_path / "made").trials()) >= 3
    return places, spec.data


@pytest.mark.slow
def test_the_best_probes_of_a_shelf_go_on_and_their_order_is_that_of_their_losses(shelf):
    places, data = shelf
    source = open_source(data)
    screen = screen_shelf(shelf_of(places)[0], source, keep=2, device=CPU)
    losses = [each.loss for each in screen.weights]
    assert losses == sorted(losses)
    assert [each.kept for each in screen.weights] == [True, True, False]
    assert screen.num_select == source.split_sizes["select"]
    assert screen == screen_shelf(shelf_of(places)[0], source, keep=2, device=CPU), "twice the same"


@pytest.mark.slow
def test_a_race_says_which_of_many_weights_race_and_writes_it_down(shelf, invoke, tmp_path):
    places, _ = shelf
    asked = [word for place in places for word in ("--weights", place)]
    write_folder(tmp_path / "more", seed=0, count=150)
    race = ("race", tmp_path / "more", *asked, "--spend", "10", "--dir", tmp_path / "race")
    code, told, error = invoke(*race, "--screen", "1")
    assert code == 2, "ten FLOPs are too few for a race, which is seen after the screen"
    assert "the shortest race that tells anything" in error
    assert "3 weights, of which the 1 best by a probe of frozen features race" in told
    assert told.count("does not race") == 2
    kept = [each for each in read_record(ShelfScreen, tmp_path / "race/screen.json").weights if each.kept]
    assert len(kept) == 1
    code, _, error = invoke(*race, "--screen", "3")
    assert (code, "so all of them race; leave it out" in error) == (2, True)


@pytest.mark.slow
def test_features_that_are_not_finite_are_refused(shelf):
    _, data = shelf
    model = build(parse("vit:w8-d1-p4"), head=LinearHead(num_outputs=2), resolution=8, in_channels=3).eval()
    with torch.no_grad():
        next(iter(model.parameters())).fill_(float("nan"))
    with pytest.raises(WeightsError, match="not finite"):
        features_at(model, open_source(data), "select", np.arange(3), device=CPU)
