"""Pictures of which something is said, as the data of a trial."""

from __future__ import annotations

from typing import Literal

from levelfield.records.codec import later
from levelfield.records.data_bounds import expect_common
from levelfield.records.errors import expect
from levelfield.records.stated import stated

MOST_CONTEXT = 4096
MOST_CAPTIONS = 100
MOST_PROMPTS = 1000
LEAST_TEXTED_AREA = 0.9
"""Of a picture: what open_clip crops (``RandomResizedCrop``, open_clip/transform.py). Nothing is mirrored, since texts
say left and right."""


@stated
class TextedImagesSpec:
    """Pictures and what is said of them: tars in WebDataset's convention (``KEY.jpg`` beside ``KEY.txt``, or a caption
    or captions in ``KEY.json``), a table of paths and texts (a row a text, or a list of them in a cell), Parquet with a
    column of texts or of lists of them, or what ``levelfield data build`` made of any.

    Parts that lie apart are used whole: val selects, test reports, or what lies at ``report_path``. One that there is
    none of is drawn from the training part, ``select_examples`` or ``report_examples`` of it.

    Trained on is one text of a picture, drawn anew each time that it is seen; held out are up to ``captions`` of them.
    ``tokenizer`` "clip" is open_clip's, "bytes" takes those of UTF-8 as they are. A ``vocabulary`` "seen" holds the
    tokens of training texts alone, and one more for all others. A text has ``context`` tokens: what is longer is cut.
    Every held-out picture is told apart from others, ``candidates`` in all with it.

    Where something labels the pictures (``label_column``, ``KEY.cls``), classes are told by their names in each of the
    ``prompts``, "{}" standing for the name.
    """

    source: Literal["image-texts"] = "image-texts"
    path: str
    report_path: str | None = None
    image_column: str | None = None
    text_column: str | None = None
    label_column: str | None = None
    resolution: int
    augment: Literal["none", "resized-crop"] = "resized-crop"
    corrupt: Literal["stop", "mask"] = "stop"
    select_examples: int = 500
    report_examples: int | None = later(default=None)
    seed: int = 0
    least_crop_area: float = LEAST_TEXTED_AREA
    tokenizer: Literal["clip", "bytes"] = "clip"
    vocabulary: Literal["whole", "seen"] = "whole"
    context: int = 77
    captions: int = 5
    candidates: int = 100
    prompts: tuple[str, ...] = ("a photo of a {}.",)

    def __post_init__(self) -> None:
        expect_common(self)
        crops = self.augment == "resized-crop"
        expect(0 < self.least_crop_area <= 1, "least_crop_area", "in (0, 1]", self.least_crop_area)
        held = crops or self.least_crop_area == LEAST_TEXTED_AREA
        expect(held, "least_crop_area", "left out where augment is 'none'", self.least_crop_area)
        expect(3 <= self.context <= MOST_CONTEXT, "context", f"from 3 to {MOST_CONTEXT} tokens", self.context)
        expect(1 <= self.captions <= MOST_CAPTIONS, "captions", f"from 1 to {MOST_CAPTIONS}", self.captions)
        expect(self.candidates >= 2, "candidates", "2 or more", self.candidates)
        expect(1 <= len(self.prompts) <= MOST_PROMPTS, "prompts", f"from 1 to {MOST_PROMPTS}", len(self.prompts))
        for prompt in self.prompts:
            expect(prompt.count("{}") == 1, "prompts", "texts in which '{}' stands once, for the name", prompt)
