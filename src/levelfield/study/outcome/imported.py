"""Other people's results beside a study's own: shown and marked as such, never judged."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

from levelfield.records.codec import later, record
from levelfield.records.errors import DamagedError, InputError
from levelfield.records.files import read_regular
from levelfield.records.fingerprint import digest
from levelfield.records.observation import Observation
from levelfield.records.sealed import read_record, write_record
from levelfield.records.stated import LONGEST_NAME, is_name
from levelfield.records.store import StudyDirectory
from levelfield.records.writing import is_there, make_directory
from levelfield.scaling.tables.runs import read_runs

_AGAIN = "move it away, and take it in again by `levelfield import`"


@record
class ImportedRuns:
    """Rows of somebody's table; ``source`` says in words where they come from, ``notices`` what was left out.

    ``table`` is the fingerprint of the file that they were read from.
    """

    name: str
    source: str
    rows: tuple[Observation, ...]
    notices: tuple[str, ...] = later(default=())
    table: str | None = later(default=None)


def import_runs(
    study: StudyDirectory,
    csv: Path,
    *,
    source: str,
    name: str | None = None,
    **reading: Any,
) -> ImportedRuns:
    """Take the rows of ``csv`` into ``study`` under ``name`` (the file's own when left out).

    ``read_runs`` reads them as ``reading`` says.

    Their roles are put aside: what another data set, split or recipe gave supports no verdict here.

    Raises:
        InputError: there is no study, the table cannot be read, or the name is taken.
        StoreError: the directory cannot be written.
    """
    study.spec()
    name = name or csv.stem
    if not (re.fullmatch(r"[\w.+-]+", name) and is_name(name)):
        raise InputError(
            f"--name must be letters, digits, '.', '+', '-' or '_', at most {LONGEST_NAME} bytes that begin with "
            f"neither '.' nor '-', saw {name!r}"
        )
    path = study.imported_path / f"{name}.json"
    if is_there(path):
        raise InputError(
            f"{study.path} already holds imported runs named {name!r}; choose another --name, or delete {path}"
        )
    runs = read_runs(csv, **reading)
    rows = tuple(dataclasses.replace(row, run=f"{name}: {row.run}", role="imported") for row in runs.rows)
    taken = ImportedRuns(name=name, source=source, rows=rows, notices=runs.notices, table=digest(read_regular(csv)))
    make_directory(study.imported_path)
    write_record(path, taken)
    return taken


def read_imported(study: StudyDirectory) -> tuple[ImportedRuns, ...]:
    """What was imported into ``study``, by name.

    Raises:
        DamagedError: a file of it is damaged, or lies under another's name.
    """
    found = []
    for path in sorted(study.imported_path.glob("*.json")):
        runs = read_record(ImportedRuns, path, remedy=_AGAIN)
        if runs.name != path.stem:
            raise DamagedError(f"{path} holds the imported runs {runs.name!r}", _AGAIN)
        found.append(runs)
    return tuple(found)
