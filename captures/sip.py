"""SIP messages (RFC 3261) and session descriptions (RFC 4566) of one dialog, as bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from captures.wire import Endpoint

DOMAIN = "example.net"
REASONS = {
    100: "Trying",
    180: "Ringing",
    183: "Session Progress",
    200: "OK",
    401: "Unauthorized",
    404: "Not Found",
    407: "Proxy Authentication Required",
    486: "Busy Here",
    487: "Request Terminated",
}
COMPACT = {
    "Via": "v",
    "From": "f",
    "To": "t",
    "Call-ID": "i",
    "Contact": "m",
    "Content-Type": "c",
    "Content-Length": "l",
}


def token(*parts: object, size: int = 10) -> str:
    """A name for branches and tags that follows from its parts alone."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:size]


def uri(user: str) -> str:
    """The SIP URI of a user of this domain."""
    return f"sip:{user}@{DOMAIN}"


def session(media: Endpoint, direction: str = "sendrecv", version: int = 1, mux: bool = False) -> bytes:
    """A session description with one audio stream: PCMU and telephone events."""
    family = "IP6" if ":" in media.ip else "IP4"
    lines = [
        "v=0",
        f"o=- 7000 {version} IN {family} {media.ip}",
        "s=-",
        f"c=IN {family} {media.ip}",
        "t=0 0",
        f"m=audio {media.port} RTP/AVP 0 101",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        f"a={direction}",
    ]
    if mux:
        lines.append("a=rtcp-mux")
    return "".join(line + "\r\n" for line in lines).encode()


@dataclass
class Dialog:
    """Who talks to whom; makes the requests and the responses to them."""

    caller: str
    callee: str
    call_id: str
    local: Endpoint
    remote: Endpoint
    transport: str = "UDP"
    compact: bool = False
    display: str = ""
    extra: list[tuple[str, str]] = field(default_factory=list)

    def _render(self, first: str, headers: list[tuple[str, str]], body: bytes) -> bytes:
        if body:
            headers.append(("Content-Type", "application/sdp"))
        headers.append(("Content-Length", str(len(body))))
        lines = [first]
        for name, value in headers:
            lines.append(f"{COMPACT.get(name, name) if self.compact else name}: {value}")
        return "\r\n".join([*lines, "", ""]).encode() + body

    def _headers(self, method: str, cseq: int, to_tag: bool, reverse: bool) -> list[tuple[str, str]]:
        sender = self.remote if reverse else self.local
        branch = "z9hG4bK" + token(self.call_id, method, cseq, reverse)
        caller = f'"{self.display}" <{uri(self.caller)}>' if self.display else f"<{uri(self.caller)}>"
        caller += ";tag=" + token(self.call_id, "caller")
        callee = f"<{uri(self.callee)}>" + (";tag=" + token(self.call_id, "callee") if to_tag else "")
        return [
            ("Via", f"SIP/2.0/{self.transport} {sender.uri_host}:{sender.port};branch={branch};rport"),
            ("From", callee if reverse else caller),
            ("To", caller if reverse else callee),
            ("Call-ID", self.call_id),
            ("CSeq", f"{cseq} {method}"),
        ]

    def request(
        self,
        method: str,
        cseq: int,
        body: bytes = b"",
        *,
        in_dialog: bool = False,
        reverse: bool = False,
        more: tuple[tuple[str, str], ...] = (),
    ) -> bytes:
        """A request of the caller, or of the callee when `reverse`."""
        sender = self.remote if reverse else self.local
        headers = self._headers(method, cseq, in_dialog, reverse)
        headers.insert(1, ("Max-Forwards", "70"))
        headers.append(("Contact", f"<sip:{sender.uri_host}:{sender.port}>"))
        headers += [*self.extra, *more] if not in_dialog else more
        target = uri(self.caller if reverse else self.callee)
        if method == "REGISTER":
            target = f"sip:{DOMAIN}"
        return self._render(f"{method} {target} SIP/2.0", headers, body)

    def response(
        self,
        status: int,
        method: str,
        cseq: int,
        body: bytes = b"",
        *,
        reverse: bool = False,
        more: tuple[tuple[str, str], ...] = (),
    ) -> bytes:
        """The response to such a request; `reverse` as in the request."""
        headers = self._headers(method, cseq, status > 100, reverse)
        sender = self.local if reverse else self.remote
        headers.append(("Contact", f"<sip:{sender.uri_host}:{sender.port}>"))
        headers += more
        return self._render(f"SIP/2.0 {status} {REASONS[status]}", headers, body)
