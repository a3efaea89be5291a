"""What every long-running program does around its work: one line for what goes wrong, and inherited sockets."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from typing import TYPE_CHECKING, Never

from lippycatd.errors import LippycatError, NotPossible, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

METRICS = "metrics"
_FIRST = 3  # sd_listen_fds(3)


class Parser(argparse.ArgumentParser):
    """Says mistakes as everything else does: one line."""

    def error(self, message: str) -> Never:
        """Raises UsageError."""
        raise UsageError(message)


def guarded(name: str, work: Callable[[], int]) -> int:
    """The exit status of the work; whatever goes wrong is one line on standard error."""
    try:
        return work()
    except LippycatError as error:
        complain(name, str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return 0  # before it ran
    except Exception as error:  # noqa: BLE001  the last resort: a user never sees a traceback
        complain(name, f"internal error: {type(error).__name__}: {' '.join(str(error).split())}; please report it")
        return 1


def complain(name: str, line: str) -> None:
    """One line on standard error, whatever the text holds."""
    text = line.encode("utf-8", "backslashreplace").decode().replace("\n", " ")
    sys.stderr.write(f"{name}: {text}\n")


def inherited(paths: Collection[str], addresses: Collection[str]) -> dict[str, list[socket.socket]]:
    """The sockets of LISTEN_FDS by the names of LISTEN_FDNAMES.

    Unix sockets may have a name of `paths`, others one of `addresses`; NotPossible for one that has no use here.
    """
    count = os.environ.pop("LISTEN_FDS", "0")
    mine = os.environ.pop("LISTEN_PID", "") == str(os.getpid())
    names = os.environ.pop("LISTEN_FDNAMES", "").split(":")
    found: dict[str, list[socket.socket]] = {}
    if not mine or not count.isdigit():
        return found
    for number in range(int(count)):
        name = names[number] if number < len(names) else ""
        listener = socket.socket(fileno=_FIRST + number)
        listener.set_inheritable(False)
        if name not in {*paths, *addresses}:
            known = " or ".join([*addresses, *paths])
            raise NotPossible(f"systemd passed a socket {name!r}: FileDescriptorName= must be {known}")
        if (name in paths) != (listener.family == socket.AF_UNIX):
            kind = "with a path" if name in paths else "with an address and port"
            raise NotPossible(f"systemd passed a socket {name!r} of another kind: its Listen…= must be {kind}")
        found.setdefault(name, []).append(listener)
    return found


def one_stream(
    found: dict[str, list[socket.socket]], name: str, kind: int = socket.SOCK_STREAM
) -> socket.socket | None:
    """The one socket of that name; None where there is none. Raises NotPossible for several, or another kind."""
    sockets = found.get(name, [])
    if len(sockets) > 1 or any(each.type != kind for each in sockets):
        word = "ListenSequentialPacket=" if kind == socket.SOCK_SEQPACKET else "ListenStream="
        raise NotPossible(f"systemd passed a socket {name!r} of another kind: it must be one {word}")
    return sockets[0] if sockets else None
