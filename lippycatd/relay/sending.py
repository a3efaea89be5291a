"""One server's packets: they wait in a buffer with a limit, and a thread sends them, for as long as it runs."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from lippycatd.relay.server import Connection, Server

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

_FIRST, _LONGEST = 0.25, 15.0  # seconds of the backoff
_END = 2.0  # seconds that what waits has at the end


class Sender:
    """`offered = sent + queued + Σ dropped{reason}`, in packets, at every moment."""

    def __init__(self, server: Server, limit: int, tls: ssl.SSLContext | None, log: FilteringBoundLogger) -> None:
        self.server, self._limit, self._tls, self._log = server, limit, tls, log
        self._lock = threading.Lock()
        self._waiting: deque[bytes] = deque()
        self._bytes = self._offered = self._sent = self._connects = 0
        self._dropped: Counter[str] = Counter()
        self._last: bytes | None = None  # a datagram that may yet be refused
        self._ends, self._wakes = socket.socketpair()
        self._wakes.setblocking(False)  # noqa: FBT003  socket's signature
        self._stop = False
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        self.trouble = "not connected yet"

    def start(self) -> None:
        """Begins to send."""
        self._thread.start()

    def offer(self, packet: bytes | None) -> None:
        """Takes a packet; None stands for one that is too long for HEP."""
        with self._lock:
            self._offered += 1
            if packet is None:
                self._dropped["too_long"] += 1
                return
            if self._bytes + len(packet) > self._limit:
                self._dropped["buffer_full"] += 1
                return
            self._bytes += len(packet)
            self._waiting.append(packet)
            first = len(self._waiting) == 1
        if first:
            self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._wakes.send(b"w")

    def stats(self) -> dict[str, Any]:
        """A snapshot."""
        with self._lock:
            dropped = dict(self._dropped)
            return {
                "offered": self._offered,
                "sent": self._sent,
                "queued": self._offered - self._sent - sum(dropped.values()),
                "dropped": dropped,
                "connects": self._connects,
                "connected": int(not self.trouble),
            }

    def stop(self) -> None:
        """What waits has a moment; then it is counted."""
        self._stop = True
        self._wake()
        self._thread.join(_END)
        with self._lock:
            if self._waiting:
                self._dropped["end"] += len(self._waiting)
                self._waiting.clear()
                self._bytes = 0

    def _run(self) -> None:
        wait = _FIRST
        while not self._stop:
            try:
                connection = Connection(self.server, self._tls)
            except (OSError, ValueError) as error:
                self._lost(error)
            else:
                with self._lock:
                    self._connects += 1
                begun = time.monotonic()
                try:
                    self._serve(connection)
                except (OSError, ValueError) as error:
                    self._lost(error)
                finally:
                    connection.close()
                if time.monotonic() - begun > _LONGEST:
                    wait = _FIRST
            self._rest(wait)
            wait = min(2 * wait, _LONGEST)

    def _rest(self, seconds: float) -> None:
        """Until the next attempt, or the end."""
        until = time.monotonic() + seconds
        while not self._stop and (left := until - time.monotonic()) > 0:
            if select.select([self._ends], [], [], left)[0]:
                self._ends.recv(64)

    def _lost(self, error: OSError | ValueError) -> None:
        why = getattr(error, "strerror", None) or str(error)
        if self._stop:
            return
        if not self.trouble or self.trouble == "not connected yet":
            self._log.warning(f"{self.server}: {why}; it is connected to again", server=str(self.server))
        self.trouble = f"{self.server}: {why}"

    def _serve(self, connection: Connection) -> None:
        """Sends until the connection ends, which raises OSError, or the end is asked for and nothing waits."""
        self._first(connection)
        while True:
            with self._lock:
                packet = self._waiting[0] if self._waiting else None
            if packet is None:
                if self._stop:
                    return
                ready = select.select([self._ends.fileno(), connection.fileno()], [], [])[0]
                if self._ends.fileno() in ready:
                    self._ends.recv(64)
                if connection.fileno() in ready:
                    self._guarded(connection.check)
                continue
            self._guarded(connection.check)
            self._put(connection, packet)

    def _first(self, connection: Connection) -> None:
        """A datagram tells only by being refused that nobody is there: the first one goes alone."""
        if self.server.kind != "udp":
            self._well()
            return
        while True:
            with self._lock:
                packet = self._waiting[0] if self._waiting else None
            if packet is not None:
                break
            if self._stop:
                return
            if select.select([self._ends], [], [])[0]:
                self._ends.recv(64)
        self._put(connection, packet)
        self._guarded(connection.probe)
        self._well()

    def _well(self) -> None:
        if self.trouble:
            self._log.info(f"{self.server}: connected", server=str(self.server))
        self.trouble = ""

    def _put(self, connection: Connection, packet: bytes) -> None:
        self._guarded(lambda: connection.send(packet))
        with self._lock:
            if self._waiting and self._waiting[0] is packet:
                self._bytes -= len(self._waiting.popleft())
                self._sent += 1
                self._last = packet if self.server.kind == "udp" else None

    def _guarded(self, step: Callable[[], None]) -> None:
        """A refusal is of the datagram before: it was not received, and is sent again."""
        try:
            step()
        except ConnectionRefusedError:
            with self._lock:
                if self._last is not None:
                    self._waiting.appendleft(self._last)
                    self._bytes += len(self._last)
                    self._sent -= 1
                    self._last = None
            raise
