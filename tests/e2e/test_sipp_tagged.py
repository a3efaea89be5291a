"""Calls with media by sipp over UDP and TCP between two namespaces; a forwarding program in the middle puts VLAN tags
on some of them. What lippycatd tells of the tagged wire equals sipp's statistics, tshark's on a capture taken beside
it, and what the forwarding program sent. 20 calls; with LIPPYCAT_FULL=1 200."""

from __future__ import annotations

import collections
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from daemon_kit import BIN, Daemon, closed, until
from sipp_kit import SCENARIO, Hosts, last_row, sent_messages

from demo.live import wait_for
from tests.e2e.tagging import TAGS

CALLS = 200 if os.environ.get("LIPPYCAT_FULL") else 20
PACKETS = 50  # of media from a caller; as many come back
RATE = 5  # calls a second and caller
CALLEE = "10.9.0.20"
CALLERS = {1: "u1", 2: "u1", 3: "t1", 4: "tn"}  # last byte of the address: sipp's transport
CONFIG = """
capture: {{default_interface: m1, promiscuous: true}}
output: {{records: '{{folder}}/out/records.jsonl'}}
"""


class Tagged(Hosts):
    """Caller and callee behind TAPs, and between them the wire m0 - m1 with tags."""

    def __init__(self, scratch):
        super().__init__(scratch, "caller", "between", "callee")
        for role in self.names:
            self.run(*self.inside(role, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"))
            self.ip(role, "link", "set", "lo", "up")
        self.ip("between", "link", "add", "m0", "mtu", "2000", "type", "veth", "peer", "name", "m1", "mtu", "2000")
        for device in ("m0", "m1"):
            self.ip("between", "link", "set", device, "up")
        program = [sys.executable, Path(__file__).with_name("tagging.py"), self.names["caller"], self.names["callee"]]
        self.forwarder, self.forwarded, _ = self.start("between", *program, "m0", "m1", name="forwarder")
        wait_for("the forwarder", lambda: "ready" in self.forwarded.read_text(), self.forwarder)
        for last in CALLERS:
            self.ip("caller", "address", "add", f"10.9.0.{last}/24", "dev", "ta")
        self.ip("callee", "address", "add", f"{CALLEE}/24", "dev", "tb")

    def up(self):
        for role, device in (("caller", "ta"), ("callee", "tb")):
            self.ip(role, "link", "set", device, "up")

    def stop(self):
        """End the forwarder: frames by their tags."""
        self.forwarder.send_signal(signal.SIGTERM)
        self.forwarder.wait(10)
        return json.loads(self.forwarded.read_text().splitlines()[-1])


@pytest.fixture
def tagged(privileged, tmp_path):
    if not shutil.which("sipp"):
        pytest.skip("needs sipp: make setup installs sip-tester")
    made = Tagged(tmp_path)
    yield made
    made.close()


@pytest.fixture
def daemon(tagged):
    program = ["nsenter", f"--net=/run/netns/{tagged.names['between']}", BIN / "lippycatd"]
    made = Daemon(CONFIG.format(), program=program, fed=False)
    yield made
    made.close()


def make_calls(tagged):
    """Let the calls happen: sipp's folders of the callers and the callees."""
    sound, scenario = tagged.scratch / "sound.alaw", tagged.scratch / "caller.xml"
    sound.write_bytes(bytes(range(160)) * PACKETS)
    text = SCENARIO.replace("SOUND", str(sound)).replace("DURATION", str(PACKETS * 20 + 700))
    scenario.write_text(text)
    callee = tagged.scratch / "callee.xml"
    built_in = subprocess.run(["sipp", "-sd", "uas"], capture_output=True, text=True, check=False).stdout
    callee.write_text(re.sub("<timewait[^>]*>", "", built_in))  # a call is over with its BYE
    each = CALLS // len(CALLERS)
    statistics = ["-trace_counts", "-trace_stat", "-nostdin", "-timeout", "100s"]
    running, folders = [], {}
    transports = collections.Counter("t1" if kind.startswith("t") else kind for kind in CALLERS.values())
    for number, (kind, callers) in enumerate(transports.items()):
        command = ["sipp", "-sf", callee, "-i", CALLEE, "-p", "5060", "-t", kind, "-mp", 6000 + 100 * number]
        command += ["-rtp_echo", "-m", callers * each, *statistics]
        running.append(begin(tagged, "callee", f"callee-{kind}", command, folders))
    time.sleep(0.5)
    for last, kind in CALLERS.items():
        command = ["sipp", f"{CALLEE}:5060", "-sf", scenario, "-i", f"10.9.0.{last}", "-p", "5060", "-t", kind]
        command += ["-m", each, "-r", RATE, "-l", each, "-max_socket", 500, *statistics]
        running.append(begin(tagged, "caller", f"caller-{last}", command, folders))
    for process, said, complained in running:
        assert process.wait(150) == 0, said.read_text()[-2000:] + complained.read_text()
    return folders


def begin(tagged, role, name, command, folders):
    """Start a sipp in a folder of its own."""
    folders[name] = tagged.scratch / name
    folders[name].mkdir()
    return tagged.start(role, "env", "-C", folders[name], *command, name=name)


def of_sipp(folders):
    """(calls made, calls answered, messages by method or code) by all of its statistics."""
    made, taken, messages = 0, 0, collections.Counter()
    for name, folder in folders.items():
        (statistics,) = (f for f in folder.glob("*_.csv"))
        (counts,) = folder.glob("*_counts.csv")
        row = last_row(statistics)
        assert int(row["FailedCall(C)"]) == 0, row
        made += int(row["SuccessfulCall(C)"]) if name.startswith("caller") else 0
        taken += int(row["SuccessfulCall(C)"]) if name.startswith("callee") else 0
        messages += sent_messages(counts)
    return made, taken, messages


def tshark(capture, *arguments):
    command = ["tshark", "-n", "-r", str(capture), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def messages_of_tshark(capture):
    """SIP messages by method or code."""
    fields = ("-T", "fields", "-E", "aggregator=,", "-e", "sip.Method", "-e", "sip.Status-Code")
    shown = tshark(capture, "-Y", "sip", *fields)
    return collections.Counter(word for line in shown.splitlines() for word in re.split("[\t,]", line) if word)


def streams_of_tshark(capture):
    """(packets, lost) by endpoints and SSRC."""
    found = {}
    for line in tshark(capture, "-q", "-z", "rtp,streams").splitlines():
        words = line.split()
        if len(words) > 10 and words[6].startswith("0x"):
            key = (words[2], int(words[3]), words[4], int(words[5]), int(words[6], 16))
            packets, lost = int(words[8]), int(words[9])
            before = found.get(key, (0, 0))
            found[key] = (before[0] + packets, before[1] + lost)
    return found


def test_calls_in_tags_are_told_as_sipp_and_tshark_count_them(tagged, daemon, tmp_path):
    capture = Path("/tmp") / f"lc-tagged{os.getpid()}.pcapng"  # dumpcap drops its rights before it opens it
    dumpcap, _, said = tagged.start("between", "dumpcap", "-q", "-i", "m1", "-B", "64", "-w", capture, name="dumpcap")
    try:
        wait_for("dumpcap", lambda: "File:" in said.read_text(), dumpcap)
        tagged.up()
        folders = make_calls(tagged)
        time.sleep(0.5)
        sent = tagged.stop()
        until(lambda: daemon.accounting()["in"] == sum(sent.values()), 20, f"{daemon.accounting()}, not {sent}")
        account, metrics = daemon.accounting(), daemon.metrics()
        assert daemon.end()[0] == 0, daemon.said()
        time.sleep(0.5)
        dumpcap.send_signal(signal.SIGINT)
        dumpcap.wait(20)
        compare(capture, folders, account, metrics, daemon, sent)
        assert re.search(r"dropped on interface 'm1': \d+/0", said.read_text()), said.read_text()
    finally:
        capture.unlink(missing_ok=True)


def compare(capture, folders, account, metrics, daemon, sent):
    """What all of them tell."""
    assert (account["dropped"], closed(account)) == ({}, True)
    told = tshark(capture, "-T", "fields", "-e", "frame.number")
    assert account["in"] == len(told.splitlines()) == sum(sent.values())
    assert all(sent[tags.hex()] > CALLS // len(CALLERS) * PACKETS for tags in TAGS.values()), sent
    made, taken, messages = of_sipp(folders)
    assert made == taken == CALLS
    for figure in ("call_attempts_total{", 'call_results_total{code="200",', "calls_completed_total{"):
        assert metrics[f'lippycat_{figure}trunk="other"}}'] == CALLS
    assert messages_of_tshark(capture) == messages
    name = "lippycat_sip_messages_total"
    assert messages == {
        re.search('code="([^"]+)"', key)[1]: int(value)
        for key, value in metrics.items() if key.startswith(name) and value
    }  # fmt: skip
    records = [json.loads(line) for line in (daemon.out / "records.jsonl").read_text().splitlines()]
    calls = [record for record in records if record["type"] == "call"]
    assert sorted({(call["state"], call["final"]) for call in calls}) == [("ended", 200)]
    assert len({call["call_id"] for call in calls}) == CALLS
    streams = streams_of_tshark(capture)
    told = {}
    for record in records:
        if record["type"] == "stream":
            key = (record["src"], record["sport"], record["dst"], record["dport"], int(record["ssrc"], 16))
            before = told.get(key, (0, 0))
            told[key] = (before[0] + record["packets"], before[1] + record["lost"])
    assert told == streams
    assert len(streams) == 2 * CALLS
    ids = {record["call_id"] for record in records if record["type"] == "stream"}
    assert ids == {call["call_id"] for call in calls}
