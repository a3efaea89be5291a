"""`lippycat doctor`: what this machine allows and lacks, each with what to do."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lippycatd.errors import NotPossible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lippycatd.cli.doctor.finding import Finding

MISSING = 1


def register(app: typer.Typer, _arguments: Sequence[str]) -> None:
    """Adds the command."""
    app.command("doctor")(_doctor)


def _doctor(
    style: Annotated[
        Literal["text", "json"], typer.Option("--format", help="how to print", metavar="text|json")
    ] = "text",
) -> int:
    """Say what this machine allows and lacks, each with the fix.

    Ends with 1 when something is missing that a function of lippycat needs, else with 0.
    """
    if sys.platform != "linux":
        raise NotPossible("doctor: knows Linux only; elsewhere lippycat reads capture files")
    findings = look()
    if style == "json":
        for item in findings:
            typer.echo(json.dumps(dataclasses.asdict(item)))
    else:
        _table(findings)
    return MISSING if any(item.state == "missing" for item in findings) else 0


def look() -> list[Finding]:
    """Everything that is looked at, by area."""
    from lippycatd.cli.doctor import kernel, network, service  # noqa: PLC0415  Linux only

    return [*kernel.judge(kernel.read()), *network.judge(network.read()), *service.judge(service.read())]


def _table(findings: list[Finding]) -> None:
    """One line each, the fix below where there is one, and the count."""
    width = max(len(item.name) for item in findings)
    area = ""
    for item in findings:
        if item.area != area:
            area = item.area
            typer.echo(f"{area}:")
        typer.echo(f"  {item.state:<8} {item.name:<{width}}  {item.seen}")
        if item.fix:
            typer.echo(f"  {'':<8} {'':<{width}}  → {item.fix}")
    counts = {state: sum(item.state == state for item in findings) for state in ("ok", "limited", "missing")}
    typer.echo(", ".join(f"{count} {state}" for state, count in counts.items()))
