"""Reports on standard error, through structlog: for people on a terminal, one JSON object a line elsewhere."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, TextIO, cast

import structlog

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger, Processor

    from lippycatd.config.sections import Logging

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def configure(section: Logging, stream: TextIO | None = None) -> FilteringBoundLogger:
    """A logger as the section describes it, on `stream` (standard error). Nothing global changes."""
    out = stream or sys.stderr
    console = section.format == "console" or (section.format == "auto" and out.isatty())
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if console:
        processors.append(structlog.dev.ConsoleRenderer(colors=out.isatty(), pad_event_to=0))
    else:
        processors.append(structlog.processors.JSONRenderer(sort_keys=False))
    logger = structlog.wrap_logger(
        structlog.PrintLogger(out),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[section.level]),
        context_class=dict,
    )
    return cast("FilteringBoundLogger", logger)
