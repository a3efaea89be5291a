"""Calls by sipp between two namespaces, with a forwarding program between them that harms their media; what `lippycat
sniff voip -i` tells of them is what was done to them."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
from sipp_kit import SCENARIO, Hosts

from demo.live import wait_for
from tests.e2e.conftest import LIPPYCAT

CALLS, PACKETS = 2, 200  # one call after the other, on the same ports
CALLER, CALLEE = "10.9.0.1", "10.9.0.2"


class Path3(Hosts):
    """Caller, forwarder and callee, each in a namespace of its own."""

    def __init__(self, scratch):
        super().__init__(scratch, "caller", "between", "callee")
        for role, device, address in (("caller", "va", CALLER), ("callee", "vb", CALLEE)):
            peer = f"f{device[1]}"
            self.ip("between", "link", "add", peer, "type", "veth", "peer", "name", device, "netns", self.names[role])
            self.ip("between", "link", "set", peer, "up")
            self.ip(role, "address", "add", f"{address}/24", "dev", device)
            self.ip(role, "link", "set", device, "up")
            self.ip(role, "link", "set", "lo", "up")


@pytest.fixture
def path(privileged, tmp_path):
    if not shutil.which("sipp"):
        pytest.skip("needs sipp: make setup installs sip-tester")
    made = Path3(tmp_path)
    yield made
    made.close()


def called(path):
    """Let the calls happen; (what the forwarder did, what lippycat told)."""
    forwarder, _, _ = path.start(
        "between", sys.executable, Path(__file__).with_name("impair.py"), "fa", "fb", "log", name="forwarder"
    )
    sniff, out, err = path.start(
        "callee",
        LIPPYCAT,
        "sniff",
        "voip",
        "-i",
        "vb",
        "--format",
        "json",
        "--user",
        "nobody",
        "--log-level",
        "debug",
        name="sniff",
    )
    wait_for("the capture", lambda: "confined" in err.read_text(), sniff)
    sound = path.scratch / "sound.alaw"
    sound.write_bytes(bytes(range(160)) * PACKETS)
    scenario = path.scratch / "caller.xml"
    duration = str(PACKETS * 20 + 500)
    scenario.write_text(SCENARIO.replace("SOUND", str(sound)).replace("DURATION", duration))
    path.start("callee", "sipp", "-sn", "uas", "-i", CALLEE, "-p", "5060", "-mp", "6000", "-rtp_echo", name="callee")
    time.sleep(0.5)
    arguments = [
        "sipp",
        f"{CALLEE}:5060",
        "-sf",
        scenario,
        "-i",
        CALLER,
        "-p",
        "5060",
        "-m",
        CALLS,
        "-l",
        1,
    ]
    caller, said, complained = path.start("caller", *arguments, "-nostdin", name="caller")
    assert caller.wait(60) == 0, said.read_text()[-2000:] + complained.read_text()
    time.sleep(1)
    sniff.send_signal(signal.SIGINT)
    assert sniff.wait(30) == 0, err.read_text()
    forwarder.send_signal(signal.SIGTERM)
    forwarder.wait(10)
    log = json.loads((path.scratch / "log").read_text())
    return log, [json.loads(line) for line in out.read_text().splitlines()]


def measured(sent):
    """What RFC 3550 makes of (sequence number, timestamp, time in ns) in the order in which they went out."""
    seen, late, doubled = set(), 0, 0
    jitter, every, last, high = 0.0, [], None, sent[0][0]
    for sequence, timestamp, now in sent:
        if sequence in seen:
            doubled += 1
        elif sequence < high:
            late += 1
        seen.add(sequence)
        high = max(high, sequence)
        if last is not None:
            jitter += (abs((now - last[1]) * 8000 / 1e9 - (timestamp - last[0])) - jitter) / 16
            every.append(jitter / 8)
        last = (timestamp, now)
    expected = high - sent[0][0] + 1
    figures = {"packets": len(sent), "expected": expected, "lost": expected - len(sent), "duplicates": doubled}
    return {**figures, "unique_lost": expected - len(seen), "reordered": late}, sum(every) / len(every)


def test_what_was_done_to_calls_is_told(path):
    log, records = called(path)
    calls = [r for r in records if r["type"] == "call"]
    assert [(c["final"], c["state"]) for c in calls] == [(200, "ended")] * CALLS
    streams = {(r["sport"], int(r["ssrc"], 16)): r for r in records if r["type"] == "stream" and r["src"] == CALLER}
    assert len(log) == len(streams) == CALLS
    for done in log:
        stream = streams[tuple(done["source"])]
        figures, jitter = measured([tuple(each) for each in done["sent"]])
        assert {name: stream[name] for name in figures} == figures
        # what the forwarder says that it did
        assert (stream["unique_lost"], stream["duplicates"]) == (done["lost"], done["doubled"])
        assert stream["reordered"] == done["overtaken"]
        assert done["lost"] >= PACKETS // 20
        # every second packet 12 ms late, as it went out (this machine may be busy)
        assert stream["mean_jitter_ms"] == pytest.approx(jitter, abs=1.5)
        assert 7 < stream["mean_jitter_ms"] < 25
        assert (stream["codec"], stream["ptime_ms"]) == ("PCMA", 20.0)
        assert stream["mos"] < 4.2
    # the callee sends back what it got: its streams lack the same packets
    back = {(r["dport"], int(r["ssrc"], 16)): r for r in records if r["type"] == "stream" and r["src"] == CALLEE}
    for source, stream in streams.items():
        assert back[source]["unique_lost"] == stream["unique_lost"]
