"""The loop that runs a line: it polls records, passes reports on, moves the progress bar, and sees the end."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from lippycatd.observe import accounting

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from lippycatd._dataplane import Line
    from lippycatd.observe.progress import Bars
    from lippycatd.topology.outlet import Outlet
    from lippycatd.topology.signals import Stop

_BATCH = 4096  # records of one poll
_POLL_MS = 50  # how long a signal or a finished line may go unnoticed
_NAP = 0.05  # seconds, while lingering
_SECOND = 10**9  # ns


class Runner:
    """Runs one line to its end."""

    def __init__(  # noqa: PLR0913, PLR0917  the parts of a run
        self,
        line: Line,
        stop: Stop,
        log: FilteringBoundLogger,
        bars: Bars,
        outlet: Outlet,
        stats: Callable[[], dict[str, Any]] | None = None,
    ) -> None:
        self._line, self._stop, self._log, self._bars, self.outlet = line, stop, log, bars, outlet
        self._stats = stats or line.stats
        self._told = False
        self._watch: Callable[[], str] | None = None
        self._chores: list[Callable[[], None]] = []
        self._look = 0
        self.troubled = False

    def watch(self, look: Callable[[], str]) -> None:
        """Calls `look` about once a second; its first line that is not empty is reported as an error."""
        self._watch = look

    def chore(self, work: Callable[[], None]) -> None:
        """Calls `work` about once a second."""
        self._chores.append(work)

    def run(self, stats_interval: int) -> dict[str, Any]:
        """Runs until the inputs end, the count is reached or the user wants an end; gives the last snapshot.

        `stats_interval` is in nanoseconds, 0 for never.
        """
        self._stop.running()
        due = time.monotonic_ns() + stats_interval
        self.start()
        try:
            while self.step(_POLL_MS) is not None:
                if stats_interval and time.monotonic_ns() >= due:
                    due += stats_interval
                    self._log.info("totals", **accounting.totals(self._stats()))
        finally:
            self.end()
        return self._stats()

    def start(self) -> None:
        """Starts the line."""
        self._line.start()
        self._bars.start()

    def end(self) -> None:
        """After the last step, however it came to that."""
        self._bars.stop()
        self.outlet.close()
        self._told_by_outlet()

    def step(self, timeout_ms: int) -> int | None:
        """One poll, which waits so long for a record: how many came; None at the end."""
        over = self._line.finished()
        batch = self._line.poll(_BATCH, 0 if over else timeout_ms)
        if not self.outlet.write(batch):
            self._stop.wanted = True  # a reader that has gone ends the run as a signal does
        self._told_by_outlet()
        self._pass_on()
        self._watched()
        self._bars.update(self._line.progress())
        if self._stop.wanted and not self._told:
            self._told = True
            self._line.stop()
        return len(batch) if batch or not over else None

    def _told_by_outlet(self) -> None:
        """A file of records that has stopped."""
        line = self.outlet.trouble()
        if line:
            self.troubled = True
            self._log.error(line)

    def _pass_on(self) -> None:
        """The core's reports, each on its level; an error means that something was damaged, lost or left out."""
        for level, text in self._line.messages():
            if level == "error":
                self.troubled = True
            getattr(self._log, level, self._log.warning)(text)

    def _watched(self) -> None:
        now = time.monotonic_ns()
        if now < self._look:
            return
        self._look = now + _SECOND
        for chore in self._chores:
            chore()
        trouble = self._watch() if self._watch is not None else ""
        if trouble:
            self._watch, self.troubled = None, True
            self._log.error(trouble)

    def linger(self, duration: int) -> None:
        """Waits so many nanoseconds, less when a signal comes."""
        end = time.monotonic_ns() + duration
        while not self._stop.wanted and (left := end - time.monotonic_ns()) > 0:
            time.sleep(min(_NAP, left / 1e9))


def standard_output_is_terminal() -> bool:
    """Whether records would appear among the bars."""
    return sys.stdout is not None and sys.stdout.isatty()
