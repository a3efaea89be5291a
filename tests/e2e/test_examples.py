"""Every folder of examples/ that has a run.sh is run; what it prints equals what the captures' own labels say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from captures import attacks, demo

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NOT_RUN = {"snort", "zeek"}
ALICE = len(demo.build()[1])
"""alice's frames of captures/demo.pcap, as they were labelled when they were made"""


def printed(name, netns="", timeout=120, **environment):
    """What an example prints; it must end with 0."""
    command = [EXAMPLES / name / "run.sh"]
    environment = os.environ | ({"NETNS": netns} if netns else {}) | environment
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def suricata():
    if shutil.which("suricata") is None:
        pytest.skip("needs suricata 7: make setup installs it as root on Debian 12, from bookworm-backports")


def test_every_example_is_run_or_says_that_it_is_not():
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir() and path.name[0] != "."}
    run = {name for name in folders if (EXAMPLES / name / "run.sh").exists()}
    assert folders - run == NOT_RUN
    for name in NOT_RUN:
        assert "**Not run here**" in (EXAMPLES / name / "README.md").read_text()
    tested = set(re.findall(r'printed\("([a-z0-9-]+)"', Path(__file__).read_text()))
    assert tested == run
    listed = set(re.findall(r"^\| \[([a-z0-9-]+)\]", (EXAMPLES / "README.md").read_text(), re.MULTILINE))
    assert listed == folders


def test_one_user_to_a_file():
    told = printed("one-user-to-a-file")
    assert f"packets: {ALICE} of 3187" in told
    assert re.search(r"INVITE +: +10 Packets", told)


def test_a_pipe():
    assert printed("pipe").split() == ["INVITE", "100", "180", "200", "ACK", "BYE", "200"]


def test_records():
    lines = printed("records").splitlines()
    assert len(lines) == 8  # README of captures: eight calls of alice
    assert lines[-1] == "alice -> ivan: failed, 0.5 s, no media rated"  # the busy callee


def test_prometheus():
    samples = re.findall(r"^lippycat_(\w+_total)\{.*\} (\S+)$", printed("prometheus"), re.MULTILINE)
    assert {name: float(value) for name, value in samples} == {
        "packets_in_total": 3187,
        "packets_selected_total": ALICE,
        "sink_written_packets_total": ALICE,
    }


def test_the_daemons_configuration():
    printed("daemon")


def test_tcpdump_on_lc0(netns):
    told = printed("any-tool-on-lc0", netns)
    assert f"packets: {ALICE}\n" in told
    assert "0 packets dropped by kernel" in told


def test_dumpcap_on_lc0(netns):
    told = printed("tshark-on-lc0", netns)
    assert f"received/dropped on interface 'lc0': {ALICE}/0 (pcap:0/dumpcap:0/flushed:0/ps_ifdrop:0)" in told


def test_replay_timing(netns):
    count, seconds = printed("replay-timing", netns).split()[-2:]
    assert int(count) == 109
    assert 0.1 < float(seconds) < 0.5  # captured over 1.55 s


def test_the_python_api(netns):
    assert printed("python-api", netns).endswith("written: 3\n")


def test_rules_are_validated_and_a_missing_alert_fails(netns, suricata, tmp_path):
    """One run of Suricata on lc0; then its alerts against a list that asks for one more."""
    command = [EXAMPLES / "ci" / "validate.sh", EXAMPLES.parent / "captures" / "attacks.pcap"]
    command += [EXAMPLES / "suricata" / "sip.rules", tmp_path]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=180, check=False, env=os.environ | {"NETNS": netns}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 of 3 rules alerted, no other, Suricata dropped nothing" in done.stdout
    transactions = sum('"event_type":"sip"' in line for line in (tmp_path / "eve.json").read_text().splitlines())
    assert transactions >= attacks.SCANNED + attacks.GUESSED + attacks.FLOODED
    compare = [sys.executable, EXAMPLES / "ci" / "compare.py", tmp_path / "eve.json"]
    (tmp_path / "more").write_text("9000001\n9000002\n9000003\n9000009\n")
    (tmp_path / "less").write_text("9000001\n9000002\n")
    for expected, line in (
        ("more", "rule 9000009 did not alert"),
        ("less", "rule 9000003 alerted and was not expected to"),
    ):
        done = subprocess.run([*compare, tmp_path / expected], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout.strip()) == (1, line)


@pytest.mark.skipif(
    "LIPPYCAT_FULL" not in os.environ, reason="the test before runs the same; LIPPYCAT_FULL=1 runs them"
)
def test_the_same_as_a_user_starts_them(netns, suricata):
    assert "3 of 3 rules alerted" in printed("ci", netns)
    assert "alert: SIP scanner: 1" in printed("suricata", netns)
