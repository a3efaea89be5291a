"""Records on standard output: JSON (one object a line), CSV with the same names, or lines for people."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import TYPE_CHECKING, Any, Literal

from lippycatd.model import records
from lippycatd.sinks import text

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

Format = Literal["text", "json", "csv"]
_DIGITS = 6  # of a float: a nanosecond in milliseconds
_WITHOUT_FLOATS = frozenset({"packet", "sip"})
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def sane(value: object) -> object:
    """Floats as short as they are exact enough, none where there is no number; bytes never leave as they are."""
    if isinstance(value, float):
        return round(value, _DIGITS) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: sane(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [sane(item) for item in value]
    return value


class Writer:
    """Formats batches of records and writes each batch at once."""

    def __init__(self, kind: records.Kind, style: Format, stream: BinaryIO) -> None:
        self._stream = stream
        self._style = style
        self._columns = records.columns(kind)
        self._clock = text.Clock()
        self._dissect: Callable[[int, bytes], dict[str, Any]] | None = None
        if kind == "packet":
            from lippycatd.sinks import dissect  # noqa: PLC0415  dpkt is only needed for packets

            self._dissect = dissect.fields
        if style == "csv":
            self._put(csv_line(self._columns))

    def write(self, batch: list[dict[str, Any]]) -> None:
        """Prints a batch, in order. Raises BrokenPipeError when the reader has gone."""
        if batch:
            self._put("".join([self._line(self._complete(record)) for record in batch]))

    def summary(self, record: dict[str, Any]) -> None:
        """Prints the accounting as the last record; JSON only."""
        if self._style == "json":
            self._put(json_line(record))

    def _complete(self, record: dict[str, Any]) -> dict[str, Any]:
        """A packet is taken apart here; its bytes are not printed. What the core knows about it comes first."""
        raw = record.pop("raw", None)
        link = record.pop("link", 0)
        if self._dissect is None or raw is None:
            return record
        whole = self._dissect(link, raw) | record
        if self._style == "text":
            return whole
        return {name: whole[name] for name in records.FIELDS["packet"] if name in whole}

    def _line(self, record: dict[str, Any]) -> str:
        if self._style == "json":
            return json_line(record)
        if self._style == "csv":
            return csv_line([cell(record.get(name)) for name in self._columns])
        return text.LINES[record["type"]](record, self._clock) + "\n"

    def _put(self, lines: str) -> None:
        self._stream.write(lines.encode("utf-8", "backslashreplace"))
        self._stream.flush()


def json_line(record: dict[str, Any]) -> str:
    """A record as one line."""
    return _encode(record if record["type"] in _WITHOUT_FLOATS else sane(record)) + "\n"


def cell(value: object) -> object:
    """A CSV cell: lists and mappings as JSON, nothing for nothing."""
    value = sane(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return _encode(value) if isinstance(value, (list, dict)) else value


def csv_line(cells: object) -> str:
    """One CSV line (RFC 4180, with a bare line feed)."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)  # type: ignore[arg-type]
    return line.getvalue()
