"""A running line changes at a batch boundary: no packet is lost, and what was not changed stays."""

from __future__ import annotations

import os
import subprocess
import threading
import time

import pytest

from captures import files
from lippycatd import _dataplane
from lippycatd.sources import bpf

HALF = 1500


class Fed:
    """A line on a pipe, and the packets of captures/demo.pcap to feed it with."""

    def __init__(self, packets, **settings):
        self.packets = packets
        read, self.write = os.pipe()
        os.write(self.write, files.pcap([]))
        self.line = _dataplane.Line(inputs=[("pipe", read)], **settings)
        os.close(read)
        self.line.start()

    def feed(self, first, end):
        """Feed packets, and wait until the line has read them."""
        data = files.pcap(self.packets[first:end])[24:]
        writer = threading.Thread(target=lambda: os.write(self.write, data))
        writer.start()
        self.until(lambda: self.line.stats()["in"] == end)
        writer.join()

    def until(self, true):
        due = time.monotonic() + 10
        while not true():
            assert time.monotonic() < due, self.line.stats()
            self.line.poll(1000, 10)

    def change(self, **what):
        number = self.line.change(**what)
        self.until(lambda: self.line.changed() >= number)  # an idle line takes it up too

    def end(self):
        os.close(self.write)
        self.until(self.line.finished)
        stats = self.line.stats()
        assert stats["in"] == stats["selected"] + stats["filtered"] + stats["held"]
        assert (stats["held"], stats["dropped"]) == (0, {})
        for sink in stats["sinks"].values():
            assert sink["offered"] == sink["written"]
        return stats


@pytest.fixture
def fed(root):
    packets = files.read_pcap((root / "captures" / "demo.pcap").read_bytes())
    made = []

    def make(**settings):
        made.append(Fed(packets, **settings))
        return made[-1]

    yield make
    for each in made:
        each.line.stop()


def matching(packets, expression, tmp_path):
    """How many packets tcpdump finds."""
    path = tmp_path / "part.pcap"
    path.write_bytes(files.pcap(packets))
    command = ["tcpdump", "-n", "-r", path, expression]
    return len(subprocess.run(command, capture_output=True, check=True).stdout.splitlines())


def test_filter_and_sinks_change_between_two_packets(fed, tmp_path):
    files_ = [tmp_path / name for name in ("first.pcap", "second.pcap")]
    fds = [os.open(path, os.O_WRONLY | os.O_CREAT) for path in files_]
    first, second = (_dataplane.FileSink(name=str(path), fd=fd) for path, fd in zip(files_, fds, strict=True))
    run = fed(files=[first])
    run.feed(0, HALF)
    run.change(filters=bpf.compile_filter("udp port 5060"), files=[second], remove=[f"file:{files_[0]}"])
    run.feed(HALF, len(run.packets))
    stats = run.end()
    rest = run.packets[HALF:]
    some = matching(rest, "udp port 5060", tmp_path)
    assert 0 < some < len(rest)
    assert (stats["in"], stats["selected"]) == (len(run.packets), HALF + some)
    written = [[data for _, data in files.read_pcap(path.read_bytes())] for path in files_]
    assert written[0] == [data for _, data in run.packets[:HALF]]
    assert len(written[1]) == some
    assert {name: sink["written"] for name, sink in stats["sinks"].items()} == {
        f"file:{files_[0]}": HALF,
        f"file:{files_[1]}": some,
    }
    for fd in fds:
        os.close(fd)


def test_files_that_have_ended_are_counted_and_forgotten(fed, tmp_path):
    """Every packet is in the accounting, however often the file changed; what is remembered of the files is bounded."""
    run, at = fed(), ""
    run.feed(0, 10)  # a pipe whose first packet has not come yet is waited for in its read: no change is taken up there
    for number in range(100):
        fd = os.open(tmp_path / f"{number}.pcap", os.O_WRONLY | os.O_CREAT)
        new = _dataplane.FileSink(name=str(number % 50), fd=fd)
        run.change(files=[new], remove=[at])
        os.close(fd)
        at = f"file:{number % 50}"
        run.feed(10 * number + 10, 10 * number + 20)
    run.until(lambda: len(run.line.stats()["sinks"]) <= 34)
    sinks = run.end()["sinks"]
    assert "file:(earlier)" in sinks
    assert sum(sink["written"] for sink in sinks.values()) == 1000
    assert sum(len(files.read_pcap(path.read_bytes())) for path in tmp_path.glob("*.pcap")) == 1000


def test_selectors_change_and_a_call_in_progress_comes_whole(root, fed, tmp_path, lippycat):
    """alice's call begins in the first half: named in its middle, what is held of it comes out too."""
    whole = tmp_path / "whole.pcap"
    done = lippycat("sniff", "voip", "-r", root / "captures" / "demo.pcap", "-u", "alice", "-w", whole)
    assert done.returncode == 0, done.stderr
    path = tmp_path / "got.pcap"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    run = fed(voip=True, users=["nobody"], hold_time_ns=10**12, files=[_dataplane.FileSink(name="got", fd=fd)])
    run.feed(0, HALF)
    assert run.line.stats()["selected"] == 0
    run.change(selection=(["alice"], [], []))
    assert run.line.stats()["selected"] > 0
    run.feed(HALF, len(run.packets))
    run.end()
    os.close(fd)
    got, want = ([data for _, data in files.read_pcap(each.read_bytes())] for each in (path, whole))
    assert sorted(got) == sorted(want)


def test_what_cannot_change_is_refused_and_nothing_changes(root, fed):
    run = fed(voip=True)
    before = run.line.changed()
    for wrong in (
        {"selection": (["@"], [], [])},
        {"selection": ([], [], ["nonsense"])},
        {"filters": {1: [(6, 0, 0)]}},
    ):
        with pytest.raises((ValueError, TypeError)):
            run.line.change(**wrong)
    with pytest.raises(ValueError, match="no interface"):
        run.line.set_rate(1, 1)
    fd = os.open(root / "captures" / "demo.pcap", os.O_RDONLY)
    line = _dataplane.Line(inputs=[("demo", fd)], voip=True)
    os.close(fd)
    with pytest.raises(ValueError, match="reads a file"):
        line.change(selection=([], [], []))
    assert run.line.changed() == before
    run.end()


def test_the_heart_beats_while_nothing_comes(fed):
    run = fed(voip=True)
    before = run.line.iterations()
    run.until(lambda: run.line.iterations() >= before + 3)
    assert run.line.stats()["iterations"] == {"line": run.line.iterations()}
    run.end()
