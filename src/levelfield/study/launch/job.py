"""What a job does, wherever a cluster has placed it: one work item by its order."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from levelfield.records.code_version import code_version
from levelfield.records.errors import BusyError, InputError
from levelfield.records.sealed import read_record_if_there
from levelfield.study.launch.cluster import JobOrder
from levelfield.study.launch.intents import Intent

if TYPE_CHECKING:
    import torch


def order_at(path: Path) -> JobOrder | None:
    """The order in the file ``path``; None where it was withdrawn."""
    intent = read_record_if_there(Intent, path)
    return None if intent is None else intent.order


def run_job(item: Path, order: JobOrder) -> None:
    """Run the item in the directory ``item`` to its end; where somebody else is at it and alive, do nothing.

    Raises:
        InputError: it is not there, cannot be meant, or is to be run by other code than this.
        StoreError: its directory cannot be written, or holds what was made of something else.
        LeaseLostError: another process has taken it over, and has not done it yet.
    """
    if order.code != code_version():
        raise InputError(
            f"{item} is to be run by levelfield {order.code}, and here is {code_version()}: install the same on every "
            "node, or run the study from an environment that all of them see"
        )
    if not item.is_dir():
        raise InputError(
            f"{item} is not there on this node: a study that a cluster runs lies in a directory that all nodes see "
            "under the same path"
        )
    from levelfield.study.execute.item import WorkOrder, item_at, run_item

    told = WorkOrder(
        device=_device(order.device),
        execution=order.execution,
        checkpoint_seconds=order.checkpoint_seconds,
        keeps_weights=order.keeps_weights,
        patience_s=0.0,
    )
    try:
        run_item(item_at(item), told)
    except BusyError:
        return  # a duplicate has nothing to do


@functools.cache
def _device(name: str) -> torch.device:
    from levelfield.train.device import resolve_device

    return resolve_device(name)
