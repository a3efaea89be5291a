"""Streams of the shared captures against tshark, and of generated calls against the generator's truth."""

from __future__ import annotations

import collections
import ipaddress
import json
import os
import subprocess

import pytest

FULL = os.environ.get("LIPPYCAT_FULL") == "1"
SEEDS = range(1, 21 if FULL else 4)
OPTIONS = "--calls 120 --rtp-packets 260 --loss 2 --burst 2 --ooo 1 --dup 1 --jitter 6 --dtmf 20 --wrap 20 --mux 20"
OPTIONS += " --hold 10 --reinvite 15 --early 20 --rtp-first 10 --qinq 5 --frag 5 --register 50 --options 20"
WITHIN_MS = 0.02
DIFFERS = {
    "voip-sip-udp/ndpi-fax-t38.pcap": "RTP that goes on while a T.38 offer is open: tshark takes 27 packets for T.38, "
    "with `--disable-protocol t38` it agrees with us",
    "voip-sip-udp/sngrep-aaa.pcap": "nine packets that begin a second after the refusal of their call (frame 621, as "
    "tshark shows it): media of no call",
    "hostile/ndpi-fuzz-sip.pcap": "fuzzed bytes: the addresses of single packets, and so the streams, are made up",
}
"""capture: why its streams differ from tshark's, and who agrees with us"""
SDP_DIFFERS = {
    "sip-torture/rfc4475-udp.pcap": "messages with damaged start lines (RFC 4475 §3.1.2) are kept with their SDP, "
    "tshark shows no message",
    "voip-sip-udp/snort-digium-t38-frag.pcap": "tcpdump -A shows the SDP of three messages that tshark shows without",
    "hostile/ndpi-fuzz-sip.pcap": "a fuzzed connection line, `192&168%s`, is no address",
}
"""capture: why its SDP differs from tshark's, and who agrees with us"""
TUNNELS = ("voip-sip-tcp/sngrep-ipip-tcp.pcap", "voip-sip-udp/heplify-ipip-raw.pcap")
UNTIMED = ("telephone-event", "CN")
HEURISTIC = ("--enable-heuristic", "rtp_udp")


def address(text):
    return str(ipaddress.ip_address(text))


def key(stream):
    ends = (address(stream["src"]), stream["sport"], address(stream["dst"]), stream["dport"])
    return (*ends, int(str(stream["ssrc"]), 16))


@pytest.fixture(scope="module")
def truths(shared):
    """All captures with streams or SDP: {name: truth}."""
    found = {}
    for path in sorted((shared / "captures" / "truth").rglob("*.truth.json")):
        truth = json.loads(path.read_text())
        if (truth.get("rtp") or {}).get("streams_sdp") or (truth.get("sip") or {}).get("sdp_media"):
            found[truth["file"]] = truth
    assert len(found) >= 25
    return found


@pytest.fixture(scope="module")
def records(shared, lippycat, truths):
    """What lippycat tells of each of them: {name: records}."""

    def told(name):
        done = lippycat("sniff", "voip", "-r", shared / "captures" / name, "--format", "json", "-q")
        return [json.loads(line) for line in done.stdout.splitlines()]

    return {name: told(name) for name in truths}


def tshark(path, *arguments):
    command = ["tshark", "-n", "-r", str(path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def rfc3550_jitter(path, stream):
    """(mean, maximum) by the formula of RFC 3550 §6.4.1 over tshark's fields, in ms; untimed payload types left out."""
    fields = ("frame.time_epoch", "rtp.timestamp", "rtp.p_type")
    wanted = f"rtp.ssrc=={stream['ssrc']} && udp.srcport=={stream['sport']} && udp.dstport=={stream['dport']}"
    shown = [part for field in fields for part in ("-e", field)]
    untimed = {t["payload_type"] for t in stream["payload_types"] if t["codec"] in UNTIMED}
    clock = 90000 if stream["codec"] == "H264" else {"opus": 48000, "speex": 16000}.get(stream["codec"], 8000)
    jitter, all_of_it, last = 0.0, [], None
    for line in tshark(path, *HEURISTIC, "-Y", wanted, "-T", "fields", *shown).splitlines():
        time, timestamp, payload_type = line.split("\t")
        if int(payload_type) in untimed:
            continue
        seconds, nanoseconds = (int(part) for part in time.split("."))
        now = (seconds * 10**9 + nanoseconds, int(timestamp))
        if last is not None:
            sent = (now[1] - last[1] + 2**31) % 2**32 - 2**31
            jitter += (abs((now[0] - last[0]) * clock / 1e9 - sent) - jitter) / 16
            all_of_it.append(jitter)
        last = now
    ms = 1000 / clock
    return ms * sum(all_of_it) / max(len(all_of_it), 1), ms * max(all_of_it, default=0.0)


def near(a, b):
    return abs(a - b) <= WITHIN_MS


def check_jitter(path, stream, figures):
    """As tshark has it; where events, noise or talkspurts explain more, as the RFC's formula has it."""
    told = (stream["mean_jitter_ms"], stream["max_jitter_ms"])
    if any(near(told[0], f["mean_jitter_ms"]) and near(told[1], f["max_jitter_ms"]) for f in figures):
        return
    # tshark's mean and maximum leave out packets with a marker and those after comfort noise
    assert stream["events"] or stream["comfort_noise"] or stream["markers"] > 1, (path, stream)
    assert all(map(near, told, rfc3550_jitter(path, stream))), (path, stream, rfc3550_jitter(path, stream))


def test_streams_of_all_captures(shared, truths, records):
    assert len({*DIFFERS, *SDP_DIFFERS}) <= 10
    checked = 0
    for name, truth in truths.items():
        if name in DIFFERS or not truth.get("rtp"):
            continue
        told = collections.defaultdict(list)
        for record in records[name]:
            if record["type"] == "stream":
                told[key(record)].append(record)
        found = collections.defaultdict(list)
        for stream in truth["rtp"]["streams_sdp"] + truth["rtp"]["streams_heuristic"]:
            found[key(stream)].append(stream)
        assert set(told) == set(found), name
        for one, figures in found.items():
            for stream in told[one]:  # one a call: a back-to-back user agent's two legs share endpoints
                counts = [(f["packets"], f["lost"]) for f in figures]
                assert (stream["packets"], stream["lost"]) in counts, (name, one, counts, stream)
                check_jitter(shared / "captures" / name, stream, figures)
                checked += 1
    assert checked >= 28


def test_sdp_of_all_captures(truths, records):
    checked = 0
    for name, truth in truths.items():
        if name in SDP_DIFFERS or name in TUNNELS or name.startswith("tunnels-vlan/"):
            continue
        wanted = collections.Counter(
            (m["frame"], m["media"], m["ip"] and address(m["ip"]), int(m["port"]), m["proto"], tuple(m["formats"]))
            for m in truth["sip"]["sdp_media"]
            if m["ip"]
        )
        told = collections.Counter(
            (r["frame"], m["media"], m["ip"], m["port"], m["proto"], tuple(m["formats"]))
            for r in records[name]
            if r["type"] == "sip"
            for m in r["sdp"]
            if m["ip"]
        )
        assert told == wanted, name
        checked += sum(wanted.values())
    assert checked > 100


def test_rtcp_of_all_captures(shared, truths, records):
    """Report blocks: as many, and the last one's figures, as tshark shows them."""
    fields = ("rtcp.ssrc.identifier", "rtcp.ssrc.fraction", "rtcp.ssrc.cum_nr", "rtcp.ssrc.jitter")
    checked = 0
    for name, truth in truths.items():
        if name in DIFFERS or not truth.get("rtcp_frames"):
            continue
        shown = [part for field in fields for part in ("-e", field)]
        blocks = collections.defaultdict(list)
        lines = tshark(shared / "captures" / name, "-Y", "rtcp", "-T", "fields", "-E", "occurrence=a", *shown)
        for line in lines.splitlines():
            # the blocks of reports come first; sources of SDES and BYE follow
            for ssrc, *figures in zip(*(column.split(",") for column in line.split("\t")), strict=False):
                if all(figures):
                    blocks[int(ssrc, 16)].append([int(figure) for figure in figures])
        for stream in records[name]:
            if stream["type"] != "stream" or int(stream["ssrc"], 16) not in blocks:
                continue
            rtcp, said = stream["rtcp"], blocks[int(stream["ssrc"], 16)]
            fraction, lost, jitter = said[-1]
            assert rtcp["reports"] == len(said), (name, rtcp)
            assert (rtcp["fraction_lost"], rtcp["cumulative_lost"]) == (round(fraction * 100 / 256, 3), lost)
            assert rtcp["remote_jitter_ms"] == pytest.approx(jitter / 8, abs=1e-3)
            assert rtcp["max_fraction_lost"] == round(max(f for f, _, _ in said) * 100 / 256, 3)
            checked += 1
    assert checked >= 5


def check_stream(told, truth):
    wanted = {
        "packets": truth["captured"],
        "lost": truth["cum_lost_rfc3550"],
        "unique_lost": truth["expected"] - truth["unique"],
        "expected": truth["expected"],
        "duplicates": truth["dup"],
        "reordered": truth["ooo"],
        "events": truth["event_packets"],
        "dtmf": truth["dtmf"] or "",
        "wraps": int(truth["wrap"]),
    }
    assert {name: told[name] for name in wanted} == wanted, truth
    for name in ("jitter_ms", "max_jitter_ms", "mean_jitter_ms"):
        assert told[name] == pytest.approx(truth[name], abs=0.01), (name, truth)


@pytest.mark.parametrize("seed", SEEDS)
def test_generated_streams(lippycat, make_calls, seed):
    capture = make_calls(*OPTIONS.split(), "--seed", str(seed))
    truth = json.loads(capture.with_name(capture.name + ".truth.json").read_text())
    environment = {**os.environ, "LIPPYCAT_VOIP_SHOW_DTMF": "true"}
    done = lippycat("sniff", "voip", "-r", capture, "--format", "json", "-q", env=environment)
    assert done.returncode == 0, done.stderr
    streams = [json.loads(line) for line in done.stdout.splitlines() if '"type":"stream"' in line]
    told = {key(stream): stream for stream in streams}
    wanted = [s for call in truth["calls"] for s in call["streams"] if s["captured"]]
    assert len(told) == len(streams) == len(wanted)
    for stream in wanted:
        check_stream(told[key(stream)], stream)
