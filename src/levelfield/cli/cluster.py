"""``levelfield plan --cluster``: what a study takes on devices that are not here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from levelfield.records.study import StudySpec
    from levelfield.study.bill.cluster import Cluster, ClusterBill
    from levelfield.study.bill.foretold import Speeds
    from levelfield.study.facts import DataFacts
    from levelfield.study.planned import PlannedTrial


def cluster_asked(
    text: str,
    *,
    mfu: float | None,
    each: int,
    device: str,
    spec: StudySpec,
    facts: DataFacts,
    courses: Sequence[Sequence[PlannedTrial]],
    speeds: Speeds | None,
) -> Cluster:
    """The cluster of ``text``, at the ``mfu`` that was said, else at the one that ``speeds`` measured on its kind.

    Raises:
        SpecError: there is no such device, or nobody knows how much of its peak is reached.
    """
    import dataclasses

    from levelfield.compute.devices import device_called
    from levelfield.records.errors import SpecError
    from levelfield.study.bill.cluster import cluster_of, measured_utilisation
    from levelfield.train.device import device_name, resolve_device

    if mfu is not None:
        return cluster_of(text, utilisation=mfu, each=each)
    asked = cluster_of(text, utilisation=1.0, each=each)
    here = device_called(device_name(resolve_device(device)))
    if speeds is None or here is None or here.name != asked.kind:
        raise SpecError(
            f"no speed was measured on {asked.kind} here: say with --mfu which share of its peak training reaches "
            "(the article's NFNets reached 0.39 on TPU v4), or plan on such a device"
        )
    trials = [trial for course in courses for trial in course]
    return dataclasses.replace(asked, utilisation=measured_utilisation(spec, facts, trials, speeds, kind=asked.kind))


def say_cluster(found: ClusterBill) -> None:
    """The bill of a cluster in a few sentences, with what was taken for granted."""
    from levelfield.cli.console import say
    from levelfield.report.words.numbers import percent, seconds
    from levelfield.study.bill.cluster import FAILURE_HOURS, STARTED_SECONDS, WRITTEN_A_SECOND

    cluster = found.cluster
    say()
    say(f"On {cluster.devices} x {cluster.kind}", "strong")
    say(
        f"{seconds(found.seconds)} from the first trial to the last, {found.device_hours:,.3g} device-hours, devices "
        f"busy {percent(found.busy)} of the time: about {found.trials} trials, {cluster.slots} at a time on "
        f"{cluster.each} device{'s' * (cluster.each > 1)} each, the longest {seconds(found.longest)}"
    )
    say(
        f"storage: {_size(found.checkpoint_bytes)} of checkpoints at the most at one time, {_size(found.record_bytes)} "
        "of records in the end"
    )
    say(
        f"a checkpoint every {seconds(found.save_seconds)} is best for the largest: {percent(found.lost, 2)} of its "
        "time goes to saving and to failures"
    )
    say(
        f"taken for granted: {percent(cluster.utilisation)} of the peak in bfloat16, {seconds(STARTED_SECONDS)} to "
        f"begin a trial, data that come in time, {_size(WRITTEN_A_SECOND)}/s for a checkpoint, a failure of a device "
        f"every {FAILURE_HOURS:,.0f} h (arXiv 2407.21783); transfers are left out"
    )


def _size(num_bytes: float) -> str:
    """In the unit that reads best."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:,.3g} TB"
