"""What a Vision Transformer is: the published Ti..G with any patch size, and a ladder of small variants.

Source: big_vision models/vit.py (``decode_variant`` and the details), arXiv 2106.04560 (shapes), 2305.13035 (So400m).
"""

from __future__ import annotations

import math
import re
from functools import cached_property
from typing import Literal, TypeAlias

from levelfield.families import grammar
from levelfield.records.data_bounds import LARGEST_SIDE
from levelfield.records.errors import SpecError, did_you_mean
from levelfield.records.stated import stated

FAMILY = "vit"
Pooling: TypeAlias = Literal["gap", "token", "map"]
Position: TypeAlias = Literal["learned", "sincos2d"]
Gelu: TypeAlias = Literal["tanh", "erf"]

OPTIONS: dict[str, tuple[str, ...]] = {
    "pool": ("gap", "token", "map"),
    "pos": ("learned", "sincos2d"),
    "gelu": ("tanh", "erf"),
}
LADDER_GRAMMAR = "w<width>-d<depth>-p<patch size>[-h<heads>][-m<MLP ratio>], such as 'w64-d3-p4'"
_CODES = dict.fromkeys("wdphm", "[1-9][0-9]*")

# width, depth, MLP width, heads
_SHAPES: dict[str, tuple[int, int, int, int]] = {
    "Ti": (192, 12, 768, 3),
    "S": (384, 12, 1536, 6),
    "B": (768, 12, 3072, 12),
    "L": (1024, 24, 4096, 16),
    "So400m": (1152, 27, 4304, 16),
    "H": (1280, 32, 5120, 16),
    "g": (1408, 40, 6144, 16),
    "G": (1664, 48, 8192, 16),
}
VARIANTS = tuple(_SHAPES)
_LARGEST = {
    "width": grammar.WIDEST,
    "depth": grammar.DEEPEST,
    "mlp_width": 16 * grammar.WIDEST,
    "num_heads": grammar.WIDEST,
    "patch_size": LARGEST_SIDE,
}
LADDER_MLP_RATIO = 4
LADDER_HEAD_WIDTH = 32  # half the published 64, so that small widths still have several heads


@stated
class ViTSpec:
    """One Vision Transformer, by its explicit shape; :meth:`variant` and :meth:`ladder` make the shapes with a text.

    ``pooling``: mean over tokens (``gap``), a class token (``token``), or an attention head with one learned query
    (``map``). ``position``: ``learned``, or the fixed two-dimensional sines of MoCo v3 (``sincos2d``).

    Raises:
        SpecError: the heads do not divide the width, or no text names this shape.
    """

    width: int
    depth: int
    mlp_width: int
    num_heads: int
    patch_size: int
    pooling: Pooling = "gap"
    position: Position = "learned"
    gelu: Gelu = "tanh"

    def __post_init__(self) -> None:
        for name, most in _LARGEST.items():
            _expect(1 <= getattr(self, name) <= most, name, f"from 1 to {most}", getattr(self, name))
        for name, option in (("pooling", "pool"), ("position", "pos"), ("gelu", "gelu")):
            _expect(getattr(self, name) in OPTIONS[option], name, f"one of {OPTIONS[option]}", getattr(self, name))
        _expect(self.width % self.num_heads == 0, "heads", f"a divisor of the width {self.width}", self.num_heads)
        if self.position == "sincos2d":
            _expect(self.width % 4 == 0, "width", "a multiple of 4 for pos=sincos2d", self.width)
        if self._variant is None:
            _expect(self.mlp_width % self.width == 0, "mlp_width", "a multiple of the width", self.mlp_width)

    @classmethod
    def variant(
        cls,
        name: str,
        *,
        patch_size: int,
        pooling: Pooling = "gap",
        position: Position = "learned",
        gelu: Gelu = "tanh",
    ) -> ViTSpec:
        """The published shape ``name`` (``B``) with patches of ``patch_size`` pixels.

        Raises:
            SpecError: there is no such variant.
        """
        if name not in _SHAPES:
            raise SpecError(f"vit has no variant {name!r}{did_you_mean(name, VARIANTS)}; or {LADDER_GRAMMAR}")
        width, depth, mlp_width, num_heads = _SHAPES[name]
        return cls(
            width=width,
            depth=depth,
            mlp_width=mlp_width,
            num_heads=num_heads,
            patch_size=patch_size,
            pooling=pooling,
            position=position,
            gelu=gelu,
        )

    @classmethod
    def ladder(
        cls,
        *,
        width: int,
        depth: int,
        patch_size: int,
        num_heads: int | None = None,
        mlp_ratio: int = LADDER_MLP_RATIO,
        pooling: Pooling = "gap",
        position: Position = "learned",
        gelu: Gelu = "tanh",
    ) -> ViTSpec:
        """A small variant; without ``num_heads`` it has :func:`default_heads`.

        Raises:
            SpecError: a number is out of range.
        """
        _expect(1 <= width <= grammar.WIDEST, "width", f"from 1 to {grammar.WIDEST}", width)
        return cls(
            width=width,
            depth=depth,
            mlp_width=mlp_ratio * width,
            num_heads=default_heads(width) if num_heads is None else num_heads,
            patch_size=patch_size,
            pooling=pooling,
            position=position,
            gelu=gelu,
        )

    @property
    def family(self) -> str:
        return FAMILY

    @property
    def text(self) -> str:
        options = {"pool": self.pooling, "pos": self.position, "gelu": self.gelu}
        return grammar.join(FAMILY, self.body, options, OPTIONS)

    @cached_property
    def body(self) -> str:
        """The part of the text that names the shape: ``B/16`` or ``w64-d3-p4``."""
        if self._variant is not None:
            return f"{self._variant}/{self.patch_size}"
        codes = [f"w{self.width}", f"d{self.depth}", f"p{self.patch_size}"]
        codes += [f"h{self.num_heads}"] if self.num_heads != default_heads(self.width) else []
        ratio = self.mlp_width // self.width
        codes += [f"m{ratio}"] if ratio != LADDER_MLP_RATIO else []
        return "-".join(codes)

    @cached_property
    def _variant(self) -> str | None:
        shape = (self.width, self.depth, self.mlp_width, self.num_heads)
        return next((name for name, known in _SHAPES.items() if known == shape), None)

    @property
    def num_features(self) -> int:
        return self.width

    def grid(self, resolution: int) -> int:
        """Patches along a side of a square image.

        Raises:
            SpecError: ``resolution`` is not a multiple of the patch size.
        """
        if resolution < 1 or resolution % self.patch_size:
            raise SpecError(
                f"{self.text} cuts an image into patches of {self.patch_size} pixels; a resolution of {resolution} "
                f"is not a multiple of that"
            )
        return resolution // self.patch_size


def default_heads(width: int) -> int:
    """The divisor of ``width`` nearest, in ratio, to one head for 32 channels; the smaller of two as near."""
    divisors = [heads for heads in range(1, width + 1) if width % heads == 0]
    return min(divisors, key=lambda heads: (round(abs(math.log(heads * LADDER_HEAD_WIDTH / width)), 9), heads))


def read(text: grammar.Text) -> ViTSpec:
    """The spec that a text's body and options mean.

    Raises:
        SpecError: the text names no Vision Transformer.
    """
    options = grammar.read_options(text, OPTIONS)
    pooling, position, gelu = options["pool"], options["pos"], options["gelu"]
    if "-" not in text.body:
        name, slash, patch = text.body.partition("/")
        if not slash or not re.fullmatch("[1-9][0-9]*", patch):
            raise SpecError(
                f"vit:{text.body}: expected a variant and its patch size, such as 'B/16'; or {LADDER_GRAMMAR}"
            )
        return ViTSpec.variant(
            name,
            patch_size=int(patch),
            pooling=pooling,  # pyright: ignore[reportArgumentType]
            position=position,  # pyright: ignore[reportArgumentType]
            gelu=gelu,  # pyright: ignore[reportArgumentType]
        )
    codes = grammar.read_codes(text, _CODES, required="wdp", grammar=LADDER_GRAMMAR)
    return ViTSpec.ladder(
        width=int(codes["w"]),
        depth=int(codes["d"]),
        patch_size=int(codes["p"]),
        num_heads=int(codes["h"]) if "h" in codes else None,
        mlp_ratio=int(codes.get("m", LADDER_MLP_RATIO)),
        pooling=pooling,  # pyright: ignore[reportArgumentType]
        position=position,  # pyright: ignore[reportArgumentType]
        gelu=gelu,  # pyright: ignore[reportArgumentType]
    )


def _expect(holds: bool, name: str, expected: str, seen: object) -> None:
    if not holds:
        raise SpecError(f"vit {name} must be {expected}, saw {seen!r}")
