"""What a process that runs for long tells: reports that repeat, the journal, systemd, several pipelines in one page."""

from __future__ import annotations

import io
import json
import os
import socket
import struct
import time

import pytest

from lippycatd import config
from lippycatd.daemon import listen
from lippycatd.errors import NotPossible
from lippycatd.observe import audit, journal, merge, notify, report


@pytest.fixture
def section():
    return config.build().logging


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_what_repeats_itself_is_left_out_and_counted(section):
    stream = io.StringIO()
    reports = report.Reports(section, stream)
    now = 0.0
    reports.limiter._clock = lambda: now
    for number in range(25):
        reports.logger.warning("full", number=number)
    reports.logger.warning("other")
    assert [line["event"] for line in lines(stream)] == ["full"] * 10 + ["other"]
    assert reports.limiter.left_out == 15
    now = 31.0
    reports.logger.warning("full")
    assert lines(stream)[-1]["left_out"] == 15
    for _ in range(20):
        reports.logger.warning("full")
    reports.flush()
    assert (lines(stream)[-1]["repeated"], lines(stream)[-1]["times"]) == ("full", 11)
    before = len(lines(stream))
    reports.flush()
    assert len(lines(stream)) == before
    for number in range(1000):
        reports.logger.warning(str(number))
    assert len(reports.limiter._seen) <= report.Limiter.EVENTS
    for _ in range(50):
        reports.logger.info("target", user="alice")
    assert sum(line["event"] == "target" for line in lines(stream)) == 50, "an audit is never left out"


def test_the_level_changes_while_it_runs(section):
    stream = io.StringIO()
    reports = report.Reports(section, stream)
    reports.logger.debug("no")
    reports.level = "debug"
    reports.logger.debug("yes")
    reports.level = "error"
    reports.logger.warning("no")
    assert [line["event"] for line in lines(stream)] == ["yes"]


def parsed(data):
    """An entry of the journal's native protocol, by its specification."""
    fields = {}
    while data:
        line, _, rest = data.partition(b"\n")
        if b"=" in line:
            name, _, value = line.partition(b"=")
        else:
            name, size = line, struct.unpack("<Q", rest[:8])[0]
            value, rest = rest[8 : 8 + size], rest[8 + size + 1 :]
        fields[name.decode()] = value.decode()
        data = rest
    return fields


def test_entries_of_the_journal_have_fields(section, tmp_path, monkeypatch):
    path = str(tmp_path / "journal")
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    server.bind(path)
    monkeypatch.setattr(journal.Journal.__init__, "__defaults__", (path,))
    with (tmp_path / "stderr").open("w") as stderr, server:
        found = os.fstat(stderr.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        reports = report.Reports(section, stderr)
        reports.logger.warning("a\nb", source="eth0", packets=3)
        assert parsed(server.recv(1 << 16)) == {
            "MESSAGE": "a\nb source=eth0 packets=3",
            "PRIORITY": "4",
            "SYSLOG_IDENTIFIER": "lippycatd",
            "LIPPYCAT_SOURCE": "eth0",
            "LIPPYCAT_PACKETS": "3",
        }
        reports.close()
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino + 1}")
        report.Reports(section, stderr).logger.warning("a line")
    assert json.loads((tmp_path / "stderr").read_text())["event"] == "a line"


def test_a_journal_that_went_is_no_reason_to_fail(section, tmp_path, monkeypatch):
    path = str(tmp_path / "journal")
    monkeypatch.setattr(journal.Journal.__init__, "__defaults__", (path,))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server, (tmp_path / "stderr").open("w") as stderr:
        server.bind(path)
        found = os.fstat(stderr.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        reports = report.Reports(section, stderr)
        server.close()
        reports.logger.warning("nobody listens")
        reports.close()
    assert json.loads((tmp_path / "stderr").read_text())["event"] == "nobody listens"


@pytest.mark.parametrize("abstract", [False, True])
def test_states_reach_the_notify_socket(tmp_path, monkeypatch, abstract):
    name = f"@lippycat-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(name.replace("@", "\0", 1) if abstract else name)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        monkeypatch.setenv("WATCHDOG_USEC", "30000000")
        notifier = notify.Notifier()
        assert notifier.watchdog == 30
        notifier.send(READY=1, STATUS="two\nlines")
        assert server.recv(100) == b"READY=1\nSTATUS=two lines"
        notifier.reloading()
        state, stamp = server.recv(100).decode().split("\n")
        assert state == "RELOADING=1"
        assert abs(int(stamp.removeprefix("MONOTONIC_USEC=")) - time.monotonic_ns() // 1000) < 10**7
    notifier.send(WATCHDOG=1)  # nobody listens: no error
    notifier.close()
    assert "NOTIFY_SOCKET" not in os.environ


def test_a_watchdog_of_another_process_is_not_ours(monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert notify.Notifier().watchdog == 0


def snapshot(source, sink, count):
    part = {"in": count, "selected": count, "filtered": 0, "held": 0, "dropped": {"kernel.ring": 1}}
    return {
        **part,
        "sources": {source: part},
        "sinks": {sink: {"offered": count, "written": count, "queued": 0, "dropped": {}}},
        "calls": {"active": 1, "total": {"ended": count}},
        "workers": {"line": 0.5},
        "iterations": {"line": 7},
        "queues": {"records": 0, sink: 0},
        "streams_active": 2,
        "backpressure_level": count - 3,
        "kpi": {"trunks": {"a": {"attempts": count, "peak": count}}},
    }


def test_snapshots_of_pipelines_are_added():
    parts = {"edge": snapshot("eth0", "vif:lc0", 3), "core": snapshot("eth0", "vif:lc1", 4)}
    total = merge.merged(parts, named=True)
    assert (total["in"], total["dropped"]) == (7, {"kernel.ring": 2})
    assert {name: part["in"] for name, part in total["sources"].items()} == {"edge/eth0": 3, "core/eth0": 4}
    assert total["calls"] == {"active": 2, "total": {"ended": 7}}
    assert total["workers"] == {"edge/line": 0.5, "core/line": 0.5}
    assert total["kpi"] == {"trunks": {"a": {"attempts": 7, "peak": 4}}}, "peaks of two lines were not at one moment"
    assert total["backpressure_level"] == 1
    assert set(total["queues"]) == {"edge/records", "core/records", "vif:lc0", "vif:lc1"}
    assert merge.merged({"main": parts["edge"]}, named=False) == parts["edge"]
    assert parts["edge"] == snapshot("eth0", "vif:lc0", 3), "what was given stays as it was"


def test_another_daemon_keeps_its_control_socket(tmp_path):
    path = str(tmp_path / "control.sock")
    told = []
    first = listen.control(path, told.append)
    with pytest.raises(NotPossible, match="another lippycatd listens there"):
        listen.control(path, told.append)
    first.close()
    second = listen.control(path, told.append)  # the file of a daemon that has gone is replaced
    assert (tmp_path / "control.sock").stat().st_mode & 0o777 == 0o660
    second.close()
    assert told == []
    assert listen.control(str(tmp_path / "nowhere" / "control.sock"), told.append) is None
    assert "No such file or directory; SIGHUP reloads" in told[0]


def test_an_audit_file_is_never_reached_through_a_link(tmp_path):
    (tmp_path / "real").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(NotPossible, match=r"audit_file: .*link"):
        audit.open_file(str(tmp_path / "link"), os.getuid(), os.getgid())
