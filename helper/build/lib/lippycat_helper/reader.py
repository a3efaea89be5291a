"""Readers without root: streams what arrives on an interface to whoever connects, as pcapng.

    lippycat-reader lc0        (started by lippycat-reader@NAMESPACE.socket)

One stream for each connection: it begins with the next frame, has the kernel's timestamps
in nanoseconds and the VLAN tags where they were. Who reads too slowly misses frames, as
tcpdump would; nobody else does. An interface that is not there yet is waited for; the
stream ends with the interface. Nothing that a client sends is read. It holds CAP_NET_RAW
and cannot name another interface. See linux/if_packet.h and the pcapng draft.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import struct
import sys
from collections import deque

from lippycat_helper import privileges
from lippycat_helper.report import HelperError, say

_LISTEN_FDS_START = 3
_CLIENTS_MAX = 16
_BUFFER = 4 << 20  # bytes of the packet socket, as far as the system permits
_BACKLOG = 1 << 20  # bytes that wait for a client before its packet socket is left alone
_BATCH = 256  # frames of one turn
_SNAPLEN = 262_144
_WAIT = 0.2  # seconds between two looks for an interface that is not there

_ETH_P_ALL, _SOL_PACKET, _PACKET_AUXDATA, _PACKET_OUTGOING = 3, 263, 8, 4
_SO_TIMESTAMPNS, _AUXDATA = 35, struct.Struct("=IIIHHHH")
_VLAN_VALID, _TPID_VALID, _ETH_P_8021Q = 1 << 4, 1 << 6, 0x8100
_ANCILLARY = socket.CMSG_SPACE(_AUXDATA.size) + socket.CMSG_SPACE(16)


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal ends it. 2: wrong usage; 3: not possible here."""
    names = sys.argv[1:] if arguments is None else arguments
    if len(names) != 1 or names[0].startswith("-"):
        say("usage: lippycat-reader INTERFACE, with a socket from systemd")
        return 2
    try:
        privileges.need(privileges.NET_RAW, "reading an interface")
        privileges.keep_only(privileges.NET_RAW)
        with _listener() as listener:
            Readers(listener, names[0]).run()
    except HelperError as error:
        say(str(error))
        return 3
    return 0


def _listener() -> socket.socket:
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        raise HelperError("systemd must pass exactly one socket (lippycat-reader@.socket)")
    return socket.socket(fileno=_LISTEN_FDS_START)


class Readers:
    """The loop over the listener, the clients, and their packet sockets."""

    def __init__(self, listener: socket.socket, device: str) -> None:
        self._listener, self._device = listener, device
        self._poll = selectors.DefaultSelector()
        self._streams: list[Stream] = []

    def run(self) -> None:
        """Serve."""
        self._listener.setblocking(False)  # noqa: FBT003  takes no keyword
        self._poll.register(self._listener, selectors.EVENT_READ)
        while True:
            waiting = any(stream.packets is None for stream in self._streams)
            for key, _ in self._poll.select(_WAIT if waiting else None):
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._turn(key.data)
            for stream in list(self._streams):
                if stream.packets is None and stream.open():
                    self._watch(stream)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            client, _ = self._listener.accept()
            client.setblocking(False)  # noqa: FBT003  takes no keyword
            if len(self._streams) >= _CLIENTS_MAX:
                client.close()
                return
            stream = Stream(client, self._device)
            self._streams.append(stream)
            stream.open()
            self._watch(stream)

    def _turn(self, stream: Stream) -> None:
        if stream not in self._streams:
            return
        try:
            stream.turn()
        except OSError:
            self._unwatch(stream)
            self._streams.remove(stream)
            stream.close()
        else:
            self._watch(stream)

    def _watch(self, stream: Stream) -> None:
        """Wait for the client while something waits for it, else for frames; for its end always."""
        self._unwatch(stream)
        busy = selectors.EVENT_WRITE if stream.waiting else 0
        self._poll.register(stream.client, selectors.EVENT_READ | busy, stream)
        if stream.packets is not None and stream.size < _BACKLOG:
            self._poll.register(stream.packets, selectors.EVENT_READ, stream)

    def _unwatch(self, stream: Stream) -> None:
        for sock in (stream.client, stream.packets):
            if sock is not None:
                with contextlib.suppress(KeyError):
                    self._poll.unregister(sock)


class Stream:
    """One client: its packet socket, once the interface is there, and what waits to be sent."""

    def __init__(self, client: socket.socket, device: str) -> None:
        self.client, self.packets = client, None
        self._device = device
        self.waiting: deque[memoryview] = deque()
        self.size = 0
        self._put(heading(device))

    packets: socket.socket | None

    def open(self) -> bool:
        """Open the packet socket; False while there is no such interface."""
        packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            packets.setblocking(False)  # noqa: FBT003  takes no keyword
            packets.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            packets.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            packets.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
            packets.bind((self._device, _ETH_P_ALL))
        except OSError:
            packets.close()
            return False
        self.packets = packets
        return True

    def turn(self) -> None:
        """Take frames and send what waits; OSError ends the stream."""
        with contextlib.suppress(BlockingIOError):
            if not self.client.recv(4096):
                raise OSError(errno.EPIPE, "the client has gone")
        if self.packets is not None and self.size < _BACKLOG:
            with contextlib.suppress(BlockingIOError):
                for _ in range(_BATCH):
                    self._take(self.packets)
        self._send()

    def _take(self, packets: socket.socket) -> None:
        frame, ancillary, _, address = packets.recvmsg(_SNAPLEN, _ANCILLARY)
        if address[2] == _PACKET_OUTGOING:
            return
        when, vlan = 0, b""
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
                seconds, nanoseconds = struct.unpack("=qq", data)
                when = seconds * 10**9 + nanoseconds
            elif (level, kind) == (_SOL_PACKET, _PACKET_AUXDATA):
                vlan = tag(data)
        self._put(block(frame[:12] + vlan + frame[12:] if vlan else frame, when))

    def _put(self, data: bytes) -> None:
        self.waiting.append(memoryview(data))
        self.size += len(data)

    def _send(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self.waiting:
                sent = self.client.send(self.waiting[0])
                self.size -= sent
                if sent == len(self.waiting[0]):
                    self.waiting.popleft()
                else:
                    self.waiting[0] = self.waiting[0][sent:]

    def close(self) -> None:
        """Close both sockets."""
        self.client.close()
        if self.packets is not None:
            self.packets.close()


def tag(auxdata: bytes) -> bytes:
    """Give the VLAN tag that the kernel took off, as it was in the frame; empty where there was none."""
    status, _, _, _, _, tci, tpid = _AUXDATA.unpack(auxdata)
    if not status & _VLAN_VALID:
        return b""
    return struct.pack("!HH", tpid if status & _TPID_VALID else _ETH_P_8021Q, tci)


def heading(device: str) -> bytes:
    """Give the section and the interface: Ethernet, nanoseconds."""
    name = device.encode()
    options = struct.pack("=HH", 2, len(name)) + _padded(name) + struct.pack("=HHB3xHH", 9, 1, 9, 0, 0)
    section = struct.pack("=IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)
    length = 20 + len(options)
    return section + struct.pack("=IIHHI", 1, length, 1, 0, _SNAPLEN) + options + struct.pack("=I", length)


def block(frame: bytes, when: int) -> bytes:
    """Give one frame as an enhanced packet block; when: nanoseconds since 1970."""
    data = _padded(frame)
    length, size = 32 + len(data), len(frame)
    head = struct.pack("=IIIIIII", 6, length, 0, when >> 32, when & 0xFFFFFFFF, size, size)
    return head + data + struct.pack("=I", length)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


if __name__ == "__main__":
    sys.exit(main())
