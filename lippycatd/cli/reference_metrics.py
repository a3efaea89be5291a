"""The reference page of the metrics. `python -m lippycatd.cli.reference_metrics` prints it."""

from __future__ import annotations

import sys

from prometheus_client.core import CounterMetricFamily

from lippycatd.observe import kpi, metrics
from lippycatd.observe.family import PREFIX

_HEAD = """# Metrics reference

Written by `make docs` from the code; do not edit it. `--metrics-listen ADDRESS:PORT` serves them in Prometheus' text
format, beside `process_*` of the Python process. All figures of a page come from one snapshot. `lippycat debug metrics`
prints a page as a table.

| name | kind | labels | |
|---|---|---|---|
"""


def page() -> str:
    """The whole page, in Markdown."""
    rows = []
    for family in metrics.FAMILIES:
        counter = family.kind is CounterMetricFamily
        name = PREFIX + family.name + ("_total" if counter else "")
        labels = " ".join(f"`{label}`" for label in family.labels)
        rows.append(f"| `{name}` | {'counter' if counter else 'gauge'} | {labels} | {family.help} |")
    for histogram in kpi.HISTOGRAMS:
        labels = " ".join(f"`{label}`" for label in histogram.labels)
        rows.append(f"| `{PREFIX}{histogram.name}` | histogram | {labels} | {histogram.help} |")
    name, text = metrics.LATENCY
    rows.append(f"| `{PREFIX}{name}` | histogram | `vif` | {text} |")
    rows.append(f"| `{PREFIX}build_info` | info | `version` | This program |")
    return _HEAD + "\n".join(rows) + "\n" + _ratios()


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
