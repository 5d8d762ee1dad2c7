"""Labelled images to judge on: a place that the user names, or what a trial was judged on."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import torch

from levelfield.data.classes import Classes, match_classes
from levelfield.data.ingest.places import PlaceSaid, judged_at
from levelfield.data.sources import open_source
from levelfield.inference.answers import answers, class_names
from levelfield.inference.evaluate import score
from levelfield.inference.pictures import Unreadable, fed_source, fed_store
from levelfield.records.difference import refuse_other_data
from levelfield.records.errors import InputError
from levelfield.records.evaluation import Evaluation
from levelfield.records.store import TrialDirectory
from levelfield.weights.loaded import LoadedModel

logger = logging.getLogger(__name__)

Scored = tuple[Evaluation, list[Unreadable], str]
"""The scores, what could not be read, and what was judged in words."""


def score_place(place: PlaceSaid, loaded: LoadedModel, *, device: torch.device) -> Scored:
    """``loaded`` judged on all labelled images at a place, or on its held-out part if it has one.

    Classes are matched by :func:`levelfield.data.classes.match_classes`.

    Raises:
        DataError: nothing lies there, or it holds classes that the network does not know.
    """
    store = judged_at(place)
    where = store.classes.of
    places, how = match_classes(store.classes, _outputs(loaded), store.contents.used)
    if how != "name":
        logger.warning("the classes of %s are matched to the network's outputs by %s, not by name", where, how)
    labels = places[store.labels]
    unreadable: list[Unreadable] = []
    fed = fed_store(store, labels, loaded.preprocessing, unreadable)
    found = score(answers(loaded, fed, device=device), class_names(loaded), unreadable=unreadable)
    found = dataclasses.replace(found, weights=loaded.digest(), data=store.contents.fingerprint)
    return found, unreadable, where


def score_trial(path: Path, loaded: LoadedModel, *, device: torch.device) -> Scored:
    """``loaded``, which the trial at ``path`` has left, judged on that trial's report split, at the side that it has.

    Raises:
        InputError: ``path`` is no trial.
        DataError: the trial's data is gone.
        StoreError: other data lies there now.
    """
    spec = TrialDirectory(path).spec()
    if spec is None:
        raise InputError(f"{path} is no trial: name labelled images by --data")
    source, result = open_source(spec.data), TrialDirectory(path).result()
    refuse_other_data(result.data_fingerprint if result else None, source.fingerprint, where=path)
    if spec.test_resolution is not None:
        source = open_source(spec.held_out_data)
    theirs = Classes(names=tuple(source.class_names), of=f"the data of {path.name}")
    places, _ = match_classes(theirs, _outputs(loaded), range(len(source.class_names)))
    fed = (each._replace(labels=places[each.labels]) for each in fed_source(source, "report"))
    found = score(answers(loaded, fed, device=device), class_names(loaded))
    found = dataclasses.replace(found, weights=loaded.digest(), data=source.fingerprint)
    return found, [], "the trial's own report split"


def judged_resolution(path: Path) -> int | None:
    """The side at which the trial at ``path`` is judged, where that is another than it was trained at."""
    spec = TrialDirectory(path).spec()
    return None if spec is None else spec.test_resolution


def _outputs(loaded: LoadedModel) -> Classes:
    return Classes(names=class_names(loaded), of="the network")
