"""How numbers are written, in one place: the page, the figures and the terminal agree to the last digit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime

from levelfield.scaling.results.intervals import Interval, ProfileInterval
from levelfield.scaling.results.laws import Currency

THIN = "\u202f"
"""A narrow space that does not break: between a number and its unit."""

MISSING = "–"
_LAW_FORMS = {
    "log-log": "L\u00a0=\u00a0A·C⁻ᵇ",
    "saturating": "L\u00a0=\u00a0E\u00a0+\u00a0A·C⁻ᵇ",
    "shifted": "L\u00a0=\u00a0E\u00a0+\u00a0A·(C\u00a0+\u00a0d)⁻ᵇ",
    "m4": "M4: (L − E)/(E + S − L)^alpha = beta·C⁻ᶜ",
    "broken": "L = E + A·C^(−c0)·(1 + (C/d)^(1/f))^(−c1·f)",
    "size-and-examples": "L = E + A·N⁻ᵅ + B·D⁻ᵝ",
    "repeated": "L = E + A·N⁻ᵅ + B·D′⁻ᵝ",
}
CURRENCY_WORDS: dict[Currency, str] = {"flops": "training FLOPs", "device_seconds": "device-seconds"}
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_NAMES = {"nfnet": "NFNet", "vit": "ViT", "convnext": "ConvNeXt"}
_WORDS = {"adamw": "AdamW", "sgd": "SGD"}
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def family_name(family: str) -> str:
    """The name a reader knows: ``nfnet`` is NFNet."""
    return _NAMES.get(family, family)


def model_name(family: str, model: str) -> str:
    """Family and size once each: ``nfnet:w16-d1x2x2`` is NFNet w16-d1x2x2."""
    return f"{family_name(family)} {model.rpartition(':')[2]}"


def power(value: float, digits: int = 2) -> str:
    """``1.3e10`` as ``1.3×10¹⁰``, ``1e10`` as ``10¹⁰``; numbers from 0.01 to 9999 are written out."""
    if value == 0 or 0.01 <= abs(value) < 1e4:
        return plain(value, max(3, digits))
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    ten = "10" + str(int(exponent)).translate(_SUPERSCRIPTS)
    mantissa = mantissa.rstrip("0").removesuffix(".").replace("-", "−")
    return ten if mantissa == "1" else f"{mantissa}×{ten}"


def flops(value: float | None) -> str:
    """``1.3e10`` as ``1.3×10¹⁰ FLOPs``."""
    return MISSING if value is None else f"{power(value)}{THIN}FLOPs"


def seconds(value: float | None) -> str:
    """A duration in the unit that reads best: s, min, h or days."""
    if value is None:
        return MISSING
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if value >= 2 * size:
            return f"{value / size:.3g}{THIN}{unit}"
    return f"{value:.3g}{THIN}s"


def currency(value: float, kind: str) -> str:
    """A budget in its currency, ``flops`` or ``device_seconds``."""
    return flops(value) if kind == "flops" else seconds(value)


def count(value: float | None) -> str:
    """``1234567`` as ``1.23 M``."""
    if value is None:
        return MISSING
    for size, prefix in _PREFIXES:
        if abs(value) >= size * 0.9995:
            return f"{value / size:.3g}{THIN}{prefix}"
    return f"{value:.3g}"


def plain(value: float | None, digits: int = 3) -> str:
    """``value`` to ``digits`` significant digits, without an exponent where it can be read without."""
    if value is None:
        return MISSING
    if value != 0 and not 1e-6 <= abs(value) < 1e7:
        return power(value)
    rounded = float(f"{value:.{digits}g}")
    text = f"{rounded:.10f}".rstrip("0").rstrip(".")
    return text.replace("-", "−")


def epochs(value: float | None) -> str:
    """Epochs; a stream of which next to nothing is seen gives ``<0.01``."""
    return "<0.01" if value is not None and value < 0.01 else plain(value)


def loss(value: float | None) -> str:
    """A loss in nats: three decimals, where that is three to five significant digits; else four of those."""
    return MISSING if value is None else _loss_like(value, value)


def _loss_like(value: float, scale: float) -> str:
    """``value`` with the decimals that a loss of ``scale`` has."""
    if 0.1 <= scale < 100 or scale == 0:
        return f"{value:.3f}"
    if not 1e-4 <= scale < 1e6:
        return power(value, 4)
    return f"{value:.{max(0, 3 - math.floor(math.log10(scale)))}f}"


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as percent: ``0.123`` as ``12.3 %``."""
    return MISSING if value is None else f"{100 * value:.{digits}f}{THIN}%"


def signed_percent(log_ratio: float, digits: int | None = None) -> str:
    """``ln(a / b)`` as how much larger a is: ``-0.105`` as ``−10.0 %``; from 20 % on without decimals."""
    change = 100 * math.expm1(log_ratio)
    text = f"{abs(change):.{_decimals(log_ratio) if digits is None else digits}f}"
    sign = "" if float(text) == 0 else ("+" if change > 0 else "−")
    return f"{sign}{text}{THIN}%"


def factor(log_ratio: float) -> str:
    """``ln(a / b)`` as how many times a is b: ``0.336`` as ``1.4×``."""
    return f"{plain(math.exp(log_ratio))}×"


def loss_interval(interval: Interval | None) -> str:
    """``0.412 [0.401, 0.424]``."""
    if interval is None:
        return MISSING
    estimate, low, high = (
        _loss_like(value, interval.estimate) for value in (interval.estimate, interval.low, interval.high)
    )
    return f"{estimate} [{low}, {high}]"


def number_interval(interval: Interval | None, digits: int = 3) -> str:
    """``0.49 [0.41, 0.58]``: as many decimals as give the estimate ``digits`` significant digits."""
    if interval is None:
        return MISSING
    size = math.floor(math.log10(abs(interval.estimate))) if interval.estimate else 0
    decimals = min(max(digits - 1 - size, 0), 8)
    estimate, low, high = (
        f"{value:.{decimals}f}".replace("-", "−") for value in (interval.estimate, interval.low, interval.high)
    )
    return f"{estimate} [{low}, {high}]"


def powered_interval(interval: Interval | None) -> str:
    """``4.1×10⁵ [3.9×10⁴, 2×10⁶]`` where all are large or small, else as :func:`number_interval` writes.

    Ends ten times the estimate have three digits of their own: ``70.1 [25.7, 3620]``. A bound has no interval.
    """
    if interval is not None and interval.low == interval.high:
        return f"{plain(interval.estimate)} (at a bound)"
    if interval is not None and 1e-4 <= 10 * interval.estimate < interval.high < 1e4:
        return f"{plain(interval.estimate)} [{plain(interval.low)}, {plain(interval.high)}]"
    if interval is None or 1e-4 <= max(abs(interval.low), abs(interval.high)) < 1e4:
        return number_interval(interval)
    estimate, low, high = (power(value, 3) for value in (interval.estimate, interval.low, interval.high))
    return f"{estimate} [{low}, {high}]"


def profiled(profiles: Mapping[str, ProfileInterval]) -> str:
    """``by profile likelihood b 0.31 to 0.45, E below 0.52``; empty where there are none."""
    parts = []
    for name, found in profiles.items():
        low, high = (None if end is None else plain(end) for end in (found.low, found.high))
        if low and high:
            parts.append(f"{name} {low} to {high}")
        else:
            parts.append(f"{name} above {low}" if low else f"{name} below {high}" if high else f"{name} unbounded")
    return f"by profile likelihood {', '.join(parts)}" if parts else ""


def ratio_interval(interval: Interval | None) -> str:
    """An interval of ``ln(a / b)`` as ``−10.0 % [−12.1 %, −7.8 %]``."""
    if interval is None:
        return MISSING
    digits = _decimals(interval.estimate)
    low, high = signed_percent(interval.low, digits), signed_percent(interval.high, digits)
    return f"{signed_percent(interval.estimate)} [{low}, {high}]"


def _decimals(log_ratio: float) -> int:
    return 0 if abs(100 * math.expm1(log_ratio)) >= 20 else 1


def minute(text: str) -> str:
    """A time in ISO form to the minute, in UTC: ``2026-11-23 17:23 UTC``; other words as they are."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if when.tzinfo else text


def margin(log_ratio: float) -> str:
    """A margin in ln loss as a reader thinks of it: ``0.05`` as ``±5 %``."""
    return f"±{plain(100 * log_ratio)}{THIN}%"


def decades(low: float, high: float) -> str:
    """The distance between two amounts of compute: ``1.3 decades``."""
    return f"{math.log10(high / low):.1f} decades"


def listed(words: tuple[str, ...] | list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else ""


def law_form(form: str, recency: float = 0.0) -> str:
    """The equation of a law as a reader writes it, and how late points were weighed."""
    equation = _LAW_FORMS.get(form, form)
    return f"{equation}, points weighed by C^{recency:g}" if recency else equation


def code_word(word: str) -> str:
    """A code as a reader writes it, where it is one: ``adamw`` is AdamW."""
    return _WORDS.get(word, word)


def sentence(text: str) -> str:
    """``text`` with a capital and a full stop."""
    text = text.strip()
    return text if not text else text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")
