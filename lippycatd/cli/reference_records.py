"""The reference page of the records. `python -m lippycatd.cli.reference_records` prints it."""

from __future__ import annotations

import sys

from lippycatd.model import records
from lippycatd.sinks.calls import listing

_HEAD = """# Records reference

Written by `make docs` from the code; do not edit it. `--format json` prints one object a line on standard output,
`--format csv` the same names as columns (lists as JSON), `--format text` lines for people. A field that a record does
not have is left out or null. `sniff` prints `packet` records, `sniff voip` prints `sip`, `stream` and `call`.
With JSON the last line is the accounting.
"""
_FILES = """## Records in files

`--records FILE` (`output.records`) writes them while it runs; the ending chooses the format. `--record-types` chooses
the types: {defaults} unless told otherwise, `sip` for one record a message.

- `.jsonl`, `.json`: the objects of `--format json`; the first line is `{{"type":"schema","version":{version}}}`.
- `.csv`: one file a type, `x.csv` becomes {names}; the header is the type's fields below.
- `.sqlite`, `.db`: a table a type ({tables}), its columns the fields below, lists as JSON, times as text that sorts.
  The table `meta` and `PRAGMA user_version` hold the version of the schema. Records are committed once a second or
  every 10,000; `FILE-journal` stays beside the file, empty. Others may read it meanwhile.

The version of the schema is **{version}**. It grows when a field goes or changes its meaning; new fields come without a
new version, so read them by name. A full disk ends the file at a whole record (SQLite: at a whole transaction), counts
`no_space` in the sink `records:FILE`, and gives exit status 1; everything else goes on.

`sniff` begins the file anew; `lippycatd` appends to what it holds, after removing what a crash left of a last line.

`--pseudonymise` replaces, wherever records go, users and numbers (fields `user`, `*_user`) by `u-…`, Call-IDs
(`call_id`, `*_call_id`) by `c-…`, and the user of URIs (`*_uri`), whose parameters are left out. A token is 80 bits of
a keyed BLAKE2b: the same text gives the same token under the same key (`--pseudonym-key FILE`, else a key of this run
alone). Addresses, hosts and tags stay, and capture files are never changed.
"""
_LISTED = """## `listed`

What `lippycat calls` prints, one a call: `--format json` one object a line, `--format csv` the same names, `--sort`
takes them. `lippycat call CALL-ID --format json` prints one object of the type `ladder`: `call_id title facts[]
participants[]` and `steps[]`, each with `kind` (`sip` or `media`), `from`, `to`, `label`, `notes[]` (a change of SDP
begins with `!`), `since_ms`, `message` and the `record` it was drawn from.

| field | meaning |
|---|---|
"""
_SUMMARY = """## `summary`

`in selected filtered held dropped` of the whole line, the same five for each of `sources`, and
`offered written queued dropped` for each of `sinks`. `dropped` maps a reason (`stage.reason` on the line) to packets.
`in = selected + filtered + held + Σ dropped` and `offered = written + queued + Σ dropped` hold at every moment.
A file counts once for each loop.
"""


def page() -> str:
    """The whole page, in Markdown."""
    parts = [_HEAD, _files()]
    for name, fields in records.FIELDS.items():
        rows = [f"| `{field}` | {records.MEANING[field]} |" for field in fields]
        parts.append("\n".join([f"## `{name}`\n", "| field | meaning |", "|---|---|", *rows, ""]))
    listed = _LISTED + "".join(f"| `{field}` | {listing.MEANING[field]} |\n" for field in listing.FIELDS)
    return "\n".join([*parts, listed, _SUMMARY])


def _files() -> str:
    """What files hold."""
    tables = records.TABLES.values()
    return _FILES.format(
        version=records.SCHEMA_VERSION,
        defaults=", ".join(f"`{name}`" for name in records.TABLES if name != "sip"),
        names=", ".join(f"`x.{table}.csv`" for table in tables),
        tables=", ".join(f"`{table}`" for table in tables),
    )


if __name__ == "__main__":
    sys.stdout.write(page())
