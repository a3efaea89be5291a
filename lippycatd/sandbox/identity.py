"""Whom the process runs as once it is set up, and opening that user's files as that user."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from typing import TYPE_CHECKING

from lippycatd.errors import ConfigError, NotPossible

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pwd import struct_passwd


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """A user: name, ids, home directory, and whether the process must drop to it."""

    name: str
    uid: int
    gid: int
    home: str
    drop: bool


def current() -> Identity:
    """The user the process is already, who drops to nobody."""
    return Identity(str(os.geteuid()), os.geteuid(), os.getegid(), os.environ.get("HOME", "/"), drop=False)


def choose(named: str) -> Identity:
    """`named` where given, else the user behind sudo, else `lippycat`, else `nobody`; without root: who it is already.

    Raises ConfigError for a user that is unknown or root, NotPossible for another user without root.
    """
    import pwd  # noqa: PLC0415  not on every system

    if os.geteuid() != 0:
        try:
            own = pwd.getpwuid(os.geteuid())
            name, home = own.pw_name, own.pw_dir
        except KeyError:
            name, home = str(os.geteuid()), os.environ.get("HOME", "/")
        if named and named not in {name, str(os.geteuid())}:
            msg = f"--user {named}: only root can become another user; leave it out to run as {name}"
            raise NotPossible(msg)
        return Identity(name, os.geteuid(), os.getegid(), os.environ.get("HOME", home), drop=False)
    if named:
        found = _lookup(named)
        if found is None:
            msg = f"--user {named}: no such user"
            raise ConfigError(msg)
        if found.pw_uid == 0:
            msg = f"--user {named}: must not be root"
            raise ConfigError(msg)
        return Identity(found.pw_name, found.pw_uid, found.pw_gid, found.pw_dir, drop=True)
    for candidate in (os.environ.get("SUDO_UID", ""), "lippycat", "nobody"):
        found = _lookup(candidate)
        if found is not None and found.pw_uid != 0:
            return Identity(found.pw_name, found.pw_uid, found.pw_gid, found.pw_dir, drop=True)
    msg = "there is no unprivileged user to become: name one with --user"
    raise NotPossible(msg)


def _lookup(name: str) -> struct_passwd | None:
    """The entry of a user, by name or number; None: no such user."""
    import pwd  # noqa: PLC0415

    try:
        return pwd.getpwuid(int(name)) if name.isascii() and name.isdigit() else pwd.getpwnam(name)
    except (KeyError, ValueError, OverflowError):
        return None


def expand(path: str, runs_as: Identity) -> str:
    """The path with a leading `~` as the home of `runs_as`."""
    if path == "~" or path.startswith("~/"):
        return runs_as.home.rstrip("/") + path[1:]
    return path


@contextlib.contextmanager
def opening(path: str, runs_as: Identity) -> Iterator[None]:
    """While a path below that user's `~` is opened, the process has that user's rights and no more.

    Acts on the calling thread, so it is used before any other exists.
    """
    if not (runs_as.drop and expand(path, runs_as) != path):
        yield
        return
    groups, gid = os.getgroups(), os.getegid()
    os.setgroups([runs_as.gid])
    os.setegid(runs_as.gid)
    os.seteuid(runs_as.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)
        os.setgroups(groups)
