"""Launchers by name: the one place that names them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from levelfield.records.errors import SpecError, StoreError
from levelfield.records.execution import LauncherName
from levelfield.study.launch.base import Launcher
from levelfield.study.launch.cluster import JobPlacer
from levelfield.study.launch.clustered import ClusterLauncher
from levelfield.study.launch.intents import launcher_at_work
from levelfield.study.launch.local import LocalLauncher
from levelfield.study.launch.ray import RayCluster
from levelfield.study.launch.slurm import SlurmCluster

_CLUSTERS: dict[LauncherName, Callable[..., JobPlacer]] = {"slurm": SlurmCluster, "ray": RayCluster}


def launch_by(asks: Mapping[str, str]) -> Callable[..., Launcher]:
    """What starts the launcher that an execution names, its cluster asked for ``asks`` for every job."""
    return functools.partial(start_launcher, asks=asks)


def start_launcher(directory: Path, *, asks: Mapping[str, str] | None = None, **how: Any) -> Launcher:
    """The launcher of the study in ``directory`` that ``how["execution"]`` names; ``how`` is that of
    :class:`levelfield.study.launch.local.LocalLauncher`.

    Raises:
        SpecError: it takes no such ``asks``; or a cluster's jobs are to run on whatever device this machine has.
        StoreError: the jobs of another launcher are at work here.
        InputError: the cluster is not there.
    """
    name: LauncherName = how["execution"].launcher
    if (other := launcher_at_work(directory)) not in (None, name):
        raise StoreError(
            f"jobs of {other} are at work on {directory}: go on with --launcher {other}, or stop it first; where its "
            f"jobs are known to be gone, remove {directory / 'jobs'}"
        )
    if name == "local":
        if asks:
            raise SpecError(f"--ask is for clusters, saw {', '.join(asks)} with --launcher local")
        return LocalLauncher(directory, **how)
    if how["device"] == "auto":
        raise SpecError(
            f"say --device cpu or --device cuda with --launcher {name}: what this machine has says nothing of its nodes"
        )
    open_cluster = functools.partial(_CLUSTERS[name], asks=asks or {})
    return ClusterLauncher(directory, name=name, open_cluster=open_cluster, **how)
