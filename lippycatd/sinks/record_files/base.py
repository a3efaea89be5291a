"""What every file of records does: it takes what it is there for, counts it, and stops at the first failure."""

from __future__ import annotations

import errno
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from lippycatd.model.records import Record
    from lippycatd.sinks.record_files import Target

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Stopped(Exception):
    """A file takes no more: the reason as it is counted, and the words of the system."""

    def __init__(self, reason: str, words: str, written: int = 0) -> None:
        super().__init__(words)
        self.reason = reason
        self.written = written  # records of the batch that are whole in the file


def stopped(error: OSError, written: int) -> Stopped:
    """The reason behind an error of the system."""
    return Stopped("no_space" if error.errno in _FULL else "error", error.strerror or str(error), written)


class Counts(NamedTuple):
    """The accounting of a sink, in records; replaced as a whole, so that every reader sees it closed."""

    offered: int = 0
    written: int = 0
    queued: int = 0
    dropped: tuple[tuple[str, int], ...] = ()


class RecordFile(ABC):
    """One file, or set of files, of records. `write` and `close` never raise: what fails is counted and told once."""

    def __init__(self, target: Target) -> None:
        self.name = f"records:{target.name}"
        self._target = target
        self._types = frozenset(target.types)
        self._counts = Counts()
        self._reason = ""
        self._trouble = ""

    @property
    def paths(self) -> tuple[str, ...]:
        """Files that are opened again after the lock."""
        return ()

    def settle(self) -> None:  # noqa: B027  most files have nothing to do
        """After the drop of privileges, before the first record."""

    def write(self, batch: list[Record]) -> None:
        """Takes the records of a batch that belong here; an empty batch lets time pass."""
        wanted = [record for record in batch if record["type"] in self._types]
        if not self._reason:
            self._guarded(lambda: self._put(wanted), len(wanted))
        elif wanted:
            self._account(len(wanted), 0, 0)

    def close(self) -> None:
        """Writes out what waits, and closes."""
        if not self._reason:
            self._guarded(lambda: self._finish(), 0)  # noqa: PLW0108  the method is another one in each class
        self._release()

    def counters(self) -> dict[str, Any]:
        """`offered = written + queued + Σ dropped{reason}`, in records."""
        counts = self._counts
        return {
            "offered": counts.offered,
            "written": counts.written,
            "queued": counts.queued,
            "dropped": dict(counts.dropped),
        }

    def trouble(self) -> str:
        """One line, once, when it has stopped; else nothing."""
        line, self._trouble = self._trouble, ""
        return line

    def _guarded(self, step: Callable[[], tuple[int, int]], offered: int) -> None:
        """Runs a step that gives (newly written, waiting now)."""
        try:
            written, waiting = step()
        except Stopped as end:
            self._reason = end.reason
            self._trouble = f"--records: {self._target.name}: {end}; it ends here, at a whole record"
            written, waiting = end.written, 0
        self._account(offered, written, waiting)

    def _account(self, offered: int, written: int, waiting: int) -> None:
        old = self._counts
        offered, written = old.offered + offered, old.written + written
        lost = offered - written - waiting
        dropped = ((self._reason, lost),) if self._reason and lost else ()
        self._counts = Counts(offered, written, waiting, dropped)

    @abstractmethod
    def _put(self, batch: list[Record]) -> tuple[int, int]:
        """Takes the records; gives how many became written, and how many wait. Raises Stopped."""

    @abstractmethod
    def _finish(self) -> tuple[int, int]:
        """As `_put`, for all that waits."""

    @abstractmethod
    def _release(self) -> None:
        """Closes descriptors."""


class Clock:
    """Whether so much time has passed since the last time that it had."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due = time.monotonic() + seconds

    def due(self) -> bool:
        """True at most once in every span."""
        now = time.monotonic()
        if now < self._due:
            return False
        self._due = now + self._seconds
        return True
