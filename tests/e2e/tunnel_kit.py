"""Captures inside tunnels: every frame wrapped one to one, in one of two tunnels; the generator's truth renumbered."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

VLANS = (0x8100, 0x88A8, 0x9100)
MACS = bytes.fromhex("02aaaaaaaa0202aaaaaaaa01")
HOSTS = [ipaddress.ip_address("172.16.0.1").packed, ipaddress.ip_address("172.16.0.2").packed]
OTHERS = [HOSTS[0], ipaddress.ip_address("172.16.0.3").packed]


def ones(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) & 1)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ipv4(src: bytes, dst: bytes, protocol: int, body: bytes, ident: int = 0) -> bytes:
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), ident & 0xFFFF, 0x4000, 64, protocol, 0, src, dst)
    return head[:10] + struct.pack("!H", ones(head)) + head[12:] + body


def ipv6(src: bytes, dst: bytes, following: int, body: bytes) -> bytes:
    return struct.pack("!IHBB", 6 << 28, len(body), following, 64) + src + dst + body


def udp(sport: int, dport: int, body: bytes) -> bytes:
    return struct.pack("!HHHH", sport, dport, 8 + len(body), 0) + body


@dataclass(frozen=True)
class Inner:
    """One frame to be wrapped: its tags and IP packet taken apart, and the tunnel that it goes through."""

    frame: bytes
    tags: bytes
    ip: bytes
    tunnel: int
    number: int

    @property
    def v4(self) -> bool:
        return self.ip[0] >> 4 == 4

    @property
    def ethertype(self) -> int:
        return 0x0800 if self.v4 else 0x86DD

    @property
    def ends(self) -> tuple[bytes, bytes]:
        return (self.ip[12:16], self.ip[16:20]) if self.v4 else (self.ip[8:24], self.ip[24:40])

    @property
    def up(self) -> bool:
        """Which way through the tunnel: the same for all that one inner host sends to another."""
        return self.ends[0] < self.ends[1]

    @property
    def six(self) -> bytes:
        """The packet as IPv6; IPv4 goes in another tunnel (RFC 2473)."""
        a, b = (bytes.fromhex("20010db8") + bytes(11) + bytes([host]) for host in ((1, 2) if self.up else (2, 1)))
        return ipv6(a, b, 4, self.ip) if self.v4 else self.ip


def taken_apart(frame: bytes, tunnel: int, number: int) -> Inner:
    at = 12
    while struct.unpack_from("!H", frame, at)[0] in VLANS:
        at += 4
    return Inner(frame, frame[12:at], frame[at + 2 :], tunnel, number)


def pair(i: Inner, *, apart: bool, mirror: bool = False) -> tuple[bytes, bytes]:
    """Outer addresses; `apart`: they are what tells the two tunnels from each other."""
    a, b = OTHERS if apart and i.tunnel else HOSTS
    return (a, b) if i.up or mirror else (b, a)


def outer(i: Inner, protocol: int, body: bytes, *, apart: bool, mirror: bool = False, tags: bool = True) -> bytes:
    """The frame around: `tags` where those of the inner frame would be lost."""
    packet = ipv4(*pair(i, apart=apart, mirror=mirror), protocol, body, i.number)
    return MACS + (i.tags if tags else b"") + b"\x08\0" + packet


def gre(i: Inner) -> bytes:
    return outer(i, 47, struct.pack("!HHI", 0x2000, i.ethertype, 7 + i.tunnel) + i.ip, apart=False)


def gre_plain(i: Inner) -> bytes:
    return outer(i, 47, struct.pack("!HH", 0, i.ethertype) + i.ip, apart=True)


def gre_full(i: Inner) -> bytes:
    """Checksum, key and sequence number around a bridged frame."""
    body = struct.pack("!HHHHII", 0xB000, 0x6558, 0, 0, 9 + i.tunnel, i.number) + i.frame
    body = body[:4] + struct.pack("!H", ones(body)) + body[6:]
    return outer(i, 47, body, apart=False, tags=False)


def gre_ppp(i: Inner) -> bytes:
    """PPTP: a call number of the receiver's choice in each packet."""
    payload = b"\xff\x03" + (b"\0\x21" if i.v4 else b"\0\x57") + i.ip
    body = struct.pack("!HHHHII", 0x3081, 0x880B, len(payload), 5 if i.up else 77, i.number, i.number) + payload
    return outer(i, 47, body, apart=True)


def erspan1(i: Inner) -> bytes:
    return outer(i, 47, struct.pack("!HH", 0, 0x88BE) + i.frame, apart=True, mirror=True, tags=False)


def erspan2(i: Inner) -> bytes:
    body = struct.pack("!HHI", 0x1000, 0x88BE, i.number) + struct.pack("!HHI", 0x1000, 0x1800 | 21 + i.tunnel, 3)
    return outer(i, 47, body + i.frame, apart=False, mirror=True, tags=False)


def erspan3(i: Inner) -> bytes:
    head = struct.pack("!HHIHH", 0x2000, 41 + i.tunnel, i.number * 1000, 0, i.number & 1)
    more = struct.pack("!II", 0x04000000, 9) if i.number & 1 else b""
    return outer(
        i,
        47,
        struct.pack("!HHI", 0x1000, 0x22EB, i.number) + head + more + i.frame,
        apart=False,
        tags=False,
        mirror=True,
    )


def vxlan(i: Inner) -> bytes:
    body = struct.pack("!II", 0x08000000, (100 + i.tunnel) << 8) + i.frame
    return outer(i, 17, udp(49152 + i.number % 16384, 4789, body), apart=False, tags=False)


def vxlan_flannel(i: Inner) -> bytes:
    body = struct.pack("!II", 0x08000000, (1 + i.tunnel) << 8) + i.frame
    return outer(i, 17, udp(49152 + i.number % 16384, 8472, body), apart=False, tags=False)


def geneve(i: Inner) -> bytes:
    body = struct.pack("!BBHI", 2, 0, 0x6558, (100 + i.tunnel) << 8) + struct.pack("!HBBI", 0x0102, 3, 1, 0) + i.frame
    return outer(i, 17, udp(49152 + i.number % 16384, 6081, body), apart=False, tags=False)


def geneve_ip(i: Inner) -> bytes:
    body = struct.pack("!BBHI", 0, 0, i.ethertype, (100 + i.tunnel) << 8) + i.ip
    return outer(i, 17, udp(49152 + i.number % 16384, 6081, body), apart=False)


def gtp(i: Inner) -> bytes:
    """With a PDU session container (TS 38.415) every other time; another TEID in each direction."""
    teid = 0x100 if i.up else 0x9000
    if i.number & 1:
        body = struct.pack("!BBHIHBB", 0x34, 255, 8 + len(i.ip), teid, 0, 0, 0x85) + b"\x01\x10\x09\x00" + i.ip
    else:
        body = struct.pack("!BBHI", 0x30, 255, len(i.ip), teid) + i.ip
    return outer(i, 17, udp(2152, 2152, body), apart=True)


def ip_in_ip(i: Inner) -> bytes:
    """6in4 where the frame is IPv6."""
    return outer(i, 4 if i.v4 else 41, i.ip, apart=True)


def six_in_four(i: Inner) -> bytes:
    return outer(i, 41, i.six, apart=True)


def teredo(i: Inner) -> bytes:
    auth = struct.pack("!BBBBQB", 0, 1, 0, 0, i.number, 0) if i.number % 3 == 0 else b""
    origin = struct.pack("!HHI", 0, 0x1234, 0x5F5F5F5F) if i.number % 3 else b""
    ports = (40000, 3544) if i.up else (3544, 40000)
    return outer(i, 17, udp(*ports, auth + origin + i.six), apart=True)


def l2tp2(i: Inner) -> bytes:
    head = struct.pack(
        "!HHHHHH", 0x4802, 12 + 3 + len(i.ip), 7 if i.up else 70, 9 if i.up else 90, i.number & 0xFFFF, 0
    )
    payload = b"\xff\x03" + (b"\x21" if i.v4 else b"\x57") + i.ip
    return outer(i, 17, udp(1701, 1701, head + payload), apart=True)


def l2tp3(i: Inner) -> bytes:
    return outer(i, 115, struct.pack("!I", 5 if i.up else 50) + i.frame, apart=True, tags=False)


def l2tp3_cookie(i: Inner) -> bytes:
    body = struct.pack("!HHIQI", 3, 0, 5 if i.up else 50, 0xC00C1EC00C1E, 0x40000000 | i.number) + i.frame
    return outer(i, 17, udp(1701, 1701, body), apart=True, tags=False)


def tzsp(i: Inner) -> bytes:
    tags = b"\x0a\x01\xd8\x29\x01\x05\x01" if i.number & 1 else b"\x01"
    return outer(
        i, 17, udp(30000, 37008, struct.pack("!BBH", 1, 0, 1) + tags + i.frame), apart=True, mirror=True, tags=False
    )


def labels(i: Inner) -> bytes:
    return struct.pack("!II", (16 if i.up else 17) << 12 | 64, (100 if i.up else 200) << 12 | 0x100 | 64)


def pseudowire(i: Inner) -> bytes:
    return MACS + b"\x88\x47" + labels(i) + i.frame


def pseudowire_control_word(i: Inner) -> bytes:
    return MACS + b"\x88\x47" + labels(i) + struct.pack("!I", i.number & 0xFFFF) + i.frame


def esp(i: Inner, protocol: int, data: bytes) -> bytes:
    """NULL encryption; an integrity check value of 12 or 16 bytes (RFC 2404, RFC 4868)."""
    pad = -(len(data) + 2) % 4
    body = struct.pack("!II", 0x1000 + i.up, i.number) + data + bytes(range(1, pad + 1)) + bytes([pad, protocol])
    return body + hashlib.sha256(body).digest()[: 16 if i.tunnel else 12]


def esp_tunnel(i: Inner) -> bytes:
    return outer(i, 50, esp(i, 4 if i.v4 else 41, i.ip), apart=True)


def esp_udp(i: Inner) -> bytes:
    return outer(i, 17, udp(4500, 4500, esp(i, 4 if i.v4 else 41, i.ip)), apart=True)


def esp_transport(i: Inner) -> bytes:
    """VoLTE between a phone and its proxy; fragments are made after it, so they go as they are."""
    if i.v4 and struct.unpack_from("!H", i.ip, 6)[0] & 0x3FFF == 0:
        body = esp(i, i.ip[9], i.ip[20:])
        head = i.ip[:2] + struct.pack("!H", 20 + len(body)) + i.ip[4:9] + b"\x32\0\0" + i.ip[12:20]
        packet = head[:10] + struct.pack("!H", ones(head)) + head[12:] + body
    elif not i.v4 and i.ip[6] != 44:
        body = esp(i, i.ip[6], i.ip[40:])
        packet = i.ip[:4] + struct.pack("!H", len(body)) + b"\x32" + i.ip[7:40] + body
    else:
        packet = i.ip
    return i.frame[:12] + i.tags + struct.pack("!H", i.ethertype) + packet


def nested(i: Inner) -> bytes:
    """A phone's GTP-U through an overlay that a switch mirrors: ERSPAN(VXLAN(GTP-U(IP)))."""
    inside = taken_apart(gtp(i), i.tunnel, i.number)
    return erspan1(taken_apart(vxlan(inside), 0, i.number))


BOTH: tuple[Callable[[Inner], bytes], ...] = (
    gre, gre_plain, gre_full, gre_ppp, erspan1, erspan2, erspan3, vxlan, vxlan_flannel, geneve, geneve_ip, gtp,
    ip_in_ip, six_in_four, teredo, l2tp2, l2tp3, l2tp3_cookie, tzsp, esp_tunnel, esp_udp, nested,
)  # fmt: skip
"""encapsulations of which two are told apart"""
ALONE = (pseudowire, pseudowire_control_word, esp_transport)
"""encapsulations that name no network of their own"""


def frames(path: Path) -> list[tuple[int, bytes]]:
    """(time in us, frame) of a classic pcap file of gen_hard.py."""
    data, at, out = path.read_bytes(), 24, []
    while at < len(data):
        seconds, micros, length, _ = struct.unpack_from("<IIII", data, at)
        out.append((seconds * 1_000_000 + micros, data[at + 16 : at + 16 + length]))
        at += 16 + length
    return out


def write(path: Path, packets: list[tuple[int, bytes]]) -> None:
    with path.open("wb") as file:
        file.write(struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        for time, frame in packets:
            file.write(struct.pack("<IIII", *divmod(time, 1_000_000), len(frame), len(frame)) + frame)


def merge(path: Path, target: Path, other: Path | None) -> list[tuple[int, bytes, int]]:
    """(time, frame, tunnel) of the target's capture and of another one at the same time; writes the truth of both: all
    of the other is forbidden."""
    both = [
        (time, frame, tunnel) for tunnel, p in enumerate(filter(None, (target, other))) for time, frame in frames(p)
    ]
    order = sorted(range(len(both)), key=lambda n: (both[n][0], n))
    new = {old + 1: number for number, old in enumerate(order, 1)}
    truth = json.loads(Path(f"{target}.truth.json").read_text())

    def spans(old: list[list[int]]) -> list[list[int]]:
        return [[new[n], new[n]] for first, last in old for n in range(first, last + 1)]

    for call in truth["calls"]:
        call["frames"] = spans(call["frames"])
    for name in ("expected", "forbidden", "free", "linked", "shared_segments"):
        truth[name] = sorted(new[n] for n in truth[name])
    truth["scenario_of"] = {v: {s: spans(old) for s, old in of.items()} for v, of in truth["scenario_of"].items()}
    truth["totals"]["frames"] = len(both)
    foreign = [[new[n], new[n]] for n in range(len(both) - sum(t for *_, t in both) + 1, len(both) + 1)]
    truth["scenario_of"]["forbidden"]["the other tunnel"] = foreign
    Path(f"{path}.truth.json").write_text(json.dumps(truth))
    return [both[n] for n in order]


def wrapped(path: Path, merged: list[tuple[int, bytes, int]], encapsulation: Callable[[Inner], bytes]) -> None:
    packets = [(t, encapsulation(taken_apart(f, tunnel, n))) for n, (t, f, tunnel) in enumerate(merged, 1)]
    write(path, packets)
