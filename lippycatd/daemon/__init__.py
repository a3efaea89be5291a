"""The long-running program `lippycatd`."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def main() -> None:
    """The entry point of the `lippycatd` command."""
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")  # no code of others in a process that may be root
    gc.disable()  # nothing of what is loaded at the start is garbage; the run enables it
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs the daemon and gives its exit status; whatever goes wrong is one line on standard error."""
    from lippycatd.observe import program  # noqa: PLC0415  so that importing the package costs nothing

    return program.guarded("lippycatd", lambda: _run(_parser().parse_args(arguments)))


def _run(given: argparse.Namespace) -> int:
    from lippycatd.daemon import settings  # noqa: PLC0415

    if given.version:
        from lippycatd.observe.metrics import program_version  # noqa: PLC0415

        sys.stdout.write(f"lippycatd {program_version()}\n")
        return 0
    if given.check_config:
        lines = settings.check(given.config)
        sys.stderr.writelines(f"{line}\n" for line in lines)
        return 2 if lines else 0
    from lippycatd.daemon import start  # noqa: PLC0415  only when it runs

    return start.run(settings.wanted(given.config, watch=given.watch_config))


def _parser() -> argparse.ArgumentParser:
    from lippycatd.daemon.settings import DEFAULT_PATH  # noqa: PLC0415
    from lippycatd.observe import program  # noqa: PLC0415

    parser = program.Parser(prog="lippycatd", description="Follow SIP calls and their media, for as long as it runs.")
    parser.add_argument("--config", metavar="FILE", default=DEFAULT_PATH, help=f"default: {DEFAULT_PATH}")
    parser.add_argument("--watch-config", action="store_true", help="reload when the file changes")
    parser.add_argument("--check-config", action="store_true", help="say every mistake of the file, and end")
    parser.add_argument("--version", action="store_true", help="print the version and end")
    return parser
