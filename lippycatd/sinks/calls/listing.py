"""The list of calls: one row a Call-ID, in the order of their first messages, sorted as asked for."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from lippycatd.errors import UsageError
from lippycatd.sinks.records import cell, csv_line, json_line
from lippycatd.sinks.text import Clock, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lippycatd.model.records import Record

LIMIT = 200_000  # calls that are listed; each takes about 2 KiB
FIELDS: Final = (
    *("index", "method", "from", "to", "messages", "src", "sport", "dst", "dport", "state", "final", "start"),
    *("duration_ms", "pdd_ms", "codec", "streams", "mos", "lost", "loss_percent", "jitter_ms", "call_id"),
)
MEANING: Final[dict[str, str]] = {
    "index": "number in the order of the first messages, from 1",
    "method": "method of the first message",
    "from": "user and host of From",
    "to": "user and host of To",
    "messages": "SIP messages, retransmissions too",
    "src": "sender of the first message",
    "sport": "its port",
    "dst": "receiver of the first message",
    "dport": "its port",
    "state": "state of the call; without an INVITE how its last transaction ended",
    "final": "final status",
    "start": "time of the first message",
    "duration_ms": "the answer to the end, in ms",
    "pdd_ms": "post-dial delay, in ms",
    "codec": "codecs of its streams",
    "streams": "number of RTP streams",
    "mos": "the worst MOS of its streams",
    "lost": "packets lost in all its streams",
    "loss_percent": "loss of its worst stream, in percent",
    "jitter_ms": "the worst mean jitter of its streams, in ms",
    "call_id": "Call-ID",
}
_CHALLENGES = frozenset({401, 407})
_FINAL, _SUCCESS, _FAILURE = 200, 299, 300


@dataclasses.dataclass(slots=True)
class Row:
    """One call while its records come."""

    first: Record
    messages: int = 0
    call: Record | None = None
    invite: bool = False
    status: int | None = None
    streams: int = 0
    codecs: tuple[str, ...] = ()
    mos: float | None = None
    lost: int = 0
    loss: float | None = None
    jitter: float | None = None

    def add(self, record: Record) -> None:
        """A further record of the call."""
        kind = record["type"]
        if kind == "sip":
            self.messages += 1
            self.invite = self.invite or record.get("cseq_method") == "INVITE"
            status = record.get("status")
            if status is not None and status >= _FINAL:
                self.status = status
        elif kind == "call":
            self.call = record
        elif kind == "stream":
            self._stream(record)

    def _stream(self, record: Record) -> None:
        self.streams += 1
        codec = record.get("codec")
        if codec and codec not in self.codecs:
            self.codecs = (*self.codecs, codec)
        self.mos = _worst(min, self.mos, record.get("mos"))
        self.jitter = _worst(max, self.jitter, record.get("mean_jitter_ms"))
        expected, lost = record.get("expected") or 0, record.get("unique_lost", record.get("lost")) or 0
        self.lost += lost
        if expected:
            self.loss = _worst(max, self.loss, 100 * lost / expected)

    def fields(self, index: int) -> dict[str, Any]:
        """The row as a record."""
        first, call = self.first, self.call or {}
        state, final = (call.get("state"), call.get("final")) if self.invite else (self._outcome(), self.status)
        return {
            "type": "listed",
            "index": index,
            "method": first.get("method") or first.get("cseq_method"),
            "from": _party(first, "from"),
            "to": _party(first, "to"),
            "messages": self.messages,
            **{name: first.get(name) for name in ("src", "sport", "dst", "dport")},
            "state": state or self._outcome(),
            "final": final,
            "start": first["ts"],
            "duration_ms": duration(call),
            "pdd_ms": call.get("pdd_ms"),
            "codec": ",".join(self.codecs) or None,
            "streams": self.streams,
            "mos": self.mos,
            "lost": self.lost if self.streams else None,
            "loss_percent": None if self.loss is None else round(self.loss, 3),
            "jitter_ms": self.jitter,
            "call_id": first.get("call_id"),
        }

    def _outcome(self) -> str:
        """How the last transaction ended, in the words of transaction records."""
        if self.status is None:
            return "pending"
        if self.status in _CHALLENGES:
            return "challenged"
        return "completed" if self.status <= _SUCCESS else "failed"


def _worst(choose: Any, old: float | None, new: float | None) -> float | None:  # noqa: ANN401  min or max
    return new if old is None else old if new is None else choose(old, new)


def _party(record: Record, side: str) -> str | None:
    user, host = record.get(f"{side}_user"), record.get(f"{side}_host")
    return f"{user}@{host}" if user and host else user or host


def nanoseconds(stamp: str) -> int:
    """From decimal seconds as text with nine digits."""
    whole, _, fraction = stamp.partition(".")
    return int(whole) * 10**9 + int(f"{fraction:0<9}"[:9])


def duration(call: Record) -> float | None:
    """The answer of a call to its end, in ms."""
    if call.get("duration_ms") is not None:
        return float(call["duration_ms"])
    answer, end = call.get("answer"), call.get("end")
    return (nanoseconds(end) - nanoseconds(answer)) / 1e6 if answer and end else None


class Listing:
    """Collects records, then gives the rows."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self.left_out = 0  # calls above the limit

    def write(self, batch: list[Record]) -> None:
        """Takes a batch."""
        for record in batch:
            call_id = record.get("call_id") or ""
            row = self._rows.get(call_id)
            if row is None:
                if record["type"] != "sip":
                    continue  # a stream without signalling, or a call above the limit
                if len(self._rows) >= LIMIT:
                    self.left_out += 1
                    continue
                row = self._rows[call_id] = Row(record)
                record.pop("raw", None)
            row.add(record)

    def rows(self, keys: Sequence[tuple[str, bool]] = ()) -> list[dict[str, Any]]:
        """All rows, sorted by the keys (field, whether from high to low); what has no value comes last."""
        rows = [row.fields(index) for index, row in enumerate(self._rows.values(), 1)]
        for field, down in reversed(keys):
            there = [row for row in rows if row[field] is not None]
            there.sort(key=lambda row: row[field], reverse=down)
            rows = there + [row for row in rows if row[field] is None]
        return rows


def sort_keys(text: str) -> list[tuple[str, bool]]:
    """`-mos,start`: from high to low with a minus. UsageError for a field that a row does not have."""
    keys = []
    for word in filter(None, (word.strip() for word in text.split(","))):
        name = word.removeprefix("-")
        if name not in FIELDS:
            raise UsageError(f"--sort: {name} is none of {', '.join(FIELDS)}")
        keys.append((name, word != name))
    return keys


def as_json(rows: list[dict[str, Any]]) -> str:
    """One object a line."""
    return "".join(json_line(row) for row in rows)


def as_csv(rows: list[dict[str, Any]]) -> str:
    """A header and a line a row."""
    return csv_line(FIELDS) + "".join(csv_line([cell(row[name]) for name in FIELDS]) for row in rows)


_COLUMNS: Final = (
    *("#", "Method", "From", "To", "Msgs", "Source", "Destination", "State", "Start", "Duration", "PDD", "Codec"),
    *("MOS", "Loss", "Call-ID"),
)
_RIGHT: Final = frozenset({"#", "Msgs", "Duration", "PDD", "MOS", "Loss"})


def as_text(rows: list[dict[str, Any]]) -> str:
    """A table for people, as wide as it needs to be."""
    from rich.cells import cell_len  # noqa: PLC0415  only for text

    clock = Clock()
    table = [list(_COLUMNS), *([printable(text) for text in _texts(row, clock)] for row in rows)]
    widths = [max(cell_len(line[place]) for line in table) for place in range(len(_COLUMNS))]
    lines = []
    for line in table:
        cells = []
        for name, width, text in zip(_COLUMNS, widths, line, strict=True):
            space = " " * (width - cell_len(text))
            cells.append(space + text if name in _RIGHT else text + space)
        lines.append("  ".join(cells).rstrip() + "\n")
    return "".join(lines)


def end(address: object, port: object) -> str:
    """`10.0.0.1:5060`, `[2001:db8::1]:5060`."""
    return f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}"


def seconds(milliseconds: float | None) -> str:
    """`1:02:03`, `3.5 s`, `20 ms`; a minus for nothing."""
    if milliseconds is None:
        return "-"
    if milliseconds < 1000:  # noqa: PLR2004  ms of a second
        return f"{milliseconds:.0f} ms"
    if milliseconds < 60_000:  # noqa: PLR2004  ms of a minute
        return f"{milliseconds / 1000:.1f} s"
    minutes, left = divmod(round(milliseconds / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def _texts(row: dict[str, Any], clock: Clock) -> list[str]:
    final = f" {row['final']}" if row["final"] and row["state"] not in {"ended", "answered"} else ""
    loss = f"{row['loss_percent']:.2f}%" if row["loss_percent"] is not None else "-"
    return [
        str(row["index"]),
        row["method"] or "-",
        row["from"] or "-",
        row["to"] or "-",
        str(row["messages"]),
        end(row["src"], row["sport"]),
        end(row["dst"], row["dport"]),
        f"{row['state']}{final}",
        clock.show(row["start"])[:12],
        seconds(row["duration_ms"]),
        seconds(row["pdd_ms"]),
        row["codec"] or "-",
        f"{row['mos']:.2f}" if row["mos"] is not None else "-",
        loss,
        row["call_id"] or "-",
    ]
