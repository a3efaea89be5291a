"""The program `lippycat-relay`: the one that may use the network. It sees only what a sink was configured for."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

NAME = "lippycat-relay"


def main() -> None:
    """The entry point of the `lippycat-relay` command."""
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")  # no code of others in a process that may be root
    gc.disable()  # nothing of what is loaded at the start is garbage; the run enables it
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs the relay and gives its exit status; whatever goes wrong is one line on standard error."""
    from lippycatd.observe import program  # noqa: PLC0415  so that importing the package costs nothing

    return program.guarded(NAME, lambda: _run(parser().parse_args(arguments)))


def _run(given: argparse.Namespace) -> int:
    from lippycatd.relay import settings  # noqa: PLC0415

    if given.version:
        from lippycatd.observe.metrics import program_version  # noqa: PLC0415

        sys.stdout.write(f"{NAME} {program_version()}\n")
        return 0
    if given.check_config:
        lines = settings.check(given.config)
        sys.stderr.writelines(f"{line}\n" for line in lines)
        return 2 if lines else 0
    from lippycatd.relay import start  # noqa: PLC0415  only when it runs

    return start.run(given.config)


def parser() -> argparse.ArgumentParser:
    """What the command takes."""
    from lippycatd.observe import program  # noqa: PLC0415
    from lippycatd.relay.settings import DEFAULT_PATH  # noqa: PLC0415

    found = program.Parser(prog=NAME, description="Send to the network what lippycatd was told to send.")
    found.add_argument("--config", metavar="FILE", default=DEFAULT_PATH, help=f"default: {DEFAULT_PATH}")
    found.add_argument("--check-config", action="store_true", help="say every mistake of the file, and end")
    found.add_argument("--version", action="store_true", help="print the version and end")
    return found
