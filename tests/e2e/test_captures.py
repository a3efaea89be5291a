"""The oracle of the demo and of the cases: tshark's answer equals the labels of the frames."""

from __future__ import annotations

import pytest

from captures import demo, files, small
from demo import oracle

SCENES = {
    "demo": demo.build()[1],
    "call": small.call().numbers(["alice"]),
    "qinq": small.qinq().numbers(["alice"]),
    "late-media": small.late_media().numbers(["alice"]),
}
FILES = {"demo": "demo.pcap", "call": "call.pcapng", "qinq": "qinq.pcap", "late-media": "late-media.pcap"}


@pytest.mark.parametrize("name", SCENES)
def test_tshark_finds_what_the_labels_say(root, name):
    assert oracle.extract(root / "captures" / FILES[name], "alice") == SCENES[name]


def test_nothing_that_looks_like_alice_is_hers(root):
    labelled = {number for number, (_, _, owner) in enumerate(demo.build()[0].ordered(), 1) if owner == "suffix"}
    assert labelled
    assert not labelled & set(SCENES["demo"])


def test_a_reader_reads_what_was_written(root):
    packets = demo.build()[0].packets()
    assert files.read_pcap((root / "captures" / "demo.pcap").read_bytes()) == packets


def test_a_file_that_is_cut_off_is_named():
    with pytest.raises(ValueError, match="cut off"):
        files.read_pcap(files.pcap(small.call().packets())[:-1])
