"""What a transfer says, in sentences: whether pre-training paid, and whether its loss foretold it."""

from __future__ import annotations

from collections.abc import Iterator

from levelfield.records.transfer import FINE_TUNED
from levelfield.report.words.numbers import CURRENCY_WORDS, family_name, number_interval, ratio_interval
from levelfield.report.words.told import all_told, told
from levelfield.scaling.transfer import TransferAnalysis, Worth


def transfer_sentences(found: TransferAnalysis) -> Iterator[str]:
    """Whether pre-training paid, family by family in both currencies, and whether lower loss meant better transfer."""
    for worth in found.worth:
        yield worth_sentence(worth, found)
    if sentence := agreement_sentence(found):
        yield sentence


def worth_sentence(worth: Worth, found: TransferAnalysis) -> str:
    """Whether pre-training paid on the target, in one sentence with its interval."""
    family, comparison = family_name(worth.family), worth.comparison
    overall, currency = comparison.overall, CURRENCY_WORDS[comparison.currency]
    verdict = {
        "better": f"pre-training {family} was worth it",
        "worse": f"pre-training {family} was not worth it",
        "equivalent": f"pre-training {family} made no difference beyond {100 * comparison.margin:.3g} %",
    }.get(overall.verdict, f"one cannot tell whether pre-training {family} was worth it")
    against = "against training from scratch"
    measured = f": {found.metric} {ratio_interval(overall.difference)} {against}" if overall.difference else ""
    because = f" ({all_told(overall.reasons)})" if overall.verdict == "cannot tell" and overall.reasons else ""
    return f"On {found.transfer}, at equal {currency} in all, {verdict}{measured}{because}."


def agreement_sentence(found: TransferAnalysis) -> str:
    """Whether lower pre-training loss meant better fine-tuning on the target; empty where nobody looked."""
    parts = []
    for each in (each for each in found.agreements if each.what == FINE_TUNED):
        where = "over all rungs" if each.among == "all rungs" else "at equal pre-training compute"
        if each.status is not None:
            parts.append(f"{where} too few backbones can tell ({told(each.status)})")
        else:
            parts.append(f"{where} {number_interval(each.tau, 2)}")
    of = f"Lower pre-training loss and better transfer to {found.transfer}, Kendall's tau"
    return f"{of}: {'; '.join(parts)}." if parts else ""
