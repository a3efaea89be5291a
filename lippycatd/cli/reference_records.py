"""The reference page of the records. `python -m lippycatd.cli.reference_records` prints it."""

from __future__ import annotations

import sys

from lippycatd.model import records

_HEAD = """# Records reference

Written by `make docs` from the code; do not edit it. `--format json` prints one object a line on standard output,
`--format csv` the same names as columns (lists as JSON), `--format text` lines for people. A field that a record does
not have is left out or null. `sniff` prints `packet` records, `sniff voip` prints `sip`, `stream` and `call`.
With JSON the last line is the accounting.
"""
_SUMMARY = """## `summary`

`in selected filtered held dropped` of the whole line, the same five for each of `sources`, and
`offered written queued dropped` for each of `sinks`. `dropped` maps a reason (`stage.reason` on the line) to packets.
`in = selected + filtered + held + Σ dropped` and `offered = written + queued + Σ dropped` hold at every moment.
A file counts once for each loop.
"""


def page() -> str:
    """The whole page, in Markdown."""
    parts = [_HEAD]
    for name, fields in records.FIELDS.items():
        rows = [f"| `{field}` | {records.MEANING[field]} |" for field in fields]
        parts.append("\n".join([f"## `{name}`\n", "| field | meaning |", "|---|---|", *rows, ""]))
    return "\n".join([*parts, _SUMMARY])


if __name__ == "__main__":
    sys.stdout.write(page())
