"""One snapshot of several pipelines (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Stats = dict[str, Any]
# Parts whose names are told apart by their pipeline; names of sinks are distinct already.
_OF_A_PIPELINE = ("sources", "captures", "hep", "workers", "iterations")
# Levels that do not add up: what is told is that of the pipeline that has most.
_MOST = ("backpressure_level", "peak")


def merged(parts: Mapping[str, Stats], *, named: bool) -> Stats:
    """The sums of all snapshots. With `named`, sources and workers carry their pipeline's name, `NAME/source`."""
    total: Stats = {}
    for name, stats in parts.items():
        part = {key: _prefixed(name, value) if key in _OF_A_PIPELINE else value for key, value in stats.items()}
        if named and "queues" in stats:
            part["queues"] = {_queue(name, key): value for key, value in stats["queues"].items()}
        total = _sum(total, part if named else stats)
    return total


def _prefixed(name: str, value: Stats) -> Stats:
    return {f"{name}/{key}": entry for key, entry in value.items()}


def _queue(name: str, queue: str) -> str:
    """A sink's queue is called like the sink; others belong to the pipeline."""
    return queue if ":" in queue else f"{name}/{queue}"


def _both(key: str, a: Any, b: Any) -> Any:  # noqa: ANN401  whatever a snapshot holds
    return max(a, b) if key in _MOST else _sum(a, b)


def _sum(a: Any, b: Any) -> Any:  # noqa: ANN401  whatever a snapshot holds
    """Numbers added, mappings joined; of anything else the first."""
    if isinstance(a, dict) and isinstance(b, dict):
        return {**a, **{key: _both(key, a[key], value) if key in a else value for key, value in b.items()}}
    if isinstance(a, bool) or isinstance(b, bool):
        return a
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return a + b
    return a
