"""Making confined AF_PACKET sockets: what their holder cannot undo is done here.

The locked filter decides what arrives, wherever the holder binds the socket; the ring is
ours (a mapping that can read nothing pins it: it cannot be resized or taken down, and no
second ring can be added); frames sent on it carry a mark that the egress rule drops. See
packet(7), Documentation/networking/packet_mmap.rst, linux/if_packet.h.

The sockets of one capture are a fanout group, whole from its first frame on: until all
have joined their filter accepts nothing, so no frame arrives twice.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lippycat_helper import filters, wire
from lippycat_helper.report import HelperError, RefusedError, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from lippycat_helper.filters import Program
    from lippycat_helper.policy import Capture as Entry
    from lippycat_helper.wire import Request

# linux/if_packet.h
_SOL_PACKET = 263
_ADD_MEMBERSHIP, _DROP_MEMBERSHIP, _RX_RING, _VERSION, _TIMESTAMP, _FANOUT = 1, 2, 5, 10, 17, 18
_V2, _V3, _PROMISC, _UNIQUE_ID = 1, 2, 1, 0x2000
_MEMBERSHIP = struct.Struct("=iHH8s")
_RING = struct.Struct("=7I")  # struct tpacket_req3
_RING2 = struct.Struct("=4I")  # struct tpacket_req
# asm-generic/socket.h, linux/if_ether.h, linux/sockios.h, linux/net_tstamp.h
_ATTACH_FILTER, _LOCK_FILTER = 26, 44
_ETH_P_ALL = 3
_SIOCGIFHWADDR, _SIOCGHWTSTAMP = 0x8927, 0x89B1
_RAW_HARDWARE = 1 << 6
_IFREQ = struct.Struct("=16sH14x8x")
_INSTRUCTION = struct.Struct("=HBBI")
_ADDRESS = struct.Struct("=HHiHBB8s")  # struct sockaddr_ll

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(slots=True, eq=False)
class Sockets:
    """The sockets of one capture, and the mappings that pin their rings."""

    entry: Entry
    interface: str
    ifindex: int
    arphrd: int
    snaplen: int
    bytes: int
    promiscuous: bool
    hardware: bool = False
    sockets: list[socket.socket] = field(default_factory=list)
    pins: list[mmap.mmap] = field(default_factory=list)

    def revoke(self) -> None:
        """Take the sockets back as far as that goes, and let them go.

        A single socket is bound away, to a protocol that nobody sends, and joins a fanout
        group, which makes every further bind fail: its holder gets nothing more. A socket
        that is in a group already cannot be bound away; it is its holder's to close.
        """
        with contextlib.suppress(OSError):
            if self.promiscuous:
                membership = _MEMBERSHIP.pack(self.ifindex, _PROMISC, 0, b"")
                self.sockets[0].setsockopt(_SOL_PACKET, _DROP_MEMBERSHIP, membership)
            if len(self.sockets) == 1:
                _bind(self.sockets[0], socket.if_nametoindex("lo"), wire.NOBODYS_PROTOCOL)
                self.sockets[0].setsockopt(_SOL_PACKET, _FANOUT, struct.pack("=I", _UNIQUE_ID << 16))
        self.close()

    def close(self) -> None:
        """Let the rings and the sockets go; they end when their holder lets go too."""
        for pin in self.pins:
            pin.close()
        for sock in self.sockets:
            sock.close()
        self.pins.clear()
        self.sockets.clear()


def create(entry: Entry, request: Request, excluded: Callable[[str], object]) -> Sockets:
    """Make the sockets that the request names, within the entry's bounds.

    excluded: says whether an interface of that name is never captured from (`any`).
    Raises HelperError, with one line, when it cannot be.
    """
    name = request.name
    ifindex, arphrd = (0, 0) if name == wire.ANY else interface(name)
    snaplen = min(entry.snaplen, request.snaplen or entry.snaplen)
    program = _program(entry, ifindex, arphrd, snaplen, excluded)
    made = Sockets(
        entry, name, ifindex, arphrd, snaplen,
        request.sockets * request.block_size * request.block_count, request.promiscuous,
    )  # fmt: skip
    try:
        made.hardware = ifindex != 0 and _stamps_in_hardware(name)
        _open_all(made, request)
        if request.promiscuous:
            membership = _MEMBERSHIP.pack(ifindex, _PROMISC, 0, b"")
            made.sockets[0].setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, membership)
        for sock in made.sockets:
            _attach(sock, program)
            sock.setsockopt(socket.SOL_SOCKET, _LOCK_FILTER, 1)
    except BaseException as error:
        made.close()
        if isinstance(error, OSError):
            raise HelperError(f"cannot capture from {name}: {error.strerror}") from None
        raise
    return made


def interface(name: str) -> tuple[int, int]:
    """Find an interface's index and its link-layer type (linux/if_arp.h); raises HelperError."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            answer = fcntl.ioctl(probe, _SIOCGIFHWADDR, _IFREQ.pack(name.encode("ascii"), 0))
        return socket.if_nametoindex(name), _IFREQ.unpack(answer)[1]
    except OSError:
        raise HelperError(f"there is no interface {name} here: lippycat list interfaces shows them") from None


def _program(entry: Entry, ifindex: int, arphrd: int, snaplen: int, excluded: Callable[[str], object]) -> Program:
    promiscuous = entry.promiscuous
    if not ifindex:
        never = [index for index, name in socket.if_nameindex() if excluded(name)]
        return filters.every_interface(never, entry.filter, entry.filter_raw, snaplen, promiscuous=promiscuous)
    if arphrd in filters.ETHERNET:
        policy = entry.filter
    elif arphrd in filters.RAW_IP and entry.filter_raw:
        policy = entry.filter_raw
    else:
        key = "filter_raw" if arphrd in filters.RAW_IP else "filter"
        raise RefusedError(f"{entry.where} has no {key} for interfaces of link-layer type {arphrd}")
    return filters.one_interface(ifindex, policy, snaplen, promiscuous=promiscuous)


def _open_all(made: Sockets, request: Request) -> None:
    group = 0
    for number in range(request.sockets):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        made.sockets.append(sock)
        _attach(sock, filters.accept(0))
        _mark(sock)
        if made.hardware:
            sock.setsockopt(_SOL_PACKET, _TIMESTAMP, _RAW_HARDWARE)
        made.pins.append(_ring(sock, request))
        _bind(sock, made.ifindex)
        if request.sockets > 1:
            # By flow (PACKET_FANOUT_HASH, which is 0), and without the kernel's
            # defragmentation: the frames stay as they came. The kernel chooses a free group.
            value = group if number else _UNIQUE_ID << 16
            sock.setsockopt(_SOL_PACKET, _FANOUT, struct.pack("=I", value))
            group = struct.unpack("=I", sock.getsockopt(_SOL_PACKET, _FANOUT, 4))[0] & 0xFFFF


def _ring(sock: socket.socket, request: Request) -> mmap.mmap:
    """Give the socket its ring, and pin it."""
    size, count, slot = request.block_size, request.block_count, request.frame_size
    sock.setsockopt(_SOL_PACKET, _VERSION, _V2 if slot else _V3)
    if slot:
        ring = _RING2.pack(size, count, slot, size // slot * count)
    else:
        # One frame a block: in version 3 the kernel packs frames of any length into it.
        ring = _RING.pack(size, count, size, count, request.timeout_ms, 0, 0)
    sock.setsockopt(_SOL_PACKET, _RX_RING, ring)
    return mmap.mmap(sock.fileno(), size * count, flags=mmap.MAP_SHARED, prot=0)


def _mark(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, wire.CAPTURE_MARK)
    except PermissionError:
        # Before Linux 5.17 this took CAP_NET_ADMIN.
        say("capture sockets cannot be marked (Linux 5.17 is needed): the egress rule does not hold them")


def _bind(sock: socket.socket, ifindex: int, protocol: int = _ETH_P_ALL) -> None:
    """Bind by index: Python's own bind takes names only, and knows none for all interfaces."""
    address = _ADDRESS.pack(socket.AF_PACKET, socket.htons(protocol), ifindex, 0, 0, 0, b"")
    if _libc.bind(sock.fileno(), address, len(address)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _attach(sock: socket.socket, program: Program) -> None:
    code = b"".join(_INSTRUCTION.pack(*each) for each in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    fprog = struct.pack("@HP", len(program), ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, fprog)


def _stamps_in_hardware(name: str) -> bool:
    """Say whether the adapter stamps what it receives already; switching it on is not ours."""
    config = ctypes.create_string_buffer(12)  # struct hwtstamp_config: flags, tx_type, rx_filter
    ifreq = struct.pack("@16sP16x", name.encode("ascii"), ctypes.addressof(config))
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        fcntl.ioctl(probe, _SIOCGHWTSTAMP, ifreq)
        return bool(struct.unpack("=3i", config.raw)[2] != 0)
    return False
