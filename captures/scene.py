"""A scene: frames with their times, each labelled with the call that it belongs to when it is made.

The labels are the truth that the tests compare with; nothing is parsed to get them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from captures.wire import ACK, FIN, PSH, SYN, Endpoint, Net

MS = 10**6
START = 1_767_225_600 * 10**9
"""2026-01-01 00:00:00 UTC, in ns"""


@dataclass
class Scene:
    """Frames in the making."""

    frames: list[tuple[int, bytes, str]] = field(default_factory=list)
    idents: int = 0

    def add(self, at: int, data: bytes, owner: str = "") -> None:
        """Put a frame at `at` ns after the start; `owner` names its call (none: noise)."""
        self.frames.append((START + at, data, owner))

    def ident(self) -> int:
        """The next IPv4 identification."""
        self.idents += 1
        return self.idents

    def ordered(self) -> list[tuple[int, bytes, str]]:
        """All frames by time; those of the same time in the order in which they were made."""
        return sorted(self.frames, key=lambda frame: frame[0])

    def packets(self) -> list[tuple[int, bytes]]:
        """The same without their labels."""
        return [(ts, data) for ts, data, _ in self.ordered()]

    def numbers(self, owners: Iterable[str]) -> list[int]:
        """The numbers, from 1, of the frames of some calls."""
        wanted = set(owners)
        return [number for number, (_, _, owner) in enumerate(self.ordered(), 1) if owner in wanted]


@dataclass
class Udp:
    """Datagrams between two endpoints; one of them may be cut into fragments."""

    scene: Scene
    net: Net
    owner: str
    mtu: int = 1500

    def send(self, at: int, src: Endpoint, dst: Endpoint, payload: bytes) -> None:
        """Send a datagram, in fragments where it is longer than the MTU."""
        ident = self.scene.ident()
        if len(payload) + 48 <= self.mtu:
            self.scene.add(at, self.net.udp(src, dst, payload, ident), self.owner)
            return
        for number, frame in enumerate(self.net.udp_fragments(src, dst, payload, ident, self.mtu)):
            self.scene.add(at + number * MS // 10, frame, self.owner)


@dataclass
class Tcp:
    """One TCP connection: what each side sent so far is its state."""

    scene: Scene
    net: Net
    client: Endpoint
    server: Endpoint
    owner: str
    sent: dict[Endpoint, int] = field(default_factory=dict)

    def _segment(self, at: int, src: Endpoint, flags: int, payload: bytes = b"", seq: int | None = None) -> None:
        dst = self.server if src == self.client else self.client
        ack = self.sent.get(dst, 0) if flags & ACK else 0
        number = self.sent[src] if seq is None else seq
        frame = self.net.tcp(src, dst, number, ack, flags, payload, self.scene.ident())
        self.scene.add(at, frame, self.owner)

    def open(self, at: int) -> None:
        """The handshake; the client's first sequence number lies shortly before the wrap."""
        self.sent = {self.client: 2**32 - 300, self.server: 5_000_000}
        self._segment(at, self.client, SYN)
        self.sent[self.client] += 1
        self._segment(at + MS, self.server, SYN | ACK)
        self.sent[self.server] += 1
        self._segment(at + 2 * MS, self.client, ACK)

    def send(self, at: int, src: Endpoint, data: bytes, cuts: Sequence[int] = (), again: int | None = None) -> None:
        """Send bytes, cut into segments at `cuts`; segment `again` is sent a second time; the peer acknowledges."""
        edges = [0, *cuts, len(data)]
        pieces = []
        for begin, end in pairwise(edges):
            pieces.append((self.sent[src], data[begin:end]))
            self.sent[src] += end - begin
        if again is not None:
            pieces.append(pieces[again])
        for number, (seq, piece) in enumerate(pieces):
            self._segment(at + number * MS, src, PSH | ACK, piece, seq)
        self._segment(at + len(pieces) * MS, self.server if src == self.client else self.client, ACK)

    def close(self, at: int) -> None:
        """Both sides end."""
        for number, side in enumerate((self.client, self.server)):
            self._segment(at + 2 * number * MS, side, FIN | ACK)
            self.sent[side] += 1
            self._segment(at + (2 * number + 1) * MS, self.server if side == self.client else self.client, ACK)
