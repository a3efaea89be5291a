"""The dashboard of Grafana. `python -m monitoring.dashboard` prints it; `make docs` writes monitoring/grafana/.

Every panel is one line of `ROWS`: a title, a unit, and its queries. `$trunk` is the chosen trunks, `$__rate_interval`
Grafana's own window. The ratios come from `lippycatd.observe.kpi`, so that they are declared once.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

from lippycatd.observe import kpi

_W = "$__rate_interval"
_T = 'trunk=~"$trunk"'
_WIDTH, _HEIGHT, _COLUMNS = 8, 7, 24


@dataclasses.dataclass(frozen=True, slots=True)
class Panel:
    """One panel: its queries as (PromQL, legend)."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"
    note: str = ""


def _rate(metric: str, by: str, chosen: str = "") -> str:
    return f"sum by ({by}) (rate(lippycat_{metric}{{{chosen}}}[{_W}]))"


def _quantiles(metric: str, chosen: str = _T) -> tuple[tuple[str, str], ...]:
    inner = f"sum by (le) (rate(lippycat_{metric}_bucket{{{chosen}}}[{_W}]))"
    return tuple((f"histogram_quantile({q}, {inner})", f"p{int(q * 100)}") for q in (0.5, 0.95, 0.99))


def _ratio(ratio: kpi.Ratio) -> Panel:
    query = ratio.query(_W).replace("_total", f"_total{{{_T}}}").replace("}{", ",")
    start = f'lippycat_kpi_ratio{{kpi="{ratio.name}",{_T}}}'
    queries = ((query, "{{trunk}}"), (start, "{{trunk}} since the start"))
    return Panel(f"{ratio.name.upper()}: {ratio.title}", "percentunit", queries, note=ratio.source)


def _drops() -> tuple[tuple[str, str], ...]:
    stages = f"sum(rate(lippycat_packets_dropped_total[{_W}])) or vector(0)"
    sinks = f"sum(rate(lippycat_sink_dropped_packets_total[{_W}])) or vector(0)"
    return ((stages, "line"), (sinks, "sinks"))


def _poor() -> tuple[tuple[str, str], ...]:
    poor = f'sum by (trunk) (rate(lippycat_stream_mos_bucket{{le="3.6",{_T}}}[{_W}]))'
    every = f"sum by (trunk) (rate(lippycat_stream_mos_count{{{_T}}}[{_W}]))"
    return ((f"{poor} / {every}", "{{trunk}}"),)


def _worst() -> tuple[tuple[str, str], ...]:
    inner = f"sum by (le) (rate(lippycat_stream_mos_bucket{{{_T}}}[{_W}]))"
    return tuple((f"histogram_quantile({q}, {inner})", f"p{int(q * 100)}") for q in (0.01, 0.05, 0.5))


ROWS: dict[str, tuple[Panel, ...]] = {
    "Calls": (
        Panel(
            "Calls at once",
            "short",
            ((f"sum by (trunk) (lippycat_trunk_calls_active{{{_T}}})", "{{trunk}}"), ("lippycat_calls_active", "all")),
        ),
        Panel("Most calls at once since the start", "short", ((f"lippycat_trunk_calls_peak{{{_T}}}", "{{trunk}}"),)),
        Panel("Attempts", "cps", ((_rate("call_attempts_total", "trunk", _T), "{{trunk}}"),)),
        Panel("Calls by the state they reached", "cps", ((_rate("calls_total", "state"), "{{state}}"),)),
        Panel("Final statuses", "cps", ((_rate("call_results_total", "code", _T), "{{code}}"),)),
        Panel("Who hung up", "cps", ((_rate("call_hangups_total", "by"), "{{by}}"),)),
        Panel("Causes of Q.850", "cps", ((_rate("call_causes_total", "cause"), "{{cause}}"),)),
        Panel("Calls by codec", "cps", ((_rate("call_codecs_total", "codec"), "{{codec}}"),)),
    ),
    "Ratios": tuple(_ratio(ratio) for ratio in kpi.RATIOS),
    "Delays": (
        Panel("SRD, answered", "s", _quantiles("session_request_delay_seconds", f'{_T},result="answered"')),
        Panel("SRD, failed", "s", _quantiles("session_request_delay_seconds", f'{_T},result="failed"')),
        Panel("Post-dial delay", "s", _quantiles("post_dial_delay_seconds")),
        Panel("Setup", "s", _quantiles("call_setup_seconds")),
        Panel("Session disconnect delay", "s", _quantiles("session_disconnect_delay_seconds")),
        Panel("Session duration", "s", _quantiles("session_duration_seconds")),
    ),
    "Quality": (
        Panel("MOS, the worst", "short", _worst()),
        Panel("Streams under a MOS of 3.6", "percentunit", _poor()),
        Panel("Jitter", "s", _quantiles("stream_jitter_seconds")),
        Panel("Streams by codec", "cps", ((_rate("streams_total", "codec"), "{{codec}}"),)),
        Panel("Streams at once", "short", (("lippycat_streams_active", "streams"),)),
    ),
    "Registrations and other transactions": (
        Panel("Registrations", "cps", ((_rate("registrations_total", "result", _T), "{{result}}"),)),
        Panel("Registration request delay", "s", _quantiles("registration_request_delay_seconds")),
        Panel("Transactions", "cps", ((_rate("sip_transactions_total", "method, state"), "{{method}} {{state}}"),)),
        Panel("Time to the final response", "s", _quantiles("sip_transaction_seconds", "")),
        Panel("SIP messages", "cps", ((_rate("sip_messages_total", "kind, code"), "{{kind}} {{code}}"),)),
    ),
    "The line": (
        Panel("Packets", "pps", ((_rate("packets_in_total", "source"), "{{source}}"),)),
        Panel("Packets dropped", "pps", _drops()),
        Panel("Tables", "short", (("sum by (table) (lippycat_table_entries)", "{{table}}"),)),
        Panel("Evictions", "cps", ((_rate("table_evictions_total", "table, reason"), "{{table}} {{reason}}"),)),
        Panel("Processor of a worker", "percentunit", (("lippycat_worker_busy_ratio", "{{worker}}"),)),
        Panel("Queues", "short", (("sum by (queue) (lippycat_queue_depth)", "{{queue}}"),)),
    ),
}


def _panel(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + at), "expr": query, "legendFormat": legend, "datasource": _SOURCE}
        for at, (query, legend) in enumerate(panel.queries)
    ]
    return {
        "id": number,
        "title": panel.title,
        "description": panel.note,
        "type": panel.kind,
        "datasource": _SOURCE,
        "gridPos": {"x": x, "y": y, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]}},
        "targets": targets,
    }


_SOURCE = {"type": "prometheus", "uid": "${source}"}


def dashboard() -> dict[str, Any]:
    """The whole dashboard, in Grafana's model."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        place = {"x": 0, "y": y, "w": _COLUMNS, "h": 1}
        panels.append({"id": len(panels) + 1, "type": "row", "title": title, "collapsed": False, "gridPos": place})
        y += 1
        for at, panel in enumerate(row):
            x = at * _WIDTH % _COLUMNS
            panels.append(_panel(panel, len(panels) + 1, x, y))
            if x + _WIDTH == _COLUMNS or at == len(row) - 1:
                y += _HEIGHT
    trunk = {
        "name": "trunk",
        "label": "Trunk",
        "type": "query",
        "datasource": _SOURCE,
        "query": "label_values(lippycat_call_attempts_total, trunk)",
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }
    source = {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    return {
        "uid": "lippycat",
        "title": "lippycat",
        "tags": ["voip", "sip"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [source, trunk]},
        "panels": panels,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(dashboard(), indent=1) + "\n")
