"""What every family must have: :func:`check_family` asserts it."""

from __future__ import annotations

from typing import Any

import torch

from levelfield.compute.analytic import count
from levelfield.compute.count import trace
from levelfield.families.registry import build, list_layers, parameter_depth, parameter_role, parse
from levelfield.families.tensors import unknown_statistics
from levelfield.train.statistics import keep_none


def check_family(text: str, *, resolution: int = 32, in_channels: int = 3, num_outputs: int = 7) -> None:
    """Assert that the architecture ``text`` is one to plan with, to train and to count.

    Raises:
        AssertionError: it is not; the sentence says what was expected.
        SpecError: it names no architecture.
    """
    spec = parse(text)
    assert parse(spec.text) == spec, "its text is canonical"
    shape: dict[str, Any] = {"resolution": resolution, "num_outputs": num_outputs, "in_channels": in_channels}
    counted, traced = count(spec, **shape), trace(spec, **shape)
    assert counted.params == traced.params, f"parameters: {counted.params:,} counted, {traced.params:,} built"
    flops = counted.forward_flops, traced.forward_flops
    assert flops[0] == flops[1], f"forward FLOPs: {flops[0]:,} counted, {flops[1]:,} traced"
    assert list_layers(spec, **shape)[-1].name == "head", "the head comes last"
    networks = []
    for _ in range(2):
        torch.manual_seed(0)
        networks.append(build(spec, **shape).eval())
    first, second = networks
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs), "equal seeds give equal weights"
    names = [name for name, _ in first.named_parameters()]
    roles = {name: parameter_role(spec, name) for name in names}
    kernels = [name for name, role in roles.items() if role == "classifier_kernel"]
    assert kernels == ["head.weight"], f"one kernel is the head's, saw {kernels}"
    deepest = max(parameter_depth(spec, name) for name in names)
    assert parameter_depth(spec, "head.weight") == deepest, "the head is deepest"
    images = torch.randn(3, in_channels, resolution, resolution)
    with torch.no_grad():
        outputs = first(images)
        alone = torch.cat([first(image[None]) for image in images])
        assert keep_none(second.train()) == counted.has_batch_norm, (
            "the counter knows whether examples share statistics"
        )
        kept = {name: buffer.clone() for name, buffer in second.named_buffers()}
        second(images)
    moved = [name for name, buffer in second.named_buffers() if not torch.equal(buffer, kept[name])]
    assert not moved + unknown_statistics(second), f"it keeps no statistics but BatchNorm's, saw {moved} move"
    assert outputs.shape == (3, num_outputs), f"outputs [batch, num_outputs], saw {tuple(outputs.shape)}"
    assert torch.allclose(outputs, alone, rtol=1e-4, atol=1e-5), "an example does not depend on its batch"
