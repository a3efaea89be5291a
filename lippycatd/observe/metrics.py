"""The metrics page: a collector over the core's counters, with the names of docs/reference/metrics.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry

from lippycatd.observe import kpi
from lippycatd.observe.family import PREFIX, Family, Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client.metrics_core import Metric


def _source(field: str) -> Rows:
    return lambda stats: (((name,), part[field]) for name, part in stats["sources"].items())


def _capture(field: str) -> Rows:
    return lambda stats: (((name,), part[field]) for name, part in stats.get("captures", {}).items())


def _hep(field: str) -> Rows:
    return lambda stats: (((name,), part[field]) for name, part in stats.get("hep", {}).items())


def _hep_refused(stats: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], float]]:
    for name, part in stats.get("hep", {}).items():
        for reason, count in part["refused"].items():
            yield (name, reason), count


def _pair(field: str, at: int) -> Rows:
    """One of two numbers."""
    return lambda stats: [((), float(stats[field][at]))] if field in stats else []


def _sink(field: str) -> Rows:
    return lambda stats: (((name,), part[field]) for name, part in stats["sinks"].items())


def _vif(field: str) -> Rows:
    return lambda stats: (((name,), float(part[field])) for name, part in stats.get("vif", {}).items())


def _pairs(field: str) -> Rows:
    """A mapping of `first.second` to a number, under two labels."""
    return lambda stats: (((*_two(name),), count) for name, count in stats.get(field, {}).items())


def _two(name: str) -> tuple[str, str]:
    first, _, second = name.partition(".")
    return first, second


def _source_drops(stats: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], float]]:
    for name, part in stats["sources"].items():
        for reason, count in part["dropped"].items():
            yield (name, *_two(reason)), count


def _sink_drops(stats: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], float]]:
    for name, part in stats["sinks"].items():
        for reason, count in part["dropped"].items():
            yield (name, reason), count


def _vif_drops(stats: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], float]]:
    for name in stats.get("vif", {}):
        for reason, count in stats["sinks"].get(f"vif:{name}", {}).get("dropped", {}).items():
            yield (name, reason), count


def _vif_errors(stats: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], float]]:
    for name, part in stats.get("vif", {}).items():
        for reason, count in {**part.get("errors", {}), "oversize": part.get("oversize", 0)}.items():
            yield (name, reason), count


def _states(part: str, field: str) -> Rows:
    return lambda stats: (((state,), count) for state, count in stats.get(part, {}).get(field, {}).items())


def _one(*path: str) -> Rows:
    def rows(stats: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], float]]:
        value: Any = stats
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        if value is not None:
            yield (), float(value)

    return rows


def _named(part: str) -> Rows:
    """One row a name of a part of the snapshot."""
    return lambda stats: (((name,), float(value)) for name, value in stats.get(part, {}).items())


def _files(field: str) -> Rows:
    return lambda stats: (((name,), float(part[field])) for name, part in stats.get("call_files", {}).items())


def _files_by_result(stats: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], float]]:
    for name, part in stats.get("call_files", {}).items():
        for result in ("finished", "failed", "removed_for_size", "removed_for_age"):
            yield (name, result), float(part[result])


_COUNTER, _GAUGE = CounterMetricFamily, GaugeMetricFamily
FAMILIES: tuple[Family, ...] = (
    Family(_COUNTER, "packets_in", "Packets read", ("source",), _source("in")),
    Family(_COUNTER, "packets_selected", "Packets that were asked for", ("source",), _source("selected")),
    Family(_COUNTER, "packets_filtered", "Packets that were not asked for", ("source",), _source("filtered")),
    Family(_GAUGE, "packets_held", "Packets that are not decided yet", ("source",), _source("held")),
    Family(_COUNTER, "packets_dropped", "Packets dropped on the line", ("source", "stage", "reason"), _source_drops),
    Family(_COUNTER, "ring_freezes", "Times that a capture's ring was full", ("source",), _capture("freezes")),
    Family(_COUNTER, "interface_downs", "Times that a captured interface went down", ("source",), _capture("downs")),
    Family(_COUNTER, "hep_received_packets", "HEP packets that came", ("source",), _hep("received")),
    Family(_COUNTER, "hep_frames", "Frames that were made of them", ("source",), _hep("frames")),
    Family(_COUNTER, "hep_refused_packets", "HEP packets that were not used", ("source", "reason"), _hep_refused),
    Family(_COUNTER, "hep_unknown_chunks", "Chunks that were left out", ("source",), _hep("unknown_chunks")),
    Family(_COUNTER, "hep_kernel_drops", "Datagrams the kernel had no room for", ("source",), _hep("kernel_drops")),
    Family(_GAUGE, "hep_streams", "Open TCP connections of agents", ("source",), _hep("streams")),
    Family(_GAUGE, "backpressure_level", "How much a live line leaves undone, 0 to 3", (), _one("backpressure_level")),
    Family(_COUNTER, "batches", "Batches that a live line took", (), _pair("batches", 0)),
    Family(_COUNTER, "batch_packets", "Packets in those batches", (), _pair("batches", 1)),
    Family(_COUNTER, "sink_offered_packets", "Packets offered to a sink", ("sink",), _sink("offered")),
    Family(_COUNTER, "sink_written_packets", "Packets a sink has written", ("sink",), _sink("written")),
    Family(_GAUGE, "sink_queued_packets", "Packets that wait in a sink", ("sink",), _sink("queued")),
    Family(_COUNTER, "sink_dropped_packets", "Packets a sink has dropped", ("sink", "reason"), _sink_drops),
    Family(_COUNTER, "vif_injected_packets", "Packets written to the interface", ("vif",), _vif("injected_packets")),
    Family(_COUNTER, "vif_injected_bytes", "Bytes written to the interface", ("vif",), _vif("injected_bytes")),
    Family(_COUNTER, "vif_dropped_packets", "Packets not shown on the interface", ("vif", "reason"), _vif_drops),
    Family(_COUNTER, "vif_errors", "Errors of the interface", ("vif", "reason"), _vif_errors),
    Family(_GAUGE, "vif_queue_utilization_ratio", "Share of the queue in use", ("vif",), _vif("utilization")),
    Family(_GAUGE, "vif_up", "Whether the interface takes packets", ("vif",), _vif("up")),
    Family(_GAUGE, "call_files_active", "Calls whose file is being written", ("sink",), _files("active")),
    Family(_GAUGE, "call_files_open", "Files of calls that are open", ("sink",), _files("open")),
    Family(_COUNTER, "call_files", "Files of calls by what became of them", ("sink", "result"), _files_by_result),
    *kpi.FAMILIES,
    Family(_GAUGE, "calls_active", "Calls that have not ended", (), _one("calls", "active")),
    Family(_COUNTER, "calls", "Calls by the state they reached", ("state",), _states("calls", "total")),
    Family(_COUNTER, "sip_messages", "SIP messages", ("kind", "code"), _pairs("sip_messages")),
    Family(_GAUGE, "streams_active", "RTP streams that have not ended", (), _one("streams_active")),
    Family(_GAUGE, "table_entries", "Entries of a table", ("table",), _named("tables")),
    Family(
        _COUNTER,
        "table_evictions",
        "Entries that a table removed or had no place for",
        ("table", "reason"),
        _pairs("evictions"),
    ),
    Family(_GAUGE, "reassembly_streams", "TCP streams by state", ("state",), _states("reassembly", "streams")),
    Family(_GAUGE, "reassembly_bytes", "Bytes that wait for a gap to close", (), _one("reassembly", "bytes")),
    Family(_GAUGE, "queue_depth", "Entries that wait in a queue", ("queue",), _named("queues")),
    Family(_GAUGE, "worker_busy_ratio", "Share of a processor in use", ("worker",), _named("workers")),
    Family(_COUNTER, "worker_iterations", "Signs of life of a worker", ("worker",), _named("iterations")),
    Family(_COUNTER, "config_reloads", "Reloads of the configuration", ("result",), _named("config_reloads")),
    Family(_GAUGE, "config_loaded_timestamp_seconds", "When it was loaded", (), _one("config_loaded")),
    Family(_GAUGE, "ready", "Whether it does its work", (), _one("ready")),
    Family(_GAUGE, "degraded", "Whether it goes on without something", (), _one("degraded")),
    Family(_COUNTER, "reports_left_out", "Repeated reports that were left out", (), _one("reports_left_out")),
    Family(_COUNTER, "decode_refusals", "Frames that a layer refused", ("layer", "reason"), _pairs("refusals")),
    Family(_COUNTER, "hold_missed_packets", "Expired packets whose call was selected later", (), _one("hold_missed")),
    Family(_COUNTER, "memory_trims", "Times that memory was given back", (), _one("memory_trims")),
    Family(
        _COUNTER, "shared_segments", "TCP segments kept that also carry other users' bytes", (), _one("shared_segments")
    ),
)
LATENCY = ("vif_injection_latency_seconds", "From the capture, or the file, to the interface")


class Counters(Collector):
    """Asks for one snapshot each time the page is read."""

    def __init__(self, stats: Callable[[], dict[str, Any]], version: str) -> None:
        self._stats = stats
        self._version = version

    def describe(self) -> Iterable[Metric]:
        """No names ahead of time: the snapshot tells which labels there are."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every family, from one snapshot."""
        stats = self._stats()
        for family in FAMILIES:
            metric = family.kind(PREFIX + family.name, family.help, labels=family.labels)
            for labels, value in family.rows(stats):
                metric.add_metric(labels, value)
            yield metric
        for histogram in kpi.HISTOGRAMS:
            spread = HistogramMetricFamily(PREFIX + histogram.name, histogram.help, labels=histogram.labels)
            for labels, figures in histogram.rows(stats):
                buckets = [(_bound(bound), count) for bound, count in figures["buckets"].items()]
                spread.add_metric(labels, [*buckets, ("+Inf", figures["count"])], figures["sum"])
            yield spread
        latency = HistogramMetricFamily(PREFIX + LATENCY[0], LATENCY[1], labels=("vif",))
        for name, part in stats.get("vif", {}).items():
            figures = part["latency"]
            buckets = [(_bound(bound), count) for bound, count in figures["buckets"]]
            latency.add_metric((name,), [*buckets, ("+Inf", figures["count"])], figures["sum"])
        yield latency
        yield InfoMetricFamily(PREFIX + "build", "This program", {"version": self._version})


def _bound(bound: float) -> str:
    """An upper bound in seconds as the exposition format has it."""
    return repr(float(bound))


def registry(stats: Callable[[], dict[str, Any]], version: str) -> CollectorRegistry:
    """A registry with the counters of one line and those of the process."""
    from prometheus_client import ProcessCollector  # noqa: PLC0415  reads /proc as it is made

    found = CollectorRegistry()
    found.register(Counters(stats, version))
    ProcessCollector(registry=found)
    return found


def program_version() -> str:
    """The version of this program; `unknown` where it runs without having been installed."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415  slow, and read from files

    try:
        return version("lippycatd")
    except PackageNotFoundError:
        return "unknown"
