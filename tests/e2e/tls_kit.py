"""SIP over TLS as Python's ssl makes it, in memory, and TCP around it."""

from __future__ import annotations

import ssl
import struct
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import tunnel_kit as kit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENHANCED, SECRETS = 6, 10
CLIENT, SERVER = (bytes([10, 0, 0, 1]), 40000), (bytes([10, 0, 0, 2]), 5061)


def certificate(folder: Path) -> tuple[Path, Path]:
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert]
    command += ["-days", "2", "-subj", "/CN=sip.example"]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    return key, cert


@dataclass
class Connection:
    """One connection: bytes that either side sends become segments of at most `mss` bytes."""

    context: tuple[ssl.SSLContext, ssl.SSLContext]
    client_port: int = CLIENT[1]
    mss: int = 700
    packets: list[bytes] = field(default_factory=list)

    def __post_init__(self):
        self.bios = [(ssl.MemoryBIO(), ssl.MemoryBIO()) for _ in range(2)]
        client, server = self.context
        self.sides = [
            client.wrap_bio(*self.bios[0], server_hostname="sip.example"),
            server.wrap_bio(*self.bios[1], server_side=True),
        ]
        self.seq = [1000, 5000]
        self._segment(0, b"", 2)
        self.seq[0] += 1
        self._segment(1, b"", 18)
        self.seq[1] += 1
        self._segment(0, b"", 16)
        done = [False, False]
        while not all(done):
            for side in (0, 1):
                if not done[side]:
                    try:
                        self.sides[side].do_handshake()
                        done[side] = True
                    except ssl.SSLWantReadError:
                        pass
                self._move(side)

    def _segment(self, side: int, payload: bytes, flags: int) -> None:
        ends = [(CLIENT[0], self.client_port), SERVER]
        (src, sport), (dst, dport) = ends[side], ends[1 - side]
        head = struct.pack("!HHIIBBHHH", sport, dport, self.seq[side], self.seq[1 - side], 0x50, flags, 65535, 0, 0)
        pseudo = src + dst + struct.pack("!BBH", 0, 6, len(head) + len(payload))
        head = head[:16] + struct.pack("!H", kit.ones(pseudo + head + payload)) + head[18:]
        packet = kit.ipv4(src, dst, 6, head + payload, len(self.packets))
        self.packets.append(kit.MACS + b"\x08\0" + packet)

    def _move(self, side: int) -> None:
        data = self.bios[side][1].read()
        for at in range(0, len(data), self.mss):
            part = data[at : at + self.mss]
            self._segment(side, part, 24)
            self.seq[side] += len(part)
        if data:
            self._segment(1 - side, b"", 16)
            self.bios[1 - side][0].write(data)

    def send(self, side: int, data: bytes) -> None:
        self.sides[side].write(data)
        self._move(side)
        got = b""
        while len(got) < len(data):
            got += self.sides[1 - side].read(65536)
        assert got == data

    def close(self) -> None:
        self._segment(0, b"", 17)
        self.seq[0] += 1
        self._segment(1, b"", 17)
        self.seq[1] += 1
        self._segment(0, b"", 16)


def contexts(folder: Path, version: ssl.TLSVersion, ciphers: str | None) -> tuple[ssl.SSLContext, ssl.SSLContext, Path]:
    """A client's and a server's, and the key log that they write."""
    key, cert = certificate(folder)
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server.load_cert_chain(cert, key)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    for context in (server, client):
        context.minimum_version = context.maximum_version = version
        if ciphers:
            context.set_ciphers(ciphers)
    client.keylog_filename = str(folder / "keys.log")
    return client, server, folder / "keys.log"


def message(start: str, call: str, user: str, cseq: str, body: str = "") -> bytes:
    lines = [
        start, f"Via: SIP/2.0/TLS 10.0.0.1;branch=z9hG4bK{call}{cseq[0]}",
        f"From: <sip:{user}@sip.example>;tag=f{call}",
        f"To: <sip:peer@sip.example>;tag=t{call}", f"Call-ID: {call}", f"CSeq: {cseq}", f"Content-Length: {len(body)}",
    ]  # fmt: skip
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def dialog(connection: Connection, call: str, user: str) -> None:
    """INVITE with a body longer than a segment, 200, ACK, BYE, 200; two messages in one record at the end."""
    uri = "sip:peer@sip.example SIP/2.0"
    connection.send(0, message(f"INVITE {uri}", call, user, "1 INVITE", "x" * 2000))
    connection.send(1, message("SIP/2.0 200 OK", call, user, "1 INVITE"))
    connection.send(0, message(f"ACK {uri}", call, user, "1 ACK") + message(f"BYE {uri}", call, user, "2 BYE"))
    connection.send(1, message("SIP/2.0 200 OK", call, user, "2 BYE"))


def blocks(path: Path) -> Iterator[tuple[int, bytes]]:
    """(type, whole block) of a little-endian pcapng file."""
    data, at = path.read_bytes(), 0
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        yield kind, data[at : at + length]
        at += length


def frames(path: Path) -> list[bytes]:
    found = (block for kind, block in blocks(path) if kind == ENHANCED)
    return [block[28 : 28 + struct.unpack_from("<I", block, 20)[0]] for block in found]
