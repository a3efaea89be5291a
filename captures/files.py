"""Capture files: pcap in both resolutions and byte orders, and pcapng.

Sources: the pcap and pcapng formats as the IETF drafts draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng give them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

ETHERNET = 1
Packet = tuple[int, bytes]
"""(time in ns since 1970, the frame)"""


def pcap(packets: Iterable[Packet], order: str = "<", nano: bool = False, link: int = ETHERNET) -> bytes:
    """A pcap file; `order` is "<" for little endian, ">" for big endian."""
    magic, scale = (0xA1B23C4D, 1) if nano else (0xA1B2C3D4, 1000)
    out = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link)]
    for ts, data in packets:
        seconds, rest = divmod(ts, 10**9)
        out.append(struct.pack(order + "IIII", seconds, rest // scale, len(data), len(data)) + data)
    return b"".join(out)


def block(kind: int, body: bytes, order: str) -> bytes:
    """One pcapng block."""
    body += b"\0" * (-len(body) % 4)
    length = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + length + body + length


def option(code: int, value: bytes, order: str) -> bytes:
    """One pcapng option, padded."""
    return struct.pack(order + "HH", code, len(value)) + value + b"\0" * (-len(value) % 4)


def section(order: str) -> bytes:
    """A section header block of unknown length."""
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(order: str, name: str, link: int = ETHERNET, resolution: int | None = 9) -> bytes:
    """An interface description block; `resolution` is the power of ten of its clock (none: microseconds)."""
    options = option(2, name.encode(), order)
    if resolution is not None:
        options += option(9, bytes([resolution]), order)
    return block(1, struct.pack(order + "HHI", link, 0, 262144) + options + option(0, b"", order), order)


def enhanced(order: str, packet: Packet, number: int = 0, resolution: int = 9) -> bytes:
    """An enhanced packet block of interface `number`."""
    ts, data = packet
    ticks = ts * 10**resolution // 10**9
    head = struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data))
    return block(6, head + data, order)


def simple(order: str, data: bytes) -> bytes:
    """A simple packet block: no time, always the first interface."""
    return block(3, struct.pack(order + "I", len(data)) + data, order)


def obsolete(order: str, packet: Packet, number: int = 0) -> bytes:
    """An obsolete packet block of interface `number`, in microseconds."""
    ts, data = packet
    ticks = ts // 1000
    head = struct.pack(order + "HHIIII", number, 0xFFFF, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data))
    return block(2, head + data, order)


def pcapng(packets: Iterable[Packet], order: str = "<") -> bytes:
    """A pcapng file of one section and one interface, in nanoseconds."""
    return section(order) + interface(order, "eth0") + b"".join(enhanced(order, packet) for packet in packets)


def read_pcap(data: bytes) -> list[Packet]:
    """The packets of a pcap file.

    Raises:
        ValueError: when it is no pcap file, or ends within a packet.
    """
    formats = {struct.pack(o + "I", m): (o, s) for o in "<>" for m, s in ((0xA1B2C3D4, 1000), (0xA1B23C4D, 1))}
    if data[:4] not in formats:
        raise ValueError("not a pcap file")
    order, scale = formats[data[:4]]
    packets, at = [], 24
    while at < len(data):
        if at + 16 > len(data):
            raise ValueError(f"a packet header is cut off at offset {at}")
        seconds, rest, length, _ = struct.unpack_from(order + "IIII", data, at)
        if at + 16 + length > len(data):
            raise ValueError(f"a packet is cut off at offset {at}")
        packets.append((seconds * 10**9 + rest * scale, data[at + 16 : at + 16 + length]))
        at += 16 + length
    return packets
