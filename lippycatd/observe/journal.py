"""Reports as entries of systemd's journal with fields of their own: its native protocol over a Unix socket.

Source: systemd, docs/JOURNAL_NATIVE_PROTOCOL.md.
"""

from __future__ import annotations

import os
import re
import socket
import struct
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SOCKET = "/run/systemd/journal/socket"
_PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_NAME = re.compile(r"[^A-Z0-9_]")
_LIMIT = 64 << 10  # bytes of an entry; a datagram has no room for much more


def is_journal(stream: IO[str], environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the stream leads to the journal: JOURNAL_STREAM has its device and inode (systemd.exec(5))."""
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))


def entry(event: Mapping[str, object]) -> bytes:
    """One entry: `event` is its message, every other key a field LIPPYCAT_KEY (pure)."""
    level = str(event.get("level", "info"))
    fields = {"MESSAGE": event.get("event", ""), "PRIORITY": _PRIORITY.get(level, 6), "SYSLOG_IDENTIFIER": "lippycatd"}
    own = {key: value for key, value in event.items() if key not in {"event", "level", "timestamp"}}
    shown = " ".join(f"{key}={value}" for key, value in own.items())
    fields["MESSAGE"] = f"{fields['MESSAGE']} {shown}".rstrip()
    fields |= {f"LIPPYCAT_{_NAME.sub('_', key.upper())}": value for key, value in own.items()}
    return b"".join(_field(name, str(value)) for name, value in fields.items())


def _field(name: str, value: str) -> bytes:
    data = value.encode("utf-8", "backslashreplace")[: _LIMIT // 4]
    if b"\n" in data:
        return name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"
    return name.encode() + b"=" + data + b"\n"


class Journal:
    """A connection to the journal. Made before the lock."""

    def __init__(self, path: str = SOCKET) -> None:
        """Raises OSError where there is none."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._path = path
        try:
            self._socket.connect(path)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Ends the connection."""
        self._socket.close()

    def send(self, event: Mapping[str, object]) -> bool:
        """Sends an entry; False when it could not be."""
        data = entry(event)[:_LIMIT]
        for _ in range(2):
            try:
                self._socket.send(data)
            except OSError:
                if not self._again():
                    return False
            else:
                return True
        return False

    def _again(self) -> bool:
        """The journal was started anew."""
        try:
            self._socket.connect(self._path)
        except OSError:
            return False
        return True
