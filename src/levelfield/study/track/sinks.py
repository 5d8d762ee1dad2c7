"""Where curves go: TensorBoard's event files, or whatever has the W&B API. Each is an extra that a user installs."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from levelfield.records.errors import SpecError, did_you_mean

SINKS = ("tensorboard", "wandb", "trackio")


class Curve(Protocol):
    """The curve of one trial."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """What ``values`` were at ``step``; steps rise."""
        ...

    def end(self, step: int, summary: Mapping[str, float]) -> None:
        """What came of it, at its last ``step``; empty where it failed."""
        ...


class Sink(Protocol):
    """Others' program that keeps curves."""

    def begin(self, name: str, identity: str, config: Mapping[str, Any]) -> Curve:
        """The curve of the trial of that ``name`` and ``identity``; a trial that was begun before goes on."""
        ...


def sink(called: str, *, study: str, directory: Path) -> Sink:
    """The sink of that name, for the study of that name in ``directory``.

    Raises:
        SpecError: there is none of that name, or what it needs is not installed.
    """
    if called not in SINKS:
        raise SpecError(f"--track takes {', '.join(SINKS)}; saw {called!r}{did_you_mean(called, SINKS)}")
    try:
        if called == "tensorboard":
            return _TensorBoard(directory / "track")
        return _LikeWandb(importlib.import_module(called), project=study, directory=directory / "track")
    except ModuleNotFoundError as missing:
        raise SpecError(
            f"--track {called} needs {missing.name}, which is not installed: pip install {called}"
        ) from missing


class _TensorBoard:
    """Event files, a folder a trial: ``tensorboard --logdir DIR/track``."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer, self._folder = SummaryWriter, folder

    def begin(self, name: str, identity: str, config: Mapping[str, Any]) -> Curve:
        # What an earlier run of this trial wrote is hidden: its curve is sent again from its first step.
        return _EventFile(self._writer(str(self._folder / name), purge_step=0))


class _EventFile:
    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def end(self, step: int, summary: Mapping[str, float]) -> None:
        self.log(step, summary)
        self._writer.close()


class _LikeWandb:
    """W&B, or what has its ``init``, ``log`` and ``finish``: a run a trial, a project a study."""

    def __init__(self, module: Any, *, project: str, directory: Path) -> None:
        self._module, self._project, self._directory = module, project, directory

    def begin(self, name: str, identity: str, config: Mapping[str, Any]) -> Curve:
        said: dict[str, Any] = {"project": self._project, "name": name, "config": dict(config), "resume": "allow"}
        if self._module.__name__ == "wandb":
            self._directory.mkdir(parents=True, exist_ok=True)
            said |= {"id": identity[:32], "dir": str(self._directory), "reinit": "create_new"}
        return _Run(self._module.init(**said))


class _Run:
    def __init__(self, run: Any) -> None:
        self._run = run

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def end(self, step: int, summary: Mapping[str, float]) -> None:
        if summary:
            self._run.log(dict(summary), step=step)
        self._run.finish()
