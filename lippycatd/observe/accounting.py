"""The accounting of law 1: as one record, as a table for people, and as one line for the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from typing import TextIO

_LINE = ("in", "selected", "filtered", "held", "dropped")
# What a sink leaves out by its nature, and what the user wanted out; everything else that is dropped was lost.
_BY_NATURE = frozenset({"short", "not_ip", "no_ethertype", "stopped"})
_WANTED = frozenset({"line.count", "dedup.loopback", "dedup.duplicate", "capture.own_interface"})


def summary(stats: dict[str, Any]) -> dict[str, Any]:
    """The `summary` record of one snapshot."""
    line: dict[str, Any] = {"type": "summary", **{name: stats[name] for name in _LINE}}
    line["sources"] = {name: {key: source[key] for key in _LINE} for name, source in stats["sources"].items()}
    line["sinks"] = {
        name: {key: sink[key] for key in ("offered", "written", "queued", "dropped")}
        for name, sink in stats["sinks"].items()
    }
    return line


def lost(stats: dict[str, Any]) -> dict[str, int]:
    """What was dropped though it should have come through: `where.reason` → packets."""
    found = {reason: count for reason, count in stats["dropped"].items() if count and reason not in _WANTED}
    for name, sink in stats["sinks"].items():
        for reason, count in sink["dropped"].items():
            if count and reason not in _BY_NATURE:
                found[f"{name}.{reason}"] = count
    return found


def totals(stats: dict[str, Any]) -> dict[str, int]:
    """The figures of the log line, once a minute and at the end."""
    flat = {name: stats[name] for name in _LINE[:4]}
    flat["dropped"] = sum(stats["dropped"].values())
    for name, sink in stats["sinks"].items():
        flat[f"{name} written"] = sink["written"]
        flat[f"{name} dropped"] = sum(sink["dropped"].values())
    return flat


def show(stats: dict[str, Any], stream: TextIO) -> None:
    """Prints the accounting as small tables."""
    console = Console(file=stream, highlight=False, soft_wrap=False, width=None if stream.isatty() else 100)
    table = _table("packets", *_LINE)
    if len(stats["sources"]) > 1:
        for name, source in stats["sources"].items():
            table.add_row(name, *_cells(source))
    table.add_row("all" if len(stats["sources"]) != 1 else next(iter(stats["sources"])), *_cells(stats))
    console.print(table)
    if stats["sinks"]:
        sinks = _table("sink", "offered", "written", "queued", "dropped")
        for name, sink in stats["sinks"].items():
            row = (str(sink["offered"]), str(sink["written"]), str(sink["queued"]), _drops(sink["dropped"]))
            sinks.add_row(name, *row)
        console.print(sinks)


def _table(first: str, *columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first, overflow="fold")
    for column in columns:
        table.add_column(column, justify="right" if column != "dropped" else "left", overflow="fold")
    return table


def _cells(part: dict[str, Any]) -> tuple[str, ...]:
    return (*(str(part[name]) for name in _LINE[:4]), _drops(part["dropped"]))


def _drops(reasons: dict[str, int]) -> str:
    """The sum, and the reasons in words."""
    some = {reason: count for reason, count in reasons.items() if count}
    if not some:
        return "0"
    return f"{sum(some.values())} ({', '.join(f'{reason} {count}' for reason, count in some.items())})"
