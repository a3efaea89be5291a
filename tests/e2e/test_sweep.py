"""Every capture of the shared collection: no crash, no hang, all packets counted, SIP messages equal to the truth."""

from __future__ import annotations

import subprocess
import sys

DIFFERS = {
    "sip-torture/rfc4475-udp.pcap": "the RFC itself agrees with us: 3.1.1.1 wsinv names users that tshark does not "
    "find, 3.1.2.4 scalar02 and 3.1.2.5 scalarlg hold numbers beyond 2**32, and the other five have damaged start "
    "lines, which we keep and label while tshark shows no message",
    "voip-sip-udp/snort-digium-t38-frag.pcap": "tcpdump -A shows the CSeq of seven messages that tshark shows without",
    "hostile/ndpi-fuzz-sip.pcap": "fuzzed bytes: NUL and control characters within names, which tshark cuts or changes",
}
"""capture: why it differs from tshark's view, and who agrees with us (ten at most)"""
FAULTS = ("hang", "traceback", "not json", "accounting open", "exit -")


def test_every_capture(shared, root):
    command = [sys.executable, shared / "tools" / "check_records.py", "captures", root / ".venv" / "bin" / "lippycat"]
    command += [shared / "captures", shared / "captures" / "truth"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=900, check=False)
    *lines, figure = done.stdout.splitlines()
    assert figure.endswith("captures equal"), done.stdout + done.stderr
    assert not [line for line in lines for fault in FAULTS if fault in line], done.stdout
    found = {line.split()[0] for line in lines}
    assert len(DIFFERS) <= 10
    assert found <= set(DIFFERS), done.stdout
