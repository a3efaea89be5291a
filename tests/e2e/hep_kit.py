"""HEP version 3 from its description: taking packets apart, and servers that receive them; nothing of lippycatd."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading

NAMES = {
    1: "family", 2: "transport", 3: "src", 4: "dst", 5: "src", 6: "dst", 7: "sport", 8: "dport", 9: "seconds",
    10: "microseconds", 11: "type", 12: "agent", 14: "key", 15: "payload", 17: "correlation", 19: "node",
}  # fmt: skip
_NUMBERS = {"family", "transport", "sport", "dport", "seconds", "microseconds", "type", "agent"}


def parse(packet):
    """The chunks by name; AssertionError for what is no packet."""
    magic, size = struct.unpack_from("!4sH", packet)
    assert (magic, size) == (b"HEP3", len(packet))
    at, found = 6, {}
    while at < size:
        vendor, kind, length = struct.unpack_from("!HHH", packet, at)
        assert vendor == 0
        assert length >= 6
        assert at + length <= size
        name, value = NAMES[kind], packet[at + 6 : at + length]
        assert name not in found
        if name in {"src", "dst"}:
            value = socket.inet_ntop(socket.AF_INET if kind < 5 else socket.AF_INET6, value)
        found[name] = int.from_bytes(value, "big") if name in _NUMBERS else value
        at += length
    return found


class Server:
    """Receives packets over UDP, TCP or TLS until it is closed; `take` waits for so many and gives them parsed."""

    def __init__(self, kind, port=0, certificate=None):
        self.kind, self.packets, self._open = kind, [], []
        self._changed = threading.Condition()
        udp = kind == "udp"
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if udp:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.bind(("127.0.0.1", port))
        self.port = self._socket.getsockname()[1]
        self._tls = None
        if kind == "tls":
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(*certificate)
        if not udp:
            self._socket.listen()
        self._thread = threading.Thread(target=self._datagrams if udp else self._connections, daemon=True)
        self._thread.start()

    def _got(self, packet):
        with self._changed:
            self.packets.append(packet)
            self._changed.notify_all()

    def _datagrams(self):
        while True:
            try:
                packet = self._socket.recv(65536)
            except OSError:
                return
            if not packet:
                return
            self._got(packet)

    def _connections(self):
        while True:
            try:
                peer, _ = self._socket.accept()
                self._open.append(peer)
                if self._tls is not None:
                    peer = self._tls.wrap_socket(peer, server_side=True)
                    self._open.append(peer)
            except OSError:
                if self._socket.fileno() < 0:
                    return
                continue
            threading.Thread(target=self._stream, args=[peer], daemon=True).start()

    def _stream(self, peer):
        file = peer.makefile("rb")
        try:
            while head := file.read(6):
                self._got(head + file.read(struct.unpack_from("!H", head, 4)[0] - 6))
        except (OSError, ValueError):
            return

    def take(self, count, seconds=20):
        """The first packets, parsed."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.packets) >= count, seconds), len(self.packets)
            return [parse(packet) for packet in self.packets]

    def close(self):
        for each in (self._socket, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._thread.join(5)
