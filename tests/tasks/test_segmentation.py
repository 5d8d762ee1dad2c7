"""The class of every pixel: loss, gradient and scores are those of straight lines, whatever the head stands on."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import confusion_matrix, jaccard_score
from torch import nn

from levelfield.compute.analytic import count
from levelfield.compute.count import trace
from levelfield.data.loader import evaluation_batches
from levelfield.data.sources import open_source
from levelfield.data.transforms import to_float
from levelfield.families.base import Backbone
from levelfield.families.pixels import PixelClassifier, resampled, resampling
from levelfield.families.registry import build
from levelfield.records.data import MaskedImagesSpec, Split
from levelfield.records.errors import SpecError
from levelfield.records.head import PixelHead
from levelfield.records.trial import RecipeSpec
from levelfield.tasks.segmentation import Segmentation
from levelfield.testing.tasks import check_task
from levelfield.train.evaluate import batch_judged, evaluate
from tests.masked_pictures import rows, write_parquet
from tests.narrowed import of_kind, present

HEAD = PixelHead(num_outputs=3, output_stride=8)
NETWORKS = ("nfnet:w8-d1x1-s4", "vit:w16-d1-p16", "vit:w16-d1-p4,pool=map", "vit:w16-d1-p8,pool=token")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = write_parquet(tmp_path_factory.mktemp("masks") / "bars.parquet", rows())
    return open_source(
        MaskedImagesSpec(
            path=str(path),
            mask_column="mask",
            split_column="split",
            sequence_column="file",
            stretch=2,
            resolution=32,
        )
    )


def batch_of(source, split: Split = "report", size=8):
    return next(iter(evaluation_batches(source, split, size)))


def test_the_task_conforms(source):
    check_task(Segmentation(), source)


@pytest.mark.parametrize("architecture", NETWORKS)
@pytest.mark.parametrize("resolution", [32, 48])
def test_every_layer_of_a_pixel_network_is_counted(architecture, resolution):
    counted = count(architecture, resolution=resolution, head=HEAD)
    traced = trace(architecture, resolution=resolution, head=HEAD)
    assert counted.params == traced.params
    assert counted.forward_flops == traced.forward_flops


@pytest.mark.parametrize(("old", "new"), [(4, 9), (3, 24), (9, 4), (8, 2), (5, 5), (1, 6)])
def test_maps_are_brought_to_another_grid_as_torch_does(old, new):
    x = torch.randn(2, 3, old, old, generator=torch.Generator().manual_seed(0))
    if new <= old:
        expected = F.interpolate(x, size=(new, new), mode="area")
    else:
        expected = F.interpolate(x, size=(new, new), mode="bilinear", align_corners=False)
    assert torch.allclose(resampled(x, resampling(old, new)), expected, atol=1e-6)


@pytest.mark.parametrize("architecture", NETWORKS[:2])
def test_loss_and_gradient_are_those_of_a_straight_line(source, architecture):
    """Batch norm, 1x1 convolution, interpolation and cross-entropy, with nothing of ours but the feature map."""
    batch, task = batch_of(source), Segmentation()
    recipe = RecipeSpec(preset="check", optimizer="sgd", peak_lr=0.1, label_smoothing=0.1)
    torch.manual_seed(1)
    network = build(architecture, head=HEAD, resolution=32).train()
    images, mask = to_float(batch.fields["image"]), batch.fields["mask"]
    valid = torch.ones(len(mask), dtype=torch.bool)
    loss = task.loss(network(images), batch.fields, valid, recipe) / task.weight(batch.fields, valid)
    loss.backward()
    ours = {name: present(each.grad).clone() for name, each in network.named_parameters()}

    network.zero_grad()
    assert isinstance(network, Backbone)
    norm, conv = nn.BatchNorm2d(network.num_features), of_kind(PixelClassifier, network.head).conv
    cells = F.interpolate(network.feature_map(images), size=(4, 4), mode="bilinear", align_corners=False)
    logits = F.interpolate(conv(norm(cells)), size=(32, 32), mode="bilinear", align_corners=False)
    pixels = logits.permute(0, 2, 3, 1)[mask != 255]
    straight = F.cross_entropy(pixels, mask[mask != 255].long(), label_smoothing=0.1)
    straight.backward()
    assert loss.item() == pytest.approx(straight.item(), rel=1e-6)
    theirs = {name: each.grad for name, each in network.named_parameters() if each.grad is not None}
    theirs |= {"head.norm.weight": norm.weight.grad, "head.norm.bias": norm.bias.grad}
    assert theirs.keys() == ours.keys()
    rounding = 1e-6 * max(float(each.abs().max()) for each in ours.values())
    for name, gradient in ours.items():
        assert torch.allclose(gradient, present(theirs[name]), rtol=1e-5, atol=rounding), name


def test_scores_are_those_of_scikit_learn(source):
    """On every picture, and on all of them together, from one confusion matrix."""
    torch.manual_seed(2)
    network = build("nfnet:w8-d1", head=HEAD, resolution=32).train()
    network(to_float(batch_of(source).fields["image"]))
    judged = evaluate(
        network, Segmentation(), source, "report", device=torch.device("cpu"), dtype="float32", batch_size=4
    )
    whole = batch_of(source, size=16)
    said = network.eval()(to_float(whole.fields["image"])).argmax(1).numpy()
    true = whole.fields["mask"].numpy()
    inside = true != 255
    assert len(np.unique(said[inside])) > 1, "the network says more than one class"
    for picture in range(16):
        own = true[picture][inside[picture]], said[picture][inside[picture]]
        assert (present(judged.tallies)[picture] == confusion_matrix(*own, labels=range(3))).all()
        assert judged.each["image mIoU"][picture] == pytest.approx(jaccard_score(*own, average="macro"), rel=1e-6)
        assert judged.each["pixel error"][picture] == pytest.approx((own[0] != own[1]).mean(), rel=1e-5)
    matrix = confusion_matrix(true[inside], said[inside], labels=range(3))
    ious = np.diag(matrix) / (matrix.sum(0) + matrix.sum(1) - np.diag(matrix))
    assert present(judged.mean.whole)["mIoU"] == pytest.approx(ious.mean(), rel=1e-12)
    assert judged.mean.values["image mIoU"] == pytest.approx(judged.each["image mIoU"].mean(), rel=1e-6)
    assert sorted(set(present(judged.stretch).tolist())) == list(range(8))


def test_answers_to_a_batch_stay_small():
    assert batch_judged(HEAD, 32) == 512
    assert batch_judged(PixelHead(num_outputs=150, output_stride=8), 512) == 1
    assert batch_judged(PixelHead(num_outputs=11, output_stride=8), 96) == 64


def test_a_network_that_hands_out_no_map_is_refused():
    pytest.importorskip("timm")
    with pytest.raises(SpecError, match="hands out pooled ones alone"):
        build("timm:convnext_atto", head=HEAD, resolution=32)  # its last norm is of pooled features


def test_a_residual_network_of_timms_answers_every_pixel():
    pytest.importorskip("timm")
    text = "timm:resnet10t,channels=8x8x8x8,stem_width=8"
    assert build(text, head=HEAD, resolution=64)(torch.zeros(2, 3, 64, 64)).shape == (2, 3, 64, 64)
    counted, traced = count(text, resolution=64, head=HEAD), trace(text, resolution=64, head=HEAD)
    assert (counted.params, counted.forward_flops) == (traced.params, traced.forward_flops)
    assert counted.layers[-3].kind == "batch_norm"


def test_a_network_that_lost_what_pools_says_so():
    network = build("vit:w16-d1-p8,pool=map", head=HEAD, resolution=32)
    assert isinstance(network, Backbone)
    with pytest.raises(SpecError, match="nothing that pools"):
        network.features(torch.zeros(1, 3, 32, 32))
