"""`lippycat show config`: the effective configuration, each value with its origin."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from lippycatd.cli.options import with_options
from lippycatd.config import SETTINGS
from lippycatd.topology import settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lippycatd.config import Config
    from lippycatd.config.load import Value


def register(app: typer.Typer, arguments: Sequence[str]) -> None:
    """Adds the commands."""
    show = typer.Typer(name="show", no_args_is_help=True, help="Show what the program knows.")
    show.callback()(_nothing)
    show.command("config")(with_options(_config, arguments))
    app.add_typer(show)


def _nothing() -> None:
    """Show what the program knows."""


def _config(_context: typer.Context, config: str | None, given: dict[str, Value]) -> None:
    """Print the effective configuration: every key, its value, and where the value comes from."""
    loaded = settings.load(config, given)
    rows = effective(loaded.config)
    if loaded.config.output.format == "json":
        typer.echo(json.dumps({key: {"value": value, "origin": origin} for key, value, origin in rows}, indent=2))
        return
    if loaded.config.output.format == "csv":
        for row in rows:
            typer.echo(",".join('"' + part.replace('"', '""') + '"' for part in row))
        return
    _table(rows)


def effective(config: Config) -> list[tuple[str, str, str]]:
    """Dotted key, value as a person writes it, and origin, for every key of the configuration."""
    return [
        (key, item.show(config.value(key)) or item.option.shown, str(config.origins[key]))
        for key, item in SETTINGS.items()
        if item.option.keyed
    ]


def _table(rows: list[tuple[str, str, str]]) -> None:
    """The rows under their sections, in columns."""
    widths = max(len(key.partition(".")[2]) for key, _, _ in rows), max(len(value) for _, value, _ in rows)
    section = ""
    for key, value, origin in rows:
        here, _, field = key.partition(".")
        if here != section:
            section = here
            typer.echo(f"{section}:")
        typer.echo(f"  {field + ':':<{widths[0] + 1}} {value:<{widths[1]}}  # {origin}")
