"""Creating an output file: never through a symbolic link, mode 0640, given to the user the process will run as."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

from lippycatd.errors import NotPossible, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection

    from lippycatd.sandbox.identity import Identity

MODE = 0o640


def create(flag: str, name: str, path: str, access: int = os.O_WRONLY) -> int:
    """A descriptor that was never reached through a symbolic link.

    `flag` and `name` are what the user wrote, for the one line of NotPossible.
    """
    flags = access | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_CREAT
    try:
        try:
            fd = os.open(path, flags | os.O_EXCL, MODE)
            if stat.S_IMODE(os.fstat(fd).st_mode) != MODE:
                os.fchmod(fd, MODE)
        except FileExistsError:
            fd = os.open(path, flags, MODE)
    except (FileNotFoundError, NotADirectoryError):
        raise NotPossible(f"{flag}: {name}: its directory does not exist; make it first") from None
    except IsADirectoryError:
        raise NotPossible(f"{flag}: {name}: is a directory") from None
    except PermissionError:
        raise NotPossible(f"{flag}: {name}: not writable; check its permissions") from None
    except OSError as error:
        if _is_link(path):
            raise NotPossible(f"{flag}: {name}: is a symbolic link, which is never followed") from None
        raise NotPossible(f"{flag}: {name}: {error.strerror}") from None
    return fd


def prepare(  # noqa: PLR0913  what was meant, what was opened, and for whom
    flag: str, name: str, fd: int, runs_as: Identity, inputs: Collection[int], *, empty: bool = True
) -> None:
    """Empties a regular file that is not one of the inputs (with `empty`), and gives it to the user."""
    state = os.fstat(fd)
    if not stat.S_ISREG(state.st_mode):
        return
    for other in inputs:
        if os.path.samestat(state, os.fstat(other)):
            raise UsageError(f"{flag}: {name}: is also read; write to another file")
    if empty:
        os.ftruncate(fd, 0)
    if runs_as.drop and sys.platform != "win32":
        os.fchown(fd, runs_as.uid, runs_as.gid)


def _is_link(path: str) -> bool:
    try:
        return stat.S_ISLNK(os.lstat(path).st_mode)
    except OSError:
        return False
