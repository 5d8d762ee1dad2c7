"""timm's names of networks that our families hold, and what timm feeds them; without timm, but for borrowed ones.

Source: timm 1.0.31, models/nfnet.py, vision_transformer.py and deit.py (``default_cfgs`` and the functions below them);
tests/weights/test_timm_names.py compares each with timm's own registry.
"""

from __future__ import annotations

import re

from levelfield.data.transforms import NORMALISATION
from levelfield.records.codec import from_plain
from levelfield.records.errors import SpecError
from levelfield.weights.preprocessing import Preprocessing

_IMAGENET = NORMALISATION[3]
_INCEPTION = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_NFNET = re.compile(r"(dm_)?nfnet_f([0-7])")
_VIT = re.compile(r"(vit|deit|deit3)_([a-z0-9]+)_patch(\d+)_(gap_)?(\d+)")
_VIT_SIZES = {
    "tiny": "Ti",
    "small": "S",
    "base": "B",
    "large": "L",
    "huge": "H",
    "giant": "g",
    "gigantic": "G",
}
_NFNET_TEST_PIXELS = (256, 320, 352, 416, 512, 544, 576, 608)
_DM_CROP = (0.9, 0.91, 0.92, 0.94, 0.951, 0.954, 0.956)
_SELF_SUPERVISED = ("dino", "mae")  # tags of plain ViTs that are fed ImageNet's mean and deviation
_OTHER_TAGS = re.compile(r"augreg2?_.*|orig_.*|sam_.*|untrained|dm_in1k|fb_.*|in\d+k_ijepa|dino|mae")


def architecture_named(name: str) -> str:
    """The text of what timm calls ``name``; what follows a dot is the tag of a set of weights.

    Raises:
        SpecError: our families do not hold that network.
    """
    bare = name.partition(".")[0]
    if (match := _NFNET.fullmatch(bare)) and not (match[1] and match[2] == "7"):
        return f"nfnet:F{match[2]},ws=timm,gelu=erf" + ("" if match[1] else ",pad=symmetric")
    if (match := _VIT.fullmatch(bare)) and (size := _VIT_SIZES.get(match[2])):
        if not match[4]:
            return f"vit:{size}/{match[3]},pool=token,gelu=erf"
        if size == "H":  # others of that name have other heads
            return f"vit:{size}/{match[3]},pool=gap,gelu=erf"
    raise SpecError(_unknown(name))


def preprocessing_named(name: str) -> Preprocessing:
    """What timm feeds the weights called ``name``; without a tag, timm's first set of that network.

    Raises:
        SpecError: we do not know.
    """
    if name.startswith("timm:"):
        return _configured(name.removeprefix("timm:").partition(",")[0])
    bare, _, tag = name.partition(".")
    if tag and not _OTHER_TAGS.fullmatch(tag):
        raise SpecError(f"what the weights {name!r} are fed is not known here; put timm's config.json beside them")
    mean, std = _IMAGENET
    if match := _NFNET.fullmatch(bare):
        number = int(match[2])
        pixels = _NFNET_TEST_PIXELS[number]
        if match[1]:
            crop_pct = _DM_CROP[number]
            return Preprocessing(resolution=pixels, mean=mean, std=std, crop_pct=crop_pct, crop_mode="squash")
        return Preprocessing(resolution=pixels, mean=mean, std=std, crop_pct=0.9)
    match = _VIT.fullmatch(bare)
    if match is None:
        raise SpecError(f"what {name!r} is fed is not known here; put timm's config.json beside the weights")
    pixels = int(match[5])
    if match[1] == "vit" and tag not in _SELF_SUPERVISED and "ijepa" not in tag:
        mean, std = _INCEPTION
    whole = pixels >= 384 or tag.startswith("fb_in22k")
    return Preprocessing(resolution=pixels, mean=mean, std=std, crop_pct=1.0 if whole else 0.9)


def _configured(name: str) -> Preprocessing:
    """What timm's own configuration says; a network of that family cannot be built without timm anyhow."""
    import timm

    found = timm.get_pretrained_cfg(name)
    if found is None:
        raise SpecError(f"timm says nothing of what {name!r} is fed; put its config.json beside the weights")
    fed = {"mean": found.mean, "std": found.std, "interpolation": found.interpolation, "crop_pct": found.crop_pct}
    mode = "squash" if found.crop_mode == "squash" else "center"
    plain = {"resolution": found.input_size[-1], "crop_mode": mode, **fed}
    return from_plain(Preprocessing, plain, where=f"timm's configuration of {name}")


def _unknown(name: str) -> str:
    return (
        f"{name!r} is no network of timm's that our families hold: expected dm_nfnet_f0 .. f6, nfnet_f0 .. f7, "
        "vit_<size>_patch<pixels>_<resolution>, deit_… or deit3_… without distillation; or one of our "
        "own texts, such as 'nfnet:F0,ws=timm,gelu=erf'"
    )
