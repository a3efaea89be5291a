"""What `lippycat calls` and `lippycat call` show: they take the records of a run, and at its end print or write."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Literal, Protocol

from lippycatd.errors import Damaged
from lippycatd.sandbox import identity
from lippycatd.sinks import created
from lippycatd.sinks.calls import ladder, ladder_svg, ladder_text, listing
from lippycatd.sinks.records import csv_line, json_line

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from lippycatd.model.records import Record

Style = Literal["text", "json", "csv"]
_SAMPLE: Record = {
    "type": "sip",
    "ts": "1.000000000",
    "src": "::1",
    "sport": 1,
    "dst": "10.0.0.1",
    "dport": 2,
    "method": "電",
    "call_id": "é",
    "raw": b"x",
    "sdp": [{"media": "audio", "ip": "::1", "port": 2, "formats": ["0"]}],
}
_STREAM: Record = {
    "type": "stream",
    "ts": "1.000000000",
    "src": "::1",
    "sport": 1,
    "dst": "10.0.0.1",
    "dport": 2,
    "call_id": "é",
    "start": "1.000000000",
    "end": "2.000000000",
    "expected": 1,
    "mos": 4.0,
    "mean_jitter_ms": 0.1,
}


class View(Protocol):
    """What a run shows at its end."""

    raw: bool  # whether it wants the bytes of SIP messages

    def open(self, runs_as: identity.Identity, inputs: Collection[int]) -> None:
        """Creates what it will write, with the rights the process has now."""

    def preload(self) -> None:
        """Uses once what it will use, so that nothing is imported after the lock."""

    def write(self, batch: list[Record]) -> None:
        """Takes a batch of records."""

    def summary(self, record: dict[str, Any]) -> None:
        """Takes the accounting."""

    def show(self) -> None:
        """Prints or writes; Damaged with one line for what was left out."""


def _print(text: str) -> None:
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.buffer.flush()


class List:
    """The list of calls on standard output."""

    raw = False

    def __init__(self, style: Style, keys: Sequence[tuple[str, bool]]) -> None:
        self._style, self._keys = style, keys
        self._listing = listing.Listing()
        self._draw = {"text": listing.as_text, "json": listing.as_json, "csv": listing.as_csv}[style]

    def open(self, runs_as: identity.Identity, inputs: Collection[int]) -> None:
        """It writes no file."""

    def preload(self) -> None:
        """As View says."""
        sample = listing.Listing()
        sample.write([dict(_SAMPLE), dict(_STREAM)])
        self._draw(sample.rows(self._keys))

    def write(self, batch: list[Record]) -> None:
        """As View says."""
        self._listing.write(batch)

    def summary(self, record: dict[str, Any]) -> None:
        """The list has no accounting."""

    def show(self) -> None:
        """Prints the rows."""
        _print(self._draw(self._listing.rows(self._keys)))
        if self._listing.left_out:
            raise Damaged(
                f"more than {listing.LIMIT} calls: {self._listing.left_out} messages of others are not listed"
            )


class Ladder:
    """The ladder of one call: on standard output, and as SVG and HTML files."""

    raw = True

    def __init__(self, call_id: str, style: Style | None, *, messages: bool, files: dict[str, str]) -> None:
        """`style` None prints nothing; `files`: flag → name, for --svg and --html."""
        self._call_id, self._style, self._messages, self._names = call_id, style, messages, files
        self._files: dict[str, int] = {}
        self._collector = ladder.Collector()

    def open(self, runs_as: identity.Identity, inputs: Collection[int]) -> None:
        """Creates the files."""
        for flag, name in self._names.items():
            path = os.path.abspath(identity.expand(name, runs_as))  # noqa: PTH100  the name stays text
            with identity.opening(name, runs_as):
                fd = created.create(flag, name, path)
            self._files[flag] = fd
            created.prepare(flag, name, fd, runs_as, inputs)

    def preload(self) -> None:
        """As View says."""
        collector = ladder.Collector()
        collector.write([dict(_SAMPLE), dict(_STREAM)])
        found = collector.ladder()
        if found is not None:
            self._text(found)
            ladder_svg.html(found)

    def write(self, batch: list[Record]) -> None:
        """As View says."""
        self._collector.write([record for record in batch if record.get("call_id") == self._call_id])

    def summary(self, record: dict[str, Any]) -> None:
        """The ladder has no accounting."""

    def show(self) -> None:
        """Prints the ladder and writes the files."""
        found = self._collector.ladder()
        if found is None:
            raise Damaged(f"no call has the Call-ID {self._call_id}: lippycat calls lists them")
        if self._style is not None:
            _print(self._text(found))
        for flag, fd in self._files.items():
            text = ladder_svg.svg(found) if flag == "--svg" else ladder_svg.html(found)
            self._save(flag, fd, text.encode("utf-8", "backslashreplace"))
        if found.left_out:
            raise Damaged(f"the call is longer than {ladder.LIMIT} messages and streams: {found.left_out} are left out")

    def _text(self, found: ladder.Ladder) -> str:
        if self._style == "json":
            return json_line(ladder.as_record(found))
        if self._style == "csv":
            steps = ladder.as_record(found)["steps"]
            names = ("kind", "from", "to", "label", "since_ms")
            rows = [
                csv_line([step["record"]["ts"], *(step[name] for name in names), "; ".join(step["notes"])])
                for step in steps
            ]
            return csv_line(["ts", *names, "notes"]) + "".join(rows)
        return ladder_text.draw(found, messages=self._messages)

    def _save(self, flag: str, fd: int, data: bytes) -> None:
        try:
            with open(fd, "wb") as file:
                file.write(data)
        except OSError as error:
            raise Damaged(f"{flag}: {self._names[flag]}: {error.strerror}") from None
