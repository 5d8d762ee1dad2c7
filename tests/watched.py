"""`levelfield watch` as a user starts it, and what those who listen are told."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from tests.conftest import levelfield


def events(port: int, *, within_s: float = 60.0) -> Generator[dict[str, Any], None, None]:
    """What those who listen are told, one after another; TimeoutError where nothing is sent for so long."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=within_s)
    connection.request("GET", "/events")
    response = connection.getresponse()
    assert response.headers["Content-Type"] == "text/event-stream"
    try:
        while line := response.readline():
            if line.startswith(b"data: "):
                yield json.loads(line.removeprefix(b"data: "))
    finally:
        response.close()
        connection.close()


@contextlib.contextmanager
def watching(directory: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`levelfield watch` in a process of its own, and its port."""
    command = levelfield("watch", directory)
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            yield process, int(line.partition("http://127.0.0.1:")[2].partition("/")[0])
        finally:
            process.kill()
