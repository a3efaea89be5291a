"""Virtual interfaces: a TAP or TUN device from a helper in the role *tap*."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lippycat_helper import wire
from lippycat_helper.wire import Descriptor, Kind, Operation, Request
from lippycatd.errors import PrivilegeError
from lippycatd.privileged.choice import Purpose, choose
from lippycatd.privileged.connection import Connection, close_all, named, reach, start

if TYPE_CHECKING:
    import socket
    import subprocess

UNIT = "lippycat-helper-tap"
PURPOSE = Purpose(
    "a virtual interface",
    "a virtual interface needs Linux: write a file instead (-w)",
    "no lippycat-helper service is running",
)


@dataclass(frozen=True, slots=True)
class VifRequest:
    """Which device: its name, its namespace (empty: the current one), tap or tun.

    mtu is in bytes, txqueuelen in frames. Raises PrivilegeError when one cannot be.
    """

    name: str = "lc0"
    netns: str = "lc-ns"
    kind: str = "tap"
    mtu: int = wire.MTU_MAX
    txqueuelen: int = 1000

    def __post_init__(self) -> None:
        if self.kind not in {"tap", "tun"}:
            raise PrivilegeError(f"interface type {self.kind!r} is unknown: choose tap or tun")
        try:
            wire.check_name(self.name)
            wire.check_netns(self.netns)
            wire.check_limits(self.mtu, self.txqueuelen)
        except ValueError as error:
            raise PrivilegeError(str(error)) from None

    @property
    def place(self) -> str:
        """Where the device is to be, in words."""
        return self.netns or "the current namespace"


@dataclass(slots=True)
class Vif:
    """A device that is up, and its descriptor.

    netns_dev and netns_inode identify its namespace. `existing` says that the service
    had kept it from an earlier run. The guard is a descriptor that is held, not used: the
    device's packet drop ends with it.
    """

    name: str
    netns: str
    kind: str
    mtu: int
    txqueuelen: int
    ifindex: int
    netns_dev: int
    netns_inode: int
    existing: bool
    fd: int
    guard: int = -1

    def take_fd(self) -> int:
        """Hand the descriptor over: who takes it closes it."""
        fd, self.fd = self.fd, -1
        return fd

    def name_leads_here(self) -> bool:
        """Say whether the namespace's name still leads to the device.

        False after `ip netns delete` and `ip netns add`: then frames go where no new
        reader looks. In a container that is shown no names at all the helper alone looks.
        """
        if not self.netns:
            return True
        try:
            info = Path(wire.NETNS_DIR, self.netns).stat()
        except OSError:
            return not Path(wire.NETNS_DIR).exists()
        return (info.st_dev, info.st_ino) == (self.netns_dev, self.netns_inode)

    def close(self) -> None:
        """Close the descriptor, unless it was taken, and the guard."""
        close_all([fd for fd in (self.fd, self.guard) if fd >= 0])
        self.fd = self.guard = -1


class Helper(Connection):
    """A connection to a helper that makes devices, for one device."""

    def __init__(
        self,
        sock: socket.socket,
        request: VifRequest,
        process: subprocess.Popen[bytes] | None = None,
        stderr: int = -1,
    ) -> None:
        super().__init__(sock, UNIT, process, stderr)
        self.request = request

    def create(self) -> Vif:
        """Get the device, made and up; raises PrivilegeError with one line."""
        reply, fds = self.ask(self._device(Operation.CREATE))
        got = named(reply, fds)
        if Descriptor.DEVICE not in got:
            close_all(list(got.values()))
            raise PrivilegeError("the helper sent no device: update lippycat and its helper")
        device, guard = got.pop(Descriptor.DEVICE), got.pop(Descriptor.GUARD, -1)
        close_all(list(got.values()))
        vif = Vif(
            self.request.name, self.request.netns, self.request.kind,
            reply.mtu, reply.txqueuelen, reply.ifindex,
            reply.netns_dev, reply.netns_inode, reply.existing,
            device, guard,
        )  # fmt: skip
        self._check_as_asked(vif)
        return vif

    def adopt(self, vif: Vif) -> None:
        """Give a device back to a helper that has started anew and keeps it no more.

        The device goes on as it was, with a new guard. Raises PrivilegeError, and changes
        nothing, when the helper does not take it: its policy, its namespace, or the device
        are others now.
        """
        reply, fds = self.ask(self._device(Operation.ADOPT), (vif.fd,))
        guard = named(reply, fds).get(Descriptor.GUARD, -1)
        if guard < 0:
            raise PrivilegeError("the helper sent no guard: update lippycat and its helper")
        if vif.guard >= 0:
            os.close(vif.guard)
        vif.guard = guard

    def release(self) -> None:
        """Tell a service to keep the device no longer; raises PrivilegeError."""
        self.ask(self._device(Operation.RELEASE))

    def _check_as_asked(self, vif: Vif) -> None:
        """Refuse what a service's policy limits otherwise than was asked."""
        for what in ("mtu", "txqueuelen"):
            given, asked = getattr(vif, what), getattr(self.request, what)
            if given != asked:
                vif.close()
                if not vif.existing:
                    self.release()
                raise PrivilegeError(
                    f"the helper's policy gives {vif.name} {what} {given}, not {asked}: "
                    f"use --vif-{what} {given} or change {wire.POLICY_PATH}"
                )

    def _device(self, operation: Operation) -> Request:
        kind = Kind[self.request.kind.upper()]
        return Request(operation, kind=kind, name=self.request.name, netns=self.request.netns)

    def _in_use(self, text: str) -> str:
        return _in_use(text, self.request.name)


def service(netns: str) -> str:
    """Say where the helper of a namespace listens: at a socket of its own (its unit's), else at the usual one."""
    own = wire.SOCKET_PATH.replace(".sock", f"-{netns}.sock")
    return own if netns and Path(own).exists() else wire.SOCKET_PATH


def acquire(request: VifRequest, path: str = "") -> Helper:
    """Find a helper for this device: the service's where it accepts us, else our own.

    Call it before any thread exists. Raises PrivilegeError (exit status 3).
    """
    path = path or service(request.netns)
    return choose(PURPOSE, path, lambda: connect(request, path), lambda: execute(request))


def connected_service(path: str = wire.SOCKET_PATH) -> bool:
    """Say whether a helper service listens there and accepts us: then no root is needed."""
    try:
        connect(VifRequest(), path).close()
    except PrivilegeError:
        return False
    return True


def connect(request: VifRequest, path: str = "") -> Helper:
    """Connect to the helper service; raises PrivilegeError when it is not there or refuses."""
    return Helper(reach(path or service(request.netns)), request).greeted()


def execute(request: VifRequest) -> Helper:
    """Execute a helper whose policy is exactly this device; needs root.

    Raises PrivilegeError with the helper's one line.
    """
    sock, process, stderr = start([
        f"--netns={request.netns}", f"--name={request.name}", f"--type={request.kind}",
        f"--mtu={request.mtu}", f"--txqueuelen={request.txqueuelen}",
    ])  # fmt: skip
    return Helper(sock, request, process, stderr).greeted()


def _in_use(text: str, name: str) -> str:
    """Name the process that holds the device; several may, of this name in other namespaces."""
    holders = _holders(name)
    if holders and text.endswith("is in use"):
        text = f"{text} by pid {' or '.join(map(str, holders))}"
    return f"{text}: choose another --vif-name or end the other run"


def _holders(name: str) -> list[int]:
    """Find the processes that hold a TAP or TUN of this name (`iff:` in fdinfo)."""
    found = set()
    for info in Path("/proc").glob("[0-9]*/fdinfo/*"):
        # A process may end, or not be ours to look at.
        with contextlib.suppress(OSError, ValueError):
            if f"iff:\t{name}\n" in info.read_text():
                found.add(int(info.parts[2]))
    return sorted(found)
