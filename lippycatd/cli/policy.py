"""`lippycat policy compile`: a BPF expression as instructions for the helper's policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

from lippycatd.sources import bpf


def register(app: typer.Typer, _arguments: Sequence[str]) -> None:
    """Adds the commands."""
    policy = typer.Typer(name="policy", no_args_is_help=True, help="Prepare the helper's policy.")
    policy.callback()(_nothing)
    policy.command("compile")(_compile)
    app.add_typer(policy)


def _nothing() -> None:
    """Prepare the helper's policy."""


def _compile(
    expression: str = typer.Argument(help="BPF expression as tcpdump takes it", metavar="EXPRESSION"),
    link: int = typer.Option(bpf.ETHERNET, "--link-type", help="link type of the interface", metavar="NUMBER"),
    snaplen: int = typer.Option(
        bpf.SNAPLEN, "--snaplen", help="bytes kept of a frame", metavar="BYTES", min=1, max=bpf.SNAPLEN
    ),
) -> None:
    """Print a BPF expression as compiled instructions, a TOML array for /etc/lippycat/helper.toml."""
    typer.echo(toml(bpf.compile_one(expression, link, snaplen)))


def toml(program: bpf.Program) -> str:
    """The instructions as a TOML array of [code, jt, jf, k]."""
    lines = [f"    [{code:#06x}, {jt}, {jf}, {k:#010x}]," for code, jt, jf, k in program]
    return "\n".join(["[", *lines, "]"])
