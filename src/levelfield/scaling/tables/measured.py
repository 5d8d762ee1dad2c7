"""What the loss of anybody's table is, by the name of its column and no further: no unit is invented."""

from __future__ import annotations

import re

from levelfield.records.errors import InputError
from levelfield.records.measure import LOSS, Measure

_PERPLEXITY = {"ppl", "perplexity", "perplexities"}
_ENTROPY = {"loss", "losses", "xent", "nll", "nlls", "ce", "xe", "crossentropy", "nats", "nat"}
_OTHER_LOSS = re.compile(
    r"(?<![a-z])(r?mse|mae|l1|l2|huber|hinge|dice|focal|triplet|contrastive|reconstruction|mel|smooth|clip|dpo|elbo|"
    r"kl|flow|diffusion|denoising|distill(ation)?|total|aux(iliary)?|reward|norm(ali[sz]ed)?|relative|excess)(?![a-z])",
    re.IGNORECASE,
)
_ERRORS = {"error", "err", "errors", "wer", "cer"}
_PER = {
    **dict.fromkeys(("byte", "bytes"), "byte"),
    **dict.fromkeys(("char", "chars", "character", "characters"), "character"),
    **dict.fromkeys(("token", "tokens"), "token"),
    **dict.fromkeys(("dim", "dims", "dimension", "dimensions"), "dimension"),
}
_SHORT = {"bpb": "byte", "bpc": "character", "bpt": "token", "bpd": "dimension", "bpw": "word"}


def measure_of(name: str, *, largest: float) -> Measure:
    """What the column ``name`` measures, whose largest value is ``largest``.

    Cross-entropy in nats where the name says a loss and no other unit; bits per byte, errors (a share, or percent where
    they exceed 1); anything else in the unit of its column.

    Raises:
        InputError: it is a perplexity, whose logarithm falls as laws say.
    """
    words = [word for word in re.split(r"[^a-z0-9]+", _spaced(name).lower()) if word]
    known = set(words)
    if known & _PERPLEXITY and not known & {"log", "ln", "logarithm"}:
        raise InputError(
            f"{name!r} is a perplexity, and laws are of its logarithm, the cross-entropy in nats: give a column of "
            "ln(perplexity)"
        )
    if bits := _bits(words):
        return Measure(name="loss", unit=bits)
    if known & _ERRORS or _is_one_less(name):
        return Measure(name="error rate", unit="share" if largest <= 1 else "percent")
    entropy = known & _ENTROPY or {"cross", "entropy"} <= known or (known & _PERPLEXITY and "log2" not in known)
    if entropy and ("nats" in known or not _OTHER_LOSS.search(_spaced(name))):
        return LOSS
    return Measure(name="loss", unit=f"units of column {name}")


def _spaced(name: str) -> str:
    """valLoss as val Loss, and val_loss as val loss."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ")


def _bits(words: list[str]) -> str:
    """ "bits per byte" and its like, where the ``words`` of a name say so."""
    for word in words:
        if word in _SHORT:
            return f"bits per {_SHORT[word]}"
    if not {"bit", "bits"} & set(words):
        return ""
    per = next((_PER[word] for word in words if word in _PER), "")
    return f"bits per {per}" if per else "bits"


def _is_one_less(name: str) -> bool:
    return bool(re.match(r"\s*1(\.0*)?\s*[-\u2212_ ]\s*(minus)?[-_ ]*(acc|top)", name, re.IGNORECASE))
