"""Calls, transactions and KPIs of generated traffic against the generator's own truth: equal, not near.

Three seeds here, twenty with LIPPYCAT_FULL=1; each seed takes another mix of transports, retries and failures.
"""

from __future__ import annotations

import collections
import json
import os
import signal
import subprocess
import sys
from decimal import Decimal

import kpi_of_truth
import pytest

from demo.live import finished, free_port, page, parse_metrics, wait_for

MIXES = (
    ("--auth", "40", "--early", "40", "--fail", "30", "--hold", "30", "--reinvite", "20", "--rtp-first", "10"),
    ("--tcp", "80", "--tcp-split", "80", "--tcp-coalesce", "60", "--ipv6", "40", "--qinq", "20", "--fail", "20"),
    ("--frag", "50", "--compact", "50", "--vlan", "50", "--mux", "40", "--dtmf", "30", "--loss", "5", "--burst", "3"),
    ("--fail", "90", "--auth", "50", "--tcp", "30", "--compact", "30"),
    ("--fail", "0", "--reinvite", "60", "--wrap", "50", "--dup", "2", "--ooo", "3", "--codecs", "PCMU:1,G729:1"),
)
SEEDS = range(1, 21) if os.environ.get("LIPPYCAT_FULL") else range(1, 4)
OUTCOME = {200: "ended", 404: "failed", 486: "failed", 503: "failed", 487: "cancelled"}


class Run:
    """One generated file, what was printed of it, and the metrics page after it."""

    def __init__(self, root, shared, folder, seed):
        capture = folder / f"{seed}.pcap"
        size = (
            "--calls",
            "120",
            "--rtp-packets",
            "160",
            "--start-window",
            "4",
            "--register",
            "60",
            "--options",
            "20",
        )
        command = [sys.executable, shared / "tools" / "gen_calls.py", "-o", capture, "--seed", str(seed), "--quiet"]
        subprocess.run([*command, *size, *MIXES[(seed - 1) % len(MIXES)]], check=True)
        self.truth = json.loads((folder / f"{seed}.pcap.truth.json").read_text())
        self.kpis = kpi_of_truth.kpis(self.truth)
        port, printed = free_port(), folder / f"{seed}.json"
        command = [root / ".venv" / "bin" / "lippycat", "sniff", "voip", "-r", capture, "--format", "json"]
        command += ["--metrics-listen", f"127.0.0.1:{port}", "--metrics-linger", "60s"]
        with printed.open("wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL)
        try:
            wait_for("the summary", lambda: b'"type":"summary"' in printed.read_bytes()[-4000:], process)
            self.metrics = parse_metrics(page(port))
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)
        self.records = collections.defaultdict(list)
        for line in printed.read_text().splitlines():
            record = json.loads(line)
            self.records[record["type"]].append(record)
        capture.unlink()

    def metric(self, name):
        return self.metrics[f"lippycat_{name}"]


@pytest.fixture(scope="module", params=SEEDS, ids=lambda seed: f"seed{seed}")
def run(root, shared, tmp_path_factory, request):
    return Run(root, shared, tmp_path_factory.mktemp("calls"), request.param)


def near_us(record, field, seconds):
    """The record's time is the truth's microsecond."""
    return seconds is not None and round(Decimal(record[field]), 6) == round(Decimal(repr(seconds)), 6)


def test_every_call(run):
    calls = {record["call_id"]: record for record in run.records["call"]}
    assert set(calls) == {call["call_id"] for call in run.truth["calls"]}
    for truth in run.truth["calls"]:
        call = calls[truth["call_id"]]
        found = {name: call[name] for name in ("state", "final", "challenged", "from_user", "to_user", "transport")}
        assert found == {
            "state": OUTCOME[truth["final"]],
            "final": truth["final"],
            "challenged": bool(truth.get("auth")),
            "from_user": truth["from"],
            "to_user": truth["to"],
            "transport": truth["transport"],
        }
        assert call["pdd_ms"] == truth.get("pdd_ms"), truth
        assert call["setup_ms"] == truth.get("setup_ms"), truth
        assert call["messages"] == truth["sip_messages"]
        assert call["holds"] == int("hold_at" in truth)
        assert call["retransmissions"] == 0
        assert near_us(call, "start", truth["t_invite"])
        assert near_us(call, "end", truth.get("t_bye", truth.get("t_final"))), truth
        assert len(call["streams"]) == sum(bool(stream["captured"]) for stream in truth["streams"])
        if truth["outcome"] == "answered":
            assert near_us(call, "answer", truth["t_answer"])
            assert call["duration_ms"] == pytest.approx(truth["duration_s"] * 1e3, abs=5e-7)
            assert call["hung_up_by"] == "caller"


def test_every_transaction(run):
    found = collections.Counter((one["method"], one["state"], one["final"]) for one in run.records["transaction"])
    asked = len(run.truth["registrations"])
    assert found == {
        ("REGISTER", "challenged", 401): asked,
        ("REGISTER", "completed", 200): asked,
        ("OPTIONS", "completed", 200): run.truth["options"],
    }
    users = {one["call_id"]: one["user"] for one in run.truth["registrations"]}
    registers = [one for one in run.records["transaction"] if one["method"] == "REGISTER"]
    assert {one["call_id"]: one["from_user"] for one in registers} == users
    assert {one["response_ms"] for one in registers} == {9.0}


def test_the_kpis(run):
    kpis, trunk = run.kpis, 'trunk="other"'
    assert run.metric(f"call_attempts_total{{{trunk}}}") == kpis["attempts"]
    for code, count in kpis["results"].items():
        assert run.metric(f'call_results_total{{code="{code}",{trunk}}}') == count
    counted = sum(n for name, n in run.metrics.items() if name.startswith("lippycat_call_results_total"))
    assert counted == kpis["attempts"]
    for name, ratio in kpis["ratios"].items():
        assert run.metric(f'kpi_ratio{{kpi="{name}",{trunk}}}') == pytest.approx(ratio, abs=1e-12), name
    assert run.metric(f"registration_attempts_total{{{trunk}}}") == kpis["registrations"]
    assert run.metric(f'kpi_ratio{{kpi="ira",{trunk}}}') == 0
    assert run.metric(f"trunk_calls_active{{{trunk}}}") == run.metric("calls_active") == 0


HISTOGRAMS = {
    "srd_answered": 'session_request_delay_seconds{part}{{{le}result="answered",trunk="other"}}',
    "srd_failed": 'session_request_delay_seconds{part}{{{le}result="failed",trunk="other"}}',
    "pdd": 'post_dial_delay_seconds{part}{{{le}trunk="other"}}',
    "setup": 'call_setup_seconds{part}{{{le}trunk="other"}}',
    "sdd": 'session_disconnect_delay_seconds{part}{{{le}trunk="other"}}',
    "sdt": 'session_duration_seconds{part}{{{le}trunk="other"}}',
    "rrd": 'registration_request_delay_seconds{part}{{{le}trunk="other"}}',
}


@pytest.mark.parametrize("kind", HISTOGRAMS)
def test_the_histograms(run, kind):
    values = [round(value, 6) for value in run.kpis["delays"][kind]]
    name = HISTOGRAMS[kind]
    assert run.metric(name.format(part="_count", le="")) == len(values)
    assert run.metric(name.format(part="_sum", le="")) == pytest.approx(sum(values), abs=1e-6)
    for bound in ("0.02", "0.2", "0.5", "1.0"):
        below = run.metrics.get("lippycat_" + name.format(part="_bucket", le=f'le="{bound}",'))
        if below is not None:
            assert below == sum(value <= float(bound) for value in values), bound


def test_the_quality_of_every_stream_is_in_the_histograms(run):
    streams = run.records["stream"]
    rated = [stream["mos"] for stream in streams if stream["mos"] is not None]
    assert run.metric('stream_mos_count{trunk="other"}') == len(rated) > 0
    assert run.metric('stream_mos_sum{trunk="other"}') == pytest.approx(sum(rated), abs=5e-4 * len(rated))
    jitters = [stream["jitter_ms"] / 1e3 for stream in streams if stream["jitter_ms"] is not None]
    assert run.metric('stream_jitter_seconds_count{trunk="other"}') == len(jitters)
    assert run.metric('stream_jitter_seconds_sum{trunk="other"}') == pytest.approx(sum(jitters), abs=1e-6)
    assert finished(run.metrics, run.truth["totals"]["packets"])


@pytest.mark.parametrize(
    ("trunks", "want"),
    [
        ("old=192.0.2.0/24 all=::/0,0.0.0.0/0", {"old": 12, "all": 3}),
        ("new=2001:db8::10 none=198.51.100.0/24", {"new": 3, "other": 12}),
        ("none=example.com named=EXAMPLE.net old=192.0.2.10", {"named": 15}),
    ],
)
def test_trunks_are_told_apart_by_network_and_host(lippycat, root, monkeypatch, trunks, want):
    """By tshark 12 calls come from 192.0.2.10, 3 from 2001:db8::10, all of them of example.net."""
    monkeypatch.setenv("LIPPYCAT_VOIP_TRUNKS", trunks)
    done = lippycat("sniff", "voip", "-r", root / "captures" / "demo.pcap", "--format", "json")
    records = map(json.loads, done.stdout.splitlines())
    assert collections.Counter(record["trunk"] for record in records if record["type"] == "call") == want


@pytest.mark.parametrize("trunk", ["a", "a=", "=b", "a=1.2.3.4/8", "a=1.2.3.4/33", "a b=c", "other=h", "a=x a=y"])
def test_what_is_no_trunk(lippycat, root, monkeypatch, trunk):
    monkeypatch.setenv("LIPPYCAT_VOIP_TRUNKS", trunk)
    done = lippycat("sniff", "voip", "-r", root / "captures" / "demo.pcap")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "LIPPYCAT_VOIP_TRUNKS" in done.stderr
