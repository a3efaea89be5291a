"""The report blocks of `rtcp` records are those that tshark reads."""

from __future__ import annotations

import subprocess
from collections import Counter

import pytest

from lippycatd import _dataplane

FIELDS = {
    "source_ssrc": "rtcp.ssrc.identifier", "fraction_lost": "rtcp.ssrc.fraction", "packets_lost": "rtcp.ssrc.cum_nr",
    "highest_seq_no": "rtcp.ssrc.ext_high", "ia_jitter": "rtcp.ssrc.jitter", "lsr": "rtcp.ssrc.lsr",
    "dlsr": "rtcp.ssrc.dlsr",
}  # fmt: skip


@pytest.mark.parametrize("name", ["honeynet-fc4.pcap", "gof-refer-notify-dtmf.pcap"])
def test_report_blocks(shared, name):
    capture = shared / "captures" / "voip-sip-udp" / name
    with capture.open("rb") as file:
        line = _dataplane.Line(inputs=[(name, file.fileno())], voip=True, records="voip", rtcp=True)
        line.start()
        records = []
        while not line.finished() or records[-1:] != [None]:
            over = line.finished()
            records += line.poll(1000, 50)
            if over:
                records.append(None)
    found = {each["frame"]: each for each in records if each and each["type"] == "rtcp"}
    command = ["tshark", "-n", "-r", capture, "-Y", "rtcp.ssrc.fraction", "-T", "fields", "-e", "frame.number"]
    command += [word for field in FIELDS.values() for word in ("-e", field)] + ["-E", "occurrence=f"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines
    shown = Counter()
    for number, each in found.items():
        blocks = each["report"]["report_blocks"] if each["report"] else []
        if blocks:
            shown[(number, *(blocks[0][field] for field in FIELDS))] += 1
        assert each["call_id"]
    assert shown == Counter(tuple(int(word, 0) for word in line.split("\t")) for line in lines)
