"""The command line: `lippycat`, or `lc` for short."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typer.exceptions import TyperException


def main() -> None:
    """The entry point of the `lippycat` command."""
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")  # no code of others in a process that may be root
    gc.disable()  # nothing of what is loaded at the start is garbage; the run enables it
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Runs one command and gives its exit status; whatever goes wrong is one line on standard error."""
    from typer.exceptions import TyperException  # noqa: PLC0415  so that importing the package costs nothing

    from lippycatd.cli import app  # noqa: PLC0415
    from lippycatd.errors import LippycatError  # noqa: PLC0415

    try:
        return app.invoke(list(arguments))
    except LippycatError as error:
        _complain(str(error))
        return error.exit_code
    except TyperException as error:
        _complain(_usage(error))
        return 2
    except (KeyboardInterrupt, BrokenPipeError):
        return 0  # the user, or the reader of the output, wanted the end
    except Exception as error:  # noqa: BLE001  the last resort: a user never sees a traceback
        _complain(f"internal error: {type(error).__name__}: {' '.join(str(error).split())}; please report it")
        return 1


def _usage(error: TyperException) -> str:
    """One line for a mistake that the parser found; a flag of a later version is refused by name."""
    from lippycatd.config import later  # noqa: PLC0415

    flag = getattr(error, "option_name", "")
    coming = later.by_flag(flag) if flag else None
    return later.refusal(flag, coming.what) if coming else " ".join(error.format_message().split())


def _complain(line: str) -> None:
    """One line on standard error, whatever the text holds."""
    text = line.encode("utf-8", "backslashreplace").decode().replace("\n", " ")
    sys.stderr.write(f"lippycat: {text}\n")
