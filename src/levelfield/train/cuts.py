"""How a global batch is cut: into what shares statistics, by the recipe; over ranks; into microbatches."""

from __future__ import annotations

from collections.abc import Sequence

from levelfield.records.errors import expect
from levelfield.records.execution import ExecutionSpec
from levelfield.records.trial import TrialSpec


def refuse_cuts(spec: TrialSpec, execution: ExecutionSpec, *, shares: bool) -> None:
    """No execution may change what a step learns: ``shares`` says whether examples share statistics of BatchNorm.

    Raises:
        SpecError: the devices or the microbatch of ``execution`` would cut what belongs together.
    """
    recipe, batch, devices = spec.recipe, spec.global_batch_size, execution.num_devices
    expect(batch >= devices, "num_devices", f"{batch} at the most, for a global batch of as many", devices)
    if recipe.mixes and devices > 1:
        block, whole = recipe.mix_block, recipe.mix_block * devices
        what = f"so few that each has whole blocks of {block} of a batch of {batch}, which are mixed with one another"
        expect(batch % whole == 0, "num_devices", what, devices)
    if not shares:
        return
    group, micro = min(recipe.ghost_batch_size or batch, batch), execution.microbatch_size
    if group < batch and devices > 1:
        what = f"so few that each has whole ghost batches of {group} of a batch of {batch}"
        expect(batch % (group * devices) == 0, "num_devices", what, devices)
    least = group if group < batch else -(-batch // devices)
    what = f"left out, or at least the {least} examples that share statistics of BatchNorm on a device"
    expect(micro is None or micro >= least, "microbatch_size", what, micro)


def own_parts(parts: Sequence[slice], own: range, microbatch_size: int | None) -> list[slice]:
    """What of ``parts`` of a global batch lies in the share ``own`` of it, counted from its first example, in pieces of
    ``microbatch_size`` at the most."""
    found = []
    for part in parts:
        begin, end = max(part.start, own.start), min(part.stop, own.stop)
        size = microbatch_size or len(own)
        found += [slice(at - own.start, min(at + size, end) - own.start) for at in range(begin, end, size)]
    return found
