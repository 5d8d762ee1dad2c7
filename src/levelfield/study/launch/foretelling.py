"""What a work item will take, from what finished ones of the same study took where they ran."""

from __future__ import annotations

from levelfield.records.execution import ExecutionSpec
from levelfield.records.store import StudyDirectory
from levelfield.records.trial import TrialSpec, TrialTiming
from levelfield.study.launch.base import Planned
from levelfield.study.launch.cluster import Needs

_SPARE, _SPARE_S = 2.0, 600.0
"""What is asked for of the time: twice what the slowest took for as many FLOPs, and ten minutes to start and to end.
Who is cut short goes on from a checkpoint; who asks for days waits for them."""
_SPARE_MEMORY, _SPARE_BYTES = 1.5, 1 << 30


class Foretelling:
    """Learns from trials that have finished in ``study``, by family; nothing is said before one has."""

    def __init__(self, study: StudyDirectory, *, device: str, execution: ExecutionSpec) -> None:
        self._study, self._execution = study, execution
        self._num_gpus = execution.num_devices if device.partition(":")[0] == "cuda" else 0
        self._slowest: dict[str, float] = {}
        self._largest: dict[str, int] = {}
        for held in study.trials().values():
            if held.spec is not None and held.timing is not None:
                self._learn(held.spec, held.timing)

    def learn(self, trial: Planned) -> None:
        """``trial`` has finished."""
        if isinstance(trial.spec, TrialSpec):
            timing = self._study.trial(trial.spec).timing()
            if timing is not None:
                self._learn(trial.spec, timing)

    def needs(self, trial: Planned) -> Needs:
        """What ``trial`` takes; of a probe nothing is foretold."""
        spec, ahead = trial.spec, self._execution.prefetch or 0
        seconds = memory = None
        if isinstance(spec, TrialSpec) and spec.family in self._slowest:
            seconds = _SPARE * self._slowest[spec.family] * spec.budget_flops + _SPARE_S
        if isinstance(spec, TrialSpec) and spec.family in self._largest and not self._num_gpus:
            memory = int(_SPARE_MEMORY * self._largest[spec.family]) + _SPARE_BYTES
        return Needs(
            num_gpus=self._num_gpus,
            num_cpus=self._execution.threads + ahead,
            seconds=seconds,
            memory_bytes=memory,
        )

    def _learn(self, spec: TrialSpec, timing: TrialTiming) -> None:
        if spec.budget_flops and timing.attempts == 1:  # of more the last alone was timed
            pace = timing.wall_seconds / spec.budget_flops
            self._slowest[spec.family] = max(pace, self._slowest.get(spec.family, 0.0))
        if timing.memory_bytes is not None:
            self._largest[spec.family] = max(timing.memory_bytes, self._largest.get(spec.family, 0))
