"""The control socket: made here where systemd passes none."""

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

CONTROL = "control"
GROUP = "lippycat"
_BACKLOG = 16


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
