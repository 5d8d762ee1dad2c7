"""The ranks that train one trial together, a process each: what they add up, agree on and hand to one another.

torchrun starts them and says who is who. Gradients are added up in one flat buffer, so that every rank takes the same
step by the same numbers; whatever else a step needs of all ranks goes the same way. No rank waits for ever: what is
not answered in time, or by a rank that has died, is an error on all the others.

Source: docs/decisions/0037-ranks.md.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from levelfield.data.audit import SeenAudit
from levelfield.data.machine import PROCESSES, processes_here
from levelfield.records.errors import RankLostError, first_line

T = TypeVar("T")
_PATIENCE = timedelta(days=1)
"""For what the first rank does alone: opening data for the first time, judging, publishing. One that dies is seen."""
_WORD = 2**64


class Ranks:
    """``size`` ranks, of which this process is number ``rank``; the first is 0. One alone asks nobody."""

    def __init__(self, *, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size
        self._handed = False
        self._patient: Any = dist.new_group(backend="gloo", timeout=_PATIENCE) if size > 1 else None

    @property
    def alone(self) -> bool:
        return self.size == 1

    @property
    def is_first(self) -> bool:
        """Whether this is the one rank that writes."""
        return self.rank == 0

    def total(self, tensor: Tensor) -> Tensor:
        """The sum of ``tensor`` over ranks, on its device."""
        if self.alone:
            return tensor
        summed = tensor.clone()
        with self._all_here():
            dist.all_reduce(summed)
        return summed

    def first_of(self, tensor: Tensor) -> Tensor:
        """``tensor`` as the first rank has it: by what may differ in the last bit, all decide alike."""
        if not self.alone:
            with self._all_here():
                dist.broadcast(tensor, src=0)
        return tensor

    def any(self, *flags: bool) -> list[bool]:
        """Of each of ``flags`` whether it is set on any rank."""
        return [count > 0 for count in self.totals(*map(int, flags))]

    def totals(self, *counts: int) -> list[int]:
        """The sums of ``counts`` over ranks, modulo 2⁶⁴ and from -2⁶³ on."""
        return self.total(torch.tensor(counts, dtype=torch.int64)).tolist()

    def seen(self, audit: SeenAudit, masked: int) -> tuple[SeenAudit, int]:
        """What all ranks have seen, and how many of it was ``masked``."""
        if self.alone:
            return audit, masked
        lanes = [_signed(int(audit.digest[start : start + 16], 16)) for start in (0, 16)]
        examples, whole, *lanes = self.totals(audit.examples, masked, *lanes)
        return SeenAudit(examples=examples, digest="".join(f"{lane % _WORD:016x}" for lane in lanes)), whole

    def seconds(self, spent: Mapping[str, float], *purposes: str) -> dict[str, float]:
        """``spent`` with what all ranks together have spent on ``purposes``."""
        own = torch.tensor([spent.get(purpose, 0.0) for purpose in purposes], dtype=torch.float64)
        return dict(spent) if self.alone else {**spent, **dict(zip(purposes, self.total(own).tolist(), strict=True))}

    def sum_gradients(self, leaves: Sequence[Tensor], loss: Tensor) -> Tensor:
        """Leave in every one of ``leaves`` the sum of its gradients over ranks, and give back that of ``loss``.

        All of them travel at once, in single precision at the least; a leaf that had none has met no example here.
        """
        if self.alone:
            return loss
        width = torch.float32
        for leaf in leaves:
            width = torch.promote_types(width, leaf.dtype)
            if leaf.grad is None:
                leaf.grad = torch.zeros_like(leaf)
        gradients = [leaf.grad for leaf in leaves if leaf.grad is not None]
        rows = [gradient.reshape(-1).to(width) for gradient in gradients]
        flat = torch.cat([*rows, loss.reshape(1).to(width)])
        with self._all_here():
            dist.all_reduce(flat)
        *summed, whole = flat.split([*map(len, rows), 1])
        for gradient, row in zip(gradients, summed, strict=True):
            gradient.copy_(row.view(gradient.shape))
        return whole[0]

    def hand_out(self, plain: Mapping[str, Any] | None) -> None:
        """Give all others ``plain``: tensors, numbers and texts only; None where nothing is left for them to do."""
        if self.alone:
            return
        self._handed = True
        buffer = io.BytesIO()
        torch.save(plain, buffer)
        with self._all_here():
            dist.broadcast_object_list([buffer.getvalue()], src=0, group=self._patient)

    def handed(self) -> dict[str, Any] | None:
        """What the first rank hands out next."""
        box: list[Any] = [None]
        with self._all_here():
            dist.broadcast_object_list(box, src=0, group=self._patient)
        return torch.load(io.BytesIO(box[0]), map_location="cpu", weights_only=True)

    def dismiss(self) -> None:
        """Let the others go, if this is the first rank and has given them nothing to do."""
        if not self.alone and self.is_first and not self._handed:
            with contextlib.suppress(RankLostError):
                self.hand_out(None)

    def gathered(self, own: T) -> list[T]:
        """What every rank has, by rank."""
        if self.alone:
            return [own]
        found: list[Any] = [None] * self.size
        with self._all_here():
            dist.all_gather_object(found, own, group=self._patient)
        return found

    @contextlib.contextmanager
    def _all_here(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise RankLostError(
                f"rank {self.rank} of {self.size} waits for another that has died or hangs ({first_line(error)}); "
                "the same command goes on from the last checkpoint"
            ) from error


ALONE = Ranks()


def started_by_torchrun() -> bool:
    """Whether this process is one of those that torchrun has started, and by that a rank."""
    return dist.is_torchelastic_launched()


@contextlib.contextmanager
def ranks_here(device: torch.device, *, hung_after_s: float) -> Iterator[Ranks]:
    """The ranks that torchrun has started, on ``device`` and its like, until the end of the block; else one alone.

    A rank that has not answered for ``hung_after_s`` hangs. What each may take of its machine is its share from now on.

    Raises:
        RankLostError: not all of them have come.
    """
    if not started_by_torchrun() or (size := int(os.environ["WORLD_SIZE"])) == 1:
        yield ALONE
        return
    os.environ[PROCESSES] = str(processes_here() * int(os.environ["LOCAL_WORLD_SIZE"]))
    rank, waits = int(os.environ["RANK"]), timedelta(seconds=hung_after_s)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        # One that torchrun has begun again meets the others anew, and not where those that died have left word.
        store, _, _ = next(iter(rendezvous("env://", timeout=waits)))
        store = dist.PrefixStore(f"begun-{os.environ['TORCHELASTIC_RESTART_COUNT']}", store)
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=waits)
        ranks = Ranks(rank=rank, size=size)
    except RuntimeError as error:
        raise RankLostError(f"rank {rank} of {size} could not meet the others ({first_line(error)})") from error
    try:
        yield ranks
    finally:
        ranks.dismiss()
        dist.destroy_process_group()


def _signed(word: int) -> int:
    return word - _WORD if word >= _WORD // 2 else word
