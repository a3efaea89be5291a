"""Live capture from veth pairs in a namespace of the test's own; tcpreplay sends. What came out is compared with what
was sent, byte for byte, and `in` with the sender's count."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from captures import files
from demo.live import Tcpdump, device_is_up, end, wait_for
from tests.e2e.conftest import LIPPYCAT
from tests.e2e.test_whole_calls import check_frames

_numbers = itertools.count()


class Wire:
    """A namespace with the veth pairs a0-a1 and b0-b1; nothing but the test sends there."""

    def __init__(self, netns, scratch):
        self.netns, self.scratch = netns, scratch
        self.run("ip", "netns", "add", netns)
        self.inside("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1", "net.ipv6.conf.all.disable_ipv6=1")
        for pair in "ab":
            self.pair(pair)

    @staticmethod
    def run(*command):
        return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout

    def inside(self, *command):
        return self.run("nsenter", f"--net=/run/netns/{self.netns}", *command)

    def ip(self, *arguments):
        self.run("ip", "-n", self.netns, *arguments)

    def pair(self, name):
        self.ip("link", "add", f"{name}0", "type", "veth", "peer", "name", f"{name}1")
        for device in (f"{name}0", f"{name}1"):
            self.ip("link", "set", device, "up")

    def send(self, capture, *options, device="a1"):
        """Send a capture; how many packets went out."""
        options = options or ("--topspeed",)
        told = self.inside("tcpreplay", *options, "-i", device, capture)
        return int(re.search(r"Successful packets:\s+(\d+)", told).group(1))

    def close(self):
        self.run("ip", "netns", "delete", self.netns)


class Sniff:
    """A running `lippycat sniff` that captures."""

    def __init__(self, wire, *arguments):
        number = next(_numbers)
        self.out, self.err = wire.scratch / f"sniff{number}.out", wire.scratch / f"sniff{number}.err"
        self.kept = wire.scratch / f"sniff{number}.pcap"
        command = ["nsenter", f"--net=/run/netns/{wire.netns}", LIPPYCAT, "sniff", *arguments, "-w", self.kept]
        command += ["--format", "json", "--log-level", "debug", "--user", "nobody"]
        with self.out.open("w") as out, self.err.open("w") as err:
            self.process = subprocess.Popen(
                list(map(str, command)), stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
            )
        wait_for("the capture", lambda: "confined" in self.err.read_text(), self.process)

    def stop(self, settle=0.3):
        """End it as Ctrl-C does; its summary."""
        time.sleep(settle)
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(30) in {0, 1}, self.err.read_text()
        summary = json.loads(self.out.read_text().splitlines()[-1])
        assert summary["type"] == "summary"
        parts = summary["selected"] + summary["filtered"] + summary["held"] + sum(summary["dropped"].values())
        assert summary["in"] == parts
        return summary

    @property
    def status(self):
        return self.process.returncode

    def frames(self):
        return [data for _, data in files.read_pcap(self.kept.read_bytes())]

    def told(self):
        return self.err.read_text()


@pytest.fixture
def wire(privileged, tmp_path):
    for tool in ("tcpreplay", "nsenter"):
        if not shutil.which(tool):
            pytest.skip(f"needs {tool}: make setup installs it")
    made = Wire(f"lc-w{os.getpid()}-{next(_numbers)}", tmp_path)
    yield made
    made.close()


@pytest.fixture
def sniff(wire):
    begun = []

    def start(*arguments):
        begun.append(Sniff(wire, *arguments))
        return begun[-1]

    yield start
    for each in begun:
        end(each.process)


@pytest.fixture
def some(root, tmp_path):
    """A capture of 3,187 frames, and its frames."""
    path = root / "captures" / "demo.pcap"
    return path, [data for _, data in files.read_pcap(path.read_bytes())]


@pytest.mark.parametrize("more", [["-i", "a0", "-p"], ["-i", "a0"], []], ids=["promiscuous", "plain", "any"])
def test_every_frame_and_an_end_by_signal(wire, sniff, some, more):
    """Also frames between other hosts, without -p: a veth, a mirror port and a bridge deliver them."""
    path, frames = some
    running = sniff(*more or ["--deduplicate"])
    assert wire.send(path) == len(frames)
    summary = running.stop()
    assert running.status == 0, running.told()
    copies = 0 if more else len(frames)  # `any` sees a veth's frame at both ends
    dropped = {"dedup.duplicate": copies} if copies else {}
    assert (summary["in"], summary["selected"], summary["dropped"]) == (len(frames) + copies, len(frames), dropped)
    assert running.frames() == frames


def test_tags_are_where_the_filter_and_the_file_expect_them(wire, sniff, root):
    path = root / "captures" / "qinq.pcap"
    frames = [data for _, data in files.read_pcap(path.read_bytes())]
    tagged = [f for f in frames if f[12:14] in {b"\x88\xa8", b"\x81\x00"}]
    assert tagged
    everything, chosen = sniff("-i", "a0", "-p"), sniff("-i", "a0", "-p", "-f", "vlan")
    wire.send(path)
    everything.stop()
    assert chosen.stop()["in"] == len(frames)
    assert everything.frames() == frames
    assert chosen.frames() == tagged


def test_two_interfaces_and_any(wire, sniff, some):
    path, frames = some
    both, everything = sniff("-i", "a0,b0", "-p"), sniff("--deduplicate")
    sent = wire.send(path, "--pps=20000") + wire.send(path, "--pps=20000", device="b1")
    summary = both.stop()
    assert (summary["in"], summary["selected"]) == (sent, sent)
    assert {name: part["in"] for name, part in summary["sources"].items()} == {"a0": len(frames), "b0": len(frames)}
    assert both.frames() == frames * 2
    told = everything.stop()
    # each frame is seen as it leaves a1 or b1, and again as it arrives at a0 or b0
    assert (told["selected"], told["dropped"]) == (sent, {"dedup.duplicate": sent})
    assert everything.status == 0, everything.told()


def test_an_interface_that_goes_down_and_one_that_is_made_anew(wire, sniff, some):
    path, frames = some
    running = sniff("-i", "a0", "-p")
    wire.send(path)
    time.sleep(0.3)
    wire.ip("link", "set", "a0", "down")
    time.sleep(0.3)
    wire.ip("link", "set", "a0", "up")
    time.sleep(0.3)
    wire.send(path)
    time.sleep(0.3)
    wire.ip("link", "delete", "a0")
    time.sleep(0.5)
    wire.pair("a")
    time.sleep(2.5)
    wire.send(path)
    summary = running.stop()
    assert running.status == 0, running.told()
    assert (summary["in"], running.frames()) == (3 * len(frames), frames * 3)
    told = running.told()
    assert [word in told for word in ("is down", "capture goes on", "was deleted")] == [True] * 3


def test_what_the_ring_had_no_room_for_is_counted(wire, sniff, some):
    path, _ = some
    running = sniff("-i", "a0", "-p", *small_ring(wire))
    running.process.send_signal(signal.SIGSTOP)
    sent = wire.send(path)
    running.process.send_signal(signal.SIGCONT)
    summary = running.stop()
    drops = summary["dropped"]["kernel.ring_full"]
    assert (summary["in"], summary["selected"]) == (sent, sent - drops)
    assert 0 < drops < sent
    assert len(running.frames()) == sent - drops
    assert running.status == 1  # something was lost, and it said what
    assert "kernel.ring_full" in running.told()


def small_ring(wire):
    config = wire.scratch / "small.yaml"
    config.write_text("capture:\n  buffer_size: 200KiB\n  block_size: 64KiB\n")
    return "--config", config


def test_a_ring_is_rounded_to_whole_blocks_and_says_so(wire, sniff):
    running = sniff("-i", "a0", *small_ring(wire))
    running.stop()
    assert "204800 bytes become 262144" in running.told()


@pytest.mark.parametrize("target", ["+4930555000777", "alice"] if os.environ.get("LIPPYCAT_FULL") else ["alice"])
def test_every_hard_scenario_on_the_wire(shared, wire, sniff, tmp_path, target):
    capture = tmp_path / "hard.pcap"
    command = ["python3", shared / "tools" / "gen_hard.py", "-o", capture, "--quiet", "--seed", "1", "--target", target]
    Wire.run(*command)
    running = sniff("voip", "-i", "a0", "-p", "--sipuser", target)
    sent = wire.send(capture, "-q")  # at its own pace: the scenarios are about time too
    summary = running.stop()
    assert (summary["in"], running.status) == (sent, 0), running.told()
    check_frames(shared, running.kept, capture, "--any-order")


def test_onto_a_device_and_never_from_it(wire, sniff, some):
    path, _ = some
    onto = ("-V", "--vif-required", "--vif-netns", "", "-f", "udp or tcp or arp or icmp")
    running = sniff("-i", "any", "--deduplicate", *onto)
    wait_for("lc0", lambda: device_is_up(wire.netns, "lc0"))
    reader = Tcpdump(wire.netns, "lc0", wire.scratch / "seen.pcap")
    try:
        reader.wait_ready()
        wire.send(path, "--pps=20000")
        time.sleep(1)
        drops = reader.stop()
    finally:
        end(reader.process)
    summary = running.stop()
    assert drops == 0
    assert summary["sinks"]["vif:lc0"]["written"] == summary["selected"] == len(reader.frames())
    assert reader.frames() == running.frames()
    expected = Wire.run("tcpdump", "-r", path, "-n", "udp or tcp or arp or icmp").splitlines()
    assert summary["selected"] == len(expected)


def in_order(kept, capture):
    """Whether the kept frames of each call come in the order in which they were sent (frames of one kind only)."""
    numbers = {}
    for number, (_, data) in enumerate(files.read_pcap(capture.read_bytes()), 1):
        numbers.setdefault(data, []).append(number)
    place = {numbers[data][0]: at for at, data in enumerate(kept) if len(numbers[data]) == 1}
    calls = json.loads(Path(f"{capture}.truth.json").read_text())["calls"]
    found = [
        [place[n] for first, last in call["frames"] for n in range(first, last + 1) if n in place] for call in calls
    ]
    assert sum(len(each) > 1 for each in found) > 10
    return all(each == sorted(each) for each in found)


@pytest.mark.parametrize("seed", range(1, 11) if os.environ.get("LIPPYCAT_FULL") else [2])
def test_one_worker_and_several_give_the_same(shared, wire, sniff, tmp_path, seed):
    """Two capture the same wire at once, and keep the same frames; those of a call in their order."""
    capture = tmp_path / "hard.pcap"
    tool = shared / "tools" / "gen_hard.py"
    Wire.run("python3", tool, "-o", capture, "--quiet", "--seed", seed, "--target", "alice")
    running = [sniff("voip", "-i", "a0", "-p", "--sipuser", "alice", "--tcp-max-workers", n) for n in "12"]
    sent = wire.send(capture, "-q")
    for each in running:
        summary = each.stop()
        assert (summary["in"], each.status) == (sent, 0), each.told()
        check_frames(shared, each.kept, capture, "--any-order")
        assert in_order(each.frames(), capture)
    one, other = [sorted(each.frames()) for each in running]
    assert one == other


def test_latency_mode_gives_the_same(shared, wire, sniff, tmp_path):
    capture = tmp_path / "hard.pcap"
    Wire.run("python3", shared / "tools" / "gen_hard.py", "-o", capture, "--quiet", "--seed", "2", "--target", "alice")
    running = sniff("voip", "-i", "a0", "-p", "--sipuser", "alice", "--tcp-performance-mode", "latency")
    sent = wire.send(capture, "-q")
    summary = running.stop()
    assert (summary["in"], running.status) == (sent, 0), running.told()
    check_frames(shared, running.kept, capture, "--any-order")


def test_several_workers_keep_the_order_and_filter_in_their_threads(wire, sniff, some):
    path, frames = some
    running = sniff("-i", "a0,b0", "-p", "--tcp-max-workers", "2", "-f", "udp")
    sent = wire.send(path, "--pps=50000") + wire.send(path, "--pps=50000", device="b1")
    summary = running.stop()
    expected = len(Wire.run("tcpdump", "-r", path, "-n", "udp").splitlines())
    assert (summary["in"], summary["selected"]) == (sent, 2 * expected)
    assert summary["filtered"] == sent - 2 * expected
    kept = iter(frames * 2)
    assert all(frame in kept for frame in running.frames())  # in the order in which they were sent


def test_more_workers_than_processors_are_refused_in_part(wire, sniff):
    running = sniff("-i", "a0", "--tcp-max-goroutines", "64")
    running.stop()
    assert "voip.max_workers: 64 become" in running.told()
