"""Network namespaces by name: creating, entering, identifying, removing (/run/netns).

An inode number of nsfs is used again once its namespace is gone, so a namespace is
identified by its inode together with its cookie (SO_NETNS_COOKIE, never used twice in
one boot) and the boot. pyroute2 is imported only where a namespace is made.
"""

# System calls as the kernel has them: flags and errno are what counts here.
# ruff: noqa: PTH108, PTH116, PTH121, PTH123

from __future__ import annotations

import ctypes
import os
import socket
import struct
from dataclasses import dataclass

from lippycat_helper.report import HelperError
from lippycat_helper.wire import NETNS_DIR

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_MNT_DETACH = 2  # sys/mount.h
_SO_NETNS_COOKIE = 71  # asm-generic/socket.h, Linux 5.14
_SELF = "/proc/self/ns/net"

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Identity:
    """Which namespace this is."""

    dev: int
    inode: int
    cookie: int
    boot: str


def path(name: str) -> str:
    """Where `ip netns` keeps the name."""
    return f"{NETNS_DIR}/{name}"


def own() -> Identity:
    """Identify the namespace this process is in."""
    info = os.stat(_SELF)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        raw = probe.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip()
    return Identity(info.st_dev, info.st_ino, struct.unpack("=Q", raw)[0], boot)


def exists(name: str) -> bool:
    """Say whether there is a namespace of this name; a plain file of that name is none."""
    try:
        return os.stat(path(name)).st_dev == os.stat(_SELF).st_dev
    except FileNotFoundError:
        return False


def inside(name: str) -> bool:
    """Say whether this process is in the namespace of this name already."""
    try:
        return os.path.samefile(path(name), _SELF)
    except FileNotFoundError:
        return False


def enter(name: str) -> None:
    """Move this process into the namespace; needs CAP_SYS_ADMIN; raises OSError."""
    fd = os.open(path(name), os.O_RDONLY | os.O_CLOEXEC)
    try:
        _call(_libc.setns(fd, _CLONE_NEWNET), name)
    finally:
        os.close(fd)


def unshare() -> None:
    """Move this process into a new namespace without a name; raises OSError."""
    _call(_libc.unshare(_CLONE_NEWNET), "unshare")


def publish(name: str) -> None:
    """Give the namespace of this process a name, as `ip netns attach` does."""
    from pyroute2 import netns  # noqa: PLC0415  slow to import, needed for this alone

    try:
        netns.attach(path(name), "self", libc=_libc)
    except OSError as error:
        if error.args[1:2] == ("mount failed",):
            os.unlink(path(name))
        raise HelperError(
            f"cannot create the namespace {name}: {os.strerror(error.errno or 0)} "
            f"(create it yourself: ip netns add {name})"
        ) from None


def remove(name: str) -> None:
    """Take the name away; the namespace itself ends with its last user."""
    _call(_libc.umount2(path(name).encode(), _MNT_DETACH), name)
    os.unlink(path(name))


def _call(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
