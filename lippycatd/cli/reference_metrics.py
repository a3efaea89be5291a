"""The reference page of the metrics. `python -m lippycatd.cli.reference_metrics` prints it."""

from __future__ import annotations

import sys

from prometheus_client.core import CounterMetricFamily

from lippycatd.observe import kpi, metrics
from lippycatd.observe.family import PREFIX, Family
from lippycatd.relay import shown

_HEAD = """# Metrics reference

Written by `make docs` from the code; do not edit it. `--metrics-listen ADDRESS:PORT` serves them in Prometheus' text
format, beside `process_*` of the Python process. All figures of a page come from one snapshot. `lippycat debug metrics`
prints a page as a table.

| name | kind | labels | |
|---|---|---|---|
"""
_RELAY = """
## lippycat-relay

On its own page ([../relay.md](../relay.md)), beside `process_*` and `lippycat_build_info`:

| name | kind | labels | |
|---|---|---|---|
"""


def page() -> str:
    """The whole page, in Markdown."""
    rows: list[str] = []
    rows += [_row(family) for family in metrics.FAMILIES]
    for histogram in kpi.HISTOGRAMS:
        labels = " ".join(f"`{label}`" for label in histogram.labels)
        rows.append(f"| `{PREFIX}{histogram.name}` | histogram | {labels} | {histogram.help} |")
    name, text = metrics.LATENCY
    rows.append(f"| `{PREFIX}{name}` | histogram | `vif` | {text} |")
    rows.append(f"| `{PREFIX}build_info` | info | `version` | This program |")
    return _HEAD + "\n".join(rows) + "\n" + _ratios() + _RELAY + "\n".join(_row(each) for each in shown.FAMILIES) + "\n"


def _row(family: Family) -> str:
    counter = family.kind is CounterMetricFamily
    name = PREFIX + family.name + family.suffix
    labels = " ".join(f"`{label}`" for label in family.labels)
    return f"| `{name}` | {'counter' if counter else 'gauge'} | {labels} | {family.help} |"


def _ratios() -> str:
    """The ratios with their queries."""
    notes = (kpi.__doc__ or "").partition("\n\n")[2]
    parts = [f"\n## Ratios\n\n{notes}\n`lippycat_kpi_ratio` has them over everything since the start.\n"]
    parts += [
        f"### `{ratio.name}`\n\n{ratio.title} ({ratio.source}).\n\n```\n{ratio.query()}\n```\n" for ratio in kpi.RATIOS
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(page())
