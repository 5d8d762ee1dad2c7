"""Every published size of both families by the analytic count, and a cross-section by networks on the meta device."""

import pytest

from levelfield.compute.analytic import count
from levelfield.compute.count import trace
from levelfield.compute.devices import device_hours

# Parameters (M) and GMACs by resolution. Sources: arXiv 2102.06171 tables 1 and 6 and nfnets/README (F0..F6 at test
# resolution, to all digits); timm, torch's counter and the released JAX code for the rest (1000 classes).
NFNET = [
    ("F0", 71.489, {192: 6.977, 224: 9.487, 256: 12.384, 384: 27.8, 480: 43.5}),
    ("F1", 132.634, {224: 17.438, 256: 22.762, 320: 35.539, 384: 51.2, 480: 79.9}),
    ("F2", 193.779, {224: 25.388, 256: 33.139, 352: 62.593}),
    ("F3", 254.924, {224: 33.339, 256: 43.517, 320: 67.944, 416: 114.764, 384: 97.8, 480: 152.8}),
    ("F4", 316.069, {224: 41.289, 256: 53.894, 384: 121.122, 512: 215.241}),
    ("F5", 377.214, {224: 49.240, 256: 64.272, 416: 169.498, 544: 289.757}),
    ("F6", 438.359, {224: 57.190, 256: 74.650, 448: 228.293, 576: 377.280}),
    ("F7", 499.504, {224: 65.141, 256: 85.027, 480: 298.477, 608: 478.782, 384: 191.1}),
    ("F0+,rounding=released", 118.825, {224: 14.955, 256: 19.520}),
    ("F1+,rounding=released", 220.357, {224: 27.210, 256: 35.514}),
    ("F2+,rounding=released", 321.889, {224: 39.465, 256: 51.509}),
    ("F3+,rounding=released", 423.422, {224: 51.719, 256: 67.503, 384: 151.7, 480: 236.9}),
    ("F4+,rounding=released", 524.954, {224: 63.974, 256: 83.497, 512: 333.39}),
    ("F5+,rounding=released", 626.487, {224: 76.229, 256: 99.491}),
    ("F6+,rounding=released", 728.019, {224: 88.484, 256: 115.485}),
    ("F7+,rounding=released", 829.552, {224: 100.738, 256: 131.480, 384: 295.4, 480: 461.4}),
    # As published: stage 1 keeps its 192 channels in one group. F4+ at 512 px is the paper's 527 M and 367 B.
    ("F3+", 425.1, {224: 56.92, 256: 74.3, 384: 167.0, 480: 260.8}),
    ("F4+", 527.0, {512: 367.41}),
    ("F7+", 832.9, {224: 111.18, 256: 145.1, 384: 326.1, 480: 509.4}),
]
PARAMS_WITH_30K_CLASSES = {"F0": 160.6, "F1": 221.8, "F3": 344.0, "F3+": 543.9, "F7": 588.6, "F7+": 951.7}
PARAMS_WITH_30K_CLASSES |= {"F3+,rounding=released": 542.2, "F7+,rounding=released": 948.4}

# big_vision's shapes, 1000 classes, mean pooling: parameters (M) at the patch size that the source states, and GMACs.
VIT = [
    ("Ti", "16", 5.717, {("16", 224): 1.247, ("14", 224): 1.690, ("32", 224): 0.300, ("16", 384): 4.672}),
    ("S", "16", 22.050, {("16", 224): 4.574, ("14", 224): 6.098, ("32", 224): 1.121, ("16", 384): 15.458}),
    ("B", "16", 86.566, {("16", 224): 17.472, ("14", 224): 23.068, ("32", 224): 4.322, ("16", 384): 55.378}),
    ("L", "16", 304.325, {("16", 224): 61.233, ("14", 224): 80.686, ("32", 224): 15.071, ("16", 384): 190.708}),
    ("H", "14", 632.043, {("16", 224): 126.654, ("14", 224): 166.624, ("32", 224): 31.219, ("16", 384): 390.134}),
    ("g", "14", 1012.609, {("16", 224): 202.354, ("14", 224): 265.964, ("32", 224): 49.937, ("16", 384): 619.326}),
    ("G", "14", 1844.437, {("16", 224): 367.078, ("14", 224): 481.825, ("32", 224): 90.808, ("16", 384): 1113.721}),
]


def agrees(value: float, published: float) -> bool:
    """Equal in every digit that was published."""
    digits = len(repr(published).partition(".")[2])
    return abs(value - published) <= 0.5000001 * 10**-digits


@pytest.mark.parametrize(("name", "params", "gmacs"), NFNET, ids=[row[0] for row in NFNET])
def test_analytic_nfnets_have_the_published_sizes(name: str, params: float, gmacs: dict[int, float]) -> None:
    for resolution, published in gmacs.items():
        counted = count(f"nfnet:{name}", resolution=resolution, num_outputs=1000)
        assert agrees(counted.params / 1e6, params)
        assert agrees(counted.forward_macs / 1e9, published), (resolution, counted.forward_macs)


@pytest.mark.parametrize(("name", "params"), PARAMS_WITH_30K_CLASSES.items())
def test_nfnets_with_a_head_for_jft_have_the_published_sizes(name: str, params: float) -> None:
    assert agrees(count(f"nfnet:{name}", resolution=224, num_outputs=30_000).params / 1e6, params)


@pytest.mark.parametrize(("name", "patch", "params", "gmacs"), VIT, ids=[row[0] for row in VIT])
def test_analytic_vits_have_the_published_sizes(
    name: str, patch: str, params: float, gmacs: dict[tuple[str, int], float]
) -> None:
    assert agrees(count(f"vit:{name}/{patch}", resolution=224, num_outputs=1000).params / 1e6, params)
    for (size, resolution), published in gmacs.items():
        counted = count(f"vit:{name}/{size}", resolution=resolution, num_outputs=1000)
        assert agrees(counted.forward_macs / 1e9, published), (size, resolution, counted.forward_macs)


@pytest.mark.parametrize(
    ("text", "resolution"),
    [
        *((f"nfnet:{name}", 224) for name in ("F0", "F0+", "F0+,rounding=released", "F7+")),
        *((f"vit:{name}/{patch}", 224) for name, patch, _, _ in VIT if name in ("Ti", "B", "G")),
        ("vit:So400m/14,pool=map", 224),
        ("vit:B/32,pool=token", 384),
    ],
)
def test_built_networks_have_the_size_and_traced_compute_of_the_analytic_count(text: str, resolution: int) -> None:
    analytic = count(text, resolution=resolution, num_outputs=1000)
    traced = trace(text, resolution=resolution, num_outputs=1000)
    assert traced.params == analytic.params
    assert traced.forward_flops == analytic.forward_flops


def test_f7_plus_on_32_billion_images_costs_21347_exaflops_and_110_thousand_core_hours() -> None:
    """arXiv 2310.16764: 8 epochs of JFT-4B in about 110k TPU-v4 core-hours, that is 39 % of peak."""
    flops = count("nfnet:F7+", resolution=224, num_outputs=1000).train_flops(32e9)
    assert flops / 1e18 == pytest.approx(21_347, abs=1)
    assert device_hours(flops, "tpu-v4-core", utilisation=0.39) == pytest.approx(110_000, rel=0.01)


@pytest.mark.parametrize(
    ("text", "resolution", "exaflops_per_epoch"),
    [("F0", 224, 228), ("F1", 224, 419), ("F3", 224, 800), ("F3+", 224, 1366), ("F7", 224, 1563), ("F7+", 224, 2668)],
)
def test_an_epoch_of_jft_4b_costs_what_the_paper_implies(text: str, resolution: int, exaflops_per_epoch: int) -> None:
    counted = count(f"nfnet:{text}", resolution=resolution, num_outputs=1000)
    assert counted.train_flops(4e9) / 1e18 == pytest.approx(exaflops_per_epoch, rel=2e-3)
