"""The boot phase: the moment with CAP_SYS_ADMIN, before anything is served.

Entering (or creating) the namespace is all that needs it. `boot` returns with
CAP_NET_ADMIN alone, for good; `boot_capture`, which needs CAP_SYS_ADMIN only to capture in
another namespace than its own, with CAP_NET_RAW alone.
"""

# System calls as the kernel has them: flags and errno are what counts here.
# ruff: noqa: PTH108, PTH116

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass

from lippycat_helper import namespace, privileges
from lippycat_helper.marker import Marker, alone
from lippycat_helper.report import HelperError

_READY_BYTES = 1


@dataclass(frozen=True, slots=True)
class Lease:
    """This run's hold on a namespace that lippycat made (see `wire.Descriptor`)."""

    marker: int
    alive: int
    done: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where the helper serves: its namespace's name, and its device and inode numbers."""

    netns: str
    dev: int
    inode: int
    lease: Lease | None

    def current(self) -> bool:
        """Say whether the namespace's name still leads here."""
        if not self.netns:
            return True
        try:
            info = os.stat(namespace.path(self.netns))
        except OSError:
            return False
        return (info.st_dev, info.st_ino) == (self.dev, self.inode)


def boot(netns: str, *, temporary: bool) -> Place:
    """Enter the namespace, then drop everything but CAP_NET_ADMIN.

    netns: its name, or empty for the current one. temporary: a namespace made here ends
    with the run (command line); otherwise it stays (service). Raises HelperError.
    """
    privileges.need(privileges.NET_ADMIN, "a virtual interface")
    lease = None
    if netns and not namespace.inside(netns):
        privileges.need(privileges.SYS_ADMIN, f"entering or creating the namespace {netns}")
        try:
            with alone():
                if temporary:
                    lease = _temporary(netns)
                else:
                    _lasting(netns)
        except OSError as error:
            raise HelperError(f"cannot enter the namespace {netns}: {error.strerror}") from None
    privileges.keep_only(privileges.NET_ADMIN)
    if lease:
        _await_keeper(lease)
    info = os.stat("/proc/self/ns/net")
    return Place(netns, info.st_dev, info.st_ino, lease)


def boot_capture(netns: str = "") -> Place:
    """Enter the namespace (none is the current one), then drop everything but CAP_NET_RAW.

    It must exist: to capture is never a reason to create one. Raises HelperError.
    """
    privileges.need(privileges.NET_RAW, "live capture")
    if netns and not namespace.inside(netns):
        privileges.need(privileges.SYS_ADMIN, f"entering the namespace {netns}")
        if not namespace.exists(netns):
            raise HelperError(f"there is no namespace {netns} to capture in (ip netns list shows what there is)")
        try:
            namespace.enter(netns)
        except OSError as error:
            raise HelperError(f"cannot enter the namespace {netns}: {error.strerror}") from None
    privileges.keep_only(privileges.NET_RAW)
    info = os.stat("/proc/self/ns/net")
    return Place(netns, info.st_dev, info.st_ino, None)


def _lasting(netns: str) -> None:
    """Enter the service's namespace; it is made when missing, and never marked."""
    if namespace.exists(netns):
        namespace.enter(netns)
        return
    _refuse_file(netns)
    namespace.unshare()
    namespace.publish(netns)


def _temporary(netns: str) -> Lease | None:
    """Enter the command line's namespace; it is ours when we or a run before us made it."""
    mark = Marker.open(netns)
    if not namespace.exists(netns):
        _sweep(mark)
        # The keeper comes first, and the marker before the name: however early this
        # process dies, what it made is removed.
        lease = _start_keeper(mark)
        namespace.unshare()
        mark.write(namespace.own())
        namespace.publish(netns)
        return lease
    namespace.enter(netns)
    if mark.identity() == namespace.own():
        return _start_keeper(mark)
    # An administrator's: used and left.
    if mark.last():
        mark.remove()
    os.close(mark.fd)
    return None


def _sweep(mark: Marker) -> None:
    """Remove the plain file that a run left which was killed before the mount."""
    if mark.identity() is not None and os.path.lexists(namespace.path(mark.name)):
        os.unlink(namespace.path(mark.name))
        return
    try:
        _refuse_file(mark.name)
    except HelperError:
        mark.remove()
        raise


def _refuse_file(netns: str) -> None:
    if os.path.lexists(namespace.path(netns)):
        raise HelperError(
            f"{namespace.path(netns)} exists but is no network namespace: remove it "
            f"(ip netns delete {netns}) or choose another name"
        )


def _start_keeper(mark: Marker) -> Lease:
    alive_end, alive = os.pipe()
    done, done_end = os.pipe()
    passed = (alive_end, done_end, mark.fd)
    # Not waited for: it outlives this process.
    subprocess.Popen(  # noqa: S603  our own module, checked arguments
        [sys.executable, "-I", "-m", "lippycat_helper.keeper", mark.name, *map(str, passed)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=passed,
        start_new_session=True,
        cwd="/",
        env={},
    )
    os.close(alive_end)
    os.close(done_end)
    return Lease(mark.fd, alive, done)


def _await_keeper(lease: Lease) -> None:
    if not os.read(lease.done, _READY_BYTES):
        raise HelperError("the namespace keeper could not start (its reason is above)")
