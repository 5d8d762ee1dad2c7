"""The ConvNeXts and ViTs of open_clip's published results as a table that `levelfield compare` reads.

    python -m benchmarks.openclip_table open_clip/docs openclip.csv
    levelfield compare openclip.csv --family arch --loss error --cluster name

``open_clip/docs`` holds openclip_results.csv and model_profile.csv (github.com/mlfoundations/open_clip). Only models
trained on LAION-2B are taken. Compute is forward FLOPs of both towers x examples seen (which the tag names); error is
one minus zero-shot accuracy on ImageNet.
"""

from __future__ import annotations

import argparse
import csv
import re
from pathlib import Path

_TAG = re.compile(r"laion2b_s(?P<examples>\d+)b_b(?P<batch>\d+k)(?P<more>.*)")
_FAMILY = re.compile(r"convnext|ViT")


def openclip_rows(folder: Path) -> list[dict[str, str]]:
    """A row for every ConvNeXt and ViT that was trained on LAION-2B, with the facts of its run."""
    with open(folder / "model_profile.csv", newline="") as profiles:
        resolutions = {row["model"]: row["image_size"] for row in csv.DictReader(profiles)}
    rows = []
    with open(folder / "openclip_results.csv", newline="") as results:
        for row in csv.DictReader(results):
            tag, family = _TAG.fullmatch(row["pretrained"]), _FAMILY.match(row["name"])
            if not (tag and family):
                continue
            flops = float(row["FLOPs (B)"]) * 1e9 * float(tag["examples"]) * 1e9
            rows.append(
                {
                    "flops": f"{flops:.6g}",
                    "error": f"{1 - float(row['ImageNet 1k']):.4f}",
                    "arch": family[0].lower(),
                    "name": row["name"],
                    "resolution": resolutions[row["name"]],
                    "batch": tag["batch"],
                    "augreg": str("augreg" in tag["more"]),
                    "soup": str("soup" in tag["more"]),
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    chosen = parser.parse_args()
    rows = openclip_rows(chosen.folder)
    with open(chosen.out, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
