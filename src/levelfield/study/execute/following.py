"""All ranks of a trial but the first: they take part in every step and in judging, and write nothing.

The first rank has the attempt, its lease, the checkpoints and the result. It hands out what is to be trained and from
which state, so the others need the data and nothing else of the study.
"""

from __future__ import annotations

import torch

from levelfield.data.sources import open_source_once
from levelfield.records.codec import from_plain, to_plain
from levelfield.records.errors import SpecError
from levelfield.records.execution import Execution
from levelfield.records.trial import TrialSpec
from levelfield.study.execute.executed import execution_here, threads_ahead
from levelfield.study.execute.judging import scored
from levelfield.study.execute.lockstep import Wish, spent_by_all, wish_of_all
from levelfield.study.execute.parts import TrialParts, put_together
from levelfield.study.execute.stopping import held_signals
from levelfield.train.loop import training_steps
from levelfield.train.ranks import Ranks
from levelfield.train.timing import Stopwatch


def hand_out(parts: TrialParts, execution: Execution) -> None:
    """Let all other ranks begin where this one, the first, is about to.

    Raises:
        RankLostError: one of them is gone.
    """
    if not parts.ranks.alone:
        state = parts.state.to_plain()
        parts.ranks.hand_out({"spec": to_plain(parts.spec), "execution": to_plain(execution), "state": state})


def hand_out_to_judge(parts: TrialParts, *, diverged: bool) -> None:
    """Let all other ranks judge the settled network; nothing is left to do of a trial that has ``diverged``.

    Raises:
        RankLostError: one of them is gone.
    """
    if not parts.ranks.alone:
        parts.ranks.hand_out(None if diverged else parts.state.model.state_dict())


def follow(ranks: Ranks, device: torch.device) -> None:
    """Train and judge what the first rank hands out, to its end.

    Raises:
        SpecError: this machine is another kind than that of the first rank.
        InputError: the data cannot be read here.
        RankLostError: another rank has died or hangs, or the first has failed.
    """
    given = ranks.handed()
    if given is None:
        return
    spec, execution = from_plain(TrialSpec, given["spec"]), from_plain(Execution, given["execution"])
    torch.set_num_threads(execution.threads)
    _refuse_unlike(execution, device, ranks)
    source, stopwatch = open_source_once(spec.data), Stopwatch(device)
    parts = put_together(
        spec,
        source,
        device=device,
        execution=execution,
        test_source=open_source_once(spec.held_out_data),
        ranks=ranks,
    )
    parts.state.restore(given["state"])
    if not _trained(parts, execution, stopwatch) or (weights := ranks.handed()) is None:
        return
    parts.state.model.load_state_dict(weights)
    with stopwatch.charge("evaluate"):
        scored(parts)
    ranks.seconds(stopwatch.seconds, "evaluate")


def _trained(parts: TrialParts, execution: Execution, stopwatch: Stopwatch) -> bool:
    """Take all steps that are left; whether none of the ranks was stopped."""
    ranks, spec = parts.ranks, parts.spec
    loader = parts.loader(prefetch=threads_ahead(execution, parts.device))
    stopwatch.beside(loader.cpu_seconds_ahead)
    reports = training_steps(parts.state, parts.step, iter(loader), num_steps=spec.steps, stopwatch=stopwatch)
    with held_signals(alone=False) as held:
        for report in reports:
            wish = wish_of_all(ranks, Wish(stop=bool(held)))
            if report.finite and wish.saves:
                spent_by_all(ranks, stopwatch)
            if held:
                held.let_go()
            if wish.stop or (wish.over and report.step < spec.steps):
                return False
    spent_by_all(ranks, stopwatch)
    return True


def _refuse_unlike(execution: Execution, device: torch.device, ranks: Ranks) -> None:
    """A trial has one execution: all of its ranks run on one kind of device, by the same code."""
    here = execution_here(execution.asked, device, ranks)
    if not here.repeats(execution):
        raise SpecError(
            f"rank {ranks.rank} runs {here.words}, the first one {execution.words}: the ranks of a trial must be "
            "alike, in device, torch, engine and the libraries that read pictures"
        )
