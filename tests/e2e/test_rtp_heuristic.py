"""RTP without signalling: found in the captures that have it, not in the noise, and measured as the rest."""

from __future__ import annotations

import collections
import json
import subprocess

import pytest

from tests.e2e.test_streams import key

NOISE = ("dns", "http", "mysql", "postgresql", "tls-ja3-ja4", "misc-noise", "tcp-reassembly", "pcap-formats")
ENOUGH = 10
TOO_FEW = {
    ("rtp-rtcp/ndpi-webrtc-mux.pcapng", 0x6D1C3CFA): "eleven packets between odd ports, where twenty are asked for",
    ("rtp-rtcp/sipp-dtmf-1.pcap", 0x0E05384E): "ten packets with eight sequence numbers",
    ("rtp-rtcp/ndpi-rtp.pcapng", 0x001A759F): "twelve packets between odd ports",
}
"""(capture, SSRC): streams that tshark's loose heuristic takes and the strict one leaves"""


def truths(shared, *folders):
    for folder in folders:
        for path in sorted((shared / "captures" / "truth" / folder).glob("*.truth.json")):
            yield json.loads(path.read_text())


def found(lippycat, capture, *options):
    """Streams without a call."""
    done = lippycat("sniff", "voip", "-r", capture, "--rtp-heuristic", "--format", "json", "-q", *options)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    return [r for r in records if r["type"] == "stream" and r["call_id"] is None]


def known(truth):
    """tshark's streams of at least ten packets, with its heuristic."""
    streams = (truth.get("rtp") or {}).get("streams_heuristic", [])
    return {key(s): (s["packets"], s["lost"]) for s in streams if s["packets"] >= ENOUGH}


def test_nothing_in_noise(shared, lippycat):
    """Whatever is taken for RTP there, tshark takes for RTP too: calls of Skype and WhatsApp."""
    packets, streams = 0, collections.Counter()
    for truth in truths(shared, *NOISE):
        packets += truth["packets"]
        for stream in found(lippycat, shared / "captures" / truth["file"]):
            assert (stream["packets"], stream["lost"]) == known(truth).get(key(stream)), (truth["file"], stream)
            streams[truth["file"]] += 1
    assert packets > 4000
    assert streams == {"misc-noise/ndpi-skype-conf.pcap": 1, "misc-noise/ndpi-whatsapp-call.pcap": 4}


def test_media_without_signalling(shared, lippycat):
    checked = 0
    for truth in truths(shared, "rtp-rtcp", "rtp-codecs"):
        if (truth.get("sip") or {}).get("message_count"):
            continue
        told = {key(s): (s["packets"], s["lost"]) for s in found(lippycat, shared / "captures" / truth["file"])}
        left = {k: v for k, v in known(truth).items() if (truth["file"], k[4]) not in TOO_FEW}
        assert told == left, truth["file"]
        checked += len(told)
    assert checked >= 8


@pytest.fixture(scope="module")
def unsignalled(make_calls, tmp_path_factory):
    """Generated media with its signalling taken out: (capture, truth)."""
    options = "--calls 60 --rtp-packets 150 --tcp 0 --vlan 0 --frag 0 --reinvite 0 --register 0 --options 0 --fail 0"
    calls = make_calls(*options.split(), "--dtmf", "20", "--seed", "3")
    path = tmp_path_factory.mktemp("media") / "media.pcap"
    command = ["tcpdump", "-r", str(calls), "-w", str(path), "udp and not port 5060"]
    subprocess.run(command, check=True, capture_output=True)
    truth = json.loads(calls.with_name(calls.name + ".truth.json").read_text())
    return path, [s for call in truth["calls"] for s in call["streams"] if s["captured"]]


def test_generated_media_without_signalling(lippycat, unsignalled):
    capture, truth = unsignalled
    told = {key(s): s for s in found(lippycat, capture)}
    assert set(told) == {key(s) for s in truth}
    for stream in truth:
        one = told[key(stream)]
        assert (one["packets"], one["lost"]) == (stream["captured"], stream["cum_lost_rfc3550"])
        assert (one["duplicates"], one["reordered"]) == (stream["dup"], stream["ooo"])
        if not stream["event_packets"]:  # without SDP nobody says which payload type they have
            assert one["jitter_ms"] == pytest.approx(stream["jitter_ms"], abs=0.01)


def kept(lippycat, tmp_path, capture, *options):
    out = tmp_path / "kept.pcap"
    lippycat("sniff", "voip", "-r", capture, "-q", "-w", out, *options)
    done = subprocess.run(["capinfos", "-Mc", str(out)], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


def test_frames_are_kept_where_no_selector_names_calls(lippycat, unsignalled, tmp_path):
    capture, truth = unsignalled
    packets = sum(s["captured"] for s in truth)
    assert kept(lippycat, tmp_path, capture, "--rtp-heuristic") == packets
    assert kept(lippycat, tmp_path, capture, "--rtp-heuristic", "--protocol", "rtp") == packets
    assert kept(lippycat, tmp_path, capture, "--rtp-heuristic", "--protocol", "sip") == 0
    assert kept(lippycat, tmp_path, capture, "--rtp-heuristic", "--sipuser", "*") == 0
    assert kept(lippycat, tmp_path, capture) == 0


def test_a_pipe_keeps_the_same(lippycat, unsignalled, tmp_path):
    capture, truth = unsignalled
    out = tmp_path / "piped.pcap"
    with capture.open("rb") as stdin:
        lippycat("sniff", "voip", "-r", "-", "--rtp-heuristic", "-q", "-w", out, stdin=stdin)
    done = subprocess.run(["capinfos", "-Mc", str(out)], capture_output=True, text=True, check=True)
    assert int(done.stdout.split()[-1]) == sum(s["captured"] for s in truth)


def test_signalled_media_stays_with_its_calls(lippycat, make_calls):
    options = "--calls 60 --rtp-packets 100 --rtp-first 40 --early 20 --seed 4"
    capture = make_calls(*options.split())
    assert found(lippycat, capture) == []
