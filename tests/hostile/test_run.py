"""What counts hostile inputs counts right: this module is a kind that does everything wrong."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from levelfield.records.errors import InputError
from tests.hostile.child import is_sentence
from tests.hostile.run import run_kind

BEHAVIOURS = (
    "right", "refused", "a sentence", "no sentence", "wrong", "raises", "exits", "dies", "hangs", "loops", "eats",
    "right again",
)  # fmt: skip


def attempt(seed: int, index: int, folder: Path) -> str:
    behaviour = BEHAVIOURS[index]
    assert list(folder.iterdir()) == []
    (folder / "left").write_text("over")
    print("this is no answer")
    if behaviour == "a sentence":
        raise InputError("runs.csv: is no table; save it as CSV")
    if behaviour == "no sentence":
        raise InputError("KeyError")
    if behaviour == "raises":
        raise KeyError(seed)
    if behaviour == "exits":
        raise SystemExit(3)
    if behaviour == "dies":
        os._exit(7)
    if behaviour == "hangs":
        child = subprocess.Popen(["sleep", "60"])
        Path(os.environ["HOSTILE_CHILD"]).write_text(str(child.pid))
        time.sleep(60)
    if behaviour == "loops":
        while True:
            pass
    if behaviour == "eats":
        eaten = b"x" * 400_000_000
        return f"right{eaten[:0].decode()}"
    return {"refused": "refused", "wrong": "wrong: 3 for 4"}.get(behaviour, "right")


def test_every_way_to_fail_is_counted_as_what_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("HOSTILE_CHILD", str(tmp_path / "pid"))
    tally = run_kind("test_run", range(len(BEHAVIOURS)), seed=5, seconds=2.0, most_bytes=350_000_000)
    verdicts = {BEHAVIOURS[one.index]: one.verdict for one in tally.attempts}
    assert verdicts == {
        "right": "right", "refused": "refused", "a sentence": "refused", "no sentence": "wrong", "wrong": "wrong",
        "raises": "traceback", "exits": "traceback", "dies": "traceback", "hangs": "slow", "loops": "slow",
        "eats": "large",         "right again": "right",
    }  # fmt: skip
    assert len(tally.faults) == 8
    assert "--seed 5 --only 5" in tally.told()
    assert "code 7" in tally.attempts[BEHAVIOURS.index("dies")].what
    # What a hanging attempt has started is ended with it.
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text()}/cmdline").exists() or _is_zombie(tmp_path / "pid")


def test_two_workers_share_the_cases_and_lose_none():
    tally = run_kind("test_run", range(3), seed=5, workers=2)
    assert [one.verdict for one in tally.attempts] == ["right", "refused", "refused"]


def test_a_sentence_has_words_and_no_objects():
    assert is_sentence("a.csv, line 3: expected a number, saw 'x'")
    assert not is_sentence("'loss'")
    assert not is_sentence("cannot read <object at 0x7f00> as a table")


def _is_zombie(path: Path) -> bool:
    status = Path(f"/proc/{path.read_text()}/status").read_text()
    return "State:\tZ" in status
