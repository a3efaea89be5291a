"""A file without sinks is read once, with a sink twice: the same records, figures and accounting."""

from __future__ import annotations

import json

import pytest

CAPTURES = ("demo.pcap", "call.pcapng", "names.pcap", "late-media.pcap", "qinq.pcap", "cut.pcap")


@pytest.mark.parametrize("name", CAPTURES)
def test_the_same_records_and_accounting(lippycat, root, tmp_path, name):
    told = []
    for more in ((), ("-w", tmp_path / "out.pcap")):
        done = lippycat("sniff", "voip", "-r", root / "captures" / name, "--format", "json", *more)
        *records, summary = [json.loads(line) for line in done.stdout.splitlines()]
        summary.pop("sinks")
        told.append((done.returncode, records, summary))
    assert told[0] == told[1]
    assert told[0][2]["held"] == 0 < told[0][2]["in"]


def test_a_filter_and_classes(lippycat, root, tmp_path):
    """What no selector keeps is filtered; capinfos counts what a sink got of the same selection."""
    for options in (("--filter", "udp port 5060"), ("--protocol", "rtp"), ("--protocol", "sip")):
        run = ["sniff", "voip", "-r", root / "captures" / "demo.pcap", "--format", "json", *options]
        one = json.loads(lippycat(*run).stdout.splitlines()[-1])
        two = json.loads(lippycat(*run, "-w", tmp_path / "out.pcap").stdout.splitlines()[-1])
        figures = ("in", "selected", "filtered", "held", "dropped")
        assert [one[name] for name in figures] == [two[name] for name in figures]
        assert one["selected"] == two["sinks"][f"file:{tmp_path / 'out.pcap'}"]["written"] > 0
