"""Live capture: confined AF_PACKET sockets from a helper in the role *capture*."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lippycat_helper import wire
from lippycat_helper.wire import Descriptor, Operation, Request
from lippycatd.errors import PrivilegeError
from lippycatd.privileged.choice import Purpose, choose
from lippycatd.privileged.connection import Connection, close_all, reach, start

if TYPE_CHECKING:
    from collections.abc import Sequence

UNIT = "lippycat-helper-capture"
PURPOSE = Purpose(
    "live capture",
    "live capture through the helper needs Linux: read a file instead (-r)",
    "no lippycat-helper service for capture is running",
)


@dataclass(frozen=True, slots=True)
class CaptureRequest:
    """What to capture from, and the ring of each socket.

    interface is a name in the helper's network namespace, or `any`. block_size is in bytes
    (a power of two), timeout_ms how long the kernel waits with a block that is not full.
    frame_size, where it is not 0, asks for slots of so many bytes instead (TPACKET_V2).
    sockets share out the interface's flows (PACKET_FANOUT_HASH), one for each worker.
    snaplen, in bytes, lowers the policy's; 0 leaves it. Raises PrivilegeError when one
    cannot be.
    """

    interface: str = wire.ANY
    promiscuous: bool = False
    snaplen: int = 0
    sockets: int = 1
    block_size: int = 1 << 20
    block_count: int = 64
    timeout_ms: int = 20
    frame_size: int = 0

    def __post_init__(self) -> None:
        try:
            wire.check_name(self.interface)
            wire.check_ring(self.block_size, self.block_count, self.timeout_ms, self.sockets, self.frame_size)
        except ValueError as error:
            raise PrivilegeError(str(error)) from None
        if not 0 <= self.snaplen <= wire.SNAPLEN_MAX:
            raise PrivilegeError(f"snaplen {self.snaplen} is out of range: choose 1 to {wire.SNAPLEN_MAX}")
        if self.promiscuous and self.interface == wire.ANY:
            raise PrivilegeError("promiscuous capture needs an interface: name it with -i")

    @property
    def ring(self) -> int:
        """Bytes of all its rings."""
        return self.sockets * self.block_size * self.block_count


@dataclass(slots=True)
class Capture:
    """Sockets that are bound and running, each with a ring of the request's geometry to map.

    Every socket delivers its share of the flows from the same moment on. ifindex is 0 with
    `any`, and arphrd too (each frame's sockaddr_ll tells its interface's, sll_hatype), else
    the interface's link-layer type of linux/if_arp.h. snaplen is what the locked filter
    cuts frames to, in bytes. hardware: frames carry the adapter's time where it gave one
    (TP_STATUS_TS_RAW_HARDWARE says so frame by frame). netns_dev and netns_inode are the
    namespace that the interface lies in. Which filter and interface the sockets have cannot
    be changed any more; a re-created interface needs a new capture.
    """

    request: CaptureRequest
    fds: tuple[int, ...]
    ifindex: int
    arphrd: int
    snaplen: int
    any: bool
    hardware: bool
    netns_dev: int
    netns_inode: int
    number: int

    def take_fds(self) -> tuple[int, ...]:
        """Hand the descriptors over: who takes them closes them."""
        fds, self.fds = self.fds, ()
        return fds

    def close(self) -> None:
        """Close the descriptors, unless they were taken. The helper still has its own: `release` first."""
        close_all(list(self.take_fds()))


class CaptureHelper(Connection):
    """A connection to a helper in the role capture.

    The captures end with the connection (the helper then unpins their rings and closes its
    duplicates), so a program that must replace one without disturbing another has a
    connection for each. When the helper ends the connection, the policy may permit the
    capture no longer: close it. When the helper has died, the sockets still work, without
    the pin: open them anew when it is back.
    """

    def open_capture(self, request: CaptureRequest) -> Capture:
        """Get the sockets; raises PrivilegeError with one line."""
        reply, fds = self.ask(
            Request(
                Operation.CAPTURE, name=request.interface, promiscuous=request.promiscuous,
                sockets=request.sockets, snaplen=request.snaplen, block_size=request.block_size,
                block_count=request.block_count, timeout_ms=request.timeout_ms, frame_size=request.frame_size,
            )
        )  # fmt: skip
        if reply.descriptors != Descriptor.CAPTURE or len(fds) != request.sockets:
            close_all(fds)
            raise PrivilegeError("the helper sent other sockets than were asked for: update lippycat and its helper")
        return Capture(
            request, tuple(fds), reply.ifindex, reply.arphrd, reply.snaplen, reply.any, reply.hardware,
            reply.netns_dev, reply.netns_inode, reply.capture,
        )  # fmt: skip

    def release(self, capture: Capture) -> None:
        """End one capture of this connection, closing our descriptors too; raises PrivilegeError."""
        capture.close()
        self.ask(Request(Operation.RELEASE, capture=capture.number))


def acquire_capture(requests: Sequence[CaptureRequest], path: str = wire.CAPTURE_SOCKET_PATH) -> CaptureHelper:
    """Find a helper for these captures: the service's where it accepts us, else our own.

    Call it before any thread exists. Raises PrivilegeError (exit status 3).
    """
    return choose(PURPOSE, path, lambda: connect_capture(path), lambda: execute_capture(requests))


def connect_capture(path: str = wire.CAPTURE_SOCKET_PATH) -> CaptureHelper:
    """Connect to the capture service; raises PrivilegeError when it is not there or refuses."""
    return CaptureHelper(reach(path), UNIT).greeted()


def execute_capture(requests: Sequence[CaptureRequest]) -> CaptureHelper:
    """Execute a helper whose policy is exactly these interfaces; needs root.

    Raises PrivilegeError with the helper's one line.
    """
    sock, process, stderr = start([
        "--role=capture",
        *(f"--interface={each}" for each in dict.fromkeys(request.interface for request in requests)),
        f"--snaplen={max((each.snaplen or wire.SNAPLEN_MAX for each in requests), default=wire.SNAPLEN_MAX)}",
        f"--sockets={max((request.sockets for request in requests), default=1)}",
        f"--ring-max={max((request.ring for request in requests), default=0)}",
    ])  # fmt: skip
    return CaptureHelper(sock, UNIT, process, stderr).greeted()
