"""Records in files: formats, accounting, a full disk, pseudonyms."""

from __future__ import annotations

import contextlib
import csv
import errno
import json
import os
import sqlite3
import stat
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lippycatd import config
from lippycatd.errors import ConfigError, NotPossible, UsageError
from lippycatd.model import records
from lippycatd.sandbox.identity import Identity
from lippycatd.sinks import pseudonyms, record_files
from lippycatd.sinks.record_files import base, database, lines

SELF = Identity("me", os.getuid(), os.getgid(), "/nonexistent", drop=False)
CALL = {
    "type": "call",
    "ts": "1700000000.000000001",
    "source": "a.pcap",
    "frame": 7,
    "call_id": 'é\x1b[2J,"\n@y',
    "from_user": "alice",
    "to_user": "+49123",
    "state": "ended",
    "pdd_ms": float("nan"),
    "final": 200,
    "streams": ["0x00000001", "0x00000002"],
    "packets": 2**40,
}
STREAM = {"type": "stream", "ts": "1700000001.000000000", "call_id": "c", "jitter_ms": 0.1 + 0.2, "lost": -3}
SIP = {"type": "sip", "ts": "1700000002.000000000", "request_uri": "sip:bob@b.example", "sdp": []}


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch):
    """Transactions end by their number of records alone, however slow the machine is."""
    monkeypatch.setattr(database, "_WAIT", 1e9)


def target(name, **flags):
    named = {f"output.{key}": value for key, value in flags.items()}
    return record_files.target(config.build(config.from_flags({"output.records": str(name), **named})))


def opened(name, *, append=False, runs_as=SELF, inputs=(), **flags):
    return record_files.open_target(target(name, **flags), runs_as, inputs, append=append)


def filled(name, *batches, **options):
    file = opened(name, **options)
    file.settle()
    for batch in batches:
        file.write([dict(record) for record in batch])
    file.close()
    counts = file.counters()
    assert counts["offered"] == counts["written"] + counts["queued"] + sum(counts["dropped"].values())
    return file


def rows(path, table):
    with contextlib.closing(sqlite3.connect(path, timeout=0)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(f"SELECT * FROM {table}")]


def test_json_lines(tmp_path):
    file = filled(tmp_path / "r.jsonl", [CALL, SIP, STREAM], [CALL])
    found = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert found[0] == {"type": "schema", "version": records.SCHEMA_VERSION}
    assert found[1:] == [{**CALL, "pdd_ms": None}, {**STREAM, "jitter_ms": 0.3}, {**CALL, "pdd_ms": None}]
    assert file.counters() == {"offered": 3, "written": 3, "queued": 0, "dropped": {}}
    assert stat.S_IMODE((tmp_path / "r.jsonl").stat().st_mode) == 0o640


def test_csv_is_a_file_a_type(tmp_path):
    filled(tmp_path / "r.csv", [CALL, SIP, STREAM])
    assert {"r.calls.csv", "r.streams.csv"} <= {path.name for path in tmp_path.iterdir()}
    assert not (tmp_path / "r.messages.csv").exists()
    with (tmp_path / "r.calls.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert tuple(row) == records.FIELDS["call"]
    assert (row["call_id"], row["pdd_ms"], row["packets"]) == (CALL["call_id"], "", str(2**40))
    assert json.loads(row["streams"]) == CALL["streams"]


def test_sqlite(tmp_path):
    path = tmp_path / "r.sqlite"
    file = filled(path, [CALL, SIP, STREAM], [], [STREAM])
    (call,) = rows(path, "calls")
    assert tuple(call) == records.FIELDS["call"]
    assert (call["call_id"], call["pdd_ms"], call["packets"], call["final"]) == (CALL["call_id"], None, 2**40, 200)
    assert json.loads(call["streams"]) == CALL["streams"]
    assert [(row["lost"], row["jitter_ms"]) for row in rows(path, "streams")] == [(-3, 0.3), (-3, 0.3)]
    assert rows(path, "meta") == [{"key": "schema_version", "value": str(records.SCHEMA_VERSION)}]
    with contextlib.closing(sqlite3.connect(path, timeout=0)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (records.SCHEMA_VERSION,)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        plan = database.execute("EXPLAIN QUERY PLAN SELECT * FROM calls WHERE call_id = 'x'").fetchone()
    assert "USING INDEX" in plan[-1]
    assert (tmp_path / "r.sqlite-journal").stat().st_size == 0
    assert file.counters()["written"] == 3


def test_sqlite_is_read_while_it_grows_and_shows_whole_transactions(tmp_path):
    path = tmp_path / "r.db"
    file = opened(path)
    file.settle()
    file.write([dict(CALL)] * 9_999)
    assert rows(path, "calls") == []
    assert file.counters() == {"offered": 9_999, "written": 0, "queued": 9_999, "dropped": {}}
    file.write([dict(CALL)])
    assert len(rows(path, "calls")) == file.counters()["written"] == 10_000
    file.close()


def test_a_reader_that_holds_the_file_is_waited_for(tmp_path):
    path = tmp_path / "r.db"
    file = opened(path)
    file.settle()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM calls").fetchall()
        for _ in range(2):
            file.write([dict(CALL)] * 10_000)
            assert (file.counters()["queued"], file.trouble()) == (file.counters()["offered"], "")
        reader.execute("COMMIT")
    file.close()
    assert file.counters()["written"] == len(rows(path, "calls")) == 20_000


def test_a_killed_writer_leaves_whole_records(tmp_path):
    """The transaction that did not end is rolled back by the next reader."""
    path = tmp_path / "r.db"
    code = (
        "import os, sys; sys.path.insert(0, 'tests/python'); import test_record_files as t; t.database._WAIT = 1e9\n"
        f"file = t.opened({str(path)!r}); file.settle()\n"
        "file.write([dict(t.CALL)] * 10_000); file.write([dict(t.CALL)] * 9_000); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([os.sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == -9, done.stderr
    assert len(rows(path, "calls")) == 10_000


@pytest.mark.parametrize("ending", ["jsonl", "csv", "sqlite"])
def test_a_second_run_replaces_and_the_daemon_appends(tmp_path, ending):
    path = tmp_path / f"r.{ending}"
    for append, wanted in ((False, 1), (False, 1), (True, 2), (True, 3)):
        filled(path, [CALL], append=append)
        if ending == "sqlite":
            assert len(rows(path, "calls")) == wanted
        else:
            named = path if ending == "jsonl" else tmp_path / "r.calls.csv"
            assert named.read_text().count("1700000000.000000001") == wanted


def test_appending_removes_the_rest_of_a_line(tmp_path):
    path = tmp_path / "r.jsonl"
    filled(path, [CALL])
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"type":"call","ts":' + b"x" * 200_000)
    filled(path, append=True)
    assert path.read_bytes() == whole


def test_appending_to_other_columns_is_refused(tmp_path):
    (tmp_path / "r.calls.csv").write_text("a,b\n")
    with pytest.raises(NotPossible, match="other columns"):
        opened(tmp_path / "r.csv", append=True)


def test_a_database_of_another_version_is_refused_and_new_fields_are_added(tmp_path, monkeypatch):
    path = tmp_path / "r.db"
    filled(path, [CALL])
    monkeypatch.setitem(records.FIELDS, "call", (*records.FIELDS["call"], "novel"))
    filled(path, [{**CALL, "novel": "n"}], append=True)
    assert [row["novel"] for row in rows(path, "calls")] == [None, "n"]
    with contextlib.closing(sqlite3.connect(path, timeout=0)) as database:
        database.execute("PRAGMA user_version = 99")
        database.commit()
    with pytest.raises(NotPossible, match="schema 99"):
        opened(path, append=True)


@pytest.mark.parametrize(
    ("name", "line", "kind"),
    [
        ("r.txt", "the ending chooses the format", ConfigError),
        ("-", "the ending chooses the format", ConfigError),
        ("", "the name is empty", UsageError),
    ],
)
def test_a_name_that_means_nothing(name, line, kind):
    with pytest.raises(kind, match=line):
        target(name)


@pytest.mark.parametrize("ending", ["jsonl", "csv", "sqlite"])
def test_a_symbolic_link_is_not_followed(tmp_path, ending):
    precious = tmp_path / "precious"
    precious.write_text("text")
    (tmp_path / f"r.{'calls.csv' if ending == 'csv' else ending}").symlink_to(precious)
    with pytest.raises(NotPossible, match="symbolic link"):
        opened(tmp_path / f"r.{ending}")
    assert precious.read_text() == "text"


def test_an_input_is_not_overwritten(tmp_path):
    both = tmp_path / "both.jsonl"
    both.write_text("text")
    with both.open() as reading, pytest.raises(UsageError, match="also read"):
        opened(both, inputs=[reading.fileno()])
    assert both.read_text() == "text"


@given(sizes=st.lists(st.integers(1, 50), max_size=30), room=st.integers(0, 800))
def test_a_full_disk_ends_at_a_whole_line(tmp_path_factory, sizes, room):
    """A disk with so much room: what fits as whole lines stays, everything is counted."""
    path = tmp_path_factory.mktemp("full") / "f"
    tail = lines.Tail(os.open(path, os.O_CREAT | os.O_RDWR))
    batch = [b"x" * (size - 1) + b"\n" for size in sizes]
    real = os.write

    def write(fd, data):
        left = room - os.lseek(fd, 0, os.SEEK_CUR)
        if left <= 0 and len(data):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data[: min(left, 7)])

    fits = 0
    while sum(sizes[: fits + 1]) <= room and fits < len(sizes):
        fits += 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines.os, "write", write)
        if fits == len(sizes):
            tail.append(batch)
        else:
            with pytest.raises(base.Stopped) as caught:
                tail.append(batch)
            assert (caught.value.reason, caught.value.written) == ("no_space", fits)
    assert path.read_bytes() == b"".join(batch[:fits])
    tail.close()


@pytest.fixture
def small_disk(privileged, tmp_path):
    """A file system of 1 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M,mode=777", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("ending", ["jsonl", "csv", "sqlite"])
def test_a_full_disk(small_disk, ending):
    file = opened(small_disk / f"r.{ending}")
    file.settle()
    told = []
    for _ in range(20):
        file.write([{**CALL, "call_id": "x" * 500}] * 500)
        told.append(file.trouble())
    file.close()
    counts = file.counters()
    assert counts["offered"] == 10_000
    assert 0 < counts["dropped"]["no_space"] == counts["offered"] - counts["written"]
    assert len([line for line in told if line]) == 1
    if ending == "jsonl":
        found = (small_disk / "r.jsonl").read_text().splitlines()
        assert [json.loads(line)["type"] for line in found] == ["schema"] + ["call"] * counts["written"]
    elif ending == "csv":
        with (small_disk / "r.calls.csv").open(newline="") as reading:
            found = list(csv.DictReader(reading))
        assert len(found) == counts["written"] > 0
        assert all(row["packets"] == str(2**40) for row in found)
    else:
        assert len(rows(small_disk / "r.sqlite", "calls")) == counts["written"]


@pytest.mark.parametrize("ending", ["jsonl", "csv", "sqlite"])
def test_the_file_holds_what_standard_output_shows(lippycat, root, tmp_path, ending):
    """Under the sandbox, as the user dropped to, in a directory that is not that user's."""
    path = tmp_path / f"r.{ending}"
    capture = root / "captures/demo.pcap"
    done = lippycat(
        "sniff",
        "voip",
        "-r",
        capture,
        "--records",
        path,
        "--record-types",
        "call,stream,transaction,sip",
        "--format",
        "json",
    )
    assert done.returncode == 0, done.stderr
    *told, summary = [json.loads(line) for line in done.stdout.splitlines()]
    counts = summary["sinks"][f"records:{path}"]
    assert counts == {"offered": len(told), "written": len(told), "queued": 0, "dropped": {}}
    shown = {kind: [r for r in told if r["type"] == kind] for kind in ("call", "stream", "sip")}
    count = ["tshark", "-n", "-r", capture, "-Y", "sip", "-T", "fields", "-e", "sip.Call-ID", "-E", "occurrence=f"]
    ids = set(subprocess.run(count, capture_output=True, text=True, check=True).stdout.split())
    assert {r["call_id"] for r in shown["sip"]} == ids
    if ending == "jsonl":
        assert [json.loads(line) for line in path.read_text().splitlines()][1:] == told
        return
    for kind, wanted in shown.items():
        table = records.TABLES[kind]
        if ending == "csv":
            with (tmp_path / f"r.{table}.csv").open(newline="") as reading:
                found = list(csv.DictReader(reading))
        else:
            found = rows(path, table)
        assert [r["ts"] for r in found] == [r["ts"] for r in wanted]
        assert [r["call_id"] for r in found] == [r["call_id"] for r in wanted]
        assert [str(r.get("packets") or "") for r in found] == [str(r.get("packets") or "") for r in wanted]


def test_without_other_wishes_the_file_is_the_only_output(lippycat, root, tmp_path):
    done = lippycat("sniff", "voip", "-r", root / "captures/demo.pcap", "--records", tmp_path / "r.jsonl")
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["sniff", "--records", "r.jsonl"], "--records: acts on the records of calls: use sniff voip"),
        (["sniff", "--pseudonymise"], "--pseudonymise: acts on the records of calls: use sniff voip"),
        (["sniff", "voip", "--record-types", "call"], "--record-types does nothing without --records"),
        (["sniff", "voip", "--records", "r.jsonl", "--record-types", "packet"], "is not one of call, stream"),
        (["sniff", "voip", "--pseudonym-key", "k"], "--pseudonym-key does nothing without --pseudonymise"),
        (["sniff", "voip", "--pseudonymise", "--pseudonym-key", "/nonexistent"], "no such file"),
    ],
)
def test_wrong_use_is_one_line(lippycat, root, arguments, line):
    done = lippycat(*arguments, "-r", root / "captures/demo.pcap")
    assert done.returncode == 2
    assert line in done.stderr
    assert done.stderr.count("\n") == 1


NAMES = pseudonyms.Pseudonyms(b"0123456789abcdef")


def test_the_same_input_gives_the_same_token_under_the_same_key():
    (one,) = NAMES.apply([{**CALL, "to_user": "alice", "cseq": 1}])
    assert one["from_user"] == one["to_user"] == NAMES.token("alice", "user")
    assert one["call_id"] == pseudonyms.Pseudonyms(b"0123456789abcdef").token(CALL["call_id"], "call")
    assert one["from_user"] != pseudonyms.Pseudonyms(b"0123456789abcdeg").token("alice", "user")
    assert NAMES.token("x", "user")[2:] != NAMES.token("x", "call")[2:]
    assert {name: value for name, value in one.items() if value is not CALL.get(name)}.keys() == {
        "call_id",
        "from_user",
        "to_user",
        "cseq",
    }


@pytest.mark.parametrize(
    ("uri", "wanted"),
    [
        ("sip:bob:secret@b.example:5060;user=phone?Subject=x", f"sip:{NAMES.token('bob', 'user')}@b.example:5060"),
        ("sips:+49@[2001:db8::1]:5061;x", f"sips:{NAMES.token('+49', 'user')}@[2001:db8::1]:5061"),
        ("sip:b.example;lr", "sip:b.example"),
        ("tel:+49123", f"tel:{NAMES.token('+49123', 'user')}"),
        ("nonsense bob", NAMES.token("nonsense bob", "user")),
        ("sip:a@bob smith@b.example", f"sip:{NAMES.token('a@bob smith', 'user')}@b.example"),
        ("sip:bob@host with bob", f"sip:{NAMES.token('bob@host with bob', 'user')}"),
    ],
)
def test_a_uri_keeps_its_host_only(uri, wanted):
    assert NAMES.uri(uri) == wanted


@given(
    user=st.text("bcdfgh+49", min_size=6, max_size=12), field=st.sampled_from(["from_user", "request_uri", "call_id"])
)
def test_no_name_survives(user, field):
    (found,) = NAMES.apply(
        [{"type": "sip", field: f"sip:{user}@a.example;x={user}" if field == "request_uri" else user}]
    )
    assert user not in found[field]


def test_pseudonyms_reach_every_output(lippycat, root, tmp_path):
    key = tmp_path / "key"
    key.write_text("0123456789abcdef\n")
    capture, path = root / "captures/demo.pcap", tmp_path / "r.jsonl"
    arguments = ["sniff", "voip", "-r", capture, "--records", path, "--format", "json", "--pseudonymise"]
    done = lippycat(*arguments, "--pseudonym-key", key)
    assert done.returncode == 0, done.stderr
    plain = lippycat("sniff", "voip", "-r", capture, "--format", "json")
    users = {json.loads(line).get("from_user") for line in plain.stdout.splitlines()} - {None}
    assert len(users) > 5
    for user in users:
        assert f'"{user}"' not in done.stdout + path.read_text()
        assert NAMES.token(user, "user") in path.read_text() + done.stdout
    assert lippycat(*arguments).stdout != lippycat(*arguments).stdout
    key.write_text("short")
    assert "a key has 16" in lippycat(*arguments, "--pseudonym-key", key).stderr
