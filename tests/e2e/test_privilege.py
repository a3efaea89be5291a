"""What the processes hold while they run, and what is left when they die."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from demo.live import device_is_up

CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
NET_ADMIN, SYS_ADMIN = 1 << 12, 1 << 21


def status(path):
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return {name: value.strip() for name, _, value in lines}


def children(pid):
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(entry.parent.name))
    return found


def command(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def helper_and_keeper(begun):
    """The processes that hold a right, by what they hold; the keeper runs in its own session, so look at all."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if entry.name == str(os.getpid()) or begun.netns not in command(int(entry.name)):
                continue
            if int(entry.name) == begun.process.pid:
                continue
            found[int(entry.name)] = int(status(entry / "status")["CapEff"], 16)
        except OSError:
            continue
    for pid in children(begun.process.pid):
        found.setdefault(pid, int(status(Path(f"/proc/{pid}/status"))["CapEff"], 16))
    return found


@pytest.fixture
def running(start, root):
    """A run that will go on for long."""
    capture = root / "captures" / "call-be.pcap"
    return start("sniff", "-r", capture, "--vif-replay-timing", "--loop", "0", "--vif-startup-delay", "1s")


def settle(condition, seconds=10):
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
    return condition()


def injecting(begun):
    return begun.metrics().get('lippycat_vif_injected_packets_total{vif="lc0"}', 0) > 0


def test_no_thread_of_the_daemon_holds_anything(running):
    assert settle(lambda: injecting(running))
    tasks = list(Path(f"/proc/{running.process.pid}/task").iterdir())
    assert len(tasks) > 1
    for task in tasks:
        held = status(task / "status")
        assert {name: int(held[name], 16) for name in CAPABILITIES} == dict.fromkeys(CAPABILITIES, 0)
        assert held["NoNewPrivs"] == "1"
        assert held["Seccomp"] == "2"
        assert 0 not in map(int, held["Uid"].split())
        assert 0 not in map(int, held["Gid"].split())
        assert "0" not in held["Groups"].split()


def test_the_helper_holds_one_capability_and_the_keeper_one(running):
    assert settle(lambda: injecting(running))
    held = helper_and_keeper(running)
    assert held
    assert set(held.values()) <= {NET_ADMIN, SYS_ADMIN}, {command(pid): hex(caps) for pid, caps in held.items()}
    for pid in held:
        assert status(Path(f"/proc/{pid}/status"))["NoNewPrivs"] == "1"


def gone(begun):
    return not Path("/run/netns", begun.netns).exists()


def kill(*pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def test_an_end_by_signal_leaves_nothing(running):
    assert settle(lambda: injecting(running))
    others = helper_and_keeper(running)
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(20) == 0, running.err.read_text()
    assert settle(lambda: gone(running))
    assert settle(lambda: not any(Path(f"/proc/{pid}").exists() for pid in others))


def test_killing_the_daemon_leaves_nothing(running):
    assert settle(lambda: injecting(running))
    others = helper_and_keeper(running)
    kill(running.process.pid)
    running.process.wait(10)
    assert settle(lambda: gone(running))
    assert settle(lambda: not any(Path(f"/proc/{pid}").exists() for pid in others))


def test_killing_the_helper_leaves_nothing(running):
    assert settle(lambda: injecting(running))
    held = helper_and_keeper(running)
    kill(*[pid for pid, caps in held.items() if caps == NET_ADMIN])
    time.sleep(0.5)
    running.process.send_signal(signal.SIGTERM)
    running.process.wait(20)
    assert settle(lambda: gone(running))


def test_killing_daemon_and_helper_leaves_nothing(running):
    assert settle(lambda: injecting(running))
    held = helper_and_keeper(running)
    kill(running.process.pid, *[pid for pid, caps in held.items() if caps == NET_ADMIN])
    running.process.wait(10)
    assert settle(lambda: gone(running))


def test_killing_everything_leaves_a_marked_name_that_the_next_run_removes(running, start, root):
    assert settle(lambda: injecting(running))
    held = helper_and_keeper(running)
    kill(running.process.pid, *held)
    running.process.wait(10)
    begun = start("sniff", "-r", root / "captures" / "call-be.pcap", "--vif-startup-delay", "0s", linger=0)
    assert begun.process.wait(30) == 0, begun.err.read_text()
    assert settle(lambda: gone(begun))


def test_a_namespace_of_somebody_else_stays(netns, start, root):
    subprocess.run(["ip", "netns", "add", netns], check=True)
    try:
        inode = Path("/run/netns", netns).stat().st_ino
        begun = start("sniff", "-r", root / "captures" / "call-be.pcap", "--vif-startup-delay", "1s", linger=0)
        assert begun.process.wait(30) == 0, begun.err.read_text()
        time.sleep(0.5)
        assert Path("/run/netns", netns).stat().st_ino == inode
        assert not device_is_up(netns, "lc0")
    finally:
        subprocess.run(["ip", "netns", "delete", netns], check=True)


def test_a_device_of_that_name_is_a_conflict(netns, start, root):
    subprocess.run(["ip", "netns", "add", netns], check=True)
    try:
        subprocess.run(["ip", "-n", netns, "link", "add", "lc0", "type", "veth", "peer", "name", "lc1"], check=True)
        begun = start("sniff", "-r", root / "captures" / "call-be.pcap", linger=0, wait=False)
        assert begun.process.wait(30) == 3
        told = begun.err.read_text()
        assert "lc0" in told
        assert "Traceback" not in told
        assert "lc1" in subprocess.run(["ip", "-n", netns, "link"], capture_output=True, text=True, check=True).stdout
    finally:
        subprocess.run(["ip", "netns", "delete", netns], check=True)


def test_a_device_that_vanishes_is_told_once(running):
    assert settle(lambda: injecting(running))
    subprocess.run(["ip", "-n", running.netns, "link", "delete", "lc0"], check=True)
    time.sleep(1)
    assert running.process.poll() is None or running.process.returncode == 1
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(20) == 1
    lines = [line for line in running.err.read_text().splitlines() if "the interface is gone" in line]
    assert len(lines) == 1, running.err.read_text()
