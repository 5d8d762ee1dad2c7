"""A board on loopback: documents by path, and an event whenever they change. Nothing else is answered."""

from __future__ import annotations

import logging
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from levelfield.records.errors import InputError
from levelfield.watch.board import Board, Served

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
EVENTS = "/events"
_MOST_LISTENERS = 32
"""Each holds a thread for as long as its page is open."""
_STILL_HERE_S = 15.0
"""A line is sent that often where nothing changes: only in writing is it seen that nobody listens any more."""
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class BoardServer(ThreadingHTTPServer):
    """Serves ``board`` on 127.0.0.1 alone.

    Raises:
        InputError: the port is taken, or may not be had.
    """

    daemon_threads = True  # who listens does not keep the process alive

    def __init__(self, board: Board, *, port: int = 0) -> None:
        self.board = board
        self.listeners = threading.BoundedSemaphore(_MOST_LISTENERS)
        try:
            super().__init__((LOOPBACK, port), _Answer)
        except OSError as error:
            raise InputError(
                f"cannot serve on {LOOPBACK}:{port}: {error.strerror}; leave out --port for one that is free"
            ) from None

    @property
    def address(self) -> str:
        return f"http://{LOOPBACK}:{self.server_port}/"

    def server_bind(self) -> None:
        """Bind without asking what the address is called: a name service may take seconds to say."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = LOOPBACK, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asks may go at any time; whatever else happens in an answer is a bug, and is shown as one."""
        error = sys.exception()
        if isinstance(error, ConnectionError | TimeoutError):
            logger.debug("%s went: %s", client_address, error)
        else:
            super().handle_error(request, client_address)

    def knows(self, hosts: list[str]) -> bool:
        """Whether a request names this server: a page elsewhere whose name was pointed here (DNS rebinding) does not.

        Source: RFC 9110, 7.2 and 7.4: what is sent to another authority is answered 421.
        """
        return hosts in ([f"{LOOPBACK}:{self.server_port}"], [f"localhost:{self.server_port}"])


class _Answer(BaseHTTPRequestHandler):
    server: BoardServer  # pyright: ignore[reportIncompatibleVariableOverride]
    server_version, sys_version = "levelfield", ""
    timeout = 30.0  # of one read or write: who does neither is let go

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        found = self.server.board.shown.documents.get(path)
        if not self.server.knows(self.headers.get_all("Host") or []):
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST)
        elif path == EVENTS and with_body:
            self._tell()
        elif found is None:
            self._refuse(HTTPStatus.NOT_FOUND)
        else:
            self._send(HTTPStatus.OK, found, with_body=with_body)

    def _refuse(self, status: HTTPStatus) -> None:
        self._send(status, Served(content=f"{status.phrase}\n".encode(), media_type="text/plain; charset=utf-8"))

    def _send(self, status: HTTPStatus, document: Served, *, with_body: bool = True) -> None:
        self._begin(status, document.media_type, length=len(document.content))
        if with_body:
            self.wfile.write(document.content)

    def _begin(self, status: HTTPStatus, media_type: str, *, length: int | None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()

    def _tell(self) -> None:
        """What is shown at once, and again whenever it changes, for as long as somebody listens."""
        if not self.server.listeners.acquire(blocking=False):
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
            return
        try:
            self._begin(HTTPStatus.OK, "text/event-stream", length=None)
            number = 0
            while True:
                if (after := self.server.board.after(number, timeout_s=_STILL_HERE_S)) is None:
                    self.wfile.write(b": still here\n\n")
                else:
                    number, shown = after
                    self.wfile.write(shown.event)
        finally:
            self.server.listeners.release()

    def log_message(self, format: str, *args: Any) -> None:
        logger.debug(format, *args)
