"""`lippycat sniff` and `lippycat sniff voip`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from lippycatd.cli.options import with_options
from lippycatd.topology import settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lippycatd.config.load import Value


def register(app: typer.Typer, arguments: Sequence[str]) -> None:
    """Adds the commands. Where `voip` comes before every flag the options are parsed once, by that command."""
    sniff = typer.Typer(name="sniff", invoke_without_command=True)
    sniff.callback()(_only_voip if list(arguments[1:2]) == ["voip"] else with_options(_sniff, arguments))
    sniff.command("voip")(with_options(_voip, arguments))
    app.add_typer(sniff)


def _only_voip(context: typer.Context) -> None:
    """Read packets, choose some, and show, write or print them."""
    context.obj = (None, {})


def _sniff(context: typer.Context, config: str | None, given: dict[str, Value]) -> None:
    """Read packets, choose some, and show, write or print them."""
    if context.invoked_subcommand is None:
        _run(config, given, voip=False)
    else:
        context.obj = (config, given)


def _voip(context: typer.Context, config: str | None, given: dict[str, Value]) -> None:
    """Follow SIP calls with their media; selects them by user or Call-ID, and prints SIP messages and calls."""
    outer_config, outer = context.obj
    _run(config or outer_config, {**outer, **given}, voip=True)


def _run(config: str | None, given: dict[str, Value], *, voip: bool) -> None:
    from lippycatd.topology import capture  # noqa: PLC0415  only when something runs

    loaded = settings.load(config, given)
    raise typer.Exit(capture.run(loaded.config, loaded.identity, voip=voip))
