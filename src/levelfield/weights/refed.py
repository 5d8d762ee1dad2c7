"""The same function of a picture for a network that is fed otherwise: other means and deviations of the channels."""

from __future__ import annotations

import copy
import dataclasses

import torch

from levelfield.records.errors import SpecError
from levelfield.weights.loaded import LoadedModel
from levelfield.weights.preprocessing import Preprocessing

_CLOSE = 1e-6


@torch.no_grad()
def fed_as_trained(loaded: LoadedModel) -> LoadedModel:
    """``loaded``, to be fed by Levelfield's own mean and deviation: its first layer takes the difference.

    Patches do not overlap and have no border, so a patch embedding can; a convolution that pads with zeros or
    standardises its weights cannot, and must have been fed so already.

    Raises:
        SpecError: it was fed otherwise, and its first layer cannot take the difference.
    """
    card = loaded.card
    ours = Preprocessing.of_training(resolution=card.resolution, in_channels=card.in_channels)
    theirs = card.preprocessing
    mean, std = (torch.tensor(values) for values in (ours.mean, ours.std))
    their_mean, their_std = (torch.tensor(values) for values in (theirs.mean, theirs.std))
    refed = dataclasses.replace(card, preprocessing=dataclasses.replace(theirs, mean=ours.mean, std=ours.std))
    if (mean - their_mean).abs().max() < _CLOSE and (std - their_std).abs().max() < _CLOSE:
        return dataclasses.replace(loaded, card=refed)
    model = copy.deepcopy(loaded.model)
    embedding = getattr(model, "patch_embed", None)
    if embedding is None:
        raise SpecError(
            f"{card.architecture} was trained on images less {theirs.mean} over {theirs.std}; Levelfield feeds "
            f"{ours.mean} and {ours.std}, and only a patch embedding can take the difference"
        )
    scale = (std / their_std).view(1, -1, 1, 1)
    shift = ((mean - their_mean) / their_std).view(1, -1, 1, 1)
    embedding.bias += (embedding.weight * shift).sum((1, 2, 3))
    embedding.weight *= scale
    return LoadedModel(model=model, card=refed)
