"""Where records go: to standard output, into a file, or both; without names where that is asked for."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from lippycatd.model.records import Record
    from lippycatd.sinks.hep import Handover
    from lippycatd.sinks.pods import Pods
    from lippycatd.sinks.pseudonyms import Pseudonyms
    from lippycatd.sinks.record_files.base import RecordFile


class Printer(Protocol):
    """What shows records to somebody."""

    def write(self, batch: list[Record]) -> None:
        """Takes a batch. Raises BrokenPipeError when the reader has gone."""

    def summary(self, record: dict[str, Any]) -> None:
        """Takes the accounting."""


class Outlet:
    """Passes batches on. The file gets every record, also when nobody reads standard output any more."""

    def __init__(
        self,
        writer: Printer | None = None,
        file: RecordFile | None = None,
        pseudonyms: Pseudonyms | None = None,
        hep: Handover | None = None,
        pods: Pods | None = None,
    ) -> None:
        self._writer, self._file, self._pseudonyms, self._hep, self._pods = writer, file, pseudonyms, hep, pods

    def write(self, batch: list[Record]) -> bool:
        """Takes a batch, also an empty one; False when the reader of standard output has just gone."""
        if self._hep is not None:
            batch = self._hep.write(batch)
        if self._pods is not None:
            self._pods.write(batch)
        if self._pseudonyms is not None:
            batch = self._pseudonyms.apply(batch)
        if self._file is not None:
            self._file.write(batch)
        if self._writer is not None:
            try:
                self._writer.write(batch)
            except BrokenPipeError:
                self._writer = None
                return False
        return True

    def trouble(self) -> str:
        """One line, once, when the file has stopped; else nothing."""
        return self._file.trouble() if self._file is not None else ""

    def close(self) -> None:
        """Writes out what waits."""
        if self._file is not None:
            self._file.close()
        for each in (self._hep, self._pods):
            if each is not None:
                each.close()

    def summary(self, record: dict[str, Any]) -> None:
        """The accounting as the last record on standard output."""
        if self._writer is not None:
            with contextlib.suppress(BrokenPipeError):
                self._writer.summary(record)
