"""Messages between the daemon and its helper: layouts, codes, names.

One SOCK_SEQPACKET message is one request or one reply; one request is in flight. Both
have a fixed size and a version. After the connection is made the helper speaks first:
a reply with operation GREETING says whether it serves this peer. A request names what
the policy must permit (a device's name, its namespace, its kind; an interface to capture
from), never a path or a filter, and a size only within the policy's bounds. What is
malformed ends the connection.

Nothing outside the standard library is imported here, and nothing acts at import.
"""

from __future__ import annotations

import array
import enum
import os
import socket
import struct
from dataclasses import dataclass
from typing import TypeVar

VERSION = 3
MAGIC = b"LC"
SOCKET_PATH = "/run/lippycat/helper.sock"  # role tap
CAPTURE_SOCKET_PATH = "/run/lippycat/capture.sock"  # role capture
POLICY_PATH = "/etc/lippycat/helper.toml"
GROUP = "lippycat"
NETNS_DIR = "/run/netns"

NAME_MAX = 15  # IFNAMSIZ - 1 (linux/if.h)
NETNS_MAX = 63
MTU_MIN, MTU_MAX = 68, 65521  # what a TAP takes: 65535 less an Ethernet header
TXQUEUELEN_MAX = 1_000_000

ANY = "any"  # every interface at once
SNAPLEN_MAX = 262_144  # bytes
SOCKETS_MAX = 64  # of one capture: its workers
BLOCK_MIN, BLOCK_MAX = 4096, 16 << 20  # bytes of a ring's block, a power of two
BLOCKS_MAX = 65_536
FRAME_MIN = 256  # bytes of a slot, where a ring hands over single frames
TIMEOUT_MAX = 10_000  # ms until the kernel hands over a block that is not full
# On every frame that a capture socket sends: the egress rule drops what carries it.
CAPTURE_MARK = 0x6C63_0001
# What a capture socket that was taken back is bound to: nobody sends it (IEEE 802's for local experiments).
NOBODYS_PROTOCOL = 0x88B5

# magic, version, operation, sequence, kind, flags, sockets, capture, snaplen,
# block's size, blocks, timeout, slot's size, name, namespace
_REQUEST = struct.Struct("<2sBBIBBHIIIIII16s64s")
# magic, version, operation, sequence, status, kind, descriptors, flags,
# ifindex, mtu, txqueuelen, snaplen, namespace's device and inode,
# link-layer type, sockets, capture, text
_REPLY = struct.Struct("<2sBBIBBBBIIIIQQHHI208s")
_TEXT_MAX = 207
REPLY_FDS_MAX = SOCKETS_MAX
REQUEST_FDS_MAX = 1  # ADOPT's
_PROMISCUOUS = 1
_EXISTING, _ANY, _HARDWARE = 1, 2, 4

_E = TypeVar("_E", bound=enum.IntEnum)


class MalformedError(Exception):
    """A message that is not one of ours; its text says why. The connection ends."""


class Operation(enum.IntEnum):
    """What can be asked (`operations.TABLE`); GREETING is only ever a reply."""

    GREETING = 0
    PING = 1
    CREATE = 2
    RELEASE = 3
    CAPTURE = 4
    ADOPT = 5


class Status(enum.IntEnum):
    """How it went. REFUSED also ends the connection."""

    OK = 0
    REFUSED = 1
    IN_USE = 2
    NOT_POSSIBLE = 3


class Kind(enum.IntEnum):
    """What sort of device: TAP carries Ethernet frames, TUN carries IP packets."""

    NONE = 0
    TAP = 1
    TUN = 2


class Descriptor(enum.IntFlag):
    """Which descriptors come with a reply, in this order.

    DEVICE is the TAP or TUN; it and its GUARD come with CREATE, the others with the
    GREETING of a helper that is executed for one run. All but DEVICE are held,
    never used: what they stand for ends with the last process that holds them. GUARD
    keeps the device's packet drop in force, LEASE the namespace's name (a shared lock),
    ALIVE tells the keeper that its run goes on. DONE becomes readable (end of file) when
    the keeper has removed the name. CAPTURE stands for `Reply.sockets` descriptors.
    """

    NONE = 0
    DEVICE = 1
    GUARD = 2
    LEASE = 4
    ALIVE = 8
    DONE = 16
    CAPTURE = 32


def check_name(name: str) -> None:
    """Raise ValueError, with one line, for what cannot be an interface's name."""
    _check(name, NAME_MAX, "interface name", forbidden="/:%")


def check_netns(name: str) -> None:
    """Raise ValueError, with one line, for what cannot be a namespace's name.

    The empty name is the current namespace.
    """
    if name:
        _check(name, NETNS_MAX, "namespace name", forbidden="/")


def check_limits(mtu: int, txqueuelen: int) -> None:
    """Raise ValueError, with one line, for an MTU (bytes) or a queue (frames) out of range."""
    if not MTU_MIN <= mtu <= MTU_MAX:
        raise ValueError(f"MTU {mtu} is out of range: choose {MTU_MIN} to {MTU_MAX}")
    if not 0 <= txqueuelen <= TXQUEUELEN_MAX:
        raise ValueError(f"txqueuelen {txqueuelen} is out of range: choose 0 to {TXQUEUELEN_MAX}")


def _check(name: str, longest: int, what: str, forbidden: str) -> None:
    if not name:
        raise ValueError(f"the {what} is empty: give 1 to {longest} characters")
    if len(name.encode("utf-8", "surrogateescape")) > longest:
        raise ValueError(f"{what} {name!r} is too long: at most {longest} characters")
    bad = {c for c in name if not "!" <= c <= "~" or c in forbidden}
    if bad or name in {".", ".."} or name.startswith("-"):
        raise ValueError(
            f"{what} {name!r} is not valid: letters, digits, '-', '_' and '.' (no space, no slash, no leading '-')"
        )


def check_ring(block_size: int, block_count: int, timeout_ms: int, sockets: int, frame_size: int = 0) -> None:
    """Raise ValueError, with one line, for a ring that cannot be (see packet_mmap.rst)."""
    if not BLOCK_MIN <= block_size <= BLOCK_MAX or block_size & (block_size - 1):
        raise ValueError(f"block size {block_size}: choose a power of two, {BLOCK_MIN} to {BLOCK_MAX} bytes")
    if frame_size and (frame_size & (frame_size - 1) or not FRAME_MIN <= frame_size <= block_size):
        raise ValueError(f"slot size {frame_size}: choose a power of two, {FRAME_MIN} bytes to the block's size")
    for value, highest, what in (
        (block_count, BLOCKS_MAX, "blocks"),
        (timeout_ms, TIMEOUT_MAX, "ms of block timeout"),
        (sockets, SOCKETS_MAX, "sockets"),
    ):
        if not 1 <= value <= highest:
            raise ValueError(f"{value} {what} are out of range: choose 1 to {highest}")


@dataclass(frozen=True, slots=True)
class Request:
    """What the daemon asks; each operation has its operands, the others stay empty.

    PING: none. CREATE: kind, name, netns. ADOPT: the same, and the device's descriptor
    goes with it. RELEASE: the same, or `capture`, the number that the reply to CAPTURE
    gave. CAPTURE: name (an interface of the helper's own namespace, or ANY), promiscuous,
    and of each of the `sockets` the ring: block_size (bytes), block_count, timeout_ms;
    snaplen (bytes) lowers the policy's, 0 leaves it. frame_size: 0 for a ring of blocks
    (TPACKET_V3), else the bytes of each slot of a ring of single frames (TPACKET_V2), which
    cuts what is longer.
    """

    operation: Operation
    sequence: int = 0
    kind: Kind = Kind.NONE
    name: str = ""
    netns: str = ""
    promiscuous: bool = False
    sockets: int = 0
    capture: int = 0
    snaplen: int = 0
    block_size: int = 0
    block_count: int = 0
    timeout_ms: int = 0
    frame_size: int = 0

    def pack(self) -> bytes:
        """Make the message, always of `Request.size()` bytes."""
        return _REQUEST.pack(
            MAGIC, VERSION, self.operation, self.sequence, self.kind,
            _PROMISCUOUS if self.promiscuous else 0, self.sockets, self.capture,
            self.snaplen, self.block_size, self.block_count, self.timeout_ms, self.frame_size,
            self.name.encode("ascii"), self.netns.encode("ascii"),
        )  # fmt: skip

    @staticmethod
    def size() -> int:
        """Bytes of every request."""
        return _REQUEST.size

    @classmethod
    def unpack(cls, message: bytes) -> Request:
        """Read a message of a peer who may be hostile; raises MalformedError."""
        if len(message) != _REQUEST.size:
            raise MalformedError(f"a request of {len(message)} bytes, not {_REQUEST.size}")
        (magic, version, operation, sequence, kind, flags, sockets, capture, snaplen,
         block_size, block_count, timeout, frame_size, name, netns) = _REQUEST.unpack(message)  # fmt: skip
        _check_head(magic, version)
        if flags > _PROMISCUOUS:
            raise MalformedError("unknown flags")
        request = cls(
            _member(Operation, operation), sequence, _member(Kind, kind), _text(name), _text(netns),
            bool(flags), sockets, capture, snaplen, block_size, block_count, timeout, frame_size,
        )  # fmt: skip
        request._check_operands()
        return request

    def _check_operands(self) -> None:
        """Each operation with its own operands, and nothing else."""
        if self.operation is Operation.GREETING:
            raise MalformedError("a greeting is no request")
        capture = self.operation is Operation.CAPTURE
        released = self.operation is Operation.RELEASE
        device = self.operation in {Operation.CREATE, Operation.ADOPT} or (released and not self.capture)
        ring = (self.sockets, self.snaplen, self.block_size, self.block_count, self.timeout_ms, self.frame_size)
        if not (
            (self.kind is not Kind.NONE) == device
            and bool(self.name) == (device or capture)
            and (device or not self.netns)
            and (released or not self.capture)
            and (capture or not (self.promiscuous or any(ring)))
        ):
            raise MalformedError(f"{self.operation.name} with the operands of another operation")
        try:
            if self.name:
                check_name(self.name)
            check_netns(self.netns)
            if capture:
                check_ring(self.block_size, self.block_count, self.timeout_ms, self.sockets, self.frame_size)
        except ValueError as error:
            raise MalformedError(str(error)) from None
        if self.snaplen > SNAPLEN_MAX:
            raise MalformedError(f"snaplen {self.snaplen} is above {SNAPLEN_MAX}")


@dataclass(frozen=True, slots=True)
class Reply:
    """What the helper answers; `text` is one line for a person.

    Of a capture: `arphrd` is the interface's link-layer type (linux/if_arp.h), ifindex is
    0 with `any`, `hardware` says that frames carry the adapter's own time where it gave
    one, `capture` is its number for RELEASE.
    """

    operation: Operation
    sequence: int = 0
    status: Status = Status.OK
    kind: Kind = Kind.NONE
    descriptors: Descriptor = Descriptor.NONE
    existing: bool = False
    any: bool = False
    hardware: bool = False
    ifindex: int = 0
    mtu: int = 0
    txqueuelen: int = 0
    snaplen: int = 0
    netns_dev: int = 0
    netns_inode: int = 0
    arphrd: int = 0
    sockets: int = 0
    capture: int = 0
    text: str = ""

    def pack(self) -> bytes:
        """Make the message, always of `Reply.size()` bytes; a text too long is cut."""
        text = self.text.encode("utf-8", "replace")[:_TEXT_MAX]
        flags = self.existing * _EXISTING | self.any * _ANY | self.hardware * _HARDWARE
        return _REPLY.pack(
            MAGIC, VERSION, self.operation, self.sequence, self.status, self.kind,
            self.descriptors, flags, self.ifindex, self.mtu, self.txqueuelen, self.snaplen,
            self.netns_dev, self.netns_inode, self.arphrd, self.sockets, self.capture,
            text.decode("utf-8", "ignore").encode(),
        )  # fmt: skip

    @staticmethod
    def size() -> int:
        """Bytes of every reply."""
        return _REPLY.size

    @classmethod
    def unpack(cls, message: bytes) -> Reply:
        """Read a helper's message; raises MalformedError."""
        if len(message) != _REPLY.size:
            raise MalformedError(f"a reply of {len(message)} bytes, not {_REPLY.size}")
        (magic, version, operation, sequence, status, kind, descriptors, flags, ifindex, mtu,
         txqueuelen, snaplen, dev, inode, arphrd, sockets, capture, text) = _REPLY.unpack(message)  # fmt: skip
        _check_head(magic, version)
        if descriptors >= 2 * Descriptor.CAPTURE or flags >= 2 * _HARDWARE or sockets > SOCKETS_MAX:
            raise MalformedError("unknown flags")
        return cls(
            _member(Operation, operation), sequence, _member(Status, status),
            _member(Kind, kind), Descriptor(descriptors),
            bool(flags & _EXISTING), bool(flags & _ANY), bool(flags & _HARDWARE),
            ifindex, mtu, txqueuelen, snaplen, dev, inode, arphrd, sockets, capture,
            _text(text, "utf-8"),
        )  # fmt: skip


def _check_head(magic: bytes, version: int) -> None:
    if magic != MAGIC:
        raise MalformedError("not a message of this protocol")
    if version != VERSION:
        raise MalformedError(f"version {version} of the protocol, this is {VERSION}: update both sides")


def _member(kind: type[_E], value: int) -> _E:
    try:
        return kind(value)
    except ValueError:
        raise MalformedError(f"{kind.__name__.lower()} {value} does not exist") from None


def _text(field: bytes, encoding: str = "ascii") -> str:
    text, _, rest = field.partition(b"\0")
    if rest.strip(b"\0") or len(text) == len(field):
        raise MalformedError("a text that does not end")
    try:
        return text.decode(encoding)
    except UnicodeDecodeError:
        raise MalformedError("a text that is not readable") from None


def send(sock: socket.socket, message: bytes, fds: tuple[int, ...] = ()) -> None:
    """Send one message with its descriptors; raises OSError when the peer is gone."""
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sock.sendmsg([message], ancillary, socket.MSG_NOSIGNAL)


def receive(sock: socket.socket, size: int, fds_max: int) -> tuple[bytes, list[int]]:
    """Receive one message of at most `size` bytes and its descriptors (close-on-exec).

    Returns an empty message at the end of the connection. Raises MalformedError for a longer
    message, for more descriptors than fds_max, and for cut ancillary data; descriptors
    that came with it are closed. Python's `recv_fds` is not used: it ignores
    MSG_CMSG_CLOEXEC.
    """
    space = socket.CMSG_SPACE(max(fds_max, 1) * array.array("i").itemsize)
    message, ancillary, flags, _ = sock.recvmsg(size, space, socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    foreign = False
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
        else:
            foreign = True
    reason = ""
    if flags & socket.MSG_TRUNC:
        reason = f"a message longer than {size} bytes"
    elif flags & socket.MSG_CTRUNC:
        reason = "cut ancillary data"
    elif foreign or len(fds) > fds_max:
        reason = "unexpected ancillary data or descriptors"
    if reason:
        for fd in fds:
            os.close(fd)
        raise MalformedError(reason)
    return message, list(fds)
