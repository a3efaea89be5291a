"""The long-running program `lippycatd`. Its parts are here (topology, sandbox, observe); a later version runs it."""

from __future__ import annotations

import sys

from lippycatd.config import later
from lippycatd.errors import NotInThisVersion


def main() -> None:
    """The entry point of the `lippycatd` command: this version refuses it by name."""
    what = "the daemon; run `lippycat sniff` instead"
    sys.stderr.write(later.refusal("lippycatd", what) + "\n")
    sys.exit(NotInThisVersion.exit_code)
