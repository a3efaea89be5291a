"""What the helper says: one line on standard error, and the errors that carry it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lippycat_helper.wire import Status


class HelperError(Exception):
    """Cannot be done here. The text is one line: what, where, and what to do."""

    status = Status.NOT_POSSIBLE


class InUseError(HelperError):
    """The name is taken."""

    status = Status.IN_USE


class RefusedError(HelperError):
    """The policy does not permit it; the text names the policy's line or entry."""

    status = Status.REFUSED


def say(text: str) -> None:
    """Log one line. A reader that went away is no reason to end."""
    line = " ".join(text.split())
    try:
        sys.stderr.write(f"lippycat-helper: {line}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        # Standard error is gone: nobody is left to tell.
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  held for good
