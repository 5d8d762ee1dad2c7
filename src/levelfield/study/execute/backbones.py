"""Backbones from the trials of a study: what a trial kept, or what training it once more gives."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import shutil
from pathlib import Path

import torch

from levelfield.data.sources import open_source_once
from levelfield.families.registry import parse
from levelfield.records.errors import InputError, SpecError, StoreError
from levelfield.records.sealed import read_record, read_record_if_there
from levelfield.records.store import StudyDirectory, TrialDirectory
from levelfield.records.study import FamilyEntry, StudySpec
from levelfield.records.trial import MADE_BY, TrialResult, TrialSpec
from levelfield.records.writing import is_there
from levelfield.study.execute.trial import run_trial
from levelfield.transfer.backbone import PretrainedBackbone, open_backbone
from levelfield.transfer.channels import suited
from levelfield.weights.kept import is_trial, refuse_other_architecture
from levelfield.weights.loaded import LoadedModel
from levelfield.weights.read import load_model

logger = logging.getLogger(__name__)

_PATIENCE_S = 24 * 3600.0  # another worker may be training it


def backbone_at(
    path: Path, *, device: torch.device, arch: str | None = None, key: str | None = None
) -> PretrainedBackbone:
    """The backbone at ``path``: a trial of a study, trained again where it has kept no weights, or weights of ``arch``,
    the set ``key`` of several.

    Raises:
        InputError: there is no finished trial.
        StoreError: training it again gave something else, so its weights are lost.
    """
    _refuse_key_of_trial(path, key)
    directory = TrialDirectory(path)
    if is_trial(path) and not is_there(directory.weights_path):
        refuse_other_architecture(path, arch)
        result = directory.result()
        if result is not None and result.status == "finished":
            with directory.locked(timeout_s=_PATIENCE_S):
                if not is_there(directory.weights_path):
                    _remake_weights(directory, result, device=device)
    return open_backbone(path, arch=arch, key=key)


def model_at(
    path: Path,
    *,
    device: torch.device,
    arch: str | None = None,
    key: str | None = None,
    resolution: int | None = None,
) -> LoadedModel:
    """The whole network at ``path``, its classifier and preprocessing too: a trial of a study, trained again where it
    has kept no weights, or weights as :func:`levelfield.weights.read.load_model` reads them.

    Raises:
        InputError: see :func:`backbone_at` and there.
    """
    if is_trial(path):
        backbone_at(path, device=device, arch=arch, key=key)
    return load_model(path, arch=arch, key=key, resolution=resolution)


def _refuse_key_of_trial(path: Path, key: str | None) -> None:
    if key is not None and is_trial(path):
        raise SpecError(f"{path} is a trial, which keeps one set of weights: leave --key out")


def backbone_in(study: StudyDirectory, start: str, *, device: torch.device) -> PretrainedBackbone:
    """The backbone that ``start`` names in ``study``: one of its trials ("trial:<fingerprint>", see
    :func:`backbone_at`), or the weights of one of its families.

    Raises:
        InputError: the study has neither.
    """
    spec = read_record_if_there(StudySpec, study.spec_path)
    for entry in spec.families if spec is not None else ():
        if entry.weights is not None and (backbone := backbone_of_family(entry, None)).identity == start:
            return backbone
    fingerprint = start.removeprefix("trial:")
    for path in sorted((study.path / "trials").glob(f"*_{fingerprint[:8]}")):
        held = TrialDirectory(path).held()
        if held is not None and held.fingerprint == fingerprint:
            return backbone_at(path, device=device)
    raise InputError(f"{study.path} holds nothing to start from that is {start}")


def backbone_of_family(entry: FamilyEntry, in_channels: int | None) -> PretrainedBackbone:
    """The weights that a family starts from, which take images of ``in_channels`` (None: it is known that they do).

    Raises:
        InputError: they are not there, cannot be read, or are those of another network.
    """
    assert entry.weights is not None
    (size,) = entry.sizes
    backbone = _read_once(entry.weights, size)
    if parse(backbone.facts.architecture).text != parse(size).text:
        raise SpecError(
            f"family {entry.name!r}: {entry.weights} holds {backbone.facts.architecture}, its size is said to be {size}"
        )
    return backbone if in_channels is None else suited(backbone, in_channels)


@functools.lru_cache(
    maxsize=2
)  # a worker trains many trials from the same weights, which it compares with each's start
def _read_once(place: str, size: str) -> PretrainedBackbone:
    return backbone_at(Path(place), device=torch.device("cpu"), arch=size)


def _remake_weights(directory: TrialDirectory, known: TrialResult, *, device: torch.device) -> None:
    """Train the trial again beside itself; its result must come out equal, and then so are its weights."""
    spec = read_record(TrialSpec, directory.path / "spec.json")
    logger.warning("%s kept no weights: training it again for them", spec.name)
    again, source = TrialDirectory(directory.path / "again"), open_source_once(spec.data)
    start = _start_of(spec, directory, device=device)
    result = run_trial(
        spec,
        again,
        source,
        device=device,
        execution=known.execution.asked,
        backbone=start,
        test_source=open_source_once(spec.held_out_data),
        keeps_weights=True,
    )
    made = {name: getattr(known, name) for name in MADE_BY}
    if dataclasses.replace(result, **made) != known:
        raise StoreError(
            f"training {spec.name} again ({result.execution.words}) gave another result than its record "
            f"({', then '.join(each.words for each in known.executions)}): its weights are lost; move its directory "
            "away and run the study again"
        )
    os.replace(again.weights_path, directory.weights_path)
    shutil.rmtree(again.path)


def _start_of(spec: TrialSpec, directory: TrialDirectory, *, device: torch.device) -> PretrainedBackbone | None:
    """What a fine-tuned trial of a study started from: another trial of that study."""
    if spec.start is None:
        return None
    study = StudyDirectory(directory.path.parents[1])
    if not spec.start.startswith("trial:") and not study.is_one:
        raise InputError(f"trial {spec.name} kept no weights and started from {spec.start}: fine-tune it again")
    return backbone_in(study, spec.start, device=device)
