"""The network at work: pictures in, log-probabilities of the classes out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from levelfield.inference.pictures import Fed, Unreadable, fed_pictures
from levelfield.records.codec import record
from levelfield.records.errors import WeightsError
from levelfield.weights.export import folded
from levelfield.weights.loaded import LoadedModel


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """``log_probabilities`` float32 [B, num_outputs] for the pictures at ``places`` [B], of classes ``labels`` [B]."""

    log_probabilities: NDArray[np.float32]
    places: NDArray[np.int64]
    labels: NDArray[np.int64] | None


@record
class Guess:
    """A class and how probable the network holds it; ``name`` is its number where nobody named it."""

    label: int
    name: str
    probability: float


@record
class Classified:
    """A picture and its ``guesses``, the most probable first."""

    picture: str
    guesses: tuple[Guess, ...]


def answers(loaded: LoadedModel, fed: Iterator[Fed], *, device: torch.device) -> Iterator[Answers]:
    """What ``loaded`` says of ``fed``, a batch at a time, in float32.

    Raises:
        WeightsError: an answer is no number, or there is nothing to choose between.
    """
    if loaded.card.num_outputs < 2:
        raise WeightsError(
            f"{loaded.card.source}: {loaded.card.architecture} has {loaded.card.num_outputs} output, whose softmax is "
            "1 whatever the picture: it tells no classes apart; fine-tune it on two or more"
        )
    network = folded(loaded).to(device)
    for images, places, labels in fed:
        with torch.inference_mode():
            logits = network(images.to(device)).float()
            log_p = logits.log_softmax(dim=1).cpu().numpy()
        wrong = int((~np.isfinite(log_p)).any(axis=1).sum())
        if wrong:
            raise WeightsError(
                f"{loaded.card.source}: {loaded.card.architecture} answers {wrong} of {len(places)} images with "
                "numbers that are not finite: its weights overflow float32; take a checkpoint from before it diverged"
            )
        yield Answers(log_probabilities=log_p, places=places, labels=labels)


def classify(
    loaded: LoadedModel, paths: Sequence[Path], *, device: torch.device, top: int, unreadable: list[Unreadable]
) -> Iterator[Classified]:
    """The ``top`` guesses for every picture that can be read; the others are added to ``unreadable``."""
    names = class_names(loaded)
    for batch in answers(loaded, fed_pictures(paths, loaded.preprocessing, unreadable), device=device):
        best = np.argsort(-batch.log_probabilities, axis=1, kind="stable")[:, :top]
        for place, labels, log_p in zip(batch.places, best, batch.log_probabilities, strict=True):
            guesses = (Guess(label=int(i), name=names[i], probability=float(np.exp(log_p[i]))) for i in labels)
            yield Classified(picture=str(paths[place]), guesses=tuple(guesses))


def class_names(loaded: LoadedModel) -> tuple[str, ...]:
    """The name of every output, or its number."""
    return loaded.classes or tuple(str(label) for label in range(loaded.card.num_outputs))
