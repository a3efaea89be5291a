"""A frame in tcpdump's words: dpkt takes it apart, nothing of it is trusted. Pure functions of bytes."""

from __future__ import annotations

import struct
from typing import Any

import dpkt

from lippycatd.sinks.text import printable

# LINKTYPE_ numbers
_DPKT = {1: dpkt.ethernet.Ethernet, 113: dpkt.sll.SLL, 276: dpkt.sll2.SLL2}
_PPP_LINKS = (9, 50)
_LOOPBACK = (0, 108)
_RAW = (12, 14, 101, 228, 229)
_BROKEN = (dpkt.Error, ValueError, IndexError, KeyError, TypeError, AttributeError, struct.error, OverflowError)
_FLAGS = (("F", 0x01), ("S", 0x02), ("R", 0x04), ("P", 0x08), ("U", 0x20), ("E", 0x40), ("W", 0x80))
_ACK = 0x10
_FRAGMENT = 44  # the IPv6 fragment header, RFC 8200 section 4.5
_TCP_OPTIONS = {0: "eol", 1: "nop", 2: "mss", 3: "wscale", 4: "sackOK", 5: "sack", 8: "TS"}
_ICMP = {0: "echo reply", 3: "unreachable", 5: "redirect", 8: "echo request", 11: "time exceeded"}
_ICMP6 = {
    1: "destination unreachable",
    2: "packet too big",
    3: "time exceeded",
    128: "echo request",
    129: "echo reply",
    133: "router solicitation",
    134: "router advertisement",
    135: "neighbor solicitation",
    136: "neighbor advertisement",
    143: "multicast listener report v2",
}
_PPP_PROTOCOLS = {0x0021: 4, 0x0057: 6}
_SIP_LINE = 200  # characters of a start line that are shown


def info(link: int, frame: bytes, protocol: str) -> str:
    """What follows `source > destination:` on tcpdump's line; never raises, whatever the bytes."""
    try:
        return _packet(_network(link, frame), protocol)
    except _BROKEN:
        return f"malformed, length {len(frame)}"


def _network(link: int, frame: bytes) -> Any:  # noqa: ANN401  dpkt has no types
    """The network layer of a frame: an IP packet, ARP, or bytes."""
    if link in _DPKT:
        return _DPKT[link](frame).data
    if link in _LOOPBACK:
        return _ip(frame[4:])
    if link in _PPP_LINKS:
        return _ppp(frame)
    if link in _RAW:
        return _ip(frame)
    return frame


def _ip(data: bytes) -> Any:  # noqa: ANN401
    """An IP packet by its version nibble (RFC 791, RFC 8200)."""
    version = data[0] >> 4
    if version == 4:  # noqa: PLR2004  the version itself
        return dpkt.ip.IP(data)
    return dpkt.ip6.IP6(data) if version == 6 else data  # noqa: PLR2004


def _ppp(frame: bytes) -> Any:  # noqa: ANN401
    """The packet in a PPP frame, with or without address and control (RFC 1661, RFC 1662)."""
    body = frame[2:] if frame[:2] == b"\xff\x03" else frame
    number = int.from_bytes(body[:1]) if body[0] & 1 else int.from_bytes(body[:2])
    rest = body[1:] if body[0] & 1 else body[2:]
    return _ip(rest) if number in _PPP_PROTOCOLS else f"PPP protocol {number:#06x}, length {len(frame)}"


def _packet(packet: Any, protocol: str) -> str:  # noqa: ANN401
    """A network packet in words."""
    while isinstance(packet, (dpkt.pppoe.PPPoE, dpkt.ppp.PPP)):
        packet = packet.data
    if isinstance(packet, str):
        return packet
    if isinstance(packet, (dpkt.ip.IP, dpkt.ip6.IP6)):
        return _transport(packet, protocol)
    if isinstance(packet, dpkt.arp.ARP):
        return _arp(packet)
    return f"{type(packet).__name__.lower() if not isinstance(packet, bytes) else 'data'}, length {len(bytes(packet))}"


def _arp(packet: Any) -> str:  # noqa: ANN401
    """RFC 826."""
    sender, target = (".".join(str(byte) for byte in address) for address in (packet.spa, packet.tpa))
    if packet.op == dpkt.arp.ARP_OP_REQUEST:
        return f"Request who-has {target} tell {sender}, length {len(bytes(packet))}"
    if packet.op == dpkt.arp.ARP_OP_REPLY:
        hardware = ":".join(f"{byte:02x}" for byte in packet.sha)
        return f"Reply {sender} is-at {hardware}, length {len(bytes(packet))}"
    return f"operation {packet.op}, length {len(bytes(packet))}"


def _transport(packet: Any, protocol: str) -> str:  # noqa: ANN401
    """What an IP packet carries."""
    data = packet.data
    if isinstance(data, dpkt.udp.UDP):
        return _udp(data, protocol)
    if isinstance(data, dpkt.tcp.TCP):
        return _tcp(data, protocol)
    if isinstance(data, dpkt.icmp.ICMP):
        return f"ICMP {_ICMP.get(data.type, f'type {data.type}')}, length {len(bytes(data))}"
    if isinstance(data, dpkt.icmp6.ICMP6):
        return f"ICMP6, {_ICMP6.get(data.type, f'type {data.type}')}, length {len(bytes(data))}"
    number = packet.p
    name = {6: "tcp", 17: "udp", 1: "icmp", 58: "icmp6"}.get(number)
    fragment = bool(getattr(packet, "offset", 0) or _FRAGMENT in getattr(packet, "extension_hdrs", {}))
    word = f"{name} fragment" if name and fragment else name or f"ip-proto-{number}"
    return f"{word}, length {len(bytes(data))}"


def _udp(datagram: Any, protocol: str) -> str:  # noqa: ANN401
    """RFC 768, with what it carries where the core knows it."""
    payload = bytes(datagram.data)
    length = max(datagram.ulen - 8, 0)
    if protocol == "sip":
        return f"SIP: {_start_line(payload)}" if payload.strip() else f"SIP keepalive, length {length}"
    if protocol == "rtp":
        return _rtp(payload) or f"UDP, length {length}"
    if protocol == "rtcp":
        return f"RTCP: type {payload[1]}, length {length}"
    return f"UDP, length {length}"


def _rtp(payload: bytes) -> str:
    """RFC 3550, section 5.1."""
    if len(payload) < 12:  # noqa: PLR2004  the fixed header
        return ""
    _, second, sequence, stamp, ssrc = struct.unpack("!BBHII", payload[:12])
    marker = ", marker" if second & 0x80 else ""
    return f"RTP: PT={second & 0x7F}, SSRC={ssrc:#010x}, Seq={sequence}, Time={stamp}{marker}, length {len(payload)}"


def _tcp(segment: Any, protocol: str) -> str:  # noqa: ANN401
    """RFC 9293, as `tcpdump -S` prints it."""
    flags = "".join(letter for letter, bit in _FLAGS if segment.flags & bit)
    flags += "." if segment.flags & _ACK else ""
    payload = bytes(segment.data)
    parts = [f"Flags [{flags or 'none'}]"]
    if payload:
        parts.append(f"seq {segment.seq}:{(segment.seq + len(payload)) & 0xFFFFFFFF}")
    elif segment.flags & 0x07:
        parts.append(f"seq {segment.seq}")
    if segment.flags & _ACK:
        parts.append(f"ack {segment.ack}")
    parts.append(f"win {segment.win}")
    if segment.opts:
        parts.append(f"options [{','.join(_option(kind, data) for kind, data in dpkt.tcp.parse_opts(segment.opts))}]")
    parts.append(f"length {len(payload)}")
    if protocol == "sip" and payload.strip():
        parts.append(f"SIP: {_start_line(payload)}")
    return ", ".join(parts)


def _option(kind: int, data: bytes) -> str:
    """One TCP option; the kinds of RFC 9293, RFC 7323 and RFC 2018."""
    word = _TCP_OPTIONS.get(kind, f"unknown-{kind}")
    if kind in (2, 3) and data:
        return f"{word} {int.from_bytes(data)}"
    if kind == 8 and len(data) == 8:  # noqa: PLR2004
        return f"{word} val {int.from_bytes(data[:4])} ecr {int.from_bytes(data[4:])}"
    return word


def _start_line(payload: bytes) -> str:
    """The first line of a message, made safe for a terminal."""
    line = payload.lstrip(b"\r\n").partition(b"\n")[0].rstrip(b"\r")
    return printable(line[:_SIP_LINE].decode("utf-8", "replace"))
