"""Attempts at one work item: one of them publishes, whoever sleeps, dies or comes late."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from levelfield.records.attempts import (
    AttemptFacts,
    attempted,
    attempts_at,
    complete,
    last_checkpoint,
    last_end,
)
from levelfield.records.ends import EndKind, end_of
from levelfield.records.errors import BusyError, DamagedError, InputError, LeaseLostError, StoreError, UnfinishedError
from levelfield.records.lease import Holder, Lease
from levelfield.records.sealed import read_record, write_record
from levelfield.records.writing import publish_once
from tests.narrowed import present

KEY = "0" * 32
LATE = ("publishes nothing", "has taken this work over", "could not be renewed")
"""What an attempt says that wakes up late, by what it sees first."""


@pytest.fixture
def item(tmp_path) -> Path:
    path = tmp_path / "item"
    path.mkdir()
    return path


def leave(folder: Path, content: str) -> None:
    """What an attempt writes before it publishes."""
    for name in ("metrics.jsonl", "timing.json", "result.json"):
        (folder / name).write_text(content)


def published(item: Path) -> set[str]:
    return {(item / name).read_text() for name in ("metrics.jsonl", "timing.json", "result.json")}


AT_WORK = """
import sys
from pathlib import Path
from levelfield.records.attempts import attempted
from levelfield.records.errors import LeaseLostError
from tests.records.test_attempts import KEY, leave
try:
    with attempted(Path(sys.argv[1]), KEY, term_s=float(sys.argv[2])) as attempt:
        leave(attempt.path, "late")
        print("ready", flush=True)
        sys.stdin.readline()
        if sys.argv[3] == "publishes":
            attempt.publish()
        while True:
            attempt.lease.refuse_if_lost()
except LeaseLostError as error:
    print(error, flush=True)
"""


@contextlib.contextmanager
def another(item: Path, *, term_s: float, what: str = "publishes"):
    """A process that holds an attempt at ``item``, about to publish; or that works on and on."""
    command = [sys.executable, "-c", AT_WORK, str(item), str(term_s), what]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def woken(process: subprocess.Popen[str]) -> str:
    """What a stopped process says once it goes on."""
    process.send_signal(signal.SIGCONT)
    return process.communicate("\n", timeout=30)[0]


def test_what_an_attempt_leaves_is_moved_up_once_it_publishes_and_no_attempt_remains(item):
    with attempted(item, KEY) as attempt:
        leave(attempt.path, "own")
        assert [path.name for path in item.iterdir()] == ["attempts"], "it writes nowhere else"
        attempt.publish()
    assert published(item) == {"own"}
    assert {path.name for path in item.iterdir()} == {"metrics.jsonl", "timing.json", "result.json", "winner.json"}


def test_a_stale_attempt_that_wakes_when_another_has_published_publishes_nothing(item):
    with another(item, term_s=0.5) as stale:
        stale.send_signal(signal.SIGSTOP)
        with attempted(item, KEY, patience_s=0) as attempt:
            leave(attempt.path, "whole")
            attempt.publish()
        before = {path: path.stat().st_mtime_ns for path in item.rglob("*")}
        said = woken(stale)
        assert any(why in said for why in LATE), said
    assert published(item) == {"whole"}
    assert {path: path.stat().st_mtime_ns for path in item.rglob("*")} == before


def test_a_stale_attempt_that_wakes_while_another_is_at_work_publishes_nothing(item):
    with another(item, term_s=0.5) as stale:
        stale.send_signal(signal.SIGSTOP)
        with attempted(item, KEY, patience_s=0) as attempt:
            said = woken(stale)
            assert any(why in said for why in LATE), said
            assert not (item / "winner.json").exists()
            leave(attempt.path, "whole")
            attempt.publish()
    assert published(item) == {"whole"}


def test_the_link_decides_though_both_believe_in_their_lease(item):
    """The pause that no check can exclude: right before the act itself."""
    with pytest.raises(LeaseLostError, match="publishes nothing"), attempted(item, KEY) as late:  # noqa: PT012
        leave(late.path, "late")
        second = AttemptFacts(fingerprint=KEY, number=2, holder=late.facts.holder, term_s=200.0)
        other = item / "attempts" / "0002"
        other.mkdir()
        write_record(other / "attempt.json", second)
        leave(other, "first")
        assert publish_once(other / "attempt.json", item / "winner.json")
        late.publish()
    complete(item)
    assert published(item) == {"first"}


def test_a_worker_that_was_stopped_for_long_stops_itself_though_nobody_took_over(item):
    with another(item, term_s=1.0, what="works on") as stopped:
        stopped.send_signal(signal.SIGSTOP)
        time.sleep(0.6)
        assert "could not be renewed" in woken(stopped)
    assert present(last_end(item)).kind == "lease"


def test_whoever_was_killed_on_this_machine_is_known_to_be_dead_at_once(item):
    with another(item, term_s=1000.0) as killed:
        killed.kill()
        killed.wait()
        begun = time.monotonic()
        with attempted(item, KEY) as attempt:
            assert time.monotonic() - begun < 5
            assert attempt.facts.number == 2
            assert attempt.enter(lost_steps=7).attempts == 2
    assert last_end(item) is None, "it was killed without a word"


def test_who_is_alive_is_left_alone_and_who_is_silent_elsewhere_is_replaced_after_its_term(item):
    alive = pytest.raises(BusyError, match=r"item is being run by process \d+ on")
    with another(item, term_s=8.0), alive, attempted(item, KEY, patience_s=0):
        pass
    elsewhere = item / "attempts" / "0009"
    elsewhere.mkdir()
    holder = Holder(host="elsewhere", pid=1)
    write_record(elsewhere / "attempt.json", AttemptFacts(fingerprint=KEY, number=9, holder=holder, term_s=0.3))
    Lease.lay(elsewhere / "lease")
    begun = time.monotonic()
    with attempted(item, KEY, patience_s=0) as attempt:
        assert time.monotonic() - begun >= 0.3
        assert attempt.facts.number == 10
        assert not (elsewhere / "lease").exists(), "who wakes up there is told"


def test_of_many_who_begin_at_once_one_does(item):
    gate, begun, busy = threading.Barrier(6), [], []

    def begin() -> None:
        gate.wait()
        try:
            with attempted(item, KEY, patience_s=0, term_s=8.0) as attempt:
                begun.append(attempt.facts.number)
                while len(busy) < 5:
                    time.sleep(0.01)
        except BusyError as error:
            busy.append(error)

    threads = [threading.Thread(target=begin) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(begun), len(busy)) == (1, 5)


def test_what_a_winner_left_is_moved_up_by_whoever_comes_next_and_twice_is_once(item):
    with another(item, term_s=1000.0) as winner:
        folder = attempts_at(item)[0]
        assert publish_once(folder / "attempt.json", item / "winner.json")
        winner.kill()
        winner.wait()
    os.rename(folder / "metrics.jsonl", item / "metrics.jsonl")  # it had come so far
    threads = [threading.Thread(target=complete, args=(item,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    complete(item)
    assert published(item) == {"late"}
    assert not (item / "attempts").exists()


def test_a_winner_that_left_nothing_is_named(item):
    holder = Holder(host="elsewhere", pid=1)
    write_record(item / "winner.json", AttemptFacts(fingerprint=KEY, number=3, holder=holder, term_s=1.0))
    with pytest.raises(DamagedError, match="names attempt 3, of which no result is left"):
        complete(item)


def test_an_attempt_that_finds_nothing_to_do_leaves_nothing(item):
    with attempted(item, KEY):
        pass
    assert list(item.iterdir()) == []


def test_steps_that_were_lost_add_up_over_attempts_and_checkpoints_of_those_before_are_collected(item):
    seen = []
    for number, lost in enumerate((0, 5, 8), start=1):
        with contextlib.suppress(StoreError), attempted(item, KEY) as attempt:
            seen.append(attempt.enter(lost_steps=lost))
            (attempt.path / "checkpoints").mkdir()
            (attempt.path / "checkpoints" / f"step_{number:010d}.ckpt").touch()
            attempt.supersede()
            raise StoreError("the disk is full")
    assert [(state.attempts, state.lost_steps) for state in seen] == [(1, 0), (2, 5), (3, 13)]
    assert [path.parents[1].name for path in item.rglob("*.ckpt")] == ["0003"]
    assert last_checkpoint(item) == 3


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError("a lot"), "memory"),
        (RuntimeError("CUDA out of memory"), "memory"),
        (InputError("no such image"), "input"),
        (StoreError("cannot write: No space left on device"), "store"),
        (LeaseLostError("taken over"), "lease"),
        (UnfinishedError("the time is over"), "time"),
        (KeyboardInterrupt(), "stopped"),
        (ValueError("a bug"), "error"),
    ],
)
def test_ends_are_told_apart_in_the_directory(error: BaseException, kind: EndKind, item):
    with pytest.raises(type(error)), attempted(item, KEY):
        raise error
    end = present(last_end(item))
    assert (end.kind, str(error) in end.reason) == (kind, True)
    assert end == end_of(error)
    assert not list(item.rglob("lease")), "others may go on at once"


def test_whatever_a_replaced_attempt_trips_over_it_is_told_as_replaced(item):
    replaced = pytest.raises(LeaseLostError, match="another attempt has taken this work over")
    with replaced, attempted(item, KEY) as attempt:
        attempt.lease.path.unlink()
        raise StoreError("cannot write: the folder has gone")
    assert last_end(item) is None


def test_a_lease_that_was_taken_is_never_made_anew(item):
    with contextlib.suppress(LeaseLostError), attempted(item, KEY, term_s=0.2) as attempt:
        attempt.lease.path.unlink()
        time.sleep(0.1)
        attempt.lease.refuse_if_lost()
        raise AssertionError("it goes on")
    assert not list(item.rglob("lease"))


def test_a_step_that_does_not_return_is_told_by_the_one_who_renews(tmp_path):
    hung = threading.Event()
    Lease.lay(tmp_path / "lease")
    lease = Lease(tmp_path / "lease", term_s=0.4)
    lease.step, lease.hung_after_s, lease.on_hang = 1, 0.1, lambda seconds: hung.set()
    lease.hold()
    assert hung.wait(10)
    lease.let_go()


@pytest.mark.parametrize("links", [True, False])
def test_a_file_is_published_once_whether_or_not_there_are_links(links, tmp_path, monkeypatch):
    def none(*_):
        raise OSError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", none)
    sources = [tmp_path / name for name in ("a", "b", "c")]
    for path in sources:
        path.write_text(path.name)
    won = [path.name for path in sources if publish_once(path, tmp_path / "winner")]
    assert (won, (tmp_path / "winner").read_text()) == (["a"], "a")
    with pytest.raises(FileNotFoundError):
        publish_once(tmp_path / "gone", tmp_path / "other")


def test_the_winner_is_on_record(item):
    with attempted(item, KEY) as attempt:
        leave(attempt.path, "own")
        attempt.publish()
    assert read_record(AttemptFacts, item / "winner.json") == attempt.facts
