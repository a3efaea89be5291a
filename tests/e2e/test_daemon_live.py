"""lippycatd on live interfaces: reloads while packets come, an end under load, interfaces and helpers that go."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from daemon_kit import BIN, Daemon, closed, until

from captures import files
from tests.e2e.test_live import Wire

_numbers = itertools.count()
CONFIG = (
    "capture: {default_interface: a0, promiscuous: true}\n"
    "voip: {sip_users: alice}\n"
    "output: {write_file: '{folder}/out/a.pcap'}\n"
)


@pytest.fixture
def wire(privileged, tmp_path):
    made = Wire(f"lc-d{os.getpid()}-{next(_numbers)}", tmp_path)
    yield made
    made.close()


@pytest.fixture
def daemon(wire):
    made = []

    def start(config=CONFIG):
        program = ["nsenter", f"--net=/run/netns/{wire.netns}", BIN / "lippycatd"]
        made.append(Daemon(config, program=program, fed=False))
        return made[-1]

    yield start
    for each in made:
        each.close()


@pytest.fixture
def demo(root):
    return root / "captures" / "demo.pcap"


def helpers(pid):
    """The helpers that a daemon has executed."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if b"lippycat_helper" in Path(f"/proc/{child}/cmdline").read_bytes()]


def test_reloads_while_packets_come_lose_none(wire, daemon, demo):
    run = daemon()
    sent = []

    def send():
        sent.append(wire.send(demo, "--pps=4000", "--loop=3"))

    sending = threading.Thread(target=send)
    sending.start()
    steps = [
        CONFIG.replace("alice", "[alice, bob]"),
        CONFIG.replace("true}", "true, filter: udp}"),
        CONFIG.replace("alice", "nobody").replace("a.pcap", "b.pcapng"),
        CONFIG.replace("alice", "bob") + "logging: {level: debug}\n",
    ]
    keys = []
    for config in steps:
        run.write(config)
        done = run.reload()
        assert done.returncode == 0, done.stderr
        keys += done.stdout.removeprefix("reloaded: ").strip().split(", ")
        run.write("voip: {sip_user: x}\n")
        assert run.reload().returncode == 2
    assert {"voip.sip_users", "capture.filter", "output.write_file", "logging.level"} == set(keys)
    sending.join()
    until(lambda: run.accounting()["in"] == sum(sent), 20, f"{run.accounting()}, not {sent}")
    account = run.accounting()
    assert (account["dropped"], closed(account)) == ({}, True)
    assert len(account["sinks"]) == 2
    assert run.end()[0] == 0, run.said()


def test_the_end_under_full_load(wire, daemon, demo):
    run = daemon(CONFIG.replace("voip: {sip_users: alice}\n", ""))
    load = subprocess.Popen(
        ["nsenter", f"--net=/run/netns/{wire.netns}", "tcpreplay", "--topspeed", "--loop=200", "-i", "a1", str(demo)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        until(lambda: run.accounting()["in"] > 20000, 20)
        status, took = run.end()
    finally:
        load.terminate()
        load.communicate()
    assert took < 5, run.said()
    assert status in {0, 1}, run.said()  # 1: the kernel dropped some, and it said how many
    totals = run.event("totals")[-1]
    assert totals["in"] == totals["selected"] + totals["filtered"] + totals["held"] + totals["dropped"] > 20000
    assert totals["held"] == 0
    assert (status == 1) == bool(totals["dropped"])
    kept = files.read_pcap((run.out / "a.pcap").read_bytes())
    assert len(kept) == totals["selected"] == totals[f"file:{run.out}/a.pcap written"]


def test_the_interface_is_made_anew_and_the_helper_is_killed(wire, daemon, demo):
    run = daemon()
    first = wire.send(demo, "--pps=20000")
    until(lambda: run.accounting()["in"] == first)
    wire.ip("link", "delete", "a0")
    until(lambda: run.status()["health"] == {"status": "degraded", "reasons": ["the interface a0 is gone"]})
    wire.pair("a")
    until(lambda: run.status()["health"]["status"] == "ready")
    second = wire.send(demo, "--pps=20000")
    until(lambda: run.accounting()["in"] == first + second, 10, f"{run.accounting()}, not {first} + {second}")
    for pid in helpers(run.process.pid):
        os.kill(pid, signal.SIGKILL)
    gone = "the capture helper is gone; the captures go on without it"
    until(lambda: run.status()["health"] == {"status": "degraded", "reasons": [gone]})
    third = wire.send(demo, "--pps=20000")
    until(lambda: run.accounting()["in"] == first + second + third, 10)
    assert closed(run.accounting())
    assert run.end()[1] < 5
