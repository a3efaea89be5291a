"""Telling systemd how it goes: sd_notify(3) without a library, over the socket that NOTIFY_SOCKET names."""

from __future__ import annotations

import contextlib
import os
import socket
import time

_US = 1000  # ns


class Notifier:
    """Sends states; without NOTIFY_SOCKET it says nothing. Made before the lock, usable after it."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._path = os.environ.pop("NOTIFY_SOCKET", "")
        watchdog = os.environ.pop("WATCHDOG_USEC", "")
        mine = os.environ.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog = int(watchdog) / 1e6 if watchdog.isdigit() and mine else 0.0  # seconds; 0 for none
        if self._path.startswith(("/", "@")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)  # noqa: FBT003  socket's signature
            if self._path.startswith("@"):  # an abstract name is out of reach after the lock
                with contextlib.suppress(OSError):
                    self._socket.connect("\0" + self._path[1:])

    def send(self, **states: object) -> None:
        """Sends NAME=value for each; what cannot be sent is left out, since nobody could be told."""
        if self._socket is None:
            return
        message = "\n".join(f"{name}={' '.join(str(value).splitlines())}" for name, value in states.items()).encode()
        with contextlib.suppress(OSError):
            if self._path.startswith("@"):
                self._socket.send(message)
            else:
                self._socket.sendto(message, self._path)

    def close(self) -> None:
        """Says nothing more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def reloading(self) -> None:
        """A reload begins; READY=1 ends it, whatever its outcome."""
        self.send(RELOADING=1, MONOTONIC_USEC=time.clock_gettime_ns(time.CLOCK_MONOTONIC) // _US)
