"""RFC 4475 and RFC 5118: the verdict on each torture message, through the whole program."""

from __future__ import annotations

import json

import pytest

from captures import files, wire

# RFC 4475, section 3: what is wrong with each message, in the words of `problems`. Valid ones (3.1.1) have none, but
# dblreq, whose datagram holds more bytes than its message, which 3.1.1.8 says are to be ignored. Those whose meaning is
# wrong (3.2 to 3.4, and an escaped header in a Request-URI, 3.1.2.11) parse; what a monitor can see of it is named.
TABLE = """
wsinv intmeth esc01 escnull esc02 lwsdisp longreq semiuri transports mpart01 unreason noreason:
dblreq: trailing_bytes
clerr: body_short
ncl: content_length
mcl01: content_length_conflict trailing_bytes
ltgtruri: request_uri
lwsruri lwsstart trws: start_line_space
bigcode: status_code
badinv01: via contact
scalar02 scalarlg: cseq
quotbal badaspec: to
baddn: head_unterminated from to
baddate: date
regbadct: contact
badvers: version
mismatch01 mismatch02: cseq_method
insuf: call_id_missing from_missing to_missing
escruri badbranch unkscm novelsc unksm2 bext01 invut regaut01 multi01 bcast zeromf:
cparam01 cparam02 regescrt sdp01 inv2543:
"""
ROWS = [line.split(":") for line in TABLE.strip().splitlines()]
VERDICTS = {name: problems.split() for names, problems in ROWS for name in names.split()}


def records(lippycat, capture, *more):
    done = lippycat("sniff", "voip", "-r", capture, "--format", "json", *more)
    assert done.returncode == 0, done.stderr
    assert "internal error" not in done.stderr
    *found, summary = [json.loads(line) for line in done.stdout.splitlines()]
    return [record for record in found if record["type"] == "sip"], summary


def test_rfc_4475(lippycat, shared, tmp_path):
    folder = shared / "captures/sip-torture"
    capture, out = folder / "rfc4475-udp.pcap", tmp_path / "kept.pcap"
    rows = [line.split("\t") for line in (folder / "rfc4475-udp.pcap.index.tsv").read_text().splitlines()[1:]]
    names = {int(row[0]): row[1] for row in rows}
    assert set(names.values()) == set(VERDICTS)
    found, summary = records(lippycat, capture, "-w", out)
    assert {names[record["frame"]]: record["problems"] for record in found} == VERDICTS
    assert len(found) == summary["in"] == summary["selected"] == 49
    kept = files.read_pcap(out.read_bytes())
    assert kept == files.read_pcap(capture.read_bytes())
    # what is safe is extracted: every Call-ID begins with the message's name where the RFC made it so
    told = {names[record["frame"]]: record for record in found}
    for name, record in told.items():
        if name not in {"insuf", "mpart01"}:
            assert record["call_id"].startswith(name), name
    assert told["wsinv"]["from_user"] == "jdrosen"
    assert told["escnull"]["to_user"] == "null-%00-null"
    assert told["bigcode"]["status"] == 0
    assert [media["port"] for media in told["mpart01"]["sdp"]] == []


def test_the_list_and_the_ladders_of_torture(lippycat, shared):
    capture = shared / "captures/sip-torture/rfc4475-udp.pcap"
    done = lippycat("calls", "-r", capture)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 50
    assert all(line.isprintable() for line in lines)
    told = lippycat("calls", "-r", capture, "--format", "json").stdout
    for row in map(json.loads, told.splitlines()[::12]):
        drawn = lippycat("call", row["call_id"] or "", "-r", capture, "--messages")
        assert drawn.returncode == 0, drawn.stderr
        assert all(line.isprintable() for line in drawn.stdout.splitlines())


def request(uri="sip:bob@[2001:db8::10]", *, via="SIP/2.0/UDP [2001:db8::9:1]", to="<sip:bob@[2001:db8::10]>", sdp=""):
    head = (
        f"INVITE {uri} SIP/2.0\r\nVia: {via};branch=z9hG4bKas3\r\nTo: {to}\r\n"
        f"From: <sip:alice@[2001:db8::9:1]>;tag=81x2\r\n"
        f"Call-ID: SSG9559905523997077@hlau_4100\r\nCSeq: 8612 INVITE\r\nContact: <sip:alice@[2001:db8::9:1]:5080>\r\n"
    )
    body = (
        f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n\r\n{sdp}"
        if sdp
        else "Content-Length: 0\r\n\r\n"
    )
    return (head + body).encode()


SDP = "v=0\r\no=a 1 1 IN IP6 2001:db8::20\r\ns=-\r\n{}t=0 0\r\nm=audio 42174 RTP/AVP 0\r\n{}"
# RFC 5118, section 4, the forms of its messages: (message, problems, what is extracted)
IPV6 = {
    "4.1 reference": (request(), [], {"to_host": "[2001:db8::10]", "from_host": "[2001:db8::9:1]"}),
    "4.2 no brackets": (request("sip:2001:db8::10"), ["request_uri"], {"request_uri": "sip:2001:db8::10"}),
    "4.3 port inside": (request("sip:[2001:db8::10:5070]"), [], {"request_uri": "sip:[2001:db8::10:5070]"}),
    "4.4 port outside": (request("sip:[2001:db8::10]:5070"), [], {"request_uri": "sip:[2001:db8::10]:5070"}),
    "4.5 received with brackets": (
        request(via="SIP/2.0/UDP x;received=[2001:db8::9:255]"),
        [],
        {"branch": "z9hG4bKas3"},
    ),
    "4.5 received without": (request(via="SIP/2.0/UDP x;received=2001:db8::9:255"), [], {"branch": "z9hG4bKas3"}),
    "4.6 in the SDP": (request(sdp=SDP.format("c=IN IP6 2001:db8::20\r\n", "")), [], {"ips": ["2001:db8::20"]}),
    "4.7 two in headers": (
        request(to="<sip:bob@192.0.2.1>"),
        [],
        {"to_host": "192.0.2.1", "from_host": "[2001:db8::9:1]"},
    ),
    "4.8 two in the SDP": (
        request(sdp=SDP.format("", "c=IN IP6 2001:db8::1\r\nm=video 6000 RTP/AVP 31\r\nc=IN IP4 192.0.2.7\r\n")),
        [],
        {"ips": ["2001:db8::1", "192.0.2.7"]},
    ),
    "4.9 mapped": (request(sdp=SDP.format("c=IN IP6 ::FFFF:192.0.2.1\r\n", "")), [], {"ips": ["::ffff:192.0.2.1"]}),
    "4.10 of the ABNF": (
        request("sip:bob@[2001:db8:::192.0.2.1]"),
        [],
        {"request_uri": "sip:bob@[2001:db8:::192.0.2.1]"},
    ),
}


@pytest.mark.parametrize("name", IPV6)
def test_rfc_5118(lippycat, tmp_path, name):
    message, problems, wanted = IPV6[name]
    capture, out = tmp_path / "c.pcap", tmp_path / "o.pcap"
    ends = wire.Endpoint("2001:db8::9:1", 5080), wire.Endpoint("2001:db8::10", 5060)
    frames = [(1_700_000_000_000_000_000, wire.Net().udp(*ends, message))]
    capture.write_bytes(files.pcap(frames))
    (record,), summary = records(lippycat, capture, "-w", out)
    assert summary["selected"] == 1
    assert record["problems"] == problems
    found = {**record, "ips": [media["ip"] for media in record["sdp"]]}
    assert {key: found[key] for key in wanted} == wanted
    assert files.read_pcap(out.read_bytes()) == files.read_pcap(capture.read_bytes())
