"""Reports on standard error, through structlog: for people on a terminal, one JSON object a line elsewhere.

A long run whose standard error is systemd's journal writes entries with fields of their own.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import TYPE_CHECKING, Any, TextIO, cast

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

    from lippycatd.config.sections import Logging
    from lippycatd.observe.journal import Journal

    Hide = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class Limiter:
    """Lets an event that repeats itself through so often in a while, and counts the rest."""

    BURST, WINDOW, EVENTS = 10, 30.0, 256  # times, seconds, events remembered
    ALWAYS = frozenset({"target", "totals", "reloaded"})  # each of them says something of its own

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[float, int, int]] = {}  # event → (window's begin, said, left out)
        self.left_out = 0

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """As a processor of structlog."""
        name, now = str(event.get("event", "")), self._clock()
        if name in self.ALWAYS:
            return event
        begun, said, hidden = self._seen.pop(name, (now, 0, 0))
        if now - begun >= self.WINDOW:
            if hidden:
                event["left_out"] = hidden
            begun, said, hidden = now, 0, 0
        admitted = said < self.BURST
        self._seen[name] = (begun, said + admitted, hidden + (not admitted))
        if len(self._seen) > self.EVENTS:
            self._seen.pop(next(iter(self._seen)))
        if not admitted:
            self.left_out += 1
            raise structlog.DropEvent
        return event

    def rest(self) -> dict[str, int]:
        """What was left out and not said since, and forgets it."""
        found = {name: hidden for name, (_, _, hidden) in self._seen.items() if hidden}
        self._seen = {name: (begun, said, 0) for name, (begun, said, _) in self._seen.items()}
        return found


class Reports:
    """The reports of a process that runs for long: another level while it runs, repetitions left out and counted."""

    def __init__(self, section: Logging, stream: TextIO | None = None, hide: Hide | None = None) -> None:
        self.level = section.level
        self.limiter = Limiter()
        before: list[Processor] = [self._filter, self.limiter]
        if hide is not None:
            before.append(lambda _logger, _method, event: hide([dict(event)])[0])
        out = stream or sys.stderr
        self._journal = None if _console(section, out) or section.format == "json" else _journal(out)
        self.logger = _logger(section, out, "debug", before, self._journal)

    def _filter(self, _logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        if LEVELS.get(method, logging.INFO) < LEVELS[self.level]:
            raise structlog.DropEvent
        return event

    def close(self) -> None:
        """Ends the connection to the journal; reports go to standard error from now on."""
        if self._journal is not None:
            self._journal.close()

    def flush(self) -> None:
        """Says what was left out since it was last said."""
        for name, count in self.limiter.rest().items():
            self.logger.info("repeated and left out", repeated=name, times=count)


def configure(section: Logging, stream: TextIO | None = None) -> FilteringBoundLogger:
    """A logger as the section describes it, on `stream` (standard error). Nothing global changes."""
    return _logger(section, stream or sys.stderr, section.level, [])


class _Sink:
    """What is behind a logger: the journal, else lines on a stream."""

    def __init__(self, stream: TextIO, journal: Journal | None) -> None:
        self._stream, self._journal = stream, journal

    def msg(self, line: str = "", **event: object) -> None:
        """One report: a finished line, or fields for the journal."""
        if self._journal is not None and self._journal.send(event):
            return
        try:
            self._stream.write((line or json.dumps(event, default=str)) + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            return  # nobody can be told

    debug = info = warning = error = critical = msg


def _console(section: Logging, out: TextIO) -> bool:
    """Whether a person reads it."""
    return section.format == "console" or (section.format == "auto" and out.isatty())


def _logger(
    section: Logging, out: TextIO, level: str, before: list[Processor], found: Journal | None = None
) -> FilteringBoundLogger:
    """A logger; with a journal it writes entries there."""
    console = _console(section, out)
    processors: list[Processor] = [
        *before,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if console:
        processors.append(structlog.dev.ConsoleRenderer(colors=out.isatty(), pad_event_to=0))
    elif found is None:
        processors.append(structlog.processors.JSONRenderer(sort_keys=False))
    logger = structlog.wrap_logger(
        _Sink(out, found),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        context_class=dict,
    )
    return cast("FilteringBoundLogger", logger)


def _journal(out: TextIO) -> Journal | None:
    from lippycatd.observe import journal  # noqa: PLC0415  only where standard error may be one

    try:
        return journal.Journal() if journal.is_journal(out) else None
    except OSError:
        return None
