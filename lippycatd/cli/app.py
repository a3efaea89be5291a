"""The tree of commands. A command's module is imported when it is asked for, so that each starts fast."""

from __future__ import annotations

import importlib
import itertools
from typing import TYPE_CHECKING, Annotated

import typer

from lippycatd.cli.options import files_per_call, plain_booleans
from lippycatd.config import later
from lippycatd.errors import NotInThisVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Command → the module whose `register(app)` adds it.
_MODULES = {
    "sniff": "lippycatd.cli.sniff",
    "list": "lippycatd.cli.listing",
    "show": "lippycatd.cli.show",
    "debug": "lippycatd.cli.debug",
    "policy": "lippycatd.cli.policy",
    "doctor": "lippycatd.cli.doctor",
    "calls": "lippycatd.cli.calls",
    "call": "lippycatd.cli.calls",
    "reload": "lippycatd.cli.control",
    "status": "lippycatd.cli.control",
}
_ANY = {"ignore_unknown_options": True, "allow_extra_args": True}


def _version(value: bool) -> None:  # noqa: FBT001  Typer's callback
    if value:
        from importlib.metadata import version  # noqa: PLC0415  slow, and rarely wanted

        typer.echo(f"lippycat {version('lippycatd')}")
        raise typer.Exit


def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="print the version and end", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Follow every SIP call and its media, keep what was asked for, and show it on a virtual interface."""


def refuse_later(app: typer.Typer, commands: dict[str, str]) -> None:
    """Adds commands that later versions will have; each refuses itself by name."""
    for name, what in commands.items():
        app.command(name, hidden=True, context_settings=_ANY, add_help_option=False)(_refusal(name, what))


def _refusal(name: str, what: str) -> Callable[[], None]:
    def command() -> None:
        raise NotInThisVersion(later.refusal(name, f"this command, which {what}"))

    return command


def build(arguments: Sequence[str]) -> typer.Typer:
    """The command tree; only the branch that the words before the first flag lead to."""
    path = list(itertools.takewhile(lambda word: not word.startswith("-"), arguments))
    app = typer.Typer(
        name="lippycat",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback()(_root)
    names = [path[0]] if path and path[0] in _MODULES else list(_MODULES)
    for module in dict.fromkeys(_MODULES[name] for name in names):
        importlib.import_module(module).register(app, arguments)
    refuse_later(app, later.COMMANDS)
    return app


def invoke(arguments: Sequence[str]) -> int:
    """Parses and runs; gives the exit status. Mistakes come out as exceptions."""
    arguments = plain_booleans(files_per_call(arguments))
    result = build(arguments)(args=arguments, prog_name="lippycat", standalone_mode=False)
    return result if isinstance(result, int) else 0
