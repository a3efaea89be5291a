"""One metric: what it is called, and how its samples come out of a snapshot."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from prometheus_client.core import CounterMetricFamily

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily

PREFIX = "lippycat_"
Snapshot = dict[str, Any]
# From a snapshot to the label values and value of every sample.
Rows = Callable[[Snapshot], Iterable[tuple[tuple[str, ...], float]]]
# The same with the figures of a histogram: `buckets` (upper bound → values at most so large), `count`, `sum`.
Spreads = Callable[[Snapshot], Iterable[tuple[tuple[str, ...], dict[str, Any]]]]


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """One metric: name without prefix and without `_total`, help, labels, and how its rows come out of a snapshot."""

    kind: type[CounterMetricFamily | GaugeMetricFamily]
    name: str
    help: str
    labels: tuple[str, ...]
    rows: Rows

    @property
    def suffix(self) -> str:
        """What the exposition format puts after the name."""
        return "_total" if self.kind is CounterMetricFamily else ""


@dataclasses.dataclass(frozen=True, slots=True)
class Histogram:
    """One histogram: name without prefix, help, labels, and how its rows come out of a snapshot."""

    name: str
    help: str
    labels: tuple[str, ...]
    rows: Spreads
