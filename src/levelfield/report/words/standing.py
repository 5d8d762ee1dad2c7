"""Where a running study stands, in sentences."""

from __future__ import annotations

from levelfield.report.facts import Standing
from levelfield.report.words import numbers

NOTHING_FINISHED = "No answer yet: no run has a result that could be judged."


def standing_sentences(standing: Standing) -> tuple[str, ...]:
    """How much is done, what it has cost, and how long the rest takes."""
    trials = "trial" if standing.wanted == 1 else "trials"
    done = (
        f"Complete: all {standing.wanted} {trials} are done."
        if standing.complete
        else f"In progress: {standing.done} of {standing.wanted} {trials} wanted so far are done."
    )
    spent = (
        f"{numbers.flops(standing.train_flops)} of training and {numbers.seconds(standing.device_seconds)} of device "
        "time are spent."
    )
    told = [done, spent]
    if standing.num_failed:
        told.append(f"{standing.num_failed} failed.")
    if not standing.complete:
        left = standing.seconds_left
        told.append(
            "How long the rest takes is not known yet." if left is None else _left(left, at_most=standing.at_most)
        )
    if standing.latest:
        told.append(f"The last result came at {standing.latest}.")
    return tuple(told)


def trouble_sentence(why: str) -> str:
    """What is told on a page whose study cannot be read now."""
    return f"The study cannot be read now, so what stands here is older: {numbers.sentence(why)}"


def _left(seconds: float, *, at_most: bool) -> str:
    said = f"{numbers.seconds(seconds)} at most" if at_most else f"about {numbers.seconds(seconds)}"
    return f"The rest takes {said}, at the pace since this watch began."
