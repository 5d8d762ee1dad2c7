"""A backbone with BatchNorm: its statistics travel with it, and what is trained from it ends with its own."""

import pytest
import torch

from levelfield.compute.analytic import count
from levelfield.data.sources import open_source
from levelfield.families.tensors import is_statistic
from levelfield.inference.labelled import judged_resolution, score_trial
from levelfield.records.data import DigitsSpec
from levelfield.records.errors import SpecError
from levelfield.records.probe import ProbeSpec
from levelfield.records.store import TrialDirectory
from levelfield.study.execute.backbones import backbone_at, model_at
from levelfield.study.execute.finetune import finetune, finetune_spec
from levelfield.transfer.backbone import backbone_of_trial, open_backbone
from levelfield.transfer.features import features_of
from levelfield.weights.kept import weights_of_trial
from levelfield.weights.read import load_model
from levelfield.weights.write import save_safetensors
from tests.transfer.conftest import CPU

DATA = DigitsSpec(resolution=16, select_examples=100, report_examples=200)
STEPS, BATCH = 6, 8
SHARED = {"sam_rho": 0.05, "sam_fraction": 0.5, "dropout": 0.2, "ema_fraction": 0.5, "ghost_batch_size": 4}
pytestmark = pytest.mark.parametrize("pretrained", ["batch-norm"], indirect=True)


@pytest.fixture(scope="module")
def source():
    return open_source(DATA)


def spec_for(backbone, source, **override):
    return finetune_spec(
        backbone,
        DATA,
        source,
        recipe="short-sam",
        length=f"{STEPS} steps",
        global_batch_size=BATCH,
        override={**SHARED, **override},
        test_resolution=24,
    )


@pytest.mark.slow
def test_fine_tuning_ends_with_statistics_of_its_own_and_pays_for_them(pretrained, source, tmp_path):
    """Judged at another side than trained, evaluated again to the same loss, and remade where they were not kept."""
    backbone = backbone_of_trial(pretrained)
    spec = spec_for(backbone, source)
    result = finetune(spec, backbone, source, tmp_path / "run", device=CPU)
    counted = count(backbone.facts.architecture, resolution=16, num_outputs=10, in_channels=1)
    trained = STEPS * (BATCH + 4) * counted.train_flops_per_example
    assert result.train_flops == trained + 1024 * counted.forward_flops == spec.budget_flops
    kept = weights_of_trial(tmp_path / "run").state
    statistics = [name for name in kept if is_statistic(name)]
    assert len(statistics) == 2 * len({name.rpartition(".")[0] for name in statistics}) > 10
    assert not any(torch.equal(kept[name], backbone.state[name]) for name in statistics)
    loaded = model_at(tmp_path / "run", device=CPU, resolution=judged_resolution(tmp_path / "run"))
    found, _, _ = score_trial(tmp_path / "run", loaded, device=CPU)
    assert found.loss.estimate == pytest.approx(result.held_out["report"].values["loss"], rel=1e-5)


def test_a_pretrained_network_without_kept_weights_is_remade_to_the_last_statistic(pretrained, tmp_path):
    written = TrialDirectory(pretrained).weights_path.read_bytes()
    TrialDirectory(pretrained).weights_path.unlink()
    backbone_at(pretrained, device=CPU)
    assert TrialDirectory(pretrained).weights_path.read_bytes() == written


def test_features_are_those_of_its_statistics_whatever_stands_beside_them(pretrained, source, tmp_path):
    loaded = load_model(pretrained)
    save_safetensors(loaded, tmp_path / "net.safetensors")
    backbone = open_backbone(tmp_path / "net.safetensors")
    assert backbone.digest == backbone_of_trial(pretrained).digest
    spec = ProbeSpec(start=backbone.identity, architecture=backbone.facts.architecture, data=DATA, probes=("knn",))
    found = features_of(spec, backbone, source, "select", folder=tmp_path, device=CPU)
    whole = source.batch("select", torch.arange(100).numpy())
    one = (torch.as_tensor(whole.fields["image"][3:4]).float() / 255 - 0.46) / 0.17
    with torch.no_grad():
        alone = loaded.model.features(one)  # pyright: ignore[reportCallIssue]
    torch.testing.assert_close(torch.from_numpy(found.x[3:4]), alone, rtol=1e-4, atol=1e-5)


def test_an_ascent_that_would_cut_a_statistic_is_refused(pretrained, source, tmp_path):
    backbone = backbone_of_trial(pretrained)
    with pytest.raises(SpecError, match="a divisor of the 4 examples of a SAM ascent"):
        spec_for(backbone, source, ghost_batch_size=8)
    with pytest.raises(SpecError, match="say by ghost_batch_size how many share one"):
        finetune_spec(backbone, DATA, source, recipe="short-sam", length="6 steps")
