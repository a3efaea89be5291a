"""lippycatd writes records while it runs, into a directory that is not its user's, and appends after a restart."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest
from daemon_kit import Daemon, until

from captures import files


@pytest.fixture
def daemon():
    made = []

    def start(config):
        made.append(Daemon(config))
        return made[-1]

    yield start
    for each in made:
        each.close()


def count(path):
    """Calls in a file of records."""
    if Path(path).suffix == ".jsonl":
        return sum(json.loads(line)["type"] == "call" for line in Path(path).read_text().splitlines())
    with contextlib.closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT count(*) FROM calls").fetchone()[0]


@pytest.mark.parametrize("ending", ["jsonl", "sqlite"])
def test_records_of_two_runs_are_in_one_file(daemon, root, tmp_path, ending):
    path = tmp_path / f"records.{ending}"
    packets = files.read_pcap((root / "captures" / "demo.pcap").read_bytes())
    sizes = []
    for _ in range(2):
        run = daemon(f"capture: {{read_file: '{{source}}'}}\noutput: {{records: '{path}'}}\n")
        run.feed.send(packets)
        run.read_all()
        sink = until(lambda run=run: run.accounting()["sinks"].get(f"records:{path}"), 10)
        assert sink["offered"] == sink["written"] + sink["queued"] + sum(sink["dropped"].values())
        assert 'lippycat_sink_offered_packets_total{sink="records:' in run.get("/metrics")[1]
        assert run.end()[0] == 0, run.said()
        sizes.append(count(path))
    assert sizes[1] == 2 * sizes[0] > 20
