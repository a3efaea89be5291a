"""The ladder of one call: who takes part, and what passes between them, in order; drawn by the modules beside it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from lippycatd.sinks.calls import sdp_changes
from lippycatd.sinks.calls.listing import duration, end, nanoseconds
from lippycatd.sinks.text import Clock, printable

if TYPE_CHECKING:
    from lippycatd.model.records import Record

LIMIT = 20_000  # messages and streams of a ladder
_WORDS = {"pdd": "PDD", "srd": "SRD"}
_MESSAGE_LIMIT = 65_536  # bytes of a message that are kept


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One arrow. `source` and `target` are places among the participants; texts are safe to show."""

    kind: str  # sip or media
    at: int  # ns
    source: int
    target: int
    label: str
    notes: tuple[str, ...]
    retransmission: bool
    message: str
    record: Record


@dataclasses.dataclass(frozen=True, slots=True)
class Ladder:
    """One call, ready to be drawn."""

    call_id: str
    title: str
    facts: tuple[str, ...]
    participants: tuple[str, ...]
    steps: tuple[Step, ...]
    left_out: int

    def clock(self, step: Step) -> str:
        """The time of day of a step, as in the list of calls."""
        return Clock().show(f"{step.at // 10**9}.{step.at % 10**9:09}")

    def since(self, place: int) -> int:
        """Ns from the step before; 0 for the first one."""
        return self.steps[place].at - self.steps[place - 1].at if place else 0


class Collector:
    """Keeps the records of a call."""

    def __init__(self) -> None:
        self._messages: list[Record] = []
        self._streams: list[Record] = []
        self._call: Record | None = None
        self.left_out = 0

    def write(self, batch: list[Record]) -> None:
        """Takes a batch."""
        for record in batch:
            if record["type"] == "call":
                self._call = record
            elif record["type"] in {"sip", "stream"}:
                kept = self._messages if record["type"] == "sip" else self._streams
                if len(self._messages) + len(self._streams) >= LIMIT:
                    self.left_out += 1
                    continue
                if "raw" in record:
                    record["raw"] = record["raw"][:_MESSAGE_LIMIT]
                kept.append(record)

    def ladder(self) -> Ladder | None:
        """The call; None where there was no message."""
        if not self._messages:
            return None
        columns = _Columns(self._messages)
        sessions = sdp_changes.Sessions()
        steps = [_message(record, columns, sessions) for record in self._messages]
        steps += [_media(record, columns) for record in self._streams if record.get("start")]
        steps.sort(key=lambda step: step.at)
        first = self._messages[0]
        return Ladder(
            call_id=printable(str(first.get("call_id") or "")),
            title=printable(f"{_party(first, 'from')} → {_party(first, 'to')}"),
            facts=tuple(map(printable, _facts(self._call, self._messages))),
            participants=tuple(map(printable, columns.names)),
            steps=tuple(steps),
            left_out=self.left_out,
        )


class _Columns:
    """The participants in the order in which they appear; media without an own column go to the address's first."""

    def __init__(self, messages: list[Record]) -> None:
        self.names: list[str] = []
        self._of_address: dict[str, int] = {}
        for record in messages:
            for side in ("src", "dst"):
                self._place(record, side)

    def _place(self, record: Record, side: str) -> int:
        address, port = str(record.get(side)), record.get("sport" if side == "src" else "dport")
        name = end(address, port)
        if name not in self.names:
            self.names.append(name)
            self._of_address.setdefault(address, len(self.names) - 1)
        return self.names.index(name)

    def ends(self, record: Record) -> tuple[int, int]:
        """Sender and receiver of a message."""
        return self._place(record, "src"), self._place(record, "dst")

    def media(self, record: Record) -> tuple[int, int]:
        """Sender and receiver of a stream."""
        places = []
        for side in ("src", "dst"):
            address = str(record.get(side))
            if address not in self._of_address:
                self._of_address[address] = len(self.names)
                self.names.append(address)
            places.append(self._of_address[address])
        return places[0], places[1]


def _party(record: Record, side: str) -> str:
    user, host = record.get(f"{side}_user") or "", record.get(f"{side}_host") or ""
    return f"{user}@{host}" if user and host else user or host or "-"


def _facts(call: Record | None, messages: list[Record]) -> list[str]:
    """State, times and figures of the call, each in a few words."""
    facts = [f"{len(messages)} messages"]
    again = sum(1 for record in messages if record.get("retransmission"))
    if again:
        facts.append(f"{again} retransmitted")
    if call is None:
        return facts
    final = f" ({call['final']})" if call.get("final") else ""
    facts.insert(0, f"{call.get('state')}{final}")
    times = {name: call.get(f"{name}_ms") for name in ("pdd", "srd", "setup")}
    times["duration"] = duration(call)
    facts += [f"{_WORDS.get(name, name)} {time / 1000:.3f} s" for name, time in times.items() if time is not None]
    if call.get("hung_up_by"):
        facts.append(f"ended by the {call['hung_up_by']}")
    if call.get("cause") is not None:
        facts.append(f"Q.850 cause {call['cause']}")
    return facts


def _message(record: Record, columns: _Columns, sessions: sdp_changes.Sessions) -> Step:
    source, target = columns.ends(record)
    found = sdp_changes.media(record)
    told = sessions.told(record, found)
    if record.get("method"):
        label = str(record["method"])
    else:
        label = f"{record.get('status')} {record.get('reason') or ''}".strip()
    if found:
        label += " (SDP)"
    notes = [] if record.get("retransmission") else [*_request(record), *told]
    if record.get("problems"):
        notes.append("problems: " + ", ".join(record["problems"]))
    return Step(
        kind="sip",
        at=nanoseconds(record["ts"]),
        source=source,
        target=target,
        label=printable(label + (" ⟳" if record.get("retransmission") else "")),
        notes=tuple(map(printable, notes)),
        retransmission=bool(record.get("retransmission")),
        message=_text(record.get("raw") or b""),
        record={name: value for name, value in record.items() if name != "raw"},
    )


def _request(record: Record) -> list[str]:
    """Whom a request addresses; an ACK goes where its INVITE's answer said."""
    method, uri = record.get("method"), record.get("request_uri")
    return [f"{method} {uri}"] if method and method != "ACK" and uri else []


def _text(raw: bytes) -> str:
    """A message with its lines, and nothing in them that steers a terminal."""
    return "\n".join(printable(line) for line in raw.decode("utf-8", "replace").replace("\r\n", "\n").split("\n"))


def quality(record: Record) -> str:
    """`150 packets, lost 2 (1.32 %), jitter 0.512 ms, MOS 4.21`."""
    expected, lost = record.get("expected") or 0, record.get("unique_lost", record.get("lost")) or 0
    share = f" ({100 * lost / expected:.2f} %)" if expected else ""
    parts = [f"{record.get('packets', 0)} packets", f"lost {lost}{share}"]
    jitter = record.get("mean_jitter_ms")
    if jitter is not None:
        parts.append(f"jitter {jitter:.3f} ms")
    mos = record.get("mos")
    parts.append(f"MOS {mos:.2f}" if mos is not None else "MOS unavailable")
    if record.get("duplicates"):
        parts.append(f"{record['duplicates']} duplicates")
    if record.get("reordered"):
        parts.append(f"{record['reordered']} reordered")
    if record.get("events"):
        parts.append(f"{record['events']} telephone events, DTMF {record.get('dtmf') or '-'}")
    return ", ".join(parts)


def _media(record: Record, columns: _Columns) -> Step:
    source, target = columns.media(record)
    codec = record.get("codec") or f"type {record.get('payload_type')}"
    length = (nanoseconds(record["end"]) - nanoseconds(record["start"])) / 1e9 if record.get("end") else 0.0
    where = f"{end(record['src'], record['sport'])} → {end(record['dst'], record['dport'])}"
    return Step(
        kind="media",
        at=nanoseconds(record["start"]),
        source=source,
        target=target,
        label=printable(f"RTP {codec} {length:.1f} s"),
        notes=(printable(f"{where} SSRC {record.get('ssrc')}"), printable(quality(record))),
        retransmission=False,
        message="",
        record=record,
    )


def as_record(ladder: Ladder) -> dict[str, Any]:
    """The ladder for programs."""
    return {
        "type": "ladder",
        "call_id": ladder.call_id,
        "title": ladder.title,
        "facts": list(ladder.facts),
        "participants": list(ladder.participants),
        "steps": [
            {
                "kind": step.kind,
                "from": ladder.participants[step.source],
                "to": ladder.participants[step.target],
                "label": step.label,
                "notes": list(step.notes),
                "since_ms": ladder.since(place) / 1e6,
                "message": step.message or None,
                "record": step.record,
            }
            for place, step in enumerate(ladder.steps)
        ],
        "left_out": ladder.left_out,
    }
