"""The metrics page: it passes promtool, and its numbers are those of independent counters of the same run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest


@pytest.fixture
def live(root, onto_device):
    capture = root / "captures" / "demo.pcap"
    return onto_device("voip", "-r", capture, "--sipuser", "alice", "--format", "json", total=3187)


def capinfos(path):
    told = subprocess.run(["capinfos", "-T", "-M", "-c", "-r", path], capture_output=True, text=True, check=True)
    return int(told.stdout.split()[-1])


def test_the_page(root, live):
    assert live.status == 0, live.told
    assert shutil.which("promtool"), "promtool is missing: make setup installs it"
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=live.page, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert not checked.stdout + checked.stderr

    def total(name):
        return sum(value for key, value in live.metrics.items() if re.match(rf"lippycat_{name}(\{{|$)", key))

    assert total("packets_in_total") == capinfos(root / "captures" / "demo.pcap")
    parts = ("packets_selected_total", "packets_filtered_total", "packets_held", "packets_dropped_total")
    assert total("packets_in_total") == sum(map(total, parts))
    assert live.drops == [0]
    assert total("sink_written_packets_total") == len(live.frames[0])
    assert total("vif_injected_packets_total") == len(live.frames[0])
    assert total("vif_injected_bytes_total") == sum(map(len, live.frames[0]))
    summary = json.loads(live.printed.splitlines()[-1])
    assert summary["in"] == total("packets_in_total")
    assert summary["selected"] == total("packets_selected_total")
    assert summary["sinks"]["vif:lc0"]["written"] == total("sink_written_packets_total")
    messages = {key: value for key, value in live.metrics.items() if key.startswith("lippycat_sip_messages_total")}
    fields = ["-T", "fields", "-e", "sip.Status-Code", "-e", "sip.Method"]
    command = ["tshark", "-n", "-r", root / "captures" / "demo.pcap", "-Y", "sip", *fields]
    seen = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    every = [word for line in seen.split() for word in line.split(",")]
    assert sum(messages.values()) == len(every)
    assert messages['lippycat_sip_messages_total{code="INVITE",kind="request"}'] == every.count("INVITE")
    assert messages['lippycat_sip_messages_total{code="200",kind="response"}'] == every.count("200")
