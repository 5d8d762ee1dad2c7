"""A study read again whenever a result appears in its directory, and drawn for a board. Nothing is written there."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

from levelfield.publish import page_facts, transfer_facts
from levelfield.records.errors import LevelfieldError
from levelfield.records.store import StudyDirectory, TrialDirectory
from levelfield.report.facts import Standing
from levelfield.report.page.figures import study_figures
from levelfield.report.page.page import draw_panels, render_figures, render_waiting
from levelfield.report.tables.study import study_tables
from levelfield.report.words.answer import plain_answer
from levelfield.report.words.standing import NOTHING_FINISHED, standing_sentences, trouble_sentence
from levelfield.report.words.verdicts import headline
from levelfield.study.bill.pace import Pace
from levelfield.study.outcome.outcome import Outcome, analyse_outcome, read_outcome
from levelfield.watch.board import Board, Served, Shown
from levelfield.watch.server import EVENTS

logger = logging.getLogger(__name__)

PAUSE_S = 2.0
_SHARE = 0.2
"""Of one core at most: after a look that cost so much, the next waits so much longer."""
_KINDS = {"html": "text/html; charset=utf-8", "svg": "image/svg+xml", "csv": "text/csv; charset=utf-8"}

Stamp = frozenset[tuple[str, int]]


class LiveStudy:
    """The study in ``directory``, as it stands at each look."""

    def __init__(self, directory: Path) -> None:
        self._study = StudyDirectory(directory)
        self._pace: tuple[object, Pace] | None = None
        self._seen: Stamp | None = None

    def look(self) -> Shown | None:
        """What is to be shown now; None where nothing has come since the last look.

        Raises:
            InputError: no study was run there.
            DamagedError: a file of it is damaged or lost.
            StoreError: a file of it is made of something else than the study is.
        """
        stamp, seen = stamp_of(self._study), self._seen
        if stamp == seen:
            return None
        self._seen = None  # what cannot be read is read again at the next look, changed or not
        shown = self._drawn(stamp)
        self._seen = stamp
        return shown

    def keep(self, board: Board) -> None:
        """Look again and again, and put on ``board`` what has come, until interrupted.

        A study that cannot be read now, say while its directory is being moved, is told on the page as such: what was
        shown stays, and the next look may succeed.
        """
        spent = 0.0
        while True:
            time.sleep(max(PAUSE_S, spent * (1 / _SHARE - 1)))
            begun = time.process_time()
            try:
                shown = self.look()
            except (LevelfieldError, OSError) as error:
                self._seen = None
                logger.warning("%s", error)
                shown = _troubled(board.shown, trouble_sentence(str(error)))
            spent = time.process_time() - begun
            if shown is not None and shown != board.shown:
                board.put(shown)

    def _drawn(self, stamp: Stamp) -> Shown:
        directory = self._study.path
        outcome = read_outcome(directory)
        standing = self._standing(outcome, stamp)
        if not outcome.table:
            spec = outcome.spec
            page = render_waiting(title=spec.name, question=spec.question, standing=standing, events=EVENTS)
            return _shown(page, {}, standing, answer=NOTHING_FINISHED, said=NOTHING_FINISHED)
        analysis = analyse_outcome(outcome, directory)
        facts = dataclasses.replace(page_facts(outcome, analysis), transfers=transfer_facts(outcome, directory))
        figures = study_figures(analysis, outcome.table, facts.predictions, facts.transfers, facts.foretold)
        pictures, tables = draw_panels(figures), study_tables(analysis, facts)
        page = render_figures(analysis, facts, figures, pictures, tables, standing=standing, events=EVENTS)
        beside = {f"/figures/{name}.svg": _served(svg, "svg") for name, svg in pictures.items()}
        beside |= {f"/{table.file}": _served(table.csv(), "csv") for table in tables.values() if table.is_long}
        return _shown(page, beside, standing, answer=plain_answer(analysis), said=headline(analysis))

    def _standing(self, outcome: Outcome, stamp: Stamp) -> Standing:
        spent = outcome.ledger + outcome.transfer_ledger
        progress, latest = outcome.in_progress, max((when for name, when in stamp if name.endswith(_RESULT)), default=0)
        return Standing(
            done=progress.done if progress else outcome.planned.num_wanted,
            wanted=outcome.planned.num_wanted,
            complete=outcome.complete,
            num_failed=len(outcome.failed),
            train_flops=spent.train_flops,
            device_seconds=outcome.device_seconds,
            seconds_left=self._seconds_left(outcome),
            at_most=outcome.spec.search.sizes == "all",
            latest=time.strftime("%H:%M:%S", time.localtime(latest / 1e9)) if latest else "",
        )

    def _seconds_left(self, outcome: Outcome) -> float | None:
        """By a clock that starts with the watch; a study that has grown since has another bill."""
        wanted = (*outcome.planned.trials, *outcome.planned.transfers)
        done = sum(
            getattr(each.spec, "budget_flops", 0.0) for each in wanted if each.spec.fingerprint in outcome.results
        )
        of_what = (outcome.spec, outcome.facts)
        if self._pace is None or self._pace[0] != of_what:
            self._pace = of_what, Pace(outcome.spec, outcome.facts, before_flops=done)
        self._pace[1].reached(done)
        return self._pace[1].seconds_left


_RESULT = "/result.json"


def stamp_of(study: StudyDirectory) -> Stamp:
    """What a page is made of, by name and time of writing: results, failures, locks and what stands around them.

    It reads names and times alone, of a trial without a result its state as well; what a trial writes on its way
    changes nothing. No lock is taken.
    """
    whole = (study.spec_path, study.sealed_path, study.facts_path)
    around = [(path.name, _written(path)) for path in whole]
    for folder in (study.locks_path, study.imported_path):
        around += [(f"{folder.name}/{each.name}", _written(each.path)) for each in _entries(folder)]
    stamp = {(name, when) for name, when in around if when is not None}
    for folder in (study.path / "trials", study.path / "probes"):
        for each in _entries(folder):
            if (when := _written(f"{each.path}{_RESULT}")) is not None:
                stamp.add((f"{folder.name}/{each.name}{_RESULT}", when))
            elif (state := TrialDirectory(Path(each.path)).state()) is not None and state.state == "failed":
                stamp.add((f"{folder.name}/{each.name}: {state.reason}", state.attempts))
    return frozenset(stamp)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    if folder.is_dir():
        with os.scandir(folder) as entries:
            yield from (entry for entry in entries if not entry.name.startswith("."))


def _written(path: str | Path) -> int | None:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None


def _shown(page: str, beside: dict[str, Served], standing: Standing, *, answer: str, said: str) -> Shown:
    told: dict[str, str | bool] = {
        "page": hashlib.blake2b(page.encode(), digest_size=8).hexdigest(),
        "standing": " ".join(standing_sentences(standing)),
        "answer": answer,
        "headline": said,
        "complete": standing.complete,
        "trouble": "",
    }
    return Shown(documents={"/": _served(page, "html"), **beside}, told=told)


def _served(text: str, kind: str) -> Served:
    return Served(content=text.encode(), media_type=_KINDS[kind])


def _troubled(shown: Shown, trouble: str) -> Shown:
    return dataclasses.replace(shown, told={**shown.told, "trouble": trouble})
