"""Which name of /run/netns a run of lippycat made: a file in /run/lippycat.

The marker holds the namespace's identity. Every run that uses the namespace holds a
shared lock on it; who gets the exclusive one is the last, and removes the name. All
changes happen under one short lock on the directory, so two runs that start or end at
the same moment see each other's work whole or not at all.
"""

# System calls as the kernel has them: flags and errno are what counts here.
# ruff: noqa: PTH101, PTH102, PTH108, PTH116

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from typing import TYPE_CHECKING

from lippycat_helper.namespace import Identity
from lippycat_helper.report import HelperError

if TYPE_CHECKING:
    from collections.abc import Iterator

RUN_DIR = "/run/lippycat"
_WAIT_SECONDS = 10.0
_SIZE_MAX = 256


@contextlib.contextmanager
def alone(wait: float | None = _WAIT_SECONDS) -> Iterator[None]:
    """Hold the lock on the directory, which is made when missing.

    Raises HelperError when another process keeps it longer than `wait` seconds.
    """
    make_directory(RUN_DIR)
    fd = os.open(RUN_DIR, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        info = os.fstat(fd)
        if info.st_uid != 0 or info.st_mode & 0o022:
            raise HelperError(f"{RUN_DIR} must belong to root and be writable by nobody else")
        _lock(fd, wait)
        yield
    finally:
        os.close(fd)


def make_directory(path: str) -> None:
    """Make a directory that everybody may enter, whatever the umask; it may exist."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
        os.chmod(path, 0o755)  # noqa: S103  the service's peers pass through


def _lock(fd: int, wait: float | None) -> None:
    if wait is None:
        fcntl.flock(fd, fcntl.LOCK_EX)
        return
    end = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise HelperError(
                    f"another lippycat has been starting or ending for {wait:g} s and holds "
                    f"{RUN_DIR}: end it first (fuser {RUN_DIR} names it)"
                ) from None
            time.sleep(0.01)
        else:
            return


class Marker:
    """One marker, open and locked (shared). Use it only inside `alone()`."""

    def __init__(self, name: str, fd: int) -> None:
        self.name = name
        self.fd = fd

    @staticmethod
    def path(name: str) -> str:
        """Where the marker of a namespace lies."""
        return f"{RUN_DIR}/netns-{name}"

    @classmethod
    def open(cls, name: str) -> Marker:
        """Open the marker, empty when there was none, and share its lock.

        The descriptor is for reading only: who holds the lease cannot change the marker.
        """
        flags = os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(cls.path(name), flags, 0o600)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise HelperError(f"{cls.path(name)} is not a regular file: remove it")
        fcntl.flock(fd, fcntl.LOCK_SH)
        return cls(name, fd)

    def identity(self) -> Identity | None:
        """Read what was written; None when nothing was, or nothing that can be read."""
        try:
            dev, inode, cookie, boot = os.pread(self.fd, _SIZE_MAX, 0).decode("ascii").split()
            return Identity(int(dev), int(inode), int(cookie), boot)
        except ValueError:
            return None

    def write(self, identity: Identity) -> None:
        """Say which namespace is ours, before it has its name."""
        line = f"{identity.dev} {identity.inode} {identity.cookie} {identity.boot}\n"
        fd = os.open(self.path(self.name), os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.ftruncate(fd, 0)
            os.write(fd, line.encode("ascii"))
        finally:
            os.close(fd)

    def current(self) -> bool:
        """Say whether this is still the file of that name."""
        try:
            return os.path.samestat(os.stat(self.path(self.name)), os.fstat(self.fd))
        except FileNotFoundError:
            return False

    def last(self) -> bool:
        """Take the lease for this run alone, if no other run holds it."""
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in {errno.EWOULDBLOCK, errno.EAGAIN}:
                return False
            raise
        return True

    def remove(self) -> None:
        """Take the file away."""
        os.unlink(self.path(self.name))
