"""Every layer of an NFNet, counted by hand from its shape, and what its parameters are for: the bill without torch."""

from __future__ import annotations

import re
from collections.abc import Iterator

from levelfield.families.base import Body, Layer, ParameterRole
from levelfield.families.nfnet.spec import SQUEEZE_RATIO, BlockShape, NFNetSpec
from levelfield.records.errors import SpecError

_CONV = r"(stem\.conv\d+|stages\.\d+\.\d+\.(conv[1-4]|shortcut)|final_conv)"
_SQUEEZE = r"stages\.\d+\.\d+\.(squeeze|excite)"
_ROLES: tuple[tuple[str, ParameterRole], ...] = (
    (rf"({_CONV}|{_SQUEEZE})\.weight", "kernel"),
    (rf"{_CONV}\.gain", "gain"),
    (rf"({_CONV}|{_SQUEEZE})\.bias", "bias"),
    (r"stages\.\d+\.\d+\.skip_gain", "skip_gain"),
)


def list_body(spec: NFNetSpec, *, resolution: int, in_channels: int = 3) -> Body:
    """See :func:`levelfield.families.registry.list_body`."""
    if resolution < 1 or in_channels < 1:
        raise SpecError(f"{spec.text}: expected positive sizes, saw {resolution=}, {in_channels=}")
    layers: list[Layer] = []
    size, channels = resolution, in_channels
    for index, (out, stride) in enumerate(zip(spec.stem_channels, spec.stem_strides, strict=True)):
        size = halved(size) if stride == 2 else size
        name = f"stem.conv{index + 1}"
        layers.append(_conv(name, channels, out, size, kernel=3, takes_image=index == 0))
        channels = out
    for block in spec.blocks:
        layers.extend(_block(block, size))
        size = halved(size) if block.stride == 2 else size
    layers.append(_conv("final_conv", spec.widths[-1], spec.num_features, size, kernel=1))
    return Body(layers=tuple(layers), num_features=spec.num_features, map_side=size)


def parameter_role(spec: NFNetSpec, name: str) -> ParameterRole:
    """See :func:`levelfield.families.registry.parameter_role`."""
    for pattern, role in _ROLES:
        if re.fullmatch(pattern, name):
            return role
    raise SpecError(f"no parameter of an nfnet is called {name!r}")


def parameter_depth(spec: NFNetSpec, name: str) -> int:
    """See :func:`levelfield.families.registry.parameter_depth`."""
    block = re.match(r"stages\.(\d+)\.(\d+)\.", name)
    if block:
        return 1 + sum(spec.depths[: int(block[1])]) + int(block[2])
    return 0 if name.startswith("stem.") else 1 + sum(spec.depths)


def _block(block: BlockShape, size: int) -> Iterator[Layer]:
    mid, out = block.mid_channels, block.out_channels
    out_size = halved(size) if block.stride == 2 else size
    if block.projects:
        yield _conv(f"{block.name}.shortcut", block.in_channels, out, out_size, kernel=1)
    yield _conv(f"{block.name}.conv1", block.in_channels, mid, size, kernel=1)
    yield _conv(f"{block.name}.conv2", mid, mid, out_size, kernel=3, groups=block.groups)
    yield _conv(f"{block.name}.conv3", mid, mid, out_size, kernel=3, groups=block.groups)
    yield _conv(f"{block.name}.conv4", mid, out, out_size, kernel=1)
    squeezed = int(out * SQUEEZE_RATIO)
    yield _linear(f"{block.name}.squeeze", out, squeezed)
    yield _linear(f"{block.name}.excite", squeezed, out)
    yield Layer(name=f"{block.name}.skip_gain", kind="skip_gain", params=1)


def _conv(
    name: str, in_channels: int, out: int, out_size: int, *, kernel: int, groups: int = 1, takes_image: bool = False
) -> Layer:
    """A standardised convolution: weight, gain and bias."""
    weights = out * (in_channels // groups) * kernel * kernel
    return Layer(
        name=name, kind="conv", params=weights + 2 * out, forward_macs=weights * out_size**2, takes_image=takes_image
    )


def _linear(name: str, in_features: int, out_features: int) -> Layer:
    weights = in_features * out_features
    return Layer(name=name, kind="linear", params=weights + out_features, forward_macs=weights)


def halved(size: int) -> int:
    """Pixels along a side after a stride of 2 with SAME padding."""
    return -(-size // 2)
