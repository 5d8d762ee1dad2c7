"""What a study has asked of a cluster, written down before it is asked: so nothing is lost, or submitted unknown.

``<study>/jobs/<name>.json`` lies there from before a job is submitted until it has ended. The name is that of the
study's place, the item's fingerprint and the number of the try; whoever comes back after a crash asks the cluster for
it by that name.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from levelfield.records.codec import record
from levelfield.records.errors import DamagedError
from levelfield.records.sealed import read_record_if_there, write_record
from levelfield.records.writing import is_there, make_directory
from levelfield.study.launch.cluster import JobOrder

_FOLDER = "jobs"
_SHOWN = 12

logger = logging.getLogger(__name__)


@record
class Intent:
    """A job for the item of that ``fingerprint`` in ``item``, on the cluster called ``launcher``.

    ``after`` is the newest attempt that there was before: what those that began later say is the job's own. ``id`` is
    what the cluster calls it, None until it has said so.
    """

    name: str
    fingerprint: str
    item: str
    number: int
    launcher: str
    after: int
    order: JobOrder
    id: str | None = None


class Intents:
    """Those of one study and one cluster."""

    def __init__(self, study: Path, launcher: str) -> None:
        self.folder, self.launcher = study / _FOLDER, launcher
        self.prefix = f"levelfield-{hashlib.sha256(str(study.resolve()).encode()).hexdigest()[:8]}-"
        self._numbers: dict[str, int] = {}

    def left(self) -> list[Intent]:
        """Those of an earlier process."""
        found = [_read(path) for path in sorted(self.folder.glob("*.json"))]
        kept = [each for each in found if each is not None and each.launcher == self.launcher]
        for each in kept:
            self._numbers[each.fingerprint] = max(each.number, self._numbers.get(each.fingerprint, 0))
        return kept

    def begin(self, fingerprint: str, item: Path, *, after: int, order: JobOrder) -> Intent:
        """Write down that a job is going to be submitted for an item.

        Raises:
            StoreError: it cannot be written.
        """
        number = self._numbers[fingerprint] = self._numbers.get(fingerprint, after) + 1
        name = f"{self.prefix}{fingerprint[:_SHOWN]}-{number}"
        intent = Intent(
            name=name, fingerprint=fingerprint, item=str(item), number=number, launcher=self.launcher, after=after,
            order=order,
        )  # fmt: skip
        self.write(intent)
        return intent

    def write(self, intent: Intent) -> None:
        make_directory(self.folder)
        write_record(self.path_of(intent), intent)

    def path_of(self, intent: Intent) -> Path:
        return self.folder / f"{intent.name}.json"

    def end(self, intent: Intent) -> None:
        """The job is no more."""
        self.path_of(intent).unlink(missing_ok=True)


def launcher_at_work(study: Path) -> str | None:
    """The cluster that has jobs of ``study``, by what was left written down; None where none has."""
    folder = study / _FOLDER
    found = (_read(path) for path in sorted(folder.glob("*.json"))) if is_there(folder) else ()
    return next((each.launcher for each in found if each is not None), None)


def _read(path: Path) -> Intent | None:
    """What is damaged was cut short before its job was submitted, or is of no use: the job meets the lease."""
    try:
        return read_record_if_there(Intent, path)
    except DamagedError as error:
        logger.warning("%s; it is passed over", error)
        path.unlink(missing_ok=True)
        return None
