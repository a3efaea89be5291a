"""`lippycat list interfaces`: what this machine could capture on."""

from __future__ import annotations

import dataclasses
import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

_SYS = Path("/sys/class/net")
# linux/if.h and linux/if_arp.h
_UP, _LOOPBACK, _PROMISC = 0x1, 0x8, 0x100
_TYPES = {1: "ethernet", 512: "ppp", 772: "loopback", 776: "sit", 778: "gre", 65534: "none"}


@dataclasses.dataclass(frozen=True, slots=True)
class Interface:
    """One network interface: index, name, flags, MTU in bytes, link type in words, hardware address."""

    index: int
    name: str
    state: str
    mtu: int
    type: str
    address: str


def register(app: typer.Typer, _arguments: Sequence[str]) -> None:
    """Adds the commands."""
    listing = typer.Typer(name="list", no_args_is_help=True, help="List what this machine has.")
    listing.callback()(_nothing)
    listing.command("interfaces")(_interfaces)
    app.add_typer(listing)


def _nothing() -> None:
    """List what this machine has."""


def _interfaces(
    style: Literal["text", "json"] = typer.Option("text", "--format", help="how to print", metavar="text|json"),
) -> None:
    """List the network interfaces with their state, MTU, type and address."""
    found = [describe(index, name, read(name)) for index, name in sorted(socket.if_nameindex())]
    if style == "json":
        for item in found:
            typer.echo(json.dumps(dataclasses.asdict(item)))
        return
    width = max((len(item.name) for item in found), default=4)
    typer.echo(f"{'#':>4}  {'name':<{width}}  {'state':<12}  {'mtu':>6}  {'type':<9}  address")
    for item in found:
        line = f"{item.index:>4}  {item.name:<{width}}  {item.state:<12}  {item.mtu:>6}  {item.type:<9}  {item.address}"
        typer.echo(line.rstrip())


def read(name: str) -> dict[str, str]:
    """What /sys says about an interface; empty where there is no /sys or the interface is gone."""
    values = {}
    for field in ("flags", "mtu", "type", "address", "operstate"):
        try:
            values[field] = (_SYS / name / field).read_text(encoding="ascii", errors="replace").strip()
        except OSError:
            continue
    return values


def describe(index: int, name: str, values: dict[str, str]) -> Interface:
    """An interface from the raw values of /sys (pure)."""
    flags = int(values.get("flags", "0"), 16)
    state = "up" if flags & _UP else "down"
    if values.get("operstate") == "down" and flags & _UP:
        state = "up, no link"
    if flags & _PROMISC:
        state += ", promisc"
    kind = int(values.get("type", "65534"))
    word = "loopback" if flags & _LOOPBACK else _TYPES.get(kind, str(kind))
    return Interface(index, name, state, int(values.get("mtu", "0")), word, values.get("address", ""))
