"""What an NFNet is: the published F0..F7 and F0+..F7+, and a ladder of small variants for images of 8 to 96 pixels.

Source: arXiv 2102.06171 (architecture, appendix C), google-deepmind/deepmind-research
nfnets/{base,nfnet}.py (constants, order of operations), arXiv 2310.16764 ("+" variants at scale).
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal, TypeAlias

from levelfield.families import grammar
from levelfield.records.codec import record
from levelfield.records.errors import SpecError, did_you_mean
from levelfield.records.stated import stated

FAMILY = "nfnet"
WsRule: TypeAlias = Literal["clamp", "timm"]
Gelu: TypeAlias = Literal["tanh", "erf"]
Rounding: TypeAlias = Literal["published", "released"]
Padding: TypeAlias = Literal["same", "symmetric"]

OPTIONS: dict[str, tuple[str, ...]] = {
    "ws": ("clamp", "timm"),
    "gelu": ("tanh", "erf"),
    "rounding": ("published", "released"),
    "pad": ("same", "symmetric"),
}
LADDER_GRAMMAR = "w<width>-d<blocks>x<blocks>…[-g<group width>][-s1|2|4|8|16], such as 'w16-d1x2x2-s4'"
_CODES = {"w": "[1-9][0-9]*", "d": "[1-9][0-9]*(x[1-9][0-9]*){0,3}", "g": "[1-9][0-9]*", "s": "1|2|4|8|16"}

# nfnets/base.py: F<n> has (n + 1) times these blocks, and the "+" variants are wider at the same depth.
PUBLISHED_DEPTHS = (1, 2, 6, 3)
PUBLISHED_WIDTHS = {"": (256, 512, 1536, 1536), "+": (384, 768, 2048, 2048)}
_PUBLISHED_GROUP_WIDTH = 128
_PUBLISHED_STEM_CHANNELS = (16, 32, 64)  # then half the first stage's; fixed for every variant, unlike timm's
_PUBLISHED_STEM_STRIDES = (2, 1, 1, 2)
VARIANTS = tuple(f"F{n}{plus}" for plus in PUBLISHED_WIDTHS for n in range(8))

ALPHA = 0.2  # weight of every residual branch (appendix C)
BOTTLENECK_RATIO = 0.5
SQUEEZE_RATIO = 0.5
FINAL_RATIO = 2  # the last 1x1 convolution doubles the channels

# Stages 2, 3 and 4 of the ladder have 2, 4 and 4 times the first one's channels. Doubling where the resolution halves
# gives every stage's block nearly the same cost, so moving a block between stages changes shape and not compute; the
# last stage stays as wide as the third, as published (1, 2, 6, 6 and 1, 2, 5.3, 5.3).
LADDER_MULTIPLIERS = (1, 2, 4, 4)
LADDER_GROUP_WIDTH = 16  # on CPUs as fast as width 8, at twice the work (measured)
LADDER_STEM_STRIDE = 2
LADDER_SMALLEST_STEM = 4


@record
class BlockShape:
    """One residual block. ``input_scale`` is beta, the inverse of the expected standard deviation of its input.

    ``drop_fraction`` is its share of the net's stochastic depth rate: index / number of blocks, as released.
    """

    name: str
    in_channels: int
    mid_channels: int
    out_channels: int
    groups: int
    stride: int
    projects: bool
    input_scale: float
    drop_fraction: float


@stated
class NFNetSpec:
    """One NFNet, by its explicit shape; :meth:`variant` and :meth:`ladder` make the shapes that have a text.

    ``ws_rule``: weights are standardised by rsqrt(max(var * fan_in, 1e-4)) for ``clamp`` (as released), and by
    rsqrt(var + 1e-5) / sqrt(fan_in) for ``timm``. ``rounding``: stage 1 of the "+" variants has a bottleneck of 192
    channels in one group for ``published`` (it gives the paper's 527 M parameters for F4+); the ``released`` code
    rounds it down to 128. ``padding`` of convolutions with a stride: TensorFlow's ``same``, as released, pads an even
    side at its far end only; ``symmetric`` is that of timm's ``nfnet_f*``.

    Raises:
        SpecError: no text names this shape.
    """

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    group_width: int
    stem_channels: tuple[int, ...]
    stem_strides: tuple[int, ...]
    ws_rule: WsRule = "clamp"
    gelu: Gelu = "tanh"
    rounding: Rounding = "published"
    padding: Padding = "same"

    def __post_init__(self) -> None:
        for name, option in (("ws_rule", "ws"), ("gelu", "gelu"), ("rounding", "rounding"), ("padding", "pad")):
            if getattr(self, name) not in OPTIONS[option]:
                raise SpecError(f"nfnet {name} must be one of {OPTIONS[option]}, saw {getattr(self, name)!r}")
        published = self.stem_strides == _PUBLISHED_STEM_STRIDES
        named = (
            _variant_shape(self.body)
            if published
            else _ladder_shape(self.widths[0], self.depths, self.group_width, self.stem_stride)
        )
        if any(getattr(self, name) != value for name, value in named.items()):
            raise SpecError(f"no text names this nfnet: {self.body!r} has {named}; use NFNetSpec.variant or .ladder")
        if self.rounding == "released" and not self.body.endswith("+"):
            raise SpecError(f"nfnet:{self.body}: rounding=released only matters for the '+' variants; leave it out")

    @classmethod
    def variant(
        cls,
        name: str,
        *,
        ws_rule: WsRule = "clamp",
        gelu: Gelu = "tanh",
        rounding: Rounding = "published",
        padding: Padding = "same",
    ) -> NFNetSpec:
        """The published ``F0`` .. ``F7`` and ``F0+`` .. ``F7+``.

        Raises:
            SpecError: there is no such variant.
        """
        return cls(**_variant_shape(name), ws_rule=ws_rule, gelu=gelu, rounding=rounding, padding=padding)

    @classmethod
    def ladder(
        cls,
        *,
        width: int,
        depths: tuple[int, ...],
        group_width: int = LADDER_GROUP_WIDTH,
        stem_stride: int = LADDER_STEM_STRIDE,
        ws_rule: WsRule = "clamp",
        gelu: Gelu = "tanh",
        padding: Padding = "same",
    ) -> NFNetSpec:
        """A small variant: the published block, with a stem that shrinks with the net.

        ``width`` is the first stage's output channels. The published stem (16, 32, 64 channels at half resolution)
        would cost more than a small net, so it is one convolution for ``stem_stride`` 1 or 2 and one more for each
        further doubling, with channels that double up to half the first stage's, as published.

        Raises:
            SpecError: a number is out of range.
        """
        shape = _ladder_shape(width, tuple(depths), group_width, stem_stride)
        return cls(**shape, ws_rule=ws_rule, gelu=gelu, padding=padding)

    @property
    def family(self) -> str:
        return FAMILY

    @property
    def text(self) -> str:
        options = {"ws": self.ws_rule, "gelu": self.gelu, "rounding": self.rounding, "pad": self.padding}
        return grammar.join(FAMILY, self.body, options, OPTIONS)

    @cached_property
    def body(self) -> str:
        """The part of the text that names the shape: ``F3+`` or ``w16-d1x2x2-s4``."""
        if self.stem_strides == _PUBLISHED_STEM_STRIDES:
            plus = "+" if self.widths == PUBLISHED_WIDTHS["+"] else ""
            return f"F{self.depths[0] - 1}{plus}"
        codes = [f"w{self.widths[0]}", "d" + "x".join(map(str, self.depths))]
        codes += [f"g{self.group_width}"] if self.group_width != LADDER_GROUP_WIDTH else []
        codes += [f"s{self.stem_stride}"] if self.stem_stride != LADDER_STEM_STRIDE else []
        return "-".join(codes)

    @property
    def stem_stride(self) -> int:
        """How many image pixels, along one side, a pixel after the stem stands for."""
        stride = 1
        for step in self.stem_strides:
            stride *= step
        return stride

    @property
    def num_features(self) -> int:
        return FINAL_RATIO * self.widths[-1]

    @cached_property
    def blocks(self) -> tuple[BlockShape, ...]:
        """Every residual block in forward order, with beta accounted for.

        The expected variance grows by alpha^2 a block and restarts at 1 after each stage's first block, whose own beta
        still uses what its predecessors accumulated (nfnets/nfnet.py).
        """
        blocks: list[BlockShape] = []
        in_channels, variance = self.stem_channels[-1], 1.0
        for stage, (width, depth) in enumerate(zip(self.widths, self.depths, strict=True)):
            mid_channels, groups = self._bottleneck(width)
            for index in range(depth):
                blocks.append(
                    BlockShape(
                        name=f"stages.{stage}.{index}",
                        in_channels=in_channels,
                        mid_channels=mid_channels,
                        out_channels=width,
                        groups=groups,
                        stride=2 if index == 0 and stage > 0 else 1,
                        projects=index == 0,
                        input_scale=variance**-0.5,
                        drop_fraction=len(blocks) / sum(self.depths),
                    )
                )
                variance = (1.0 if index == 0 else variance) + ALPHA**2
                in_channels = width
        return tuple(blocks)

    def _bottleneck(self, width: int) -> tuple[int, int]:
        """(channels, groups) of the grouped convolutions of a stage: as many equal groups as ``group_width`` allows."""
        channels = int(width * BOTTLENECK_RATIO)
        groups = max(1, channels // self.group_width)
        if self.rounding == "released":
            return groups * self.group_width, groups
        while channels % groups:
            groups -= 1
        return channels, groups


def _variant_shape(name: str) -> dict[str, Any]:
    if name not in VARIANTS:
        raise SpecError(f"nfnet has no variant {name!r}{did_you_mean(name, VARIANTS)}; or {LADDER_GRAMMAR}")
    widths = PUBLISHED_WIDTHS[name[2:]]
    return {
        "widths": widths,
        "depths": tuple((int(name[1]) + 1) * blocks for blocks in PUBLISHED_DEPTHS),
        "group_width": _PUBLISHED_GROUP_WIDTH,
        "stem_channels": (*_PUBLISHED_STEM_CHANNELS, widths[0] // 2),
        "stem_strides": _PUBLISHED_STEM_STRIDES,
    }


def _ladder_shape(width: int, depths: tuple[int, ...], group_width: int, stem_stride: int) -> dict[str, Any]:
    widest, deepest = grammar.WIDEST // max(LADDER_MULTIPLIERS), grammar.DEEPEST
    even = 4 <= width <= widest and width % 2 == 0
    _expect(even, "w", f"an even number of channels, at least 4 and at most {widest}", width)
    _expect(1 <= len(depths) <= 4 and min(depths) >= 1, "d", "1 to 4 stages of at least 1 block", depths)
    _expect(sum(depths) <= deepest, "d", f"at most {deepest} blocks in all", depths)
    _expect(1 <= group_width <= grammar.WIDEST, "g", f"from 1 to {grammar.WIDEST} channels", group_width)
    _expect(stem_stride in (1, 2, 4, 8, 16), "s", "1, 2, 4, 8 or 16", stem_stride)
    first = tuple(max(LADDER_SMALLEST_STEM, width // share) for share in (16, 8, 4) if share <= stem_stride)
    return {
        "widths": tuple(width * multiplier for multiplier in LADDER_MULTIPLIERS[: len(depths)]),
        "depths": depths,
        "group_width": group_width,
        "stem_channels": (*first, width // 2),
        "stem_strides": (2,) * (len(first) + 1) if first else (stem_stride,),
    }


def read(text: grammar.Text) -> NFNetSpec:
    """The spec that a text's body and options mean.

    Raises:
        SpecError: the text names no NFNet.
    """
    options = grammar.read_options(text, OPTIONS)
    if "-" not in text.body:
        return NFNetSpec.variant(
            text.body,
            ws_rule=options["ws"],  # pyright: ignore[reportArgumentType]
            gelu=options["gelu"],  # pyright: ignore[reportArgumentType]
            rounding=options["rounding"],  # pyright: ignore[reportArgumentType]
            padding=options["pad"],  # pyright: ignore[reportArgumentType]
        )
    codes = grammar.read_codes(text, _CODES, required="wd", grammar=LADDER_GRAMMAR)
    if options["rounding"] != "published":
        raise SpecError(f"nfnet:{text.body}: rounding=released only matters for the '+' variants; leave it out")
    return NFNetSpec.ladder(
        width=int(codes["w"]),
        depths=tuple(int(blocks) for blocks in codes["d"].split("x")),
        group_width=int(codes.get("g", LADDER_GROUP_WIDTH)),
        stem_stride=int(codes.get("s", LADDER_STEM_STRIDE)),
        ws_rule=options["ws"],  # pyright: ignore[reportArgumentType]
        gelu=options["gelu"],  # pyright: ignore[reportArgumentType]
        padding=options["pad"],  # pyright: ignore[reportArgumentType]
    )


def _expect(holds: bool, name: str, expected: str, seen: object) -> None:
    if not holds:
        raise SpecError(f"nfnet {name} must be {expected}, saw {seen!r}")
