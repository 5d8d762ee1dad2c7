"""What must be known of weights beside their numbers, and how it travels in the header of a safetensors file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from levelfield.families.registry import parse, rules_of
from levelfield.records.codec import from_plain, later, parse_json, record, to_json
from levelfield.records.errors import SpecError, WeightsError, expect
from levelfield.records.head import Head, LinearHead, PixelHead, TextHead
from levelfield.weights.preprocessing import Preprocessing

HEADER = "levelfield"  # one key: a map of several would be written in any order, and equal weights in unequal bytes


@record
class Card:
    """``architecture`` is a family's text, and ``rules`` spells all its options out, defaults too: how weights are
    standardised (``ws``), which ``gelu``. ``source`` says where the numbers come from, in words. ``train_flops`` is
    what training them had cost, and None where nobody knows; ``classes`` names the outputs in order.
    """

    architecture: str
    rules: dict[str, str]
    resolution: int
    num_outputs: int
    in_channels: int
    preprocessing: Preprocessing
    classes: tuple[str, ...] | None = None
    source: str = ""
    train_flops: float | None = None
    pixel_head: PixelHead | None = later(default=None)
    text_head: TextHead | None = later(default=None)

    @property
    def head(self) -> Head:
        """What stands on the backbone: linear where nothing else is said."""
        return self.pixel_head or self.text_head or LinearHead(num_outputs=self.num_outputs)

    def __post_init__(self) -> None:
        wanted = rules_of(self.architecture)
        for rule in wanted.keys() - self.rules.keys():
            raise SpecError(
                f"the rule {rule!r} is not stated; which one held decides what {self.architecture} computes"
            )
        expect(self.rules == wanted, "rules", f"those of {self.architecture}, {wanted}", self.rules)
        expect(
            len(self.preprocessing.mean) == self.in_channels,
            "preprocessing.mean",
            "a number a channel",
            self.preprocessing.mean,
        )
        expect(self.resolution == self.preprocessing.resolution, "resolution", "that of preprocessing", self.resolution)
        named = self.classes is None or len(self.classes) == self.num_outputs
        expect(named, "classes", f"{self.num_outputs} names", len(self.classes or ()))

    @classmethod
    def of(cls, architecture: str, **facts: Any) -> Card:
        """A card of ``architecture``, its text made canonical and its rules spelt out."""
        text = parse(architecture).text
        return cls(architecture=text, rules=rules_of(text), **facts)

    def header(self) -> dict[str, str]:
        """The metadata of a safetensors file."""
        return {HEADER: to_json(self, indent=None)}


def read_card(header: Mapping[str, str], *, where: str) -> Card | None:
    """The card in the ``header`` of a file; None where the file is not of ours.

    Raises:
        WeightsError: the card is damaged, or leaves out by which rules the weights are meant.
    """
    if HEADER not in header:
        return None
    plain = parse_json(header[HEADER], where=f"the levelfield header of {where}", error=WeightsError)
    return card_from_plain(plain, where=where)


def card_from_plain(plain: Any, *, where: str) -> Card:
    """See :func:`read_card`."""
    if not isinstance(plain, dict) or "rules" not in plain:
        raise WeightsError(
            f"{where} does not state the rules that its weights are meant by (ws_rule, gelu, …), so it is not read; "
            "`levelfield convert TRIAL OUT` writes them"
        )
    try:
        return from_plain(Card, plain, where=where)
    except SpecError as error:
        raise WeightsError(str(error)) from None
