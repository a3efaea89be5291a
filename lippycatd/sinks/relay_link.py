"""The connection to lippycat-relay: made when it can be had, and anew when the relay has been away. It never waits."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING

from lippycatd.model import handover
from lippycatd.model.handover import Kind, Wants

if TYPE_CHECKING:
    from collections.abc import Callable

_FIRST, _LONGEST = 0.5, 30.0  # seconds of the backoff
LACKS = {
    Wants.HEP: "its configuration names no server for HEP (relay.hep_servers)",
    Wants.PODS: "its configuration names no Kubernetes API (relay.kubernetes_api)",
}


class Link:
    """One connection, for one of the things that a relay has. `trouble` says why it is not there."""

    def __init__(self, path: str, wants: Wants, name: str, hear: Callable[[Kind, bytes], None] | None = None) -> None:
        self._path, self._wants, self._name, self._hear = path, wants, name, hear
        self._socket: socket.socket | None = None
        self._welcomed = False
        self._due, self._wait = 0.0, _FIRST
        self.trouble = "lippycat-relay was not reached yet"

    def tend(self, *, now: bool = False) -> bool:
        """Connects where that is due, and takes what the relay says; whether it may be sent to."""
        if self._socket is None and (now or time.monotonic() >= self._due):
            self._connect()
        if self._socket is not None:
            self._listen()
        return self._welcomed

    def send(self, message: bytes) -> bool:
        """Whether the message is on its way."""
        if self._socket is None or not self._welcomed:
            return False
        try:
            self._socket.send(message)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            self._lose(error.strerror or str(error))
            return False
        return True

    def close(self) -> None:
        """Ends it."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
        self._socket, self._welcomed = None, False

    def _connect(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.setblocking(False)  # noqa: FBT003  socket's signature
        try:
            sock.connect(self._path)
            sock.send(handover.hello(self._wants, self._name))
        except OSError as error:
            sock.close()
            self._lose(error.strerror or str(error))
        else:
            self._socket, self._welcomed = sock, False

    def _listen(self) -> None:
        """Takes what the relay has said, and notices that it has gone."""
        try:
            while self._socket is not None:
                message = handover.receive(self._socket)
                if not message:
                    self._lose("it has ended")
                    return
                self._heard(*handover.split(message))
        except (BlockingIOError, InterruptedError):
            return
        except handover.Malformed as error:
            self._lose(f"it says something else than is known here ({error})")
        except OSError as error:
            self._lose(error.strerror or str(error))

    def _heard(self, kind: Kind, body: bytes) -> None:
        if kind is Kind.WELCOME:
            if self._wants in handover.flags(body)[0]:
                self._welcomed, self._wait, self.trouble = True, _FIRST, ""
            else:
                self._lose(LACKS[self._wants])
        elif kind is Kind.REFUSED:
            self._lose(body.decode("utf-8", "replace"))
        elif self._hear is not None:
            self._hear(kind, body)

    def _lose(self, why: str) -> None:
        self.close()
        self.trouble = f"lippycat-relay at {self._path}: {why}"
        self._due = time.monotonic() + self._wait
        self._wait = min(2 * self._wait, _LONGEST)
