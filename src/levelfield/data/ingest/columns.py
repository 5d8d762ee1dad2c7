"""Which column of a table holds pictures and which labels: named, called as is usual, or the only one that fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from levelfield.data.stores.parquet_file import holds_texts, is_binary, is_text, names_paths
from levelfield.data.texts import TEXT_KEYS
from levelfield.records.errors import DataError, did_you_mean, quoted_names


@dataclass(frozen=True, kw_only=True)
class TextsSaid:
    """That pictures are wanted with what is said of them, and what the column of it is called, or the key in JSON."""

    column: str | None = None


_USUAL_IMAGES = (
    "image",
    "img",
    "jpg",
    "picture",
    "pixel_values",
    "image_path",
    "path",
    "file",
    "filename",
    "file_name",
)
_USUAL_MASKS = ("mask", "masks", "annotation", "segmentation", "label", "labels")
_USUAL_LABELS = ("label", "labels", "class", "target", "category", "cls", "fine_label")


def image_column(schema: pa.Schema, named: str | None, *, of: str) -> str:
    """The column of encoded images, or of paths to them.

    Raises:
        DataError: there is none, or several fit and none is named.
    """
    encoded = [field.name for field in schema if _holds_images(field.type)]
    texts = [field.name for field in schema if is_text(field.type)]
    return _chosen(schema, named, encoded or texts, _USUAL_IMAGES, "images", "image_column (--image-column)", of)


def label_column(schema: pa.Schema, named: str | None, *, of: str, but: str) -> str:
    """The column of labels: whole numbers, or names of classes; not the column ``but``.

    Raises:
        DataError: see :func:`image_column`.
    """
    fits = [field.name for field in schema if field.name != but and pa.types.is_integer(field.type)]
    texts = [field.name for field in schema if field.name != but and is_text(field.type)]
    usual = [name for name in _USUAL_LABELS if name in schema.names and name != but]
    fits = [*fits, *(name for name in usual if name in texts)] or ([] if usual else texts)
    return _chosen(schema, named, fits, _USUAL_LABELS, "labels", "label_column (--label-column)", of)


def text_column(schema: pa.Schema, named: str | None, *, of: str, but: Sequence[str | None]) -> str:
    """The column of texts, or of lists of such; none of the columns ``but``.

    Raises:
        DataError: see :func:`image_column`.
    """
    fits = [field.name for field in schema if field.name not in but and holds_texts(field.type)]
    usual = [name for name in TEXT_KEYS if name in fits]
    return _chosen(schema, named, usual[:1] or fits, TEXT_KEYS, "texts", "text_column (--text-column)", of)


def label_column_if_any(schema: pa.Schema, named: str | None, *, of: str, but: str) -> str | None:
    """The column of labels that is named, or called as is usual; None where there is none, as beside texts.

    Raises:
        DataError: there is none of that name.
    """
    usual = [name for name in _USUAL_LABELS if name in schema.names and name != but]
    return label_column(schema, named, of=of, but=but) if named is not None or usual else None


def mask_column(schema: pa.Schema, named: str | None, *, of: str, but: str) -> str:
    """The column of encoded masks; not the column ``but``.

    Raises:
        DataError: see :func:`image_column`.
    """
    fits = [field.name for field in schema if field.name != but and _holds_images(field.type)]
    return _chosen(schema, named, fits, _USUAL_MASKS, "masks", "mask_column (--mask-column)", of)


def _holds_images(kind: pa.DataType) -> bool:
    if names_paths(kind):
        return True
    if isinstance(kind, pa.StructType) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    return is_binary(kind)


def _chosen(
    schema: pa.Schema, named: str | None, fits: Sequence[str], usual: Sequence[str], what: str, option: str, of: str
) -> str:
    if named is not None:
        if schema.names.count(named) != 1:
            seen = f"{schema.names.count(named)} columns" if named in schema.names else "no column"
            raise DataError(f"{of} has {seen} {named!r}{did_you_mean(named, schema.names)}")
        return named
    called = [name for name in usual if name in (fits or schema.names)]  # one of another kind: whoever reads it says so
    if called:
        return called[0]
    if len(fits) == 1:
        return fits[0]
    seen = f"{quoted_names(fits)} could each be" if fits else f"none of {quoted_names(schema.names)} is"
    raise DataError(f"{of}: {seen} the column of {what}: name it by {option}")
