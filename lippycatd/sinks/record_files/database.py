"""Records in an SQLite file: one table a type, written in transactions, so a reader always finds whole records.

The file and its rollback journal (`FILE-journal`, empty between transactions) are created before privileges are
dropped, and the journal is truncated instead of removed: so the process needs no right to the directory. Until
`settle` finds that the file can be opened again by its name, the database is held open and locked for itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from typing import TYPE_CHECKING, Any

from lippycatd.errors import NotPossible
from lippycatd.model import records
from lippycatd.sinks import created
from lippycatd.sinks.record_files.base import Clock, RecordFile, Stopped
from lippycatd.sinks.records import sane

if TYPE_CHECKING:
    from collections.abc import Collection

    from lippycatd.model.records import Record
    from lippycatd.sandbox.identity import Identity
    from lippycatd.sinks.record_files import Target

FLAG = "--records"
_WAIT = 1.0  # seconds that a record waits for its transaction to end
_BATCH = 10_000  # records of a transaction at most
_BUSY_MS = 100  # how long the end of a transaction waits for a reader before it is put off
_LAST_WAIT_MS = 10_000  # the same for the last one
_BUSY_LIMIT = 10 * _BATCH
_INTEGERS = frozenset(
    [
        "frame",
        "sport",
        "dport",
        "status",
        "cseq",
        "content_length",
        "payload_type",
        "packets",
        "bytes",
        "expected",
        "lost",
        "unique_lost",
        "duplicates",
        "reordered",
        "events",
        "final",
        "retransmission",
    ]
)
_REALS = frozenset({"mos", "r_factor"})
_INDICES = ("call_id", "ts", "start", "from_user", "to_user", "state", "method")


def affinity(field: str) -> str:
    """The type of a column, by the field's name; none for what is not known, which keeps values as they come."""
    if field in _INTEGERS:
        return "INTEGER"
    if field in _REALS or field.endswith("_ms"):
        return "REAL"
    return ""


def schema(kind: str) -> list[str]:
    """The statements that make a type's table and its indices, where they are not there."""
    table, fields = records.TABLES[kind], records.FIELDS[kind]
    columns = ", ".join(f'"{field}" {affinity(field)}'.rstrip() for field in fields)
    indices = [
        f'CREATE INDEX IF NOT EXISTS "{table}_{field}" ON "{table}" ("{field}")'
        for field in _INDICES
        if field in fields
    ]
    return [f'CREATE TABLE IF NOT EXISTS "{table}" ({columns})', *indices]


class Database(RecordFile):
    """One SQLite file."""

    def __init__(self, target: Target, path: str, connection: sqlite3.Connection) -> None:
        super().__init__(target)
        self._path = path
        self._connection = connection
        self._clock = Clock(_WAIT)
        self._waiting = 0
        self._due = _BATCH
        self._inserts = {kind: _insert(kind) for kind in target.types}

    @property
    def paths(self) -> tuple[str, ...]:
        """The database and its journal."""
        return (self._path, _journal(self._path))

    def settle(self) -> None:
        """Others may read the file while it grows, where this process can still open it by its name."""
        if os.access(self._path, os.R_OK | os.W_OK) and os.access(_journal(self._path), os.R_OK | os.W_OK):
            self._connection.execute("PRAGMA locking_mode = NORMAL")
            self._connection.execute("SELECT count(*) FROM meta").fetchone()  # the lock goes with the next reading

    def _put(self, batch: list[Record]) -> tuple[int, int]:
        try:
            if batch and not self._connection.in_transaction:
                self._connection.execute("BEGIN IMMEDIATE")
            for record in batch:
                fields, statement = self._inserts[record["type"]]
                self._connection.execute(statement, [_value(record.get(field)) for field in fields])
            self._waiting += len(batch)
        except sqlite3.Error as error:
            raise self._stopped(error) from None
        if self._waiting >= self._due or (self._waiting and self._clock.due()):
            return self._commit()
        return 0, self._waiting

    def _commit(self) -> tuple[int, int]:
        """Ends the transaction; while a reader holds the file it goes on growing, within bounds."""
        try:
            self._connection.commit()
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_BUSY and self._waiting < _BUSY_LIMIT:
                self._due = self._waiting + _BATCH
                return 0, self._waiting
            raise self._stopped(error) from None
        written, self._waiting, self._due = self._waiting, 0, _BATCH
        return written, 0

    def _finish(self) -> tuple[int, int]:
        self._connection.execute(f"PRAGMA busy_timeout = {_LAST_WAIT_MS}")
        written, waiting = self._commit()
        if waiting:
            raise self._stopped(sqlite3.OperationalError("a reader held the file for too long"))
        return written, 0

    def _stopped(self, error: sqlite3.Error) -> Stopped:
        """What was not committed is gone: the file holds whole transactions."""
        full = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL
        self._waiting = 0
        with contextlib.suppress(sqlite3.Error):  # it may be rolled back already
            self._connection.rollback()
        return Stopped("no_space" if full else "error", "no space left" if full else str(error))

    def _release(self) -> None:
        self._connection.close()


def _insert(kind: str) -> tuple[tuple[str, ...], str]:
    fields = records.FIELDS[kind]
    names = ", ".join(f'"{field}"' for field in fields)
    return fields, f'INSERT INTO "{records.TABLES[kind]}" ({names}) VALUES ({", ".join("?" * len(fields))})'  # noqa: S608


def _value(value: object) -> Any:  # noqa: ANN401  what SQLite stores
    value = sane(value)
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return value


def _journal(path: str) -> str:
    return f"{path}-journal"


def create(target: Target, path: str, runs_as: Identity, inputs: Collection[int], *, append: bool) -> Database:
    """Creates the file and its journal, opens the database and makes its tables. NotPossible with one line."""
    for name, place, empty in ((target.name, path, not append), (_journal(target.name), _journal(path), not append)):
        fd = created.create(FLAG, name, place)
        try:
            created.prepare(FLAG, name, fd, runs_as, inputs, empty=empty)
        finally:
            os.close(fd)
    try:
        connection = sqlite3.connect(path, timeout=_BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
        _prepare(connection, target)
    except sqlite3.Error as error:
        raise NotPossible(f"{FLAG}: {target.name}: {error}") from None
    return Database(target, path, connection)


def _prepare(connection: sqlite3.Connection, target: Target) -> None:
    """Settings, the version, tables; a file of another version is refused, new fields are added."""
    for setting in (
        "locking_mode = EXCLUSIVE",
        "journal_mode = TRUNCATE",
        "synchronous = NORMAL",
        "temp_store = MEMORY",
        "cache_spill = OFF",
    ):
        connection.execute(f"PRAGMA {setting}")
    connection.execute("BEGIN IMMEDIATE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version not in (0, records.SCHEMA_VERSION):
        raise NotPossible(f"{FLAG}: {target.name}: has schema {version}, not {records.SCHEMA_VERSION}; move it away")
    connection.execute(f"PRAGMA user_version = {records.SCHEMA_VERSION}")
    connection.execute("CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT)")
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('schema_version', ?)", [str(records.SCHEMA_VERSION)])
    for kind in target.types:
        make, *indices = schema(kind)
        connection.execute(make)
        there = {row[1] for row in connection.execute(f'PRAGMA table_info("{records.TABLES[kind]}")')}
        for field in records.FIELDS[kind]:
            if field not in there:
                connection.execute(f'ALTER TABLE "{records.TABLES[kind]}" ADD COLUMN "{field}" {affinity(field)}')
        for statement in indices:
            connection.execute(statement)
    connection.commit()
