"""The metrics of the relay, with the names of docs/reference/metrics.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry

from lippycatd.observe.family import PREFIX, Family, Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client.metrics_core import Metric

NOTHING: dict[str, Any] = {
    "clients": 0,
    "received": 0,
    "refused": {},
    "hep": {},
    "kubernetes": None,
    "ready": 0,
    "degraded": 0,
}
_COUNTER, _GAUGE = CounterMetricFamily, GaugeMetricFamily


def _one(name: str) -> Rows:
    return lambda stats: [((), float(stats[name]))]


def _named(part: str) -> Rows:
    return lambda stats: (((name,), float(value)) for name, value in stats[part].items())


def _hep(field: str) -> Rows:
    return lambda stats: (((name,), float(part[field])) for name, part in stats["hep"].items())


def _hep_drops(stats: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], float]]:
    for name, part in stats["hep"].items():
        for reason, count in part["dropped"].items():
            yield (name, reason), count


def _kubernetes(field: str) -> Rows:
    return lambda stats: [((), float(stats["kubernetes"][field]))] if stats["kubernetes"] else []


def _kubernetes_named(field: str) -> Rows:
    return lambda stats: (((name,), float(n)) for name, n in (stats["kubernetes"] or {field: {}})[field].items())


FAMILIES: tuple[Family, ...] = (
    Family(_GAUGE, "relay_clients", "Pipelines that are connected", (), _one("clients")),
    Family(_COUNTER, "relay_received_messages", "Messages that pipelines handed over", (), _one("received")),
    Family(_COUNTER, "relay_refused_connections", "Connections that were ended", ("reason",), _named("refused")),
    Family(_COUNTER, "hep_offered_packets", "HEP packets for a server", ("server",), _hep("offered")),
    Family(_COUNTER, "hep_sent_packets", "HEP packets that were sent", ("server",), _hep("sent")),
    Family(_GAUGE, "hep_queued_packets", "HEP packets that wait", ("server",), _hep("queued")),
    Family(_COUNTER, "hep_dropped_packets", "HEP packets that were dropped", ("server", "reason"), _hep_drops),
    Family(_COUNTER, "hep_connects", "Times that a server was connected to", ("server",), _hep("connects")),
    Family(_GAUGE, "hep_connected", "Whether a server takes packets", ("server",), _hep("connected")),
    Family(_GAUGE, "kubernetes_pods", "Pods of this node that are known", (), _kubernetes("pods")),
    Family(_GAUGE, "kubernetes_synced", "Whether the table is kept up", (), _kubernetes("synced")),
    Family(_COUNTER, "kubernetes_events", "Lists and events of the API", ("type",), _kubernetes_named("events")),
    Family(_COUNTER, "kubernetes_errors", "Answers that were none", ("reason",), _kubernetes_named("errors")),
    Family(_GAUGE, "ready", "Whether it does its work", (), _one("ready")),
    Family(_GAUGE, "degraded", "Whether it goes on without something", (), _one("degraded")),
)


class _Counters(Collector):
    """Asks for one snapshot each time the page is read."""

    def __init__(self, stats: Callable[[], dict[str, Any]], version: str) -> None:
        self._stats, self._version = stats, version

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        stats = self._stats()
        for family in FAMILIES:
            metric = family.kind(PREFIX + family.name, family.help, labels=family.labels)
            for labels, value in family.rows(stats):
                metric.add_metric(labels, value)
            yield metric
        yield InfoMetricFamily(PREFIX + "build", "This program", {"version": self._version})


def registry(stats: Callable[[], dict[str, Any]], version: str) -> CollectorRegistry:
    """A registry with the counters of the relay and those of the process."""
    from prometheus_client import ProcessCollector  # noqa: PLC0415  reads /proc as it is made

    found = CollectorRegistry()
    found.register(_Counters(stats, version))
    ProcessCollector(registry=found)
    return found
