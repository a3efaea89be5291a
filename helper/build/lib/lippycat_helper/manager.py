"""The service manager: what it passes at the start, keeps for us, and is told.

sd_listen_fds(3), sd_notify(3), sd_pid_notify_with_fds(3). A descriptor in its store
outlives this process: a helper that is killed or restarted finds its devices again. Where
there is no manager, everything here does nothing.
"""

from __future__ import annotations

import array
import contextlib
import os
import socket
from dataclasses import dataclass, field

from lippycat_helper.report import HelperError, say

_LISTEN_FDS_START = 3
_SECOND = 1_000_000  # µs
_STORED = ("device", "guard")


@dataclass(slots=True)
class Manager:
    """One service manager, or none."""

    address: str = ""
    watchdog: float = 0.0
    listeners: list[int] = field(default_factory=list)
    stored: dict[tuple[str, str], int] = field(default_factory=dict)

    @classmethod
    def found(cls) -> Manager:
        """Read the environment, once: what is read is taken out of it."""
        here = cls(os.environ.pop("NOTIFY_SOCKET", ""))
        mine = str(os.getpid())
        with contextlib.suppress(ValueError):
            limit = int(os.environ.pop("WATCHDOG_USEC", "0")) / _SECOND
            here.watchdog = limit if os.environ.pop("WATCHDOG_PID", mine) == mine else 0.0
        count, names = os.environ.pop("LISTEN_FDS", "0"), os.environ.pop("LISTEN_FDNAMES", "")
        if os.environ.pop("LISTEN_PID", "") != mine:
            return here
        for number, name in enumerate((names.split(":") + [""] * int(count))[: int(count)]):
            fd = _LISTEN_FDS_START + number
            os.set_inheritable(fd, False)  # noqa: FBT003  takes no keyword
            what, _, device = name.partition("-")
            if what in _STORED and device and (device, what) not in here.stored:
                here.stored[device, what] = fd
            else:
                here.listeners.append(fd)
        return here

    def listener(self) -> socket.socket | None:
        """Give the listening socket that was passed, if one was; raises HelperError for another."""
        if not self.listeners:
            return None
        if len(self.listeners) > 1:
            raise HelperError("systemd must pass exactly one socket")
        sock = socket.socket(fileno=self.listeners.pop())
        if (sock.family, sock.type) != (socket.AF_UNIX, socket.SOCK_SEQPACKET):
            raise HelperError("the inherited socket must be ListenSequentialPacket= on a path")
        return sock

    def tell(self, *lines: str, fds: tuple[int, ...] = ()) -> None:
        """Send a notification (sd_notify): READY=1, STATUS=…, WATCHDOG=1."""
        if not self.address:
            return
        address = self.address.replace("@", "\0", 1) if self.address.startswith("@") else self.address
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.sendmsg(["\n".join(lines).encode()], rights, 0, address)
        except OSError as error:
            say(f"the service manager was not told {lines[0]}: {error.strerror}")

    def keep(self, device: str, fd: int, guard: int) -> None:
        """Put a device's descriptors into the store; what was there of that name goes."""
        self.forget(device)
        for what, each in zip(_STORED, (fd, guard), strict=True):
            # FDPOLL=0: a device that is deleted is ours to take out, not a reason to guess.
            self.tell("FDSTORE=1", f"FDNAME={what}-{device}", "FDPOLL=0", fds=(each,))

    def forget(self, device: str) -> None:
        """Take a device's descriptors out of the store."""
        for what in _STORED:
            self.tell("FDSTOREREMOVE=1", f"FDNAME={what}-{device}")

    def take(self) -> list[tuple[str, int, int]]:
        """Take what the store gave: name, device, guard (-1 where there is none). The caller's to close."""
        stored, self.stored = self.stored, {}
        names = list(dict.fromkeys(device for device, _ in stored))
        return [(name, stored.get((name, "device"), -1), stored.get((name, "guard"), -1)) for name in names]
