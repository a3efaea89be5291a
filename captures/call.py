"""One call, from its INVITE to its end, with its media, put into a scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from captures import media
from captures.scene import MS, Scene, Tcp, Udp
from captures.sip import Dialog, session, token
from captures.wire import Endpoint, Net

PLAIN = Net()
PADDING = tuple(("Record-Route", f"<sip:edge{n}.example.net;lr;{'x' * 160}>") for n in range(9))
"""headers that make an INVITE longer than any Ethernet frame"""


@dataclass
class Call:
    """A call between two users; the flags say what is special about it."""

    scene: Scene
    owner: str
    dialog: Dialog
    media: tuple[Endpoint, Endpoint]
    net: Net = PLAIN
    seconds: float = 4.0
    tcp: bool = False
    mux: bool = False
    long_invite: bool = False
    media_first: bool = False
    early_media: bool = False
    challenged: bool = False
    busy: bool = False
    moves_to: Endpoint | None = None
    digits: str = ""
    now: int = 0
    sent: dict[int, int] = field(default_factory=dict)
    connection: Tcp | None = None

    def signal(self, data: bytes, reverse: bool = False, cuts: Sequence[int] = (), again: int | None = None) -> None:
        """Send a SIP message, or several in one piece, at the present time; then 20 ms pass."""
        src, dst = self.dialog.local, self.dialog.remote
        if reverse:
            src, dst = dst, src
        if self.connection:
            self.connection.send(self.now, src, data, cuts, again)
        else:
            Udp(self.scene, self.net, self.owner).send(self.now, src, dst, data)
        self.now += 20 * MS

    def run(self, at: int) -> None:
        """The whole call, from `at` ns after the scene's start."""
        self.now = at
        if self.tcp:
            self.connection = Tcp(self.scene, self.net, self.dialog.local, self.dialog.remote, self.owner)
            self.connection.open(self.now)
            self.now += 10 * MS
        cseq = self._begin()
        if not self.busy:
            cseq = self._talk(cseq)
            self.signal(self.dialog.request("BYE", cseq + 1, in_dialog=True))
            self.signal(self.dialog.response(200, "BYE", cseq + 1), reverse=True)
        if self.connection:
            self.connection.close(self.now)

    def _offer(self) -> bytes:
        return b"" if self.media_first else session(self.media[0], mux=self.mux)

    def _begin(self) -> int:
        """INVITE up to the ACK; the number of the request that was answered."""
        more = PADDING if self.long_invite else ()
        cseq = 1
        if self.challenged:
            self.signal(self.dialog.request("INVITE", cseq, self._offer(), more=more))
            challenge = (("Proxy-Authenticate", 'Digest realm="example.net", nonce="4f1a"'),)
            self.signal(self.dialog.response(407, "INVITE", cseq, more=challenge), reverse=True)
            self.signal(self.dialog.request("ACK", cseq))
            cseq += 1
        invite = self.dialog.request("INVITE", cseq, self._offer(), more=more)
        if self.tcp:
            self.signal(invite, cuts=(180, len(invite) - 60), again=1)
        else:
            self.signal(invite)
        self._ring(cseq)
        if self.busy:
            self.signal(self.dialog.response(486, "INVITE", cseq), reverse=True)
            self.signal(self.dialog.request("ACK", cseq))
            return cseq
        if self.media_first:
            self._stream(self.now - 100 * MS, 5)
        answer = session(self.media[1], mux=self.mux)
        self.signal(self.dialog.response(200, "INVITE", cseq, answer), reverse=True)
        body = session(self.media[0], mux=self.mux) if self.media_first else b""
        self.signal(self.dialog.request("ACK", cseq, body, in_dialog=True))
        return cseq

    def _ring(self, cseq: int) -> None:
        """The provisional responses; over TCP they share a segment."""
        trying, ringing = (self.dialog.response(status, "INVITE", cseq) for status in (100, 180))
        if self.early_media:
            ringing = self.dialog.response(183, "INVITE", cseq, session(self.media[1], mux=self.mux))
        if self.tcp:
            self.signal(trying + ringing, reverse=True)
        else:
            self.signal(trying, reverse=True)
            self.signal(ringing, reverse=True)
        if self.early_media:
            self._stream(self.now, 20, sides=(1,))
        self.now += 400 * MS

    def _talk(self, cseq: int) -> int:
        """The media of the call, moved to another port in its middle if it says so; the last request's number."""
        packets = int(self.seconds * 50)
        if not self.moves_to:
            self._stream(self.now, packets)
            self.now += packets * 20 * MS + 5 * MS
            return cseq
        self._stream(self.now, packets // 2)
        self.now += packets // 2 * 20 * MS + 5 * MS
        self.media = (self.moves_to, self.media[1])
        offer, answer = (session(end, version=2, mux=self.mux) for end in self.media)
        self.signal(self.dialog.request("INVITE", cseq + 1, offer, in_dialog=True))
        self.signal(self.dialog.response(200, "INVITE", cseq + 1, answer), reverse=True)
        self.signal(self.dialog.request("ACK", cseq + 1, in_dialog=True))
        self._stream(self.now, packets // 2)
        self.now += packets // 2 * 20 * MS + 5 * MS
        return cseq + 1

    def _stream(self, at: int, packets: int, sides: Sequence[int] = (0, 1)) -> None:
        """RTP of both sides, an RTCP report each at the start and every 2 s, and the caller's digits."""
        for side in sides:
            src, dst = self.media[side], self.media[1 - side]
            ssrc = int(token(self.owner, side, size=8), 16)
            wire = Udp(self.scene, self.net, self.owner)
            base = at + side * 7 * MS
            first = self.sent.get(side, 65500 if side else 1)
            digits = self._digit_packets(packets) if side == 0 else {}
            for n in range(packets):
                kind, payload, stamp, marker = media.PCMU, media.TONE, first * 160 + n * 160, n == 0
                if n in digits:
                    digit, step = digits[n]
                    kind, payload = media.EVENT, media.event(digit, step, step > 3)
                    stamp, marker = stamp - step * 160, step == 0
                data = media.rtp(first + n, stamp, ssrc, payload, kind, marker)
                wire.send(base + n * 20 * MS, src, dst, data)
                if n % 100 == 10:
                    self._report(wire, base + n * 20 * MS + 3 * MS, side, ssrc, n)
            self.sent[side] = first + packets

    def _report(self, wire: Udp, at: int, side: int, ssrc: int, packets: int) -> None:
        """One RTCP compound packet, on the next port unless RTP and RTCP share one."""
        step = 0 if self.mux else 1
        src, dst = (Endpoint(end.ip, end.port + step) for end in (self.media[side], self.media[1 - side]))
        wire.send(at, src, dst, media.rtcp(ssrc, f"{side}@example.net", at, packets * 160, packets))

    def _digit_packets(self, packets: int) -> dict[int, tuple[str, int]]:
        """Which packet carries which digit: seven packets a digit (the last three its end), a digit every 10."""
        spans = {}
        for index, digit in enumerate(self.digits):
            for step in range(7):
                spans[20 + index * 10 + step] = (digit, step)
        return {n: what for n, what in spans.items() if n < packets}
