"""Sockets to listen on: those that systemd passes by name, and the control socket."""

from __future__ import annotations

import contextlib
import grp
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from lippycatd.errors import NotPossible

if TYPE_CHECKING:
    from collections.abc import Callable

METRICS, CONTROL = "metrics", "control"
GROUP = "lippycat"
_FIRST = 3  # sd_listen_fds(3)
_BACKLOG = 16


def inherited() -> dict[str, socket.socket]:
    """The sockets of LISTEN_FDS by the names of LISTEN_FDNAMES. Raises NotPossible for one that has no use here."""
    count = os.environ.pop("LISTEN_FDS", "0")
    mine = os.environ.pop("LISTEN_PID", "") == str(os.getpid())
    names = os.environ.pop("LISTEN_FDNAMES", "").split(":")
    if not mine or not count.isdigit():
        return {}
    found: dict[str, socket.socket] = {}
    for number in range(int(count)):
        name = names[number] if number < len(names) else ""
        listener = socket.socket(fileno=_FIRST + number)
        listener.set_inheritable(False)
        if name not in {METRICS, CONTROL} or name in found:
            raise NotPossible(f"systemd passed a socket {name!r}: FileDescriptorName= must be {METRICS} or {CONTROL}")
        if listener.type != socket.SOCK_STREAM or (name == CONTROL) != (listener.family == socket.AF_UNIX):
            kind = "ListenStream= with a path" if name == CONTROL else "ListenStream= with an address and port"
            raise NotPossible(f"systemd passed a socket {name!r} of another kind: it must be {kind}")
        found[name] = listener
    return found


def control(path: str, say: Callable[[str], None]) -> socket.socket | None:
    """A control socket of our own: 0660 and the group's where that is ours to give; None where it cannot be had.

    `say` gets the reason in one line. Raises NotPossible where another daemon listens there.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        before = os.umask(0o117)
        try:
            listener.bind(path)
        finally:
            os.umask(before)
        listener.listen(_BACKLOG)
    except NotPossible:
        listener.close()
        raise
    except OSError as error:
        listener.close()
        say(f"daemon.control_socket: {path}: {error.strerror}; SIGHUP reloads, --watch-config too")
        return None
    with contextlib.suppress(KeyError, OSError):
        os.chown(path, -1, grp.getgrnam(GROUP).gr_gid)
    return listener


def _remove_stale(path: str) -> None:
    """Removes the file of a daemon that has gone."""
    if not Path(path).exists():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
        else:
            raise NotPossible(f"{path}: another lippycatd listens there; end it, or set daemon.control_socket")
