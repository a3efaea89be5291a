"""The virtual interface as a Python interface: what is injected is what a reader sees, and the counters close."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demo.live import Tcpdump
from lippycatd.errors import PrivilegeError
from lippycatd.sinks import vif

ROOT = Path(__file__).resolve().parents[2]
ETHERNET = bytes.fromhex("0200000000020200000000010800")
UDP = bytes.fromhex("4500002000010000401100000a0000010a00000213c413c4000c0000")
FRAME = ETHERNET + UDP
FRAMES = [FRAME + number.to_bytes(4) for number in range(500)]


@pytest.fixture
def lc0(netns):
    with vif.open("lc0", netns=netns) as opened:
        yield opened


def test_a_batch_is_seen_and_counted(lc0, tmp_path):
    assert lc0.hint == f"ip netns exec {lc0.netns} tcpdump -i lc0"
    dump = Tcpdump(lc0.netns, lc0.name, tmp_path / "seen.pcap")
    dump.wait_ready()
    assert lc0.inject(FRAMES) == len(FRAMES)
    assert lc0.inject([b"short", FRAME]) == 2
    last = lc0.close()
    assert lc0.close() == last == lc0.statistics()
    dump.process.wait(10)
    assert dump.frames() == [*FRAMES, FRAME]
    assert (last.offered, last.written, last.queued, last.dropped["short"]) == (502, 501, 0, 1)
    assert last.offered == last.written + last.queued + sum(last.dropped.values())


def test_timestamps_set_the_pace(netns):
    with vif.open("lc0", netns=netns, replay_timing=True) as opened:
        start = time.monotonic()
        opened.inject(FRAMES[:3], timestamps_ns=[0, 10**8, 3 * 10**8])
        opened.close()
        assert 0.25 < time.monotonic() - start < 3


def test_mistakes_are_told(lc0):
    with pytest.raises(ValueError, match="2 frames and 1 timestamps"):
        lc0.inject(FRAMES[:2], timestamps_ns=[0])
    with pytest.raises(PrivilegeError, match="lc0"):
        vif.open("lc0", netns=lc0.netns)
    with pytest.raises(ValueError, match="mtu"):
        vif.open("lc1", netns=lc0.netns, mtu=70000)
    with pytest.raises(ValueError, match="colour"):
        vif.open("lc1", netns=lc0.netns, colour="red")
    lc0.close()
    with pytest.raises(ValueError, match="closed"):
        lc0.inject(FRAMES)


def test_the_interface_goes_with_its_opener(netns):
    with vif.open("lc0", netns=netns):
        assert (
            subprocess.run(["ip", "-n", netns, "link", "show", "lc0"], capture_output=True, check=False).returncode == 0
        )
    assert subprocess.run(["ip", "-n", netns, "link"], capture_output=True, check=False).returncode != 0


def test_a_namespace_that_is_removed_is_told(netns):
    """A name that leads elsewhere would let writes succeed where no new reader looks."""
    flags = ["-V", "--vif-netns", netns, "--vif-replay-timing", "--vif-startup-delay", "0", "--loop", "0"]
    command = [Path(sys.executable).with_name("lippycat"), "sniff", "-r", ROOT / "captures" / "call-be.pcap", *flags]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert "tcpdump -i lc0" in run.stderr.readline()
        subprocess.run(["ip", "netns", "delete", netns], check=True)
        told = run.stderr.readline()
        run.send_signal(signal.SIGINT)
        assert run.wait(20) == 1
    finally:
        run.kill()
        run.communicate()
    assert f"the namespace {netns} was removed or made anew" in told
