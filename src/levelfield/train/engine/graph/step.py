"""A whole step of a trial as one graph of the device: forward and backward pass, guard, clipping, update, average.

Every step reads its batch from the same memory, which the host fills; what changes by rule (rate, the average's share)
is filled in with it. On a GPU the step is captured once for each shape of batch, after a few steps on a side stream
that the guard keeps from changing anything, and replayed from then on. On a CPU the same step runs as it is written.

Source: torch documentation, notes/cuda ("CUDA Graphs"): warm-up on a side stream, gradients set to None before capture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor

from levelfield.data.loader import Batch
from levelfield.records.trial import TrialSpec
from levelfield.tasks.base import Fields, Task
from levelfield.train.device import sent
from levelfield.train.engine.graph.side import GraphSide
from levelfield.train.state import TrainState
from levelfield.train.step import TrainingStep, noise_streams

CAPTURED_AFTER = 3
"""Steps that run before one is captured: cuDNN and cuBLAS choose kernels and reserve memory in them."""

Shape: TypeAlias = tuple[tuple[str, torch.Size, torch.dtype], ...]
_VALID, _STREAMS = "\0valid", "\0streams"
"""Names that no field has."""


class _FromMemory(TrainingStep):
    """A step whose batch lies in ``held``, whatever it is given."""

    held: Mapping[str, Tensor]

    def inputs(self, state: TrainState, batch: Batch) -> tuple[Fields, Tensor, Tensor]:
        fields = {name: tensor for name, tensor in self.held.items() if name not in (_VALID, _STREAMS)}
        return fields, self.held[_VALID], self.held[_STREAMS]


class GraphUpdate:
    """See the module, and :class:`levelfield.train.lagging.QueuedUpdate`."""

    def __init__(
        self, spec: TrialSpec, task: Task, *, device: torch.device, microbatch_size: int | None = None
    ) -> None:
        self.spec, self.device, self.side = spec, device, GraphSide(spec)
        self._step = _FromMemory(spec, task, device=device, side=self.side, microbatch_size=microbatch_size)
        self._alive = torch.ones((), dtype=torch.bool, device=device)
        self._memory: dict[Shape, dict[str, Tensor]] = {}
        self._replays: dict[Shape, Callable[[], Tensor]] = {}
        self._of: object = None
        self.learning_rate = self._step.learning_rate

    def __call__(self, state: TrainState, batch: Batch) -> Tensor:
        self.side.tell(state, self.learning_rate(state.step))
        if self._of is not self.side.buffers:  # another state: what was captured is of memory that is gone
            self._of = self.side.buffers
            self._replays.clear()
        shape = self._fill(state, batch)
        self._step.held = self._memory[shape]
        if self.device.type != "cuda":
            told = self._whole(state, batch)
        else:
            if shape not in self._replays:
                self._replays[shape] = self._captured(state, batch)
            told = self._replays[shape]().clone()
        state.step += 1
        return told

    def _fill(self, state: TrainState, batch: Batch) -> Shape:
        """Put ``batch`` where the step reads it; its shape."""
        streams = noise_streams(self.spec.seed, state.step, batch.positions)
        given = {**self._step.fields(batch), _VALID: batch.valid, _STREAMS: streams}
        shape = tuple((name, tensor.shape, tensor.dtype) for name, tensor in given.items())
        memory = self._memory.get(shape)
        if memory is None:
            memory = self._memory[shape] = {
                name: torch.empty_like(tensor, device=self.device) for name, tensor in given.items()
            }
        for name, tensor in given.items():
            memory[name].copy_(sent(tensor, self.device), non_blocking=True)
        return shape

    def _whole(self, state: TrainState, batch: Batch) -> Tensor:
        """The step, by what lies in memory: its loss and the norm of its gradient, [2]."""
        loss = self._step.gradient(state, batch)
        norm = self.side.gradient_norm(state)
        told = torch.stack((loss.float(), norm.float()))
        self._alive.logical_and_(torch.isfinite(told).all())
        self.side.update_while(self._alive, norm)
        return told

    def _captured(self, state: TrainState, batch: Batch) -> Callable[[], Tensor]:
        """The step as a graph, which gives where it has left what it tells."""
        alive = self._alive.clone()
        self._alive.zero_()
        replay = captured(lambda: self._whole(state, batch), self.device)
        self._alive.copy_(alive)
        return replay


def captured(call: Callable[[], Tensor], device: torch.device) -> Callable[[], Tensor]:
    """``call`` as a graph of a GPU: what replays it gives the tensor that ``call`` gives, in which each run leaves its
    own. It runs a few times before that."""
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(CAPTURED_AFTER):
            call()
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    # Threads that render ahead reserve pinned memory meanwhile, which capture forbids all others by default.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        told = call()

    def replay() -> Tensor:
        graph.replay()
        return told

    return replay
