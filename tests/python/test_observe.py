"""What is told: the accounting, the metrics with the contract's names, and the reports."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request

import pytest
from prometheus_client import generate_latest

from lippycatd import config
from lippycatd.errors import ConfigError, NotPossible
from lippycatd.observe import access, accounting, health, metrics, page, progress, report

PART = {"in": 10, "selected": 5, "filtered": 3, "held": 0, "dropped": {"decode.link_type": 2}}
SPREAD = {"buckets": {0.5: 1, 1.0: 3}, "count": 4, "sum": 2.5}
TRUNK = {
    "attempts": 5,
    "completed": 2,
    "active": 1,
    "peak": 3,
    "registering": 4,
    "registered": 3,
    "register_failed": 1,
    "results": {200: 3, 486: 1},
    "ratios": {"asr": {"n": 3, "of": 5}, "ira": {"n": 0, "of": 0}},
    "histograms": dict.fromkeys(
        ("srd_answered", "srd_failed", "pdd", "setup", "sdd", "sdt", "rrd", "mos", "jitter"), SPREAD
    ),
}
STATS = {
    "kpi": {
        "trunks": {"carrier": TRUNK, "other": TRUNK},
        "transactions": {"REGISTER": {"completed": 3}},
        "responses": {"REGISTER": SPREAD},
        "causes": {16: 2},
        "hung_up": {"caller": 1},
        "streams": {"PCMU": 2},
        "calls": {"PCMU": 1},
    },
    **PART,
    "sources": {"a.pcap": PART},
    "sinks": {
        "vif:lc0": {"offered": 5, "written": 4, "queued": 0, "dropped": {"short": 1}},
        "file:o.pcap": {"offered": 5, "written": 3, "queued": 0, "dropped": {"no_space": 2}},
    },
    "refusals": {"ipv4.short": 1},
    "sip_messages": {"request.INVITE": 2, "response.200": 1},
    "calls": {"active": 1, "total": {"completed": 2}},
    "streams_active": 3,
    "tables": {"calls": 1},
    "evictions": {"calls.expired": 4},
    "reassembly": {"streams": {"open": 1}, "bytes": 77},
    "hold_missed": 5,
    "shared_segments": 6,
    "memory_trims": 2,
    "vif": {
        "lc0": {
            "injected_packets": 4,
            "injected_bytes": 400,
            "errors": {"link_down": 1},
            "utilization": 0.5,
            "up": True,
            "oversize": 2,
            "latency": {"buckets": [(1e-05, 1), (0.0001, 3)], "sum": 0.5, "count": 4},
        }
    },
}
# The contract's names; those of one line that runs in one worker without live capture.
NAMES = {
    'packets_in_total{source="a.pcap"}': 10,
    'packets_selected_total{source="a.pcap"}': 5,
    'packets_filtered_total{source="a.pcap"}': 3,
    'packets_held{source="a.pcap"}': 0,
    'packets_dropped_total{reason="link_type",source="a.pcap",stage="decode"}': 2,
    'sink_offered_packets_total{sink="vif:lc0"}': 5,
    'sink_written_packets_total{sink="vif:lc0"}': 4,
    'sink_queued_packets{sink="vif:lc0"}': 0,
    'sink_dropped_packets_total{reason="no_space",sink="file:o.pcap"}': 2,
    'vif_injected_packets_total{vif="lc0"}': 4,
    'vif_injected_bytes_total{vif="lc0"}': 400,
    'vif_dropped_packets_total{reason="short",vif="lc0"}': 1,
    'vif_errors_total{reason="link_down",vif="lc0"}': 1,
    'vif_errors_total{reason="oversize",vif="lc0"}': 2,
    'vif_queue_utilization_ratio{vif="lc0"}': 0.5,
    'vif_up{vif="lc0"}': 1,
    'vif_injection_latency_seconds_bucket{le="0.0001",vif="lc0"}': 3,
    'vif_injection_latency_seconds_bucket{le="+Inf",vif="lc0"}': 4,
    'call_attempts_total{trunk="carrier"}': 5,
    'call_results_total{code="486",trunk="other"}': 1,
    'calls_completed_total{trunk="carrier"}': 2,
    'trunk_calls_active{trunk="carrier"}': 1,
    'trunk_calls_peak{trunk="carrier"}': 3,
    'kpi_ratio{kpi="asr",trunk="carrier"}': 0.6,
    'call_causes_total{cause="16"}': 2,
    'call_hangups_total{by="caller"}': 1,
    'call_codecs_total{codec="PCMU"}': 1,
    'streams_total{codec="PCMU"}': 2,
    'registration_attempts_total{trunk="other"}': 4,
    'registrations_total{result="failed",trunk="other"}': 1,
    'sip_transactions_total{method="REGISTER",state="completed"}': 3,
    'session_request_delay_seconds_bucket{le="1.0",result="failed",trunk="carrier"}': 3,
    'post_dial_delay_seconds_sum{trunk="carrier"}': 2.5,
    'sip_transaction_seconds_count{method="REGISTER"}': 4,
    'stream_mos_bucket{le="+Inf",trunk="carrier"}': 4,
    'stream_jitter_seconds_count{trunk="carrier"}': 4,
    "calls_active": 1,
    'calls_total{state="completed"}': 2,
    'sip_messages_total{code="INVITE",kind="request"}': 2,
    'sip_messages_total{code="200",kind="response"}': 1,
    "streams_active": 3,
    'table_entries{table="calls"}': 1,
    'table_evictions_total{reason="expired",table="calls"}': 4,
    'reassembly_streams{state="open"}': 1,
    "reassembly_bytes": 77,
    'decode_refusals_total{layer="ipv4",reason="short"}': 1,
    "hold_missed_packets_total": 5,
    "shared_segments_total": 6,
    "memory_trims_total": 2,
    'build_info{version="1.2.3"}': 1,
}


@pytest.fixture(scope="module")
def text():
    return generate_latest(metrics.registry(lambda: STATS, "1.2.3")).decode()


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_of_the_contract(text, name):
    found = re.search(rf"^lippycat_{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert found, name
    assert float(found[1]) == NAMES[name]


def test_promtool_accepts_the_page(text):
    assert shutil.which("promtool"), "promtool is missing: make setup installs it"
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_page_is_served_from_a_socket_bound_before():
    listener = page.bind("127.0.0.1:0")
    port = listener.getsockname()[1]
    with pytest.raises(NotPossible, match=r"--metrics-listen 127\.0\.0\.1:\d+: Address already in use"):
        page.bind(f"127.0.0.1:{port}")
    told = page.Told(metrics.registry(lambda: STATS, "1"))
    served = page.Server([page.Door(listener, page.application(told))])
    served.start()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            assert b"lippycat_packets_in_total" in answer.read()
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5)
        told.health = lambda: health.Health(degraded=("no interface",))
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            assert json.load(answer) == {"status": "degraded", "reasons": ["no interface"]}
    finally:
        served.stop()


def test_a_heart_that_stands_still_is_found_and_one_that_has_ended_is_not_missed():
    now = 0.0
    heart = health.Heart(10, lambda: now)
    assert heart.look({"a": 1, "b": 1}) == ()
    now = 8.0
    assert heart.look({"a": 2, "b": 1}) == ()
    now = 11.0
    assert heart.look({"a": 2, "b": 1}) == ("b",)
    assert heart.look({"a": 2}) == ()
    now = 19.0
    assert heart.look({"a": 2}) == ("a",)


def test_passwords_are_compared_with_their_hashes():
    """The hash is scrypt as RFC 7914 has it: its test vector, and the same from OpenSSL through hashlib."""
    salt = b"0123456789abcdef"
    wanted = hashlib.scrypt(b"secret", salt=salt, n=1 << 14, r=8, p=1, maxmem=1 << 26, dklen=32)
    entry = access.hash_password("secret", salt)
    assert entry.split("$")[3] == base64.urlsafe_b64encode(wanted).decode().rstrip("=")
    users = access.Users([f"prometheus:{entry}"])

    def basic(text):
        return "Basic " + base64.b64encode(text.encode()).decode()

    assert users.admit(basic("prometheus:secret"))
    assert users.admit(basic("prometheus:secret"))
    for wrong in (basic("prometheus:Secret"), basic("other:secret"), basic("prometheus"), "Basic %%", "Bearer x", ""):
        assert not users.admit(wrong)
    assert not any(users.admit(basic(f"prometheus:{guess}")) for guess in range(20))
    for wrong in ("prometheus", "prometheus:plain", "x:scrypt$14$$", ":" + entry):
        with pytest.raises(ConfigError, match="hash-password"):
            access.Users([wrong])


def test_the_summary_is_the_accounting():
    found = accounting.summary(STATS)
    assert list(found) == ["type", "in", "selected", "filtered", "held", "dropped", "sources", "sinks"]
    assert found["in"] == found["selected"] + found["filtered"] + found["held"] + sum(found["dropped"].values())
    for sink in found["sinks"].values():
        assert sink["offered"] == sink["written"] + sink["queued"] + sum(sink["dropped"].values())
    json.dumps(found)


def test_what_a_sink_cannot_show_by_nature_is_not_lost():
    assert accounting.lost(STATS) == {"decode.link_type": 2, "file:o.pcap.no_space": 2}


def test_the_table_shows_every_figure():
    out = io.StringIO()
    accounting.show(STATS, out)
    for part in ("a.pcap", "10", "2 (decode.link_type 2)", "vif:lc0", "1 (short 1)", "2 (no_space 2)"):
        assert part in out.getvalue()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_reports_are_json_elsewhere_and_words_on_a_terminal():
    section = config.build().logging
    plain, terminal = io.StringIO(), Terminal()
    for stream in (plain, terminal):
        log = report.configure(section, stream)
        log.debug("hidden")
        log.warning("the file is cut", offset=12)
    (line,) = plain.getvalue().splitlines()
    assert json.loads(line) | {"timestamp": ""} == {
        "event": "the file is cut",
        "level": "warning",
        "offset": 12,
        "timestamp": "",
    }
    assert "the file is cut" in terminal.getvalue()
    assert "hidden" not in terminal.getvalue()


def test_one_bar_for_each_pass():
    out = Terminal()
    bars = progress.Bars(out, wanted=True)
    bars.start()
    for state in ((0, 2, 0, 0), (1, 2, 500, 1000), (1, 2, 1000, 1000), (2, 2, 300, 1000)):
        bars.update(state)
    bars.stop()
    assert "deciding" in out.getvalue()
    assert "selecting" in out.getvalue()
    nothing = io.StringIO()
    quiet = progress.Bars(nothing, wanted=True)
    quiet.start()
    quiet.update((1, 1, 5, 10))
    quiet.stop()
    assert nothing.getvalue() == ""
