"""The table of families: from a text to a torch-free spec, and from a spec to a network.

Importing this module does not load torch; :func:`build` does.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from levelfield.families import grammar
from levelfield.families.base import Body, FamilySpec, Layer, ParameterRole
from levelfield.families.borrowed import spec as borrowed
from levelfield.families.heads import head_layers, head_role
from levelfield.families.nfnet import path as nfnet_path
from levelfield.families.nfnet import spec as nfnet
from levelfield.families.vit import path as vit_path
from levelfield.families.vit import spec as vit
from levelfield.records.codec import record
from levelfield.records.errors import SpecError, did_you_mean
from levelfield.records.head import Head, LinearHead, PixelHead, PolicyHead, TextHead, head_of

if TYPE_CHECKING:
    from torch import nn

Architecture: TypeAlias = str | FamilySpec


@record
class Family:
    """A row of the table; each option's first value is its default.

    ``layers`` is the module that lists its layers and knows its parameters, ``model`` the one whose ``build`` makes the
    network, ``weights`` the one that knows its tensors by others' names. ``path`` gives its sizes for images of so many
    pixels a side, and ``shapes`` the letter of the code of its sizes that says how finely it looks, the value to start
    from and all that there are; None where sizes are somebody else's.
    """

    name: str
    title: str
    source: str
    variants: tuple[str, ...]
    ladder: str
    options: tuple[tuple[str, tuple[str, ...]], ...]
    examples: tuple[str, ...]
    read: Callable[[grammar.Text], FamilySpec]
    layers: str
    model: str
    weights: str
    path: Callable[[int], tuple[str, ...]] | None = None
    shapes: Callable[[int], tuple[str, int, tuple[int, ...]]] | None = None


FAMILIES = (
    Family(
        name=nfnet.FAMILY,
        title="Normalizer-free ConvNet",
        source="arXiv 2102.06171",
        variants=nfnet.VARIANTS,
        ladder=nfnet.LADDER_GRAMMAR,
        options=tuple(nfnet.OPTIONS.items()),
        examples=("nfnet:F3+", "nfnet:F0,ws=timm,gelu=erf", "nfnet:w16-d1x2x2", "nfnet:w8-d1x1x1-s4"),
        read=nfnet.read,
        layers="levelfield.families.nfnet.layers",
        model="levelfield.families.nfnet.model",
        weights="levelfield.families.nfnet.weights",
        path=nfnet_path.path,
        shapes=lambda resolution: ("s", *nfnet_path.strides(resolution)),
    ),
    Family(
        name=vit.FAMILY,
        title="Vision Transformer",
        source="arXiv 2010.11929",
        variants=tuple(f"{name}/<patch size>" for name in vit.VARIANTS),
        ladder=vit.LADDER_GRAMMAR,
        options=tuple(vit.OPTIONS.items()),
        examples=("vit:B/16", "vit:L/14,pool=map", "vit:w64-d3-p4", "vit:w96-d4-p4-h2-m4"),
        read=vit.read,
        layers="levelfield.families.vit.layers",
        model="levelfield.families.vit.model",
        weights="levelfield.families.vit.weights",
        path=vit_path.path,
        shapes=lambda resolution: ("p", *vit_path.patches(resolution)),
    ),
    Family(
        name=borrowed.FAMILY,
        title="Any network of timm's",
        source="pip install 'levelfield[timm]'; timm.list_models() names them",
        variants=("resnet50", "convnextv2_atto", "coatnet_0_rw_224", "…"),
        ladder=borrowed.GRAMMAR,
        options=(),
        examples=borrowed.EXAMPLES,
        read=borrowed.read,
        layers="levelfield.families.borrowed.layers",
        model="levelfield.families.borrowed.model",
        weights="levelfield.families.borrowed.weights",
    ),
)


def list_families() -> tuple[Family, ...]:
    """Every family there is."""
    return FAMILIES


def family_named(name: str) -> Family:
    """The row of family ``name``.

    Raises:
        SpecError: there is none.
    """
    for family in FAMILIES:
        if family.name == name:
            return family
    raise SpecError(
        f"there is no family {name!r}{did_you_mean(name, [family.name for family in FAMILIES])}; "
        f"expected {grammar.GRAMMAR}"
    )


def parse(architecture: Architecture) -> FamilySpec:
    """The spec that a text such as ``"nfnet:F3+"`` or ``"vit:w64-d3-p4"`` means; a spec is returned as it is.

    Raises:
        SpecError: the text names no architecture; the message gives the nearest known name and the grammar.
    """
    if not isinstance(architecture, str):
        return architecture
    text = grammar.split(architecture)
    return family_named(text.family).read(text)


def list_layers(
    architecture: Architecture,
    *,
    resolution: int,
    num_outputs: int | None = None,
    head: Head | None = None,
    in_channels: int = 3,
) -> tuple[Layer, ...]:
    """Every layer with parameters or multiply-accumulates, in forward order, under ``head``, or under a linear one of
    ``num_outputs``.

    Raises:
        SpecError: the text names no architecture, it cannot take images of ``resolution`` pixels, or hands out nothing
            that the head could stand on.
    """
    body, head = list_body(architecture, resolution=resolution, in_channels=in_channels), head_of(num_outputs, head)
    pooling = () if isinstance(head, PixelHead) else body.pooling
    return (*body.layers, *pooling, *head_layers(head, body, resolution=resolution))


def list_body(architecture: Architecture, *, resolution: int, in_channels: int = 3) -> Body:
    """Every such layer below the head, and what it hands to one: any task's head is counted on it.

    Raises:
        SpecError: the text names no architecture, or it cannot take images of ``resolution`` pixels.
    """
    spec = parse(architecture)
    return _layers_of(spec).list_body(spec, resolution=resolution, in_channels=in_channels)


def parameter_role(architecture: Architecture, name: str) -> ParameterRole:
    """What the parameter called ``name`` is for; total over the built network's ``named_parameters()``.

    Raises:
        SpecError: no parameter of this architecture has that name.
    """
    if (role := head_role(name)) is not None:
        return role
    spec = parse(architecture)
    return _layers_of(spec).parameter_role(spec, name)


def parameter_depth(architecture: Architecture, name: str) -> int:
    """How many blocks stand before the parameter called ``name``: 0 where the image enters, most at the head."""
    spec = parse(architecture)
    return _layers_of(spec).parameter_depth(spec, "head.weight" if head_role(name) is not None else name)


def build(
    architecture: Architecture,
    *,
    resolution: int,
    num_outputs: int | None = None,
    head: Head | None = None,
    in_channels: int = 3,
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
) -> nn.Module:
    """The network, initialised from torch's default generator: images (batch, channels, height, width) to outputs.

    On it stands ``head``, or a linear one of ``num_outputs``.

    It is a :class:`levelfield.families.base.Backbone`. Seed torch first for the same weights again; build under
    ``torch.device("meta")`` for none.

    Raises:
        SpecError: the text names no architecture, it cannot take images of ``resolution`` pixels, or hands out nothing
            that the head could stand on.
    """
    spec, head = parse(architecture), head_of(num_outputs, head)
    network = importlib.import_module(family_named(spec.family).model).build(
        spec,
        num_outputs=head.num_outputs,
        resolution=resolution,
        in_channels=in_channels,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
    )
    if not isinstance(head, LinearHead):
        _put_on(network, head, list_body(spec, resolution=resolution, in_channels=in_channels), resolution=resolution)
    return network


def _put_on(network: nn.Module, head: PixelHead | TextHead | PolicyHead, body: Body, *, resolution: int) -> None:
    """Exchange the linear head of ``network``, and what only pooled features need, for ``head``."""
    from levelfield.families.actors import Actor
    from levelfield.families.pixels import PixelClassifier
    from levelfield.families.texts import TextPairing

    if isinstance(head, TextHead):
        network.head = TextPairing(head, num_features=body.num_features)
        return
    if isinstance(head, PolicyHead):
        network.head = Actor(head, num_features=body.num_features)
        return
    head_layers(head, body, resolution=resolution)  # which refuses a body without a map
    for module in {layer.name.partition(".")[0] for layer in body.pooling}:
        setattr(network, module, None)
    network.head = PixelClassifier(
        head, num_features=body.num_features, map_side=body.map_side or 0, resolution=resolution
    )


def rules_of(architecture: Architecture) -> dict[str, str]:
    """Every option of an architecture spelt out, the defaults too: what its weights mean beside its shape.

    Raises:
        SpecError: the text names no architecture.
    """
    text = grammar.split(parse(architecture).text)
    options = family_named(text.family).options
    return {key: values[0] for key, values in options} | dict(text.options)


def conversion(architecture: Architecture) -> Any:
    """The module that gives an architecture's weights others' names: ``from_timm``, ``to_timm``, ``sizes_in_timm``.

    Raises:
        SpecError: the text names no architecture.
    """
    return importlib.import_module(family_named(parse(architecture).family).weights)


def _layers_of(spec: FamilySpec) -> Any:
    return importlib.import_module(family_named(spec.family).layers)
