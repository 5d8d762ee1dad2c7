"""Networks of timm's as competitors: compute by timm's own figures and by hand, weights from timm, refusals."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.layers import EvoNorm2dB0
from torch import Tensor, nn
from torch.nn import functional as F

from levelfield.compute.analytic import count
from levelfield.data.loader import evaluation_batches
from levelfield.data.sources import open_source
from levelfield.data.transforms import to_float
from levelfield.families import registry
from levelfield.families.borrowed.weights import from_timm, to_timm
from levelfield.families.tensors import statistics_of, tensors_of, unknown_statistics
from levelfield.records.data import DigitPairsSpec
from levelfield.records.errors import SpecError
from levelfield.records.head import LinearHead
from levelfield.records.store import TrialDirectory
from levelfield.records.trial import TrialSpec
from levelfield.study.execute.trial import run_trial
from levelfield.study.plan.recipes import preset
from levelfield.train.loop import StepReport
from levelfield.weights.read import load_model
from levelfield.weights.write import save_timm
from tests.conftest import TINY_STUDY, one_complaint, run

TINY = "timm:convnextv2_atto,depths=1x1x1x1,dims=8x8x16x16,patch_size=1"


@pytest.mark.parametrize(
    ("name", "resolution", "millions", "giga_macs"),
    [
        # timm 1.0, results/model_metadata-in1k.csv and the model cards: parameters, MACs at the training resolution.
        ("convnextv2_atto", 224, 3.71, 0.55),
        ("convnext_tiny", 224, 28.59, 4.47),
        ("coatnext_nano_rw_224", 224, 14.70, 2.47),
        ("vit_small_patch16_224", 224, 22.05, 4.61),
        ("mixer_b16_224", 224, 59.88, 12.62),
        ("coatnet_0_rw_224", 224, 27.44, 4.43),
        # torchvision's tables of weights (num_params, _ops).
        ("resnet50", 224, 25.56, 4.089),
        ("efficientnet_b0", 224, 5.29, 0.386),
    ],
)
def test_parameters_and_macs_are_those_that_timm_publishes(name, resolution, millions, giga_macs) -> None:
    counted = count(f"timm:{name}", resolution=resolution, num_outputs=1000)
    assert counted.params / 1e6 == pytest.approx(millions, abs=0.006)
    assert counted.forward_macs / 1e9 == pytest.approx(giga_macs, rel=0.01)


def test_a_convnext_is_counted_layer_by_layer_as_by_hand() -> None:
    """The first stage has 40 channels on 56 x 56 positions; depthwise kernels have 7 x 7 weights a channel."""
    counted = count("timm:convnextv2_atto", resolution=224, num_outputs=1000)
    layers = {layer.name: layer for layer in counted.layers}
    block = "body.stages.0.blocks.0"
    assert layers["body.stem.0"].forward_macs == 56 * 56 * 40 * 3 * 4 * 4
    assert layers[f"{block}.conv_dw"].forward_macs == 56 * 56 * 40 * 7 * 7
    assert layers[f"{block}.mlp.fc1"].forward_macs == 56 * 56 * 40 * 160
    assert layers["head"].forward_macs == 320 * 1000
    assert [layer.name for layer in counted.layers if layer.takes_image] == ["body.stem.0"]
    # Backward: twice the forward, less the image's gradient; groups change nothing.
    assert counted.train_flops_per_example == 2 * (3 * counted.forward_macs - layers["body.stem.0"].forward_macs)


def test_attention_is_counted_where_it_is_computed() -> None:
    """Two products of 197 x 197 positions with 64 channels for each of 3 heads, in 12 blocks."""
    counted = count("timm:vit_tiny_patch16_224", resolution=224, num_outputs=1000)
    attention = [layer.forward_macs for layer in counted.layers if layer.kind == "attention"]
    assert attention == [2 * 3 * 197 * 197 * 64] * 12


def test_the_backward_of_a_depthwise_convolution_is_charged_as_autograd_computes_it() -> None:
    """A convolution in 8 groups is 8 convolutions of one group, for which torch's counter is right."""
    from torch.utils.flop_counter import FlopCounterMode

    part = nn.Conv2d(1, 1, 7, padding=3)
    with FlopCounterMode(display=False) as counter:
        part(torch.randn(1, 1, 16, 16, requires_grad=True)).sum().backward()
    layers = {layer.name: layer for layer in count(TINY, resolution=16, num_outputs=5).layers}
    assert 8 * counter.get_total_flops() == 3 * 2 * layers["body.stages.0.blocks.0.conv_dw"].forward_macs


def test_roles_follow_shapes_and_names() -> None:
    spec = registry.parse("timm:coatnext_nano_rw_224")
    with torch.device("meta"):
        network = registry.build(spec, num_outputs=5, resolution=224)
    roles = {name: registry.parameter_role(spec, name) for name, _ in network.named_parameters()}
    assert roles["body.stem.conv1.weight"] == "kernel"
    assert roles["body.stages.0.blocks.0.conv_dw.weight"] == "kernel"
    assert roles["body.stages.0.blocks.0.conv_dw.bias"] == "bias"
    assert roles["body.stages.2.blocks.0.attn.rel_pos.relative_position_bias_table"] == "token"
    assert {role for name, role in roles.items() if "norm" in name} == {"norm"}
    depths = [registry.parameter_depth(spec, name) for name in roles]
    assert depths == sorted(depths), "the modules stand in the order of the forward pass"
    assert registry.parameter_depth(spec, "body.stem.conv1.weight") == 0
    assert registry.parameter_depth(spec, "head.weight") == max(depths) == 1 + len(set(depths)) - 2


def test_a_batch_norm_is_a_norm_and_a_shortcut_lies_in_its_block() -> None:
    spec = registry.parse("timm:resnet26t")
    assert {registry.parameter_role(spec, f"body.layer1.0.bn1.{leaf}") for leaf in ("weight", "bias")} == {"norm"}
    places = {"conv1.0": 0, "layer1.0.conv1": 1, "layer2.0.downsample.1": 3, "layer2.0.bn1": 3, "layer4.1.conv3": 8}
    for name, depth in places.items():
        assert registry.parameter_depth(spec, f"body.{name}.weight") == depth
    assert registry.parameter_depth(spec, "head.weight") == 9
    kinds = {layer.name: layer.kind for layer in registry.list_body(spec, resolution=64).layers}
    assert (kinds["body.conv1.1"], kinds["body.layer1.0.bn1"]) == ("batch_norm", "batch_norm")


def test_kernels_of_recurrent_layers_are_kernels() -> None:
    spec = registry.parse("timm:sequencer2d_s")
    recurrent = "body.stages.0.blocks.0.rnn_tokens.rnn_v"
    assert registry.parameter_role(spec, f"{recurrent}.weight_ih_l0_reverse") == "kernel"
    assert registry.parameter_role(spec, f"{recurrent}.bias_ih_l0_reverse") != "kernel"


@pytest.mark.parametrize(
    "name",
    [
        "convnextv2_atto",
        "coatnext_nano_rw_224",
        "vit_tiny_patch16_224",
        "mambaout_femto",
        "resnet50",
        "efficientnet_b0",
        "coatnet_0_rw_224",
    ],
)
def test_weights_of_timms_give_its_logits_and_go_back(name: str) -> None:
    torch.manual_seed(0)
    theirs = timm.create_model(name, num_classes=7).eval()
    with torch.no_grad():
        for tensor in tensors_of(theirs).values():
            tensor.add_(0.02 * torch.rand_like(tensor))
    ours = registry.build(f"timm:{name}", num_outputs=7, resolution=224).eval()
    with torch.no_grad():
        converted: dict[str, Tensor] = from_timm(theirs.state_dict(), ours)  # pyright: ignore[reportArgumentType]
        for key, tensor in tensors_of(ours).items():
            tensor.copy_(converted[key])
        images = torch.randn(2, 3, 224, 224)
        torch.testing.assert_close(ours(images), theirs(images))
    back = to_timm(ours)  # pyright: ignore[reportArgumentType]
    state = tensors_of(theirs)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], state[key]) for key in state)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("timm:convnextv2_ato", "did you mean 'convnextv2_atto'"),
        ("timm:convnextv2_atto,dpths=1", "timm cannot build .*dpths"),
    ],
)
def test_what_cannot_compete_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        count(text, resolution=32, num_outputs=5)


def test_statistics_that_are_not_batchnorms_are_known() -> None:
    network = nn.Sequential(nn.BatchNorm2d(8), EvoNorm2dB0(8), nn.BatchNorm2d(8, track_running_stats=False))
    assert unknown_statistics(network) == ["1.running_var", "2"]


LARGE = [
    pytest.param("timm:resnet18", 32, marks=pytest.mark.slow),
    *(
        pytest.param(f"timm:{name}", 32, marks=pytest.mark.acceptance)
        for name in ("resnet50", "efficientnet_b0", "coatnet_0_rw_224")
    ),
]


@pytest.mark.parametrize(("text", "resolution"), [(TINY, 16), *LARGE])
def test_a_trial_of_one_resumes_bit_for_bit_and_leaves_a_backbone(text: str, resolution: int, tmp_path: Path) -> None:
    data = DigitPairsSpec(resolution=resolution, select_examples=64, report_examples=64)
    spec = TrialSpec(
        architecture=text,
        data=data,
        recipe=preset("vit-short", peak_lr=0.01, override={"stochastic_depth": 0.2, "dropout": 0.1}),
        head=LinearHead(num_outputs=100),
        budget_flops=1e8,
        global_batch_size=8,
        steps=6,
    )
    source, device = open_source(data), torch.device("cpu")

    def stop(report: StepReport) -> None:
        if report.step == 4:
            raise KeyboardInterrupt

    whole, cut = TrialDirectory(tmp_path / "whole"), TrialDirectory(tmp_path / "cut")
    wanted = run_trial(spec, whole, source, device=device, keeps_weights=True)
    with pytest.raises(KeyboardInterrupt):
        run_trial(spec, cut, source, device=device, keeps_weights=True, checkpoint_seconds=0.0, on_step=stop)
    assert run_trial(spec, cut, source, device=device, keeps_weights=True) == wanted
    assert cut.weights_path.read_bytes() == whole.weights_path.read_bytes()
    counted = count(text, resolution=resolution, num_outputs=100, in_channels=1)
    assert wanted.train_flops == counted.train_flops(48) + counted.statistics_flops
    assert (counted.statistics_flops > 0) == (text != TINY)
    tuned = load_model(whole.path)
    assert (tuned.card.architecture, tuned.card.num_outputs) == (registry.parse(text).text, 100)
    call = save_timm(tuned, tmp_path / "theirs.safetensors")
    theirs = timm.create_model(call.name, **call.arguments, checkpoint_path=str(tmp_path / "theirs.safetensors")).eval()
    (held_out,) = evaluation_batches(source, "select", 64)
    with torch.no_grad():
        loss = F.cross_entropy(theirs(to_float(held_out.fields["image"])), held_out.fields["label"])
    assert loss.item() == pytest.approx(wanted.held_out["select"].values["loss"], rel=1e-4)


@pytest.mark.parametrize("name", ["convnextv2_atto", "resnet18", "efficientnet_b0"])
def test_a_checkpoint_of_timms_is_read_with_what_timm_feeds_it(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = timm.create_model(name, num_classes=7).eval()
    for statistic in statistics_of(theirs).values():
        statistic.add_(torch.rand_like(statistic))
    save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    loaded = load_model(tmp_path / "theirs.safetensors", arch=f"timm:{name}", resolution=64)
    config = timm.get_pretrained_cfg(name)
    assert config is not None
    assert (loaded.preprocessing.mean, loaded.preprocessing.crop_pct) == (config.mean, config.crop_pct)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(images), theirs(images))
    call = save_timm(loaded, tmp_path / "ours.safetensors")
    back = timm.create_model(call.name, num_classes=7, checkpoint_path=str(tmp_path / "ours.safetensors"))
    for key, tensor in tensors_of(back).items():
        assert torch.equal(tensor, theirs.state_dict()[key])


@pytest.mark.slow
def test_a_study_races_one_under_a_name_of_its_own(tmp_path: Path) -> None:
    study = TINY_STUDY.replace('name = "nfnet"', 'name = "convnextv2"').replace(
        'recipe = "nfnet-short"', 'recipe = "vit-short"'
    )
    path = tmp_path / "study.toml"
    path.write_text(
        study.replace("nfnet:w4-d1-s4", "timm:convnextv2_atto,depths=1x1x1x1,dims=4x4x4x4")
        .replace("= 16", "= 32")
        .replace("1.36e8", "1.36e9")
    )
    done = run("plan", path, "--no-calibrate")
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("convnextv2\t")).split("\t")
    assert row[2:4] == ["timm:convnextv2_atto,depths=1x1x1x1,dims=4x4x4x4", "2,364"]
    path.write_text(TINY_STUDY.replace("nfnet:w4-d1-s4", "vit:w4-d1-p8"))
    assert "is not of family 'nfnet'" in one_complaint(run("plan", path, "--no-calibrate"), 2)


@pytest.mark.slow
def test_without_timm_its_family_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['timm'] = None\n"
        "from levelfield.compute.analytic import count\n"
        "from levelfield.records.errors import SpecError\n"
        "try: count('timm:convnextv2_atto', resolution=32, num_outputs=5)\n"
        "except SpecError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'levelfield[timm]'" in done.stdout


def test_a_lack_of_memory_is_told_as_one_and_not_as_a_network_that_cannot_be(monkeypatch):
    def without_memory(*arguments, **options):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")

    monkeypatch.setattr(timm, "create_model", without_memory)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        registry.build("timm:resnet10t,stem_width=24", num_outputs=3, resolution=32)
