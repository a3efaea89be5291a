"""JSON lines, and CSV with one file a type: `calls.csv` becomes `calls.calls.csv` and so on."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from lippycatd.errors import NotPossible
from lippycatd.model import records
from lippycatd.sinks import created
from lippycatd.sinks.record_files.base import RecordFile, Stopped, stopped
from lippycatd.sinks.records import cell, csv_line, json_line

if TYPE_CHECKING:
    from collections.abc import Collection

    from lippycatd.model.records import Record
    from lippycatd.sandbox.identity import Identity
    from lippycatd.sinks.record_files import Target

FLAG = "--records"
_BLOCK = 1 << 16


class Tail:
    """The end of a file that only ever holds whole lines."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        state = os.fstat(fd)
        self._regular = stat.S_ISREG(state.st_mode)
        self._end = self._mended() if self._regular else 0

    def _mended(self) -> int:
        """The size, after what a crash left of a last line is gone."""
        end = place = os.lseek(self._fd, 0, os.SEEK_END)
        while place:
            start = max(0, place - _BLOCK)
            found = os.pread(self._fd, place - start, start).rfind(b"\n")
            if found >= 0:
                place = start + found + 1
                break
            place = start
        if place != end:
            os.ftruncate(self._fd, place)
        return os.lseek(self._fd, place, os.SEEK_SET)

    def begins_with(self, line: bytes) -> bool:
        """Whether the file is empty, or its first line is this one."""
        return self.empty or os.pread(self._fd, len(line), 0) == line

    @property
    def empty(self) -> bool:
        """Whether nothing was written yet."""
        return self._end == 0

    def append(self, lines: list[bytes]) -> None:
        """Writes all lines. Where that fails the file ends with the last whole one, and Stopped tells how many are."""
        data = memoryview(b"".join(lines))
        done = 0
        try:
            while done < len(data):
                done += os.write(self._fd, data[done:])
        except OSError as error:
            whole, size = _whole(lines, done)
            self._end += size
            if self._regular:
                os.ftruncate(self._fd, self._end)
            raise stopped(error, whole) from None
        self._end += done

    def close(self) -> None:
        """Gives the descriptor back."""
        os.close(self._fd)


def _whole(lines: list[bytes], done: int) -> tuple[int, int]:
    """How many lines, and how many bytes of them, are whole within so many bytes."""
    count = size = 0
    for line in lines:
        if size + len(line) > done:
            break
        count, size = count + 1, size + len(line)
    return count, size


class JsonLines(RecordFile):
    """One object a line; the first line names the version of the schema."""

    def __init__(self, target: Target, tail: Tail) -> None:
        super().__init__(target)
        self._tail = tail
        if tail.empty:
            _head(target, tail, json_line({"type": "schema", "version": records.SCHEMA_VERSION}))

    def _put(self, batch: list[Record]) -> tuple[int, int]:
        self._tail.append([json_line(record).encode("utf-8", "backslashreplace") for record in batch])
        return len(batch), 0

    def _finish(self) -> tuple[int, int]:
        return 0, 0

    def _release(self) -> None:
        self._tail.close()


class Csv(RecordFile):
    """One file for each type, with the type's fields as its header."""

    def __init__(self, target: Target, tails: dict[str, Tail]) -> None:
        super().__init__(target)
        self._tails = tails
        for kind, tail in tails.items():
            if tail.empty:
                _head(target, tail, csv_line(records.FIELDS[kind]))

    def _put(self, batch: list[Record]) -> tuple[int, int]:
        written = 0
        for kind, tail in self._tails.items():
            fields = records.FIELDS[kind]
            lines = [
                csv_line([cell(record.get(name)) for name in fields]) for record in batch if record["type"] == kind
            ]
            try:
                tail.append([line.encode("utf-8", "backslashreplace") for line in lines])
            except Stopped as end:
                end.written += written
                raise
            written += len(lines)
        return written, 0

    def _finish(self) -> tuple[int, int]:
        return 0, 0

    def _release(self) -> None:
        for tail in self._tails.values():
            tail.close()


def _head(target: Target, tail: Tail, line: str) -> None:
    try:
        tail.append([line.encode()])
    except Stopped as end:
        raise NotPossible(f"{FLAG}: {target.name}: {end}") from None


def csv_name(name: str, kind: str) -> str:
    """The name of a type's file."""
    stem, ending = os.path.splitext(name)  # noqa: PTH122  the name stays text
    return f"{stem}.{records.TABLES[kind]}{ending}"


def create(target: Target, path: str, runs_as: Identity, inputs: Collection[int], *, append: bool) -> JsonLines | Csv:
    """Opens the file or files. With `append` a line that a crash cut short is removed."""
    if target.style == "jsonl":
        return JsonLines(target, _open(target.name, path, runs_as, inputs, append=append))
    tails: dict[str, Tail] = {}
    for kind in target.types:
        name = csv_name(target.name, kind)
        tails[kind] = _open(name, csv_name(path, kind), runs_as, inputs, append=append)
        if not tails[kind].begins_with(csv_line(records.FIELDS[kind]).encode()):
            raise NotPossible(f"{FLAG}: {name}: holds other columns; move it away")
    return Csv(target, tails)


def _open(name: str, path: str, runs_as: Identity, inputs: Collection[int], *, append: bool) -> Tail:
    fd = created.create(FLAG, name, path, os.O_RDWR if append else os.O_WRONLY)
    try:
        created.prepare(FLAG, name, fd, runs_as, inputs, empty=not append)
        return Tail(fd)
    except BaseException:
        os.close(fd)
        raise
