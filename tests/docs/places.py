"""Places where a how-to's commands find what they name: small networks, pictures, studies and tables."""

import contextlib
import csv
import io
import re
import tomllib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from levelfield.data.sources import open_source
from levelfield.records.codec import from_plain
from levelfield.records.data import ImagesSpec, data_content
from levelfield.records.head import LinearHead
from levelfield.records.store import TrialDirectory
from levelfield.records.trial import TrialSpec
from levelfield.study.execute.trial import run_trial
from levelfield.study.plan.recipes import preset
from tests.conftest import TINY_STUDY
from tests.docs.commands import ROOT, blocks
from tests.formats import FORMATS
from tests.masked_pictures import NOTHING, rows, write_pairs, write_parquet
from tests.study.foretelling import planted
from tests.study.pictures import write_folder
from tests.study.simulated import run_to_the_end, study, written_down
from tests.texted_pictures import as_table, told_pictures

STREETS_NOTHING = 11
"""The value that the page says is of no class."""

PICTURES_STUDY = """
name = "pictures"
question = "Does it plan?"

[data]
source = "images"
path = "flowers"
resolution = 32
select_examples = 20
report_examples = 20

[ladder]
budgets = [4e11]
max_epochs = 1000

"""


def trial_of_pictures(place: Path) -> None:
    """``runs/STUDY/trials/NAME``: twenty steps of a small network on pictures in colour."""
    write_folder(place / "seen", seed=0, count=20, side=16)
    data = ImagesSpec(path=str(place / "seen"), resolution=16, select_examples=6, report_examples=6)
    source = open_source(data)
    spec = TrialSpec(
        architecture="nfnet:w4-d1-s4",
        data=data,
        data_content=data_content(data, source.fingerprint),
        recipe=preset("nfnet-short", peak_lr=0.1),
        head=LinearHead(num_outputs=2),
        budget_flops=1e8,
        global_batch_size=8,
        steps=20,
    )
    kept = TrialDirectory(place / "runs/STUDY/trials/NAME")
    run_trial(spec, kept, source, device=torch.device("cpu"), keeps_weights=True)


def flowers(place: Path, *, count: int = 52) -> None:
    """Pictures to be fine-tuned on: a hundred choose, so that few are left to be trained on."""
    write_folder(place / "flowers/train", seed=1, count=count, side=16)
    write_folder(place / "flowers/test", seed=2, count=10, side=16)


def for_finetuning(place: Path) -> None:
    trial_of_pictures(place)
    flowers(place)


def for_augmenting(place: Path) -> None:
    """Two studies of what the page says: augmented pictures, and a mixture."""
    for_finetuning(place)
    augmented, families, mixed, far = blocks("docs/how-to/augment.md", "toml")
    before, _, after = PICTURES_STUDY.partition("[data]")
    ladder = after[after.index("[ladder]") :].replace("1000", "1e6")
    (place / "augmented.toml").write_text(before + augmented + ladder + families)
    (place / "mixed.toml").write_text(before + mixed + ladder + families)
    from_plain(ImagesSpec, tomllib.loads(far)["data"])


def for_weights(place: Path) -> None:
    for_finetuning(place)
    torch.save(timm.create_model("dm_nfnet_f0").state_dict(), place / "theirs.pth")


def for_timms_networks(place: Path) -> None:
    flowers(place, count=60)  # for as many epochs as its study may take
    save_file(timm.create_model("convnextv2_atto").state_dict(), place / "theirs.safetensors")
    (families,) = blocks("docs/how-to/timm-networks.md", "toml")
    (place / "study.toml").write_text(PICTURES_STUDY + families)


def for_use(place: Path) -> None:
    for_finetuning(place)
    write_folder(place / "pictures", seed=3, count=2, side=16)
    Image.new("RGB", (30, 20), "red").save(place / "holiday.jpg")
    save_file(timm.create_model("vit_base_patch16_224").state_dict(), place / "vit_base.safetensors")


def for_segmentation(place: Path) -> None:
    trial_of_pictures(place)
    write_pairs(place / "streets", rows())
    for path in (place / "streets").glob("*/masks/*.png"):
        mask = np.asarray(Image.open(path))
        Image.fromarray(np.where(mask == NOTHING, STREETS_NOTHING, mask).astype(np.uint8)).save(path)
    write_parquet(place / "camvid.parquet", rows())


def for_own_pairs(place: Path) -> None:
    as_table(place / "photos", told_pictures())


def for_demonstrations(place: Path) -> None:
    """What the page's own block writes, and the same as a table of other columns."""
    (written,) = blocks("docs/how-to/demonstrations.md", "python")
    with contextlib.chdir(place):
        exec(written, {})
    frames = pq.read_table(place / "my_arm/data/chunk-000/file-000.parquet")
    named = {"observation.state": "gripper_xyz", "episode_index": "episode", "frame_index": "step"}
    frames = frames.rename_columns([named.get(name, name) for name in frames.schema.names])
    pq.write_table(frames.append_column("goal_xyz", frames["gripper_xyz"]), place / "frames.parquet")


def for_a_task_of_ones_own(place: Path) -> None:
    page = "docs/how-to/own-task.md"
    (module,) = blocks(page, "python")
    (place / "mine.py").write_text(module)
    (named,) = (block for block in blocks(page, "") if block.startswith("task = "))
    before, _, families = TINY_STUDY.partition("[[families]]")
    vit = before + families[families.index("[[families]]") :]
    gentle = re.sub(r"base_lr = .*", "base_lr = { low = 0.002, start = 0.002, high = 0.002 }", vit)
    (place / "study.toml").write_text(named + gentle)


def for_next_trials(place: Path) -> None:
    """A study whose losses come from a formula, with a vertex on every rung."""
    sizes = {
        "nfnet": [f"nfnet:w{width}-d1x1-s4" for width in (8, 12, 16, 24)],
        "vit": [f"vit:w{width}-d2-p8" for width in (8, 12, 16, 24, 32)],
    }
    plain = [
        {"name": "nfnet", "recipe": "nfnet-short", "base_lr": {"low": 0.1, "start": 0.8, "high": 12.8}},
        {"name": "vit", "recipe": "vit-short", "base_lr": {"low": 1e-3, "start": 8e-3, "high": 0.128}},
    ]
    families = [family | {"sizes": sizes[family["name"]], "lr_batch_exponent": 0.5} for family in plain]
    spec = study(families=families)
    written_down(place / "runs/STUDY", spec, *run_to_the_end(spec))
    examples(place)


def for_own_data(place: Path) -> None:
    """A few pictures in every format that the page names but a folder of class folders."""
    draw = np.random.default_rng(1)
    pictures = []
    for number in range(12):
        stream = io.BytesIO()
        Image.fromarray(draw.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(stream, "JPEG")
        pictures.append((("cat", "dog")[number % 2], stream.getvalue()))
    FORMATS["webdataset"](place / "shards", pictures)
    FORMATS["hub"](place / "hub", pictures)
    FORMATS["saved_to_disk"](place / "saved", pictures)
    FORMATS["folder"](place / "album", pictures)
    (place / "album/cat/IMG_0.MOV").write_bytes(b"\0\0\0\x14ftypqt  ")
    for made, name in (("tar_of_folders", "photos.tar"), ("parquet_of_texts", "rows.parquet")):
        FORMATS[made](place / made, pictures)
        (place / made / name).rename(place / name)
    with open(place / "labels.csv", "w", newline="") as file:
        csv.writer(file).writerows(
            [("file", "species"), *((f"album/{n}/IMG_{i}.JPG", n) for i, (n, _) in enumerate(pictures))]
        )


def examples(place: Path) -> None:
    (place / "examples").symlink_to(ROOT / "examples")


def for_others_tables(place: Path) -> None:
    """``runs.csv``, a law without noise in the columns that the page names, and results in open_clip's columns."""
    examples(place)
    with open(place / "runs.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["C", "val_loss", "arch", "dataset", "N", "D", "lr", "split"])
        for budget in (1e19, 3e19, 1e20, 3e20, 1e21):
            for factor in (0.25, 0.5, 1, 2, 4):
                params = factor * (budget / 120) ** 0.5
                examples_seen = budget / 6 / params
                loss = 1.7 + 400 * params**-0.34 + 410 * examples_seen**-0.28
                table.writerow([budget, loss, "net", "web", params, examples_seen, 1e-3, "val"])
    write_openclip(place / "open_clip/docs")


def write_openclip(docs: Path) -> None:
    """Made-up results of two groups, as open_clip writes them."""
    docs.mkdir(parents=True)
    results, profiles = ["name,pretrained,FLOPs (B),ImageNet 1k"], ["model,image_size"]
    for group, resolution, tag in (("convnext_", 256, "laion2b_s34b_b82k_augreg"), ("ViT-", 224, "laion2b_s34b_b79k")):
        for size in range(5):
            profiles.append(f"{group}{size},{resolution}")
            results.append(f"{group}{size},{tag},{40 * 4**size},{1 - 0.33 * 4 ** (-0.11 * size):.4f}")
    (docs / "openclip_results.csv").write_text("\n".join(results) + "\n")
    (docs / "model_profile.csv").write_text("\n".join(profiles) + "\n")


def for_training(place: Path) -> None:
    """A study that foretells, where the page has its race."""
    planted(place / "runs/race-photos")


def for_photos(place: Path) -> None:
    """Photos in three class folders, and a checkpoint of timm's such as somebody downloads."""
    draw = np.random.default_rng(0)
    for number, label in enumerate(("cat", "dog", "hen")):
        (place / "photos" / label).mkdir(parents=True)
        for index in range(40):
            pixels = draw.integers(0, 120, (48, 64, 3), dtype=np.uint8)
            pixels[..., number] += 100
            Image.fromarray(pixels).save(place / "photos" / label / f"{index}.jpg")
    torch.manual_seed(0)
    save_file(timm.create_model("vit_tiny_patch16_224").state_dict(), place / "vit_tiny.safetensors")
