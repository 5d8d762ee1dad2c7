"""Bytes of objects in a store far away (s3, gs, az, http), read by ranges and kept in a bounded cache on disk.

What is needed next is known, since the order is (:meth:`RemoteShards.expect`): ranges that lie beside one another are
fetched as one, several at a time, ahead of who reads them, and what was fetched longest ago makes room. Nothing that
arrives is believed: a range must have its length, and its content what the reader asks of it; what does not stand up is
fetched again. After :data:`TRIES` in vain a read ends in a :class:`RemoteReadError`: nothing is skipped, and nothing is
put in its place.

Credentials and endpoints are those of the environment (``AWS_...``, ``GOOGLE_...``, ``AZURE_...``), as obstore reads
them. It comes with ``pip install 'levelfield[remote]'``.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from levelfield.data.stores.extents import Extent, ExtentCache, joined
from levelfield.records.errors import DataError, first_line

logger = logging.getLogger(__name__)

REMOTE_SCHEMES = ("s3://", "gs://", "az://", "http://", "https://")
TRIES = 6
FIRST_PAUSE_S = 0.2
"""Before the second try; each pause is twice the one before: 6.2 seconds in all."""
ASKED_AGAIN = 2
"""How often bytes that came whole, and are not what was listed, are asked for again."""
ANSWER_WITHIN_S = 60
CONNECTIONS = 16
"""Ranges that are fetched ahead at once."""
AHEAD_SHARE = 0.5
"""Of the cache's limit, what may be fetched before it is read."""


class RemoteReadError(OSError):
    """What a store far away did not give: run again, and training goes on where its last checkpoint is."""


class RemoteShards:
    """The objects ``names`` below ``url``, read by ranges through ``cache``; ``pause`` is how a try waits for the next.

    Any number of threads may read.

    Raises:
        DataError: obstore is not installed, or ``url`` is of no store.
    """

    def __init__(
        self, url: str, names: Sequence[str], cache: ExtentCache, *, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self.url, self.names = url.rstrip("/"), names
        self._store, self._cache, self._pause = opened_store(url), cache, pause
        self._lock = threading.Lock()
        self._waiting: deque[Extent] = deque()
        self._coming: dict[Extent, Future[None]] = {}
        self._due: dict[Extent, int] = {}
        self._fetchers: ThreadPoolExecutor | None = None

    def name(self, shard: int) -> str:
        """What to call an object in a message."""
        return f"{self.url}/{self.names[shard]}"

    def read(self, wanted: Extent, *, right: Callable[[bytes], bool]) -> tuple[bytes, bool]:
        """The bytes of ``wanted``, of which ``right`` says whether they are what was listed, and whether they are.

        Where they are not, they were damaged here or on the way, and are fetched again; in the end they are given as
        they are, for whoever reads to say what has changed.

        Raises:
            OSError: they did not arrive whole, there is no such object, or the cache cannot be written.
        """
        self._await(wanted)
        content, extent = self._cache.read(wanted) or (self._fetched(wanted), wanted)
        listed, left = right(content), ASKED_AGAIN
        while not listed and left:
            logger.warning("%s: bytes %d to %d are not what was listed", self.name(wanted.shard), *wanted[1:])
            self._cache.drop(extent)
            content, extent, left = self._fetched(wanted), wanted, left - 1
            listed = right(content)
        self._was_read(wanted)
        return content, listed

    def expect(self, ranges: Iterable[Extent]) -> None:
        """Fetch ``ranges`` ahead, in their order, as far as the cache has room for what was not read yet."""
        with self._lock:
            for extent, number in joined(each for each in ranges if self._cache.find(each) is None).items():
                if extent not in self._due:
                    self._waiting.append(extent)
                self._due[extent] = self._due.get(extent, 0) + number
            self._go_on()

    def close(self) -> None:
        """Stop fetching ahead."""
        with self._lock:
            self._waiting.clear()
            fetchers, self._fetchers = self._fetchers, None
        if fetchers is not None:
            fetchers.shutdown(wait=True, cancel_futures=True)

    def _await(self, wanted: Extent) -> None:
        """Until what is on its way has come; what went wrong there is tried again, and told, by whoever reads."""
        with self._lock:
            coming = next((future for extent, future in self._coming.items() if extent.holds(wanted)), None)
        if coming is not None:
            coming.exception()

    def _was_read(self, wanted: Extent) -> None:
        with self._lock:
            extent = next((each for each in self._due if each.holds(wanted)), None)
            if extent is None:
                return
            self._due[extent] -= 1
            if self._due[extent] <= 0:
                del self._due[extent]
                self._go_on()

    def _go_on(self) -> None:
        """Begin to fetch what is waited for while there is room; the lock is held."""
        room = self._cache.limit_bytes * AHEAD_SHARE - sum(each.size for each in self._due)
        room += sum(each.size for each in self._waiting)
        while self._waiting and (room >= self._waiting[0].size or not self._coming):
            extent = self._waiting.popleft()
            room -= extent.size
            if extent not in self._due:
                continue
            if self._fetchers is None:
                self._fetchers = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="levelfield-remote")
            self._coming[extent] = self._fetchers.submit(self._bring, extent)

    def _bring(self, extent: Extent) -> None:
        try:
            self._fetched(extent)
        finally:
            with self._lock:
                self._coming.pop(extent, None)

    def _fetched(self, extent: Extent) -> bytes:
        """The bytes of ``extent``, which are kept."""
        name = self.names[extent.shard]

        def asked() -> bytes:
            import obstore

            return bytes(obstore.get_range(self._store, name, start=extent.start, end=extent.stop))

        content = _tried(self.name(extent.shard), asked, pause=self._pause, size=extent.size)
        self._cache.keep(extent, content)
        return content


def is_far(place: str) -> bool:
    """Whether ``place`` is the address of a store far away."""
    return place.startswith(REMOTE_SCHEMES)


def whole_object(url: str, name: str) -> bytes:
    """All bytes of the object ``name`` below ``url``.

    Raises:
        OSError: it did not come, or is not there.
        DataError: obstore is not installed, or ``url`` is of no store.
    """
    store = opened_store(url)

    def asked() -> bytes:
        import obstore

        return bytes(obstore.get(store, name).bytes())

    return _tried(f"{url}/{name}", asked, pause=time.sleep, size=None)


def _tried(name: str, ask: Callable[[], bytes], *, pause: Callable[[float], None], size: int | None) -> bytes:
    """What ``ask`` gives, ``size`` bytes of it where that is known, in :data:`TRIES` tries."""
    why = ""
    for number in range(TRIES):
        if number:
            pause(FIRST_PAUSE_S * 2 ** (number - 1))
        try:
            content = ask()
        except FileNotFoundError:
            raise FileNotFoundError(f"{name} is not there") from None
        except _refusals() as error:
            raise RemoteReadError(f"{name} may not be read: {_short(error)}") from None
        except Exception as error:  # obstore has one error for 5xx, a broken connection, and a body cut short
            why = _short(error)
        else:
            if size in (None, len(content)):
                return content
            why = f"{len(content)} of {size} bytes came"
        logger.info("%s: try %d of %d: %s", name, number + 1, TRIES, why)
    what = "it" if size is None else f"{size} bytes"
    raise RemoteReadError(
        f"{name}: {what} did not arrive in {TRIES} tries ({why}); run again when the store answers, and training goes "
        "on from its last checkpoint"
    )


def opened_store(url: str) -> Any:
    """The store at ``url``. It tries once: tries are counted where the reads are.

    Raises:
        DataError: obstore is not installed, or ``url`` is of no store.
    """
    try:
        from obstore.exceptions import BaseError
        from obstore.store import from_url
    except ImportError:
        raise DataError(f"{url} is read with obstore, which is not here: pip install 'levelfield[remote]'") from None
    options: Any = {"timeout": f"{ANSWER_WITHIN_S}s", "connect_timeout": f"{ANSWER_WITHIN_S}s"}
    if url.startswith("http://") or os.environ.get("AWS_ALLOW_HTTP", "").lower() == "true":
        options["allow_http"] = True
    try:
        return from_url(url, client_options=options, retry_config={"max_retries": 0})
    except (BaseError, ValueError) as error:
        raise DataError(f"{url} cannot be opened: {_short(error)}") from None


def _refusals() -> tuple[type[Exception], ...]:
    from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

    return PermissionDeniedError, UnauthenticatedError


def _short(error: BaseException) -> str:
    return first_line(error)[:300]
