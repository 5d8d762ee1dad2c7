"""The head of a fine-tune, fitted to the features that its backbone starts with, before anything else learns.

Source: arXiv 2202.10054: a head that starts from nothing distorts the features below it while it is learnt.
"""

from __future__ import annotations

import numpy as np
import torch

from levelfield.compute.head_fit import HEAD_ITERATIONS, head_examples
from levelfield.data.arranged import examples_an_epoch, training_order
from levelfield.data.transforms import to_float
from levelfield.families.judged import weights_held
from levelfield.families.registry import parameter_role
from levelfield.records.errors import DataError
from levelfield.study.execute.parts import TrialParts
from levelfield.train.evaluate import EVALUATION_BATCH
from levelfield.transfer.probes import Floats, Labels, head_of_features


def fit_head(parts: TrialParts) -> None:
    """Set the classifier of ``parts``, and its average, by the first training images.

    Raises:
        DataError: not one of them is whole.
    """
    state, family = parts.state, parts.network.spec
    x, y = _features(parts)
    if not len(y):
        raise DataError("not one of the training images is whole, so no head can be fitted to them")
    kernel, bias = head_of_features(x, y, num_outputs=parts.spec.head.num_outputs, iterations=HEAD_ITERATIONS)
    with torch.no_grad():
        for name, parameter in state.model.named_parameters():
            role = parameter_role(family, name)
            if role in ("classifier_kernel", "classifier_bias"):
                fitted = torch.from_numpy(kernel if role == "classifier_kernel" else bias)
                parameter.copy_(fitted.reshape(parameter.shape))
    if state.average is not None:
        state.average.begin(list(state.parameters.values()))


@torch.no_grad()
def _features(parts: TrialParts) -> tuple[Floats, Labels]:
    """Features [N, D] and labels [N] of the first whole training images of the run, each seen plainly and as the run
    sees it first, in evaluation mode."""
    spec, source, device, model = parts.spec, parts.source, parts.device, parts.network
    order = training_order(source, spec.seed)
    positions = np.arange(head_examples(examples_an_epoch(source)))
    epochs, ids = order.ids(positions)
    keys = order.augment_keys(epochs, order.views(positions))
    image, label = parts.task.fields
    x, y, half = [], [], spec.dtype == "bfloat16"
    was_training = model.training
    model.eval()
    with weights_held(model, half=half), torch.autocast(device.type, torch.bfloat16, enabled=half):
        for start in range(0, len(ids), EVALUATION_BATCH):
            here = slice(start, start + EVALUATION_BATCH)
            for examples in (source.batch("train", ids[here]), source.batch("train", ids[here], keys[here])):
                pixels = torch.as_tensor(examples.fields[image]).to(device)
                x.append(model.features(to_float(pixels)).float().cpu().numpy()[examples.valid])
                y.append(np.asarray(examples.fields[label])[examples.valid])
    model.train(was_training)
    return np.concatenate(x).astype(np.float64), np.concatenate(y)
