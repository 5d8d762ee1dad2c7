"""The same labelled pictures in every format that is read: each writes into a folder and says what to open."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from levelfield.data.ingest.places import PlaceSaid
from levelfield.testing.readers import Pictures


def ending(content: bytes) -> str:
    return "jpg" if content[:2] == b"\xff\xd8" else "png"


def classes(pictures: Pictures) -> list[str]:
    return sorted({name for name, _ in pictures}, key=str.encode)


def put(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def folder(root: Path, pictures: Pictures) -> PlaceSaid:
    for number, (name, content) in enumerate(pictures):
        file = root / name / f"IMG_{number}.{ending(content).upper()}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return PlaceSaid(path=str(root))


def tar_of_folders(root: Path, pictures: Pictures) -> PlaceSaid:
    root.mkdir()
    with tarfile.open(root / "photos.tar", "w") as archive:
        for number, (name, content) in enumerate(pictures):
            put(archive, f"./photos/{name}/{number}.{ending(content)}", content)
    return PlaceSaid(path=str(root / "photos.tar"))


def webdataset(root: Path, pictures: Pictures) -> PlaceSaid:
    """Two shards, named by braces, labels as names."""
    root.mkdir()
    for shard in range(2):
        with tarfile.open(root / f"train-{shard:03d}.tar", "w") as archive:
            for number, (name, content) in list(enumerate(pictures))[shard::2]:
                put(archive, f"{number:06d}.{ending(content)}", content)
                put(archive, f"{number:06d}.cls", name.encode())
    return PlaceSaid(path=str(root / "train-{000..001}.tar"))


def webdataset_json(root: Path, pictures: Pictures) -> PlaceSaid:
    """Labels under a key of the JSON, captions beside."""
    root.mkdir()
    with tarfile.open(root / "a.tar", "w") as archive:
        for number, (name, content) in enumerate(pictures):
            put(archive, f"x/{number}.txt", f"a picture of {name}".encode())
            put(archive, f"x/{number}.json", json.dumps({"kind": name, "width": 24}).encode())
            put(archive, f"x/{number}.{ending(content)}", content)
    return PlaceSaid(path=str(root), label_column="kind")


def parquet(root: Path, pictures: Pictures) -> PlaceSaid:
    names = classes(pictures)
    root.mkdir()
    table = pa.table({"image": [content for _, content in pictures], "label": [names.index(n) for n, _ in pictures]})
    table = table.replace_schema_metadata({"class_names": json.dumps(names)})
    pq.write_table(table, root / "rows.parquet", row_group_size=7, compression="none", use_dictionary=False)
    return PlaceSaid(path=str(root / "rows.parquet"))


def parquet_of_texts(root: Path, pictures: Pictures) -> PlaceSaid:
    """Columns of other names, each the only one that fits, beside one that is neither."""
    root.mkdir()
    columns = {
        "weight": [0.5] * len(pictures),
        "scan": [content for _, content in pictures],
        "kind": [name for name, _ in pictures],
    }
    pq.write_table(pa.table(columns), root / "rows.parquet", compression="none", use_dictionary=False)
    return PlaceSaid(path=str(root / "rows.parquet"))


def parquet_of_paths(root: Path, pictures: Pictures) -> PlaceSaid:
    root.mkdir()
    paths = []
    for number, (_, content) in enumerate(pictures):
        paths.append(f"images/{number}.{ending(content)}")
        (root / "images").mkdir(exist_ok=True)
        (root / paths[-1]).write_bytes(content)
    names = [name for name, _ in pictures]
    pq.write_table(pa.table({"image": paths, "label": names}), root / "rows.parquet")
    return PlaceSaid(path=str(root / "rows.parquet"))


def hub_of_paths(root: Path, pictures: Pictures) -> PlaceSaid:
    """Hugging Face's Image without bytes: ``{bytes: null, path: ...}``, paths from the folder of the table."""
    (root / "data" / "images").mkdir(parents=True)
    rows = []
    for number, (name, content) in enumerate(pictures):
        path = f"images/{number}.{ending(content)}"
        (root / "data" / path).write_bytes(content)
        rows.append({"image": {"bytes": None, "path": path}, "label": classes(pictures).index(name)})
    table = pa.Table.from_pylist(rows).replace_schema_metadata({b"huggingface": features(pictures)})
    half = len(rows) // 2
    for number, part in enumerate((table.slice(0, half), table.slice(half))):
        pq.write_table(part, root / "data" / f"train-{number:05d}-of-00002.parquet")
    return PlaceSaid(path=str(root))


def features(pictures: Pictures) -> bytes:
    said = {"image": {"_type": "Image"}, "label": {"names": classes(pictures), "_type": "ClassLabel"}}
    return json.dumps({"info": {"features": said}}).encode()


def images_as_hugging_face(pictures: Pictures) -> pa.Table:
    names = classes(pictures)
    column = pa.StructArray.from_arrays(
        [pa.array([content for _, content in pictures], pa.binary()), pa.nulls(len(pictures), pa.string())],
        ["bytes", "path"],
    )
    table = pa.table({"image": column, "label": pa.array([names.index(name) for name, _ in pictures], pa.int64())})
    return table.replace_schema_metadata({b"huggingface": features(pictures)})


def hub(root: Path, pictures: Pictures) -> PlaceSaid:
    """``data/train-*.parquet``, in shards."""
    (root / "data").mkdir(parents=True)
    table, half = images_as_hugging_face(pictures), len(pictures) // 2
    for number, part in enumerate((table.slice(0, half), table.slice(half))):
        file = root / "data" / f"train-{number:05d}-of-00002.parquet"
        pq.write_table(part, file, compression="none", use_dictionary=False)
    return PlaceSaid(path=str(root))


def saved_to_disk(root: Path, pictures: Pictures) -> PlaceSaid:
    """As ``datasets`` 5.2 writes it: streams of Arrow, and JSON that names them."""
    (root / "train").mkdir(parents=True)
    (root / "dataset_dict.json").write_text('{"splits": ["train"]}')
    files = [f"data-{number:05d}-of-00002.arrow" for number in range(2)]
    table, half = images_as_hugging_face(pictures), len(pictures) // 2
    for name, part in zip(files, (table.slice(0, half), table.slice(half)), strict=True):
        with pa.ipc.new_stream(str(root / "train" / name), table.schema) as writer:
            writer.write_table(part, max_chunksize=7)
    state = {"_data_files": [{"filename": name} for name in files], "_indices_files": None, "_split": "train"}
    (root / "train" / "state.json").write_text(json.dumps(state))
    (root / "train" / "dataset_info.json").write_text("{}")
    return PlaceSaid(path=str(root))


def table_of_paths(root: Path, pictures: Pictures) -> PlaceSaid:
    """CSV by semicolon, as some spreadsheets write it."""
    folder(root, pictures)
    with open(root / "labels.csv", "w", newline="") as file:
        rows = csv.writer(file, delimiter=";")
        rows.writerow(["file", "id", "species"])
        for number, (name, content) in enumerate(pictures):
            rows.writerow([f"{name}/IMG_{number}.{ending(content).upper()}", number, name])
    return PlaceSaid(path=str(root / "labels.csv"), label_column="species")


FORMATS: Mapping[str, Callable[[Path, Pictures], PlaceSaid]] = {
    each.__name__: each
    for each in (
        folder,
        tar_of_folders,
        webdataset,
        webdataset_json,
        parquet,
        parquet_of_texts,
        parquet_of_paths,
        hub,
        hub_of_paths,
        saved_to_disk,
        table_of_paths,
    )
}
