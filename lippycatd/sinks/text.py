"""Records as lines for people: packets as tcpdump prints them, calls as sngrep's users read them."""

from __future__ import annotations

import time
from typing import Any

_ARROW = ">"


def printable(text: str) -> str:
    """The text with everything that could steer a terminal replaced by its escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class Clock:
    """`HH:MM:SS.ffffff` in local time, as tcpdump prints it; a second is formatted once."""

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def show(self, stamp: str) -> str:
        """From decimal seconds as text."""
        whole, _, fraction = stamp.partition(".")
        second = int(whole)
        if second != self._second:
            self._second = second
            self._text = time.strftime("%H:%M:%S", time.localtime(second))
        return f"{self._text}.{fraction[:6]:0<6}"


def _sides(record: dict[str, Any]) -> str:
    """`source.port > destination.port`, as tcpdump joins them."""
    if record.get("sport") is None:
        return f"{record['src']} {_ARROW} {record['dst']}"
    return f"{record['src']}.{record['sport']} {_ARROW} {record['dst']}.{record['dport']}"


def packet(record: dict[str, Any], clock: Clock) -> str:
    """One packet: `12:00:00.000000 IP 10.0.0.1.5060 > 10.0.0.2.5060: UDP, length 400`."""
    stamp = clock.show(record["ts"])
    if not record.get("src") or not record.get("dst"):
        protocol = str(record.get("protocol") or "frame").upper()
        return f"{stamp} {protocol}, {record['info']}"
    word = "IP6" if ":" in record["src"] else "IP"
    return f"{stamp} {word} {_sides(record)}: {record['info']}"


def sip(record: dict[str, Any], clock: Clock) -> str:
    """One SIP message: time, transport, the two ends, the start line, from and to, and the Call-ID."""
    sides = _sides(record)
    if record.get("method"):
        what = f"{record['method']} {record.get('request_uri', '')}"
    else:
        what = f"{record.get('status')} {record.get('reason', '')} ({record.get('cseq_method', '')})"
    parties = f"{_party(record, 'from')} {_ARROW} {_party(record, 'to')}"
    media = " ".join(
        f"{item['media']} {item['ip']}:{item['port']}" for item in record.get("sdp") or () if item.get("port")
    )
    parts = [f"SIP/{str(record.get('transport', '')).upper()} {what.strip()}", parties]
    parts.append(f"call {record.get('call_id') or '-'}")
    if media:
        parts.append(media)
    if record.get("retransmission"):
        parts.append("retransmission")
    if record.get("problems"):
        parts.append("problems: " + ", ".join(record["problems"]))
    return printable(f"{clock.show(record['ts'])} {sides}: {' | '.join(parts)}")


def _party(record: dict[str, Any], side: str) -> str:
    user, host = record.get(f"{side}_user") or "", record.get(f"{side}_host") or ""
    return f"{user}@{host}" if user and host else user or host or "-"


def stream(record: dict[str, Any], clock: Clock) -> str:
    """One RTP stream at its end."""
    sides = _sides(record)
    codec = record.get("codec") or f"payload type {record.get('payload_type')}"
    figures = [f"{record.get('packets', 0)} packets", f"{record.get('lost', 0)} lost"]
    if record.get("jitter_ms") is not None:
        figures.append(f"jitter {record['jitter_ms']:.3f} ms")
    line = f"{clock.show(record['ts'])} {sides}: RTP stream {record.get('ssrc')} {codec} | {', '.join(figures)}"
    return printable(f"{line} | call {record.get('call_id') or '-'}")


def call(record: dict[str, Any], clock: Clock) -> str:
    """One call at its end."""
    users = f"{record.get('from_user') or '-'} {_ARROW} {record.get('to_user') or '-'}"
    final = f" ({record['final']})" if record.get("final") else ""
    line = f"{clock.show(record['ts'])} call {record.get('call_id')} | {users} | {record.get('state')}{final}"
    return printable(f"{line} | {record.get('packets', 0)} packets")


def transaction(record: dict[str, Any], clock: Clock) -> str:
    """One transaction at its end."""
    users = f"{record.get('from_user') or '-'} {_ARROW} {record.get('to_user') or '-'}"
    final = f" ({record['final']})" if record.get("final") else ""
    took = f" | {record['response_ms']:.3f} ms" if record.get("response_ms") is not None else ""
    line = f"{clock.show(record['ts'])} {_sides(record)}: {record.get('method')} {users} | {record.get('state')}{final}"
    return printable(f"{line}{took} | call {record.get('call_id') or '-'}")


def file(record: dict[str, Any], clock: Clock) -> str:
    """A call's file that is complete."""
    line = f"{clock.show(record['ts'])} file {record.get('file')} | call {record.get('call_id') or '-'}"
    return printable(f"{line} | {record.get('packets', 0)} packets, {record.get('bytes', 0)} bytes")


LINES = {"packet": packet, "sip": sip, "stream": stream, "call": call, "file": file, "transaction": transaction}
