"""A study watched while it runs: what is served, to whom, when it changes, and that nothing is written."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import signal
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from levelfield.records.attempts import attempted
from levelfield.records.errors import InputError
from levelfield.records.store import StudyDirectory, TrialFiles
from levelfield.study.plan.plan import plan
from levelfield.watch.board import Board, Served, Shown
from levelfield.watch.live import LiveStudy, stamp_of
from levelfield.watch.server import BoardServer
from tests.conftest import run
from tests.study.simulated import FACTS, bowl, outcome_of, run_to_the_end, study, written_down
from tests.watched import events, watching

SHORT: dict[str, Any] = {"ladder": {"budgets": [2e10]}}
"""Changes that leave one rung of the simulated study."""


def shown(page: str, **more: str) -> Shown:
    documents = {"/": Served(content=page.encode(), media_type="text/html; charset=utf-8")}
    documents |= {path: Served(content=b"<svg/>", media_type="image/svg+xml") for path in more.values()}
    return Shown(documents=documents, told={"page": page})


@contextlib.contextmanager
def serving(board: Board) -> Iterator[BoardServer]:
    with BoardServer(board) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def answer(port: int, path: str, *, host: str | None = None, method: str = "GET") -> tuple[int, bytes]:
    """Status and body, the path sent as it is written here."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    if host != "":
        connection.putheader("Host", host or f"127.0.0.1:{port}")
    connection.endheaders()
    response = connection.getresponse()
    try:
        return response.status, response.read()
    finally:
        connection.close()


def test_only_what_is_shown_is_served_whatever_the_path():
    with serving(Board(shown("page", figure="/figures/loss.svg"))) as server:
        assert answer(server.server_port, "/") == (200, b"page")
        assert answer(server.server_port, "/?again") == (200, b"page")
        assert answer(server.server_port, "/figures/loss.svg") == (200, b"<svg/>")
        for path in (
            "/study.json",
            "/../../../../etc/passwd",
            "/figures/../../study.json",
            "/%2e%2e/%2e%2e/etc/passwd",
            "//etc/passwd",
            "/figures",
            "http://127.0.0.1/",
            "*",
        ):
            assert answer(server.server_port, path) == (404, b"Not Found\n"), path


def test_a_request_that_names_another_host_is_turned_away():
    """Else a page elsewhere whose name was pointed to 127.0.0.1 could read the study (DNS rebinding)."""
    with serving(Board(shown("page"))) as server:
        port = server.server_port
        assert answer(port, "/", host=f"localhost:{port}")[0] == 200
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}", ""):
            for path in ("/", "/events"):
                assert answer(port, path, host=host)[0] == 421, host


def test_only_reading_is_answered_and_a_head_has_no_body():
    with serving(Board(shown("page"))) as server:
        with socket.create_connection(("127.0.0.1", server.server_port)) as raw:  # http.client would drop a body
            raw.sendall(f"HEAD / HTTP/1.0\r\nHost: localhost:{server.server_port}\r\n\r\n".encode())
            head = b"".join(iter(lambda: raw.recv(4096), b""))
        assert head.startswith(b"HTTP/1.0 200 OK")
        assert head.endswith(b"\r\n\r\n")
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            assert answer(server.server_port, "/", method=method)[0] == 501


def test_nothing_but_loopback_is_bound():
    with serving(Board(shown("page"))) as server:
        assert server.socket.getsockname()[0] == "127.0.0.1"
        assert server.socket.family == socket.AF_INET
        with pytest.raises(InputError, match=f"127.0.0.1:{server.server_port}.*in use"):
            BoardServer(Board(shown("other")), port=server.server_port)


def test_who_listens_is_told_at_once_and_again_when_something_else_is_shown():
    board = Board(shown("first"))
    with serving(board) as server, contextlib.closing(events(server.server_port, within_s=5)) as told:
        assert next(told) == {"page": "first"}
        board.put(shown("second\n\nline"))
        assert next(told) == {"page": "second\n\nline"}
        assert answer(server.server_port, "/") == (200, b"second\n\nline")


def test_who_goes_in_the_middle_of_an_answer_leaves_no_trace(capfd):
    with serving(Board(shown("x" * 10_000_000))) as server:
        address = ("127.0.0.1", server.server_port)
        for said in (b"", b"GET / HT", f"GET / HTTP/1.0\r\nHost: localhost:{server.server_port}\r\n\r\n".encode()):
            with socket.create_connection(address) as raw:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing resets
                raw.sendall(said)
                if said.endswith(b"\r\n\r\n"):
                    assert raw.recv(100)
        assert answer(server.server_port, "/x")[0] == 404
    assert capfd.readouterr().err == ""


def test_a_result_or_a_failure_is_news_and_what_a_trial_writes_on_its_way_is_none(tmp_path):
    spec = study(**SHORT)
    planned, results = run_to_the_end(spec)
    first, second = (trial for trial in planned.trials[:2])
    kept = {first.spec.fingerprint: results[first.spec.fingerprint]}
    directory = written_down(tmp_path, spec, planned, kept)
    before = stamp_of(directory)
    running = directory.trial(second.spec)
    running.open(second.spec)
    with attempted(running.path, second.spec.fingerprint) as attempt:
        attempt.enter(lost_steps=0)
        TrialFiles(attempt.path).metrics_path.write_text('{"step": 1}\n')
        assert stamp_of(directory) == before
    running.fail(second.spec, "the disk is full")
    failed = stamp_of(directory)
    assert failed != before
    written_down(tmp_path, spec, planned, kept | {second.spec.fingerprint: results[second.spec.fingerprint]})
    assert stamp_of(directory) not in (before, failed)


def test_a_study_is_shown_before_its_first_result(tmp_path):
    spec = study(**SHORT)
    written_down(tmp_path, spec, plan(spec, FACTS, {}), {})
    watched = LiveStudy(tmp_path)
    first = watched.look()
    assert first is not None
    assert "In progress: 0 of" in str(first.told["standing"])
    assert str(first.told["answer"]) in first.documents["/"].content.decode()
    assert watched.look() is None, "nothing has come"


def test_where_no_study_is_none_is_watched(tmp_path):
    with pytest.raises(InputError, match="holds no study") as caught:
        LiveStudy(tmp_path).look()
    assert caught.value.exit_code == 2


def files_of(directory: Path) -> dict[str, int]:
    return {str(path.relative_to(directory)): path.stat().st_mtime_ns for path in directory.rglob("*")}


@pytest.mark.slow
def test_a_result_that_comes_while_it_is_watched_is_told_and_stands_on_the_page(tmp_path):
    spec = study(**SHORT)
    planned, results = run_to_the_end(spec)
    held = dict(list(results.items())[:-2])
    last = next(trial for trial in planned.trials if trial.spec.fingerprint == list(results)[-1])
    before_last = next(trial for trial in planned.trials if trial.spec.fingerprint == list(results)[-2])
    directory = tmp_path / "study"
    written_down(directory, spec, planned, held)
    with watching(directory) as (process, port), contextlib.closing(events(port)) as told:
        first = next(told)
        assert not first["complete"]
        assert f"In progress: {len(held)} of" in first["standing"]
        assert first["headline"].startswith("In progress")
        files = files_of(directory)
        assert "0.7654" not in answer(port, "/")[1].decode()

        held[before_last.spec.fingerprint] = outcome_of(before_last, 0.7654)
        written_down(directory, spec, planned, held)
        second = next(told)
        assert f"In progress: {len(held)} of" in second["standing"]
        assert "The rest takes" in second["standing"]
        page = answer(port, "/")[1].decode()
        assert "0.7654" in page, "the new number stands on the page"
        assert "rovisional" in page

        held[last.spec.fingerprint] = outcome_of(last, bowl(last))
        written_down(directory, spec, planned, held)
        third = next(each for each in told if each["complete"])
        assert "Complete" in third["standing"]
        assert answer(port, "/")[0] == 200, "the final page is served on"
        assert files.keys() <= files_of(directory).keys()
        assert {name for name in files_of(directory).keys() - files.keys() if "trials/" not in name} == set()

        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert process.stderr is not None
        assert process.stderr.read() == "levelfield: stopped\n"


@pytest.mark.slow
def test_a_study_that_is_moved_away_is_told_as_such_and_found_again(tmp_path):
    spec = study(**SHORT)
    planned, results = run_to_the_end(spec)
    written_down(tmp_path / "study", spec, planned, results)
    with watching(tmp_path / "study") as (_, port), contextlib.closing(events(port)) as told:
        page = next(told)["page"]
        shutil.move(tmp_path / "study", tmp_path / "moved")
        gone = next(told)
        assert gone["page"] == page
        assert "cannot be read now" in gone["trouble"]
        assert answer(port, "/")[0] == 200
        shutil.move(tmp_path / "moved", tmp_path / "study")
        assert next(told)["trouble"] == ""


@pytest.mark.slow
def test_nothing_is_written_and_the_lock_is_free_while_a_study_is_watched(tmp_path):
    spec = study(**SHORT)
    planned, results = run_to_the_end(spec)
    written_down(tmp_path / "study", spec, planned, results)
    files = files_of(tmp_path / "study")
    with watching(tmp_path / "study") as (_, port):
        assert answer(port, "/")[0] == 200
        assert files_of(tmp_path / "study") == files
        with StudyDirectory(tmp_path / "study").locked():
            assert answer(port, "/")[0] == 200
    done = run("watch", tmp_path / "nowhere")
    assert done.returncode == 2
