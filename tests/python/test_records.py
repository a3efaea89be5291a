"""Records: the same values in JSON, CSV and text; a packet line as tcpdump prints it."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captures import files
from lippycatd.model import records
from lippycatd.sinks import dissect, text
from lippycatd.sinks.records import Writer

ROOT = Path(__file__).resolve().parents[2]
SIP = {
    "type": "sip",
    "ts": "1700000000.000000001",
    "source": "a.pcap",
    "frame": 7,
    "frames": [6, 7],
    "src": "2001:db8::1",
    "sport": 5060,
    "dst": "10.0.0.2",
    "dport": 5070,
    "transport": "tcp",
    "method": "INVITE",
    "request_uri": "sip:b@x",
    "call_id": "é\x1b[2J\n@y",
    "from_user": "a",
    "from_host": "h",
    "to_user": None,
    "to_host": "g",
    "cseq": 1,
    "cseq_method": "INVITE",
    "retransmission": True,
    "problems": ["no_max_forwards"],
    "sdp": [{"media": "audio", "ip": "10.0.0.1", "port": 4000, "proto": "RTP/AVP", "formats": ["0"]}],
}
STREAM = {
    "type": "stream",
    "ts": "1700000009.000000000",
    "source": "a.pcap",
    "frame": 7,
    "src": "10.0.0.1",
    "sport": 4000,
    "dst": "10.0.0.2",
    "dport": 4002,
    "ssrc": "0x00000001",
    "call_id": "c",
    "packets": 5,
    "lost": 0,
    "jitter_ms": 0.1 + 0.2,
    "mos": float("nan"),
}


def printed(kind, style, batch, summary=None):
    out = io.BytesIO()
    writer = Writer(kind, style, out)
    writer.write([dict(record) for record in batch])
    if summary is not None:
        writer.summary(summary)
    return out.getvalue().decode()


def test_json_is_one_object_a_line():
    lines = printed("voip", "json", [SIP, STREAM], {"type": "summary", "in": 2}).splitlines()
    assert json.loads(lines[0]) == SIP
    assert json.loads(lines[1]) == {**STREAM, "jitter_ms": 0.3, "mos": None}
    assert json.loads(lines[2]) == {"type": "summary", "in": 2}


def test_csv_has_the_same_names_and_values():
    rows = list(csv.DictReader(io.StringIO(printed("voip", "csv", [SIP, STREAM], {"type": "summary"}), newline="")))
    assert len(rows) == 2
    assert tuple(rows[0]) == records.columns("voip")
    assert rows[0]["call_id"] == SIP["call_id"]
    assert json.loads(rows[0]["sdp"]) == SIP["sdp"]
    assert rows[0]["to_user"] == ""
    assert rows[0]["retransmission"] == "true"
    assert rows[1]["jitter_ms"] == "0.3"


def test_text_cannot_steer_a_terminal():
    line = printed("voip", "text", [SIP])
    assert line.count("\n") == 1
    assert line[:-1].isprintable()
    for part in ("2001:db8::1.5060 > 10.0.0.2.5070", "SIP/TCP INVITE sip:b@x", "a@h > g", "audio 10.0.0.1:4000"):
        assert part in line


def packets():
    return files.read_pcap((ROOT / "captures" / "demo.pcap").read_bytes())


@pytest.fixture(scope="module")
def tcpdump(tmp_path_factory):
    """tcpdump's own lines for the packets, in UTC."""
    assert shutil.which("tcpdump"), "tcpdump is missing: make setup installs it"
    path = tmp_path_factory.mktemp("lines") / "call.pcap"
    path.write_bytes(files.pcap(packets()))
    command = ["tcpdump", "-n", "-S", "-r", str(path)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={"TZ": "UTC", "PATH": "/usr/bin:/bin:/usr/sbin"}
    )
    return [line for line in done.stdout.splitlines() if line and not line.startswith("\t")]


def test_a_packet_line_is_tcpdumps(tcpdump, monkeypatch):
    """Time, addresses and ports; for TCP also flags, numbers, window, options and length; for UDP the length."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    batch = [
        {"type": "packet", "ts": f"{ts // 10**9}.{ts % 10**9:09}", "source": "x", "frame": 1, "link": 1, "raw": data}
        for ts, data in packets()
    ]
    ours = printed("packet", "text", batch).splitlines()
    assert len(ours) == len(tcpdump) > 100
    checked = {"tcp": 0, "udp": 0}
    for line, theirs in zip(ours, tcpdump, strict=True):
        if ": frag (" in theirs:
            continue  # tcpdump prints the ports of an IPv6 fragment after its offset
        assert line.split(": ")[0] == theirs.split(": ")[0]
        if "Flags [" in theirs:
            wanted = re.match(r".*?, length \d+", theirs.partition(": ")[2])
            assert line.partition(": ")[2].startswith(wanted[0])
            checked["tcp"] += 1
        elif ": UDP, length" in theirs:
            assert line == theirs
            checked["udp"] += 1
    assert checked["tcp"] > 20
    assert checked["udp"] > 500
    monkeypatch.undo()
    time.tzset()


def test_the_fast_way_says_the_same(monkeypatch):
    frames = [data for _, data in packets()]
    fast = [dissect.fields(1, frame) for frame in frames]
    monkeypatch.setattr(dissect, "_plain", lambda _: None)
    assert fast == [dissect.fields(1, frame) for frame in frames]


@pytest.mark.parametrize("link", [0, 1, 9, 12, 50, 101, 108, 113, 228, 229, 276, 999])
@given(frame=st.binary(max_size=200))
def test_no_bytes_break_a_line(link, frame):
    found = dissect.fields(link, frame)
    assert found["info"]
    assert found["info"].isprintable()
    record = {"type": "packet", "ts": "1.000000000", "source": "x", "frame": 1, **found}
    assert text.packet(record, text.Clock())


@given(raw=st.binary(min_size=20, max_size=80), number=st.sampled_from([1, 2, 6, 17, 41, 44, 47, 58, 132]))
def test_no_payload_breaks_a_line(raw, number):
    v4 = bytes([0x45, 0, 0, 20 + len(raw), 0, 0, 0, 0, 64, number, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2])
    v6 = bytes([0x60, 0, 0, 0, 0, len(raw), number, 64]) + bytes(15) + b"\1" + bytes(15) + b"\2"
    for head in (v4, v6):
        found = dissect.fields(101, head + raw)
        assert found.get("src", "::1") in {"10.0.0.1", "::1"}
        assert found["info"].isprintable()


def test_the_fields_of_a_packet_in_order():
    line = printed(
        "packet",
        "json",
        [
            {
                "type": "packet",
                "ts": "1.000000000",
                "source": "x",
                "frame": 1,
                "length": 5,
                "link": 1,
                "raw": packets()[0][1],
            }
        ],
    )
    assert list(json.loads(line)) == [
        "type",
        "ts",
        "source",
        "frame",
        "src",
        "dst",
        "sport",
        "dport",
        "protocol",
        "length",
        "info",
    ]
