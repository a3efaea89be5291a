"""Bytes on the wire: Ethernet, VLAN tags, IPv4 and IPv6 (with fragments), UDP and TCP, with valid checksums.

Sources: RFC 791, RFC 8200, RFC 768, RFC 9293, IEEE 802.1Q.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

FIN, SYN, PSH, ACK = 0x01, 0x02, 0x08, 0x10
UDP, TCP, ICMP, FRAGMENT_HEADER = 17, 6, 1, 44
BROADCAST = b"\xff" * 6


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of `data`."""
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) & 1)))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@dataclass(frozen=True)
class Endpoint:
    """An address with a port."""

    ip: str
    port: int

    @property
    def packed(self) -> bytes:
        """The address in network order."""
        return ipaddress.ip_address(self.ip).packed

    @property
    def mac(self) -> bytes:
        """A locally administered MAC address that follows from the IP address."""
        return b"\x02\x00" + self.packed[-4:]

    @property
    def uri_host(self) -> str:
        """The address as a SIP URI writes it, without the port."""
        return f"[{self.ip}]" if ":" in self.ip else self.ip


@dataclass(frozen=True)
class Net:
    """What lies below IP: the stack of VLAN tags, as (TPID, VLAN identifier), outermost first."""

    tags: tuple[tuple[int, int], ...] = ()

    def ethernet(self, src: bytes, dst: bytes, ethertype: int, payload: bytes) -> bytes:
        """A frame; short ones are padded to 60 bytes, as a network card does."""
        tags = b"".join(struct.pack("!HH", *tag) for tag in self.tags)
        return (dst + src + tags + struct.pack("!H", ethertype) + payload).ljust(60, b"\0")

    def ip(self, src: Endpoint, dst: Endpoint, protocol: int, body: bytes, ident: int = 0, frag: int = 0) -> bytes:
        """A frame with one IP packet; `frag` is IPv4's flags and offset field."""
        if ":" in src.ip:
            head = struct.pack("!IHBB", 0x60000000, len(body), protocol, 64) + src.packed + dst.packed
            return self.ethernet(src.mac, dst.mac, 0x86DD, head + body)
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), ident & 0xFFFF, frag, 64, protocol, 0)
        head += src.packed + dst.packed
        head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
        return self.ethernet(src.mac, dst.mac, 0x0800, head + body)

    def udp(self, src: Endpoint, dst: Endpoint, payload: bytes, ident: int = 0) -> bytes:
        """A frame with one UDP datagram."""
        return self.ip(src, dst, UDP, datagram(src, dst, payload), ident)

    def udp_fragments(self, src: Endpoint, dst: Endpoint, payload: bytes, ident: int, mtu: int = 1500) -> list[bytes]:
        """The frames of one UDP datagram, cut to the MTU (RFC 791 section 3.2, RFC 8200 section 4.5)."""
        body = datagram(src, dst, payload)
        v6 = ":" in src.ip
        room = (mtu - (48 if v6 else 20)) & ~7
        frames = []
        for offset in range(0, len(body), room):
            part, more = body[offset : offset + room], offset + room < len(body)
            if v6:
                head = struct.pack("!BBHI", UDP, 0, offset | more, ident)
                frames.append(self.ip(src, dst, FRAGMENT_HEADER, head + part))
            else:
                frames.append(self.ip(src, dst, UDP, part, ident, (0x2000 if more else 0) | offset >> 3))
        return frames

    def tcp(
        self, src: Endpoint, dst: Endpoint, seq: int, ack: int, flags: int, payload: bytes = b"", ident: int = 0
    ) -> bytes:
        """A frame with one TCP segment."""
        options = b"\x02\x04\x05\xb4" if flags & SYN else b""
        head = struct.pack(
            "!HHIIBBHHH",
            src.port,
            dst.port,
            seq & 0xFFFFFFFF,
            ack & 0xFFFFFFFF,
            (20 + len(options)) << 2,
            flags,
            64240,
            0,
            0,
        )
        head += options
        total = checksum(pseudo_header(src, dst, TCP, len(head) + len(payload)) + head + payload)
        head = head[:16] + struct.pack("!H", total) + head[18:]
        return self.ip(src, dst, TCP, head + payload, ident, 0x4000)


def pseudo_header(src: Endpoint, dst: Endpoint, protocol: int, length: int) -> bytes:
    """What UDP's and TCP's checksums cover besides the segment."""
    middle = struct.pack("!IHBB", length, 0, 0, protocol) if ":" in src.ip else struct.pack("!BBH", 0, protocol, length)
    return src.packed + dst.packed + middle


def datagram(src: Endpoint, dst: Endpoint, payload: bytes) -> bytes:
    """A UDP header and its payload."""
    length = 8 + len(payload)
    head = struct.pack("!HHHH", src.port, dst.port, length, 0)
    total = checksum(pseudo_header(src, dst, UDP, length) + head + payload) or 0xFFFF
    return head[:6] + struct.pack("!H", total) + payload
