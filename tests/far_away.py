"""A store far away, played by a small server on this machine that is as bad as asked: slow, wrong, cut short, dead."""

from __future__ import annotations

import hashlib
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FAULTS = ("error", "cut", "short", "wrong", "closed")
"""503; a body that ends early; a body that is shorter than asked and says so; a flipped byte; no answer at all."""


class BadServer:
    """Serves files of ``folder``, or what the server at ``upstream`` answers, by ranges.

    A request meets each of ``faults`` with its probability, drawn by what is asked and how often it was; never twice in
    a row for the same range. After ``dies_after`` requests nothing is answered any more. ``latency_s`` comes first.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        upstream: str = "",
        latency_s: float = 0.0,
        dies_after: int | None = None,
        **faults: float,
    ) -> None:
        self.folder, self.upstream, self.latency_s, self.dies_after = folder, upstream, latency_s, dies_after
        self.faults, self.asked, self.met = faults, Counter[str](), Counter[str]()
        self.lock, self.served = threading.Lock(), 0
        handler = type("Handler", (_Handler,), {"bad": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> BadServer:
        return self

    def __exit__(self, *told: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def fault(self, what: str) -> str | None:
        """What befalls this request for ``what``."""
        with self.lock:
            self.served += 1
            number, self.asked[what] = self.asked[what], self.asked[what] + 1
            if self.dies_after is not None and self.served > self.dies_after:
                return "closed"
            if number % 2:
                return None
            drawn = int.from_bytes(hashlib.blake2b(f"{what} {number}".encode(), digest_size=8).digest()) / 2**64
            for kind, chance in self.faults.items():
                if drawn < chance:
                    self.met[kind] += 1
                    return kind
                drawn -= chance
        return None

    def content(self, path: str, headers: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        """Status, whole body of the range, and headers that an undisturbed server answers with."""
        if self.folder is None:
            asked = urllib.request.Request(self.upstream + path, headers=headers)
            try:
                with urllib.request.urlopen(asked, timeout=30) as answer:
                    told = {name.title().replace("Etag", "ETag"): value for name, value in answer.headers.items()}
                    return answer.status, answer.read(), told
            except urllib.error.HTTPError as error:
                return error.code, error.read(), {}
        file = self.folder / path.lstrip("/")
        if path.startswith("/secret"):
            return 403, b"", {}
        if not file.is_file():
            return 404, b"", {}
        whole, said = file.read_bytes(), headers.get("Range", "bytes=0-")
        first, last = said.removeprefix("bytes=").split("-")
        start, stop = int(first), int(last) + 1 if last else len(whole)
        told = {"Content-Range": f"bytes {start}-{min(stop, len(whole)) - 1}/{len(whole)}", "ETag": '"x"'}
        return 206, whole[start:stop], told | {"Last-Modified": "Sat, 28 Nov 2026 09:00:00 GMT"}


class _Handler(BaseHTTPRequestHandler):
    bad: BadServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        time.sleep(self.bad.latency_s)
        headers = {n.title(): value for n, value in self.headers.items() if n.lower() not in ("host", "connection")}
        fault = self.bad.fault(f"{self.path} {self.headers.get('Range')}")
        if fault == "closed":
            self.close_connection = True
            return
        if fault == "error":
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        status, body, told = self.bad.content(self.path, headers)
        if fault == "short":
            body = body[: len(body) // 2]
        if fault == "wrong" and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        self.send_response(status)
        for name in ("Content-Range", "ETag", "Last-Modified"):
            if name in told:
                value = told[name]
                if fault == "short" and name == "Content-Range":
                    start = int(value.split()[1].split("-")[0])
                    value = f"bytes {start}-{start + len(body) - 1}/{value.rpartition('/')[2]}"
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if fault == "cut" else body)
        self.close_connection = fault == "cut"

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""
