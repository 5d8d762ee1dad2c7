"""What fitting the head first costs a fine-tune, once: features of some examples, and the iterations of the solver."""

from __future__ import annotations

from levelfield.compute.analytic import FLOPS_PER_MAC, ComputeCount

HEAD_EXAMPLES = 4096
"""Training examples that a head is fitted to, at the most: forward alone, an eighth of what 500 steps of 64 see."""
HEAD_VIEWS = 2
"""Of each: plain, as a network is judged, and augmented, as it is trained on. Source: decision 32."""
HEAD_ITERATIONS = 100
"""Of the solver, at the most; all of them are charged, so that a plan knows the bill."""


def head_examples(num_train: int) -> int:
    """How many of ``num_train`` training examples a head is fitted to."""
    return min(num_train, HEAD_EXAMPLES)


def head_fit_flops(counted: ComputeCount, num_train: int) -> float:
    """The FLOPs of fitting a linear head on the network that was ``counted``: one forward pass of every view, and in
    every iteration its logits and their gradient."""
    head = next(layer for layer in counted.layers if layer.name == "head")
    solver = HEAD_ITERATIONS * 2 * FLOPS_PER_MAC * head.forward_macs
    return float(HEAD_VIEWS * head_examples(num_train) * (counted.forward_flops + solver))
