"""The tensors that a network is: its parameters, and the statistics that its BatchNorm layers are judged by."""

from __future__ import annotations

from torch import Tensor, nn

STATISTICS = ("running_mean", "running_var")
"""What BatchNorm calls the statistics of its inputs; how often they moved (num_batches_tracked) is no part of them."""


def batch_norms(network: nn.Module) -> dict[str, nn.modules.batchnorm._BatchNorm]:
    """The layers of ``network`` that normalise by what the examples of a batch share while they train, by name."""
    return {
        name: module for name, module in network.named_modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)
    }


def statistics_of(network: nn.Module) -> dict[str, Tensor]:
    """The statistics in the BatchNorm layers of ``network``, by name; not copied."""
    return {
        f"{name}.{leaf}" if name else leaf: layer.get_buffer(leaf)
        for name, layer in batch_norms(network).items()
        if layer.running_mean is not None
        for leaf in STATISTICS
    }


def is_statistic(name: str) -> bool:
    """Whether the tensor called ``name`` is such a statistic, and no parameter."""
    return name.rpartition(".")[2] in STATISTICS


def unknown_statistics(network: nn.Module) -> list[str]:
    """What in ``network`` normalises by statistics of the batch and is no BatchNorm that keeps them, by name."""
    known = statistics_of(network)
    kept = [name for name, _ in network.named_buffers() if is_statistic(name) and name not in known]
    return kept + [name for name, layer in batch_norms(network).items() if layer.running_mean is None]


def tensors_of(network: nn.Module) -> dict[str, Tensor]:
    """Every tensor that what ``network`` says depends on and its architecture does not fix, by name; not copied."""
    return {**dict(network.named_parameters()), **statistics_of(network)}
