"""Client of the helper: one function per operation over one SOCK_SEQPACKET connection.

`acquire` finds a helper: the running service where it accepts us (no root needed), else
one that we execute as root. It must be called before any thread exists, since it may
start a process. Layouts and codes are `lippycat_helper.wire`'s; nothing privileged is
imported here.

    helper = acquire(VifRequest(name="lc0", netns="lc-ns"))
    vif = helper.create()
    ... write frames to vif.fd ...
    vif.close()
    helper.close()      # waits until the namespace that the run made is gone
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lippycat_helper import wire
from lippycat_helper.wire import Descriptor, Kind, MalformedError, Operation, Reply, Request, Status
from lippycatd.errors import PrivilegeError

_BOOT_SECONDS = 20.0
_REPLY_SECONDS = 10.0
_END_SECONDS = 5.0
_STDERR_MAX = 64 * 1024


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
        reader looks.
        """
        if not self.netns:
            return True
        try:
            info = Path(wire.NETNS_DIR, self.netns).stat()
        except OSError:
            return False
        return (info.st_dev, info.st_ino) == (self.netns_dev, self.netns_inode)

    def close(self) -> None:
        """Close the descriptor, unless it was taken, and the guard."""
        _close_all([fd for fd in (self.fd, self.guard) if fd >= 0])
        self.fd = self.guard = -1


class Helper:
    """A connection to a helper that has greeted us. One request is in flight."""

    def __init__(
        self,
        sock: socket.socket,
        request: VifRequest,
        process: subprocess.Popen[bytes] | None = None,
        stderr: int = -1,
    ) -> None:
        self.request = request
        self.executed = process is not None
        self._sock = sock
        self._process = process
        self._stderr = stderr
        self._sequence = 0
        self._lease: dict[Descriptor, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """Give the socket: it becomes readable when the helper ends."""
        return self._sock.fileno()

    def greeted(self, timeout: float) -> Self:
        """Wait for the helper's first message; raises PrivilegeError with its reason."""
        try:
            reply, fds = self._receive(timeout)
        except BaseException:
            self.close()
            raise
        self._lease = _named(reply, fds)
        if (reply.operation, reply.status) != (Operation.GREETING, Status.OK):
            self.close()
            raise PrivilegeError(reply.text or "the helper did not greet: update lippycat and its helper")
        return self

    def ping(self) -> None:
        """Ask whether the helper is alive; raises PrivilegeError when it is not."""
        self._ask(Operation.PING)

    def create(self) -> Vif:
        """Get the device, made and up; raises PrivilegeError with one line."""
        reply, fds = self._ask(Operation.CREATE, Kind[self.request.kind.upper()])
        got = _named(reply, fds)
        if Descriptor.DEVICE not in got:
            _close_all(list(got.values()))
            raise PrivilegeError("the helper sent no device: update lippycat and its helper")
        device, guard = got.pop(Descriptor.DEVICE), got.pop(Descriptor.GUARD, -1)
        _close_all(list(got.values()))
        vif = Vif(
            self.request.name, self.request.netns, self.request.kind,
            reply.mtu, reply.txqueuelen, reply.ifindex,
            reply.netns_dev, reply.netns_inode, reply.existing,
            device, guard,
        )  # fmt: skip
        self._check_as_asked(vif)
        return vif

    def release(self) -> None:
        """Tell a service to keep the device no longer; raises PrivilegeError."""
        self._ask(Operation.RELEASE, Kind[self.request.kind.upper()])

    def close(self) -> None:
        """End the connection.

        A helper that we executed ends with it; then the namespace that the run made is
        removed, which is waited for (some milliseconds). Close the Vif first.
        """
        self._sock.close()
        if self._process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_SECONDS)
            self._process = None
        self._close_lease()
        if self._stderr >= 0:
            os.close(self._stderr)
            self._stderr = -1

    def _close_lease(self) -> None:
        """Let the keeper see the end of the run, and wait until it has cleaned up."""
        lease, self._lease = self._lease, {}
        if Descriptor.ALIVE in lease:
            os.close(lease.pop(Descriptor.ALIVE))
        if Descriptor.DONE in lease:
            poll = select.poll()
            poll.register(lease[Descriptor.DONE], select.POLLIN)
            poll.poll(_END_SECONDS * 1000)
        _close_all(list(lease.values()))

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

    def _ask(self, operation: Operation, kind: Kind = Kind.NONE) -> tuple[Reply, list[int]]:
        self._sequence += 1
        name, netns = (self.request.name, self.request.netns) if kind else ("", "")
        request = Request(operation, self._sequence, kind, name, netns)
        with contextlib.suppress(BrokenPipeError, ConnectionError):
            # What it said before it went is read below.
            wire.send(self._sock, request.pack())
        reply, fds = self._receive(_REPLY_SECONDS)
        if reply.status is Status.OK and (reply.operation, reply.sequence) == (
            operation,
            self._sequence,
        ):
            return reply, fds
        _close_all(fds)
        if reply.status is Status.IN_USE:
            raise PrivilegeError(_in_use(reply.text, self.request.name))
        raise PrivilegeError(reply.text or "the helper answered something else than was asked")

    def _receive(self, timeout: float) -> tuple[Reply, list[int]]:
        self._sock.settimeout(timeout)
        try:
            message, fds = wire.receive(self._sock, Reply.size(), fds_expected=True)
            if not message:
                raise ConnectionResetError
        except TimeoutError:
            raise PrivilegeError(f"the helper does not answer ({timeout:g} s)") from None
        except OSError:
            raise PrivilegeError(f"the helper has ended: {self._last_words()}") from None
        except MalformedError as error:
            raise PrivilegeError(f"the helper's answer is malformed: {error}") from None
        try:
            return Reply.unpack(message), fds
        except MalformedError as error:
            _close_all(fds)
            raise PrivilegeError(f"the helper's answer is malformed: {error}") from None

    def _last_words(self) -> str:
        if self._stderr < 0:
            return "see its log (journalctl -u lippycat-helper)"
        if self._process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1)
        text = os.pread(self._stderr, _STDERR_MAX, 0).decode("utf-8", "replace")
        lines = [line for line in text.splitlines() if line.strip()]
        status = f"exit status {self._process.returncode}" if self._process else "no reason"
        return lines[-1].removeprefix("lippycat-helper: ") if lines else status


def acquire(request: VifRequest, path: str = wire.SOCKET_PATH) -> Helper:
    """Find a helper for this device: the service's where it accepts us, else our own.

    Call it before any thread exists. Raises PrivilegeError (exit status 3).
    """
    if sys.platform != "linux":
        raise PrivilegeError("a virtual interface needs Linux: write a file instead (-w)")
    refusal = "no lippycat-helper service is running"
    if Path(path).exists():
        try:
            return connect(request, path)
        except PrivilegeError as error:
            refusal = str(error)
    if os.geteuid() == 0:
        return execute(request)
    raise PrivilegeError(
        f"a virtual interface needs root (sudo), or membership of the group {wire.GROUP} "
        f"and a running lippycat-helper service ({refusal})"
    )


def connected_service(path: str = wire.SOCKET_PATH) -> bool:
    """Say whether a helper service listens there and accepts us: then no root is needed."""
    try:
        connect(VifRequest(), path).close()
    except PrivilegeError:
        return False
    return True


def connect(request: VifRequest, path: str = wire.SOCKET_PATH) -> Helper:
    """Connect to the helper service; raises PrivilegeError when it is not there or refuses."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        sock.settimeout(_REPLY_SECONDS)
        sock.connect(path)
    except OSError as error:
        sock.close()
        reason = error.strerror or str(error)
        raise PrivilegeError(f"cannot reach the helper service at {path}: {reason}") from None
    return Helper(sock, request).greeted(_REPLY_SECONDS)


def execute(request: VifRequest) -> Helper:
    """Execute a helper whose policy is exactly this device; needs root.

    It runs in a session of its own (Ctrl-C does not reach it) and ends with the socket,
    however this process dies. Raises PrivilegeError with the helper's one line.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    stderr = os.memfd_create("lippycat-helper", os.MFD_CLOEXEC)
    try:
        process = subprocess.Popen(  # noqa: S603  our own module, checked arguments
            _command(request, theirs.fileno()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
            cwd="/",
            env={},
        )
    except OSError as error:
        ours.close()
        os.close(stderr)
        raise PrivilegeError(f"cannot execute the helper: {error.strerror}") from None
    finally:
        theirs.close()
    return Helper(ours, request, process, stderr).greeted(_BOOT_SECONDS)


def _command(request: VifRequest, fd: int) -> list[str]:
    return [
        sys.executable, "-I", "-m", "lippycat_helper", f"--fd={fd}",
        f"--netns={request.netns}", f"--name={request.name}", f"--type={request.kind}",
        f"--mtu={request.mtu}", f"--txqueuelen={request.txqueuelen}",
    ]  # fmt: skip


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


def _named(reply: Reply, fds: list[int]) -> dict[Descriptor, int]:
    """Say which descriptor is which; none is kept when their number is not as announced."""
    names = [each for each in Descriptor if each in reply.descriptors]
    if len(names) != len(fds):
        _close_all(fds)
        return {}
    return dict(zip(names, fds, strict=True))


def _close_all(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
