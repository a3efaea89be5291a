"""`sniff -i` without root, beside a capture helper that dies, comes back, and whose policy changes."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import time

import pytest
from daemon_kit import BIN, until
from room_kit import Room

from tests.e2e.test_live import Wire

_numbers = itertools.count()
POLICY = """\
socket = "/run/lippycat/capture.sock"
group = "nogroup"
[[peer]]
user = "nobody"
[[capture]]
interface = "a*"
count = 8
ring_max = 268435456
promiscuous = true
filter = [[0x06, 0, 0, 0x40000]]
"""
NARROW = POLICY.replace('"a*"', '"b*"')


@pytest.fixture
def wire(privileged, tmp_path):
    made = Wire(f"lc-s{os.getpid()}-{next(_numbers)}", tmp_path)
    yield made
    made.close()


@pytest.fixture
def room(wire, tmp_path):
    made = Room(tmp_path, POLICY, ("--role", "capture"), wire.netns)
    made.start_helper()
    yield made
    made.close()


class Sniff:
    """A run as nobody."""

    def __init__(self, room, folder, *arguments):
        self.out, self.err = folder / "sniff.out", folder / "sniff.err"
        nobody = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]
        command = [*room.prefix, *nobody, BIN / "lippycat", "sniff", "-i", "a0", "-w", "/dev/null", "--format", "json"]
        with self.out.open("w") as out, self.err.open("w") as err:
            self.process = subprocess.Popen(
                list(map(str, [*command, "-q", "--log-level", "debug", "--log-format", "json", *arguments])),
                stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            )  # fmt: skip
        self.said("confined")

    def said(self, text, seconds=30):
        due = time.monotonic() + seconds
        while text not in self.err.read_text() and self.process.poll() is None and time.monotonic() < due:
            time.sleep(0.05)
        assert text in self.err.read_text(), self.err.read_text()

    def end(self):
        """Its summary."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(20)
        return json.loads(self.out.read_text().splitlines()[-1])

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)


@pytest.fixture
def sniff(room, tmp_path):
    made = []

    def start(*arguments):
        made.append(Sniff(room, tmp_path, *arguments))
        return made[-1]

    yield start
    for each in made:
        each.close()


@pytest.fixture
def demo(root):
    return root / "captures" / "demo.pcap"


def anew(room, policy):
    room.policy.write_text(policy)
    room.helper.send_signal(signal.SIGHUP)


def test_the_helper_is_killed_and_comes_back(wire, room, sniff, demo):
    """The capture goes on without it; an interface that is made anew then is asked for at the new one."""
    run = sniff()
    sent = wire.send(demo, "--pps=10000")
    room.kill_helper()
    run.said("the capture helper is gone")
    sent += wire.send(demo, "--pps=10000")
    room.start_helper()
    run.said("the capture helper is there")
    wire.ip("link", "delete", "a0")
    run.said("a0: the interface was deleted")
    wire.pair("a")
    until(lambda: room.log.read_text().count("capture from a0 for") == 2, 20, room.log.read_text())
    time.sleep(0.5)
    sent += wire.send(demo, "--pps=10000")
    summary = run.end()
    assert (summary["in"], summary["selected"], summary["dropped"]) == (sent, sent, {})
    assert run.process.returncode == 0, run.err.read_text()


def test_sockets_that_the_policy_takes_back_are_asked_for_again(wire, room, sniff, demo):
    run = sniff()
    sent = wire.send(demo, "--pps=10000")
    anew(room, NARROW)
    run.said("capture from a0 is not permitted")
    wire.send(demo, "--pps=10000")
    anew(room, POLICY)
    run.said("the capture helper is there", 60)
    until(lambda: "capture from a0 for" in room.log.read_text().rpartition("was ended")[2])
    sent += wire.send(demo, "--pps=10000")
    summary = run.end()
    assert (summary["in"], summary["dropped"]) == (sent, {})
    assert run.process.returncode == 0, run.err.read_text()


def test_sockets_of_several_workers_are_given_up(wire, room, sniff, demo):
    """Nobody can take a group of sockets back: its holder asks, and ends the capture."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two processors")
    run = sniff("--tcp-max-workers", "2")
    sent = wire.send(demo, "--pps=10000")
    room.kill_helper()
    run.said("the capture helper is gone")
    room.start_helper()
    run.said("the capture helper is there")  # which would give them again: the capture goes on
    sent += wire.send(demo, "--pps=10000")
    anew(room, NARROW)
    run.said("capture from a0 is not permitted")
    run.process.wait(20)
    wire.send(demo, "--pps=10000")
    summary = run.end()
    assert (summary["in"], run.process.returncode) == (sent, 1)
