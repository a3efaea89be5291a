"""SIP start lines and headers against an independent parser: sipmessage, which is strict and knows no folding.

What sipmessage reads, our parser reads with the same values. It refuses more than RFC 3261 does (and some of what it
should take), so nothing is said about the rest, but that our parser survives it. Folding and white space before a
colon, which it lacks, are taken away for it; what is folded in a value stays so in our records. Its own deviations that
the comparison allows for: it takes any text as a method or status, keeps white space before a reason, unescapes user
parts and parameters (compared unescaped here), ends a name in quotes with the last quote, takes digits of any script
(only ASCII messages are compared), and takes a CSeq of any size. LIPPYCAT_FULL=1 tries a hundred times as many.
"""

from __future__ import annotations

import os
import re
import struct
import tempfile
import time
import urllib.parse

import pytest
import sipmessage
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from captures import files, wire
from lippycatd import _dataplane

A, B = wire.Endpoint("10.0.0.1", 5060), wire.Endpoint("10.0.0.2", 5060)
EXAMPLES = 20_000 if os.environ.get("LIPPYCAT_FULL") else 200


def records(messages):
    """What the core reads of messages that each come in a datagram: by number, from 1."""
    frames = [(1_700_000_000_000_000_000 + n, wire.Net().udp(A, B, message)) for n, message in enumerate(messages)]
    with tempfile.TemporaryFile() as file:
        file.write(files.pcap(frames))
        file.seek(0)
        line = _dataplane.Line(inputs=[("x", file.fileno())], voip=True, records="voip")
        line.start()
        found, until = {}, time.monotonic() + 60
        while not line.finished():
            assert time.monotonic() < until, "the line hangs"
            found |= {r["frame"]: r for r in line.poll(10_000, 20) if r["type"] == "sip"}
        return found | {r["frame"]: r for r in line.poll(10_000, 0) if r["type"] == "sip"}


TOKEN = st.text("abcXYZ019-.!%*_+`'~", min_size=1, max_size=12)
USER = st.text("aZ09-_.!~*'()&=+$,;?/", min_size=1, max_size=10) | st.sampled_from(["a%6cice", "+49123", "al%C3%A9"])
HOST = st.sampled_from(["example.com", "a", "10.0.0.1", "[2001:db8::1]", "[::1]", "x-1.y.", "EXAMPLE.org"])
PORT = st.sampled_from(["", ":5060", ":1", ":65535"])
PARAMS = st.lists(st.sampled_from([";lr", ";transport=tcp", ";user=phone", ";a=b", ";maddr=10.0.0.1"]), max_size=3)
METHOD = st.sampled_from(["INVITE", "ACK", "BYE", "REGISTER", "OPTIONS", "SUBSCRIBE"]) | TOKEN
SPACE = st.sampled_from(["", " ", "  ", "\t", "\r\n ", " \r\n\t "])
TAG = st.sampled_from(["", ";tag=1", " ; tag=abc", ";x=y;tag=z9", ";tag=1;q", ';n="a b";tag=yes'])
BRANCH = st.sampled_from([";branch=z9hG4bKa", ";rport;branch=1", ""])
NAME = st.sampled_from(["", "Bob ", '"A, B" ', '"q\\"<sip:x@y>" ', "two words "])


@st.composite
def uris(draw):
    user = draw(st.none() | USER)
    scheme = draw(st.sampled_from(["sip", "sip", "sips"]))
    return f"{scheme}:{user + '@' if user else ''}{draw(HOST)}{draw(PORT)}{''.join(draw(PARAMS))}"


@st.composite
def addresses(draw):
    uri = draw(uris() | st.just("tel:+49-123"))
    if draw(st.booleans()) or any(c in uri for c in ",;?"):
        return f"{draw(NAME)}<{uri}>{draw(TAG)}"
    return uri + draw(TAG)


@st.composite
def messages(draw):
    """A message with every header that is compared, written as RFC 3261 allows; some get changed."""
    method = draw(METHOD)
    if draw(st.booleans()):
        start = f"{method} {draw(uris())} SIP/2.0"
    else:
        start = f"SIP/2.0 {draw(st.integers(100, 699))} {draw(st.sampled_from(['OK', '', 'Not Here', 'x: y']))}"
    values = {
        (
            "Via",
            "v",
            "VIA",
        ): f"SIP/2.0/UDP {draw(HOST)}{draw(PORT)}{draw(BRANCH)}",
        ("From", "f", "from"): draw(addresses()),
        ("To", "t", "TO"): draw(addresses()),
        ("Call-ID", "i", "call-id"): draw(st.text('aZ09-@.<>{}?"/\\', min_size=1, max_size=20)),
        ("CSeq", "CSEQ"): f"{draw(st.integers(0, 2**31 - 1))}{draw(st.sampled_from([' ', '  ', ' ']))}{method}",
        ("Subject", "s"): draw(st.text("ab: ;,<", max_size=8)),
    }
    lines = [
        f"{draw(st.sampled_from(names))}{draw(st.sampled_from(['', '', ' ']))}:{draw(SPACE)}{value}"
        for names, value in values.items()
    ]
    text = "\r\n".join([start, *draw(st.permutations(lines)), "Content-Length: 0", "", ""])
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(text) - 5))
        text = (
            text[:at]
            + draw(st.sampled_from(["", ";", ",", "<", ">", '"', " ", ":", "x", "@", "%"]))
            + text[at + draw(st.integers(0, 1)) :]
        )
    return text.encode()


# RFC 3261, section 25.1, what sipmessage does not look at: the method is a token, the status has three digits
START = re.compile(rb"[A-Za-z0-9.!%*_+`'~-]+ \S+ SIP/2\.0\r|SIP/2\.0 [1-6][0-9][0-9] ")
# a name in quotes ends with the first one that has no backslash; for sipmessage with the last one
DISPLAY = re.compile(r'(?:"(?:[^"\\]|\\.)*"[^"<]*<|[^"<]*<)[^<]*|[^<]*')
# a line feed or carriage return alone, which ends a line for us and belongs to the value for sipmessage
BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)")


def plain(message):
    """Without what sipmessage does not know: folded lines, and white space before a colon."""
    unfolded = re.sub(rb"[ \t]*\r\n[ \t]+", b" ", message)
    head, _, body = unfolded.partition(b"\r\n\r\n")
    start, *lines = head.split(b"\r\n")
    return b"\r\n".join([start, *[re.sub(rb"^([^:\s]+)[ \t]+:", rb"\1:", line) for line in lines], b"", body])


def unescaped(user):
    return urllib.parse.unquote(user) if user else None


def theirs(message):
    """The values that are compared, as far as sipmessage reads the message; None: it refuses it."""
    try:
        read = sipmessage.Message.parse(plain(message))
        found = {"call_id": read.headers.get("Call-ID")}
        if isinstance(read, sipmessage.Request):
            found |= {"method": read.method}
        else:
            found |= {"status": read.code, "reason": read.phrase.strip()}
        for side in ("From", "To"):
            if not DISPLAY.fullmatch(read.headers.get(side)):
                return None
            address = sipmessage.Address.parse(read.headers.get(side))
            tag = address.parameters.get("tag")
            found |= {f"{side.lower()}_user": address.uri.user, f"{side.lower()}_host": address.uri.host or None}
            found |= {f"{side.lower()}_tag": tag.strip('"') if tag else None}
        cseq = sipmessage.CSeq.parse(read.headers.get("CSeq"))
        found |= {"cseq": cseq.sequence, "cseq_method": cseq.method}
        found |= {"branch": sipmessage.Via.parse_many(read.headers.get("Via"))[0].parameters.get("branch")}
    except (ValueError, AttributeError, TypeError, IndexError):
        return None
    if not START.match(message) or BARE.search(message):
        return None
    once = all(len(read.headers.getlist(name)) == 1 for name in ("Call-ID", "From", "To", "CSeq"))
    return found if once and message.isascii() else None


def ours(record):
    found = {name: re.sub(r"[ \t]*\r\n[ \t]+", " ", v) if isinstance(v, str) else v for name, v in record.items()}
    for side in ("from", "to"):
        found[f"{side}_user"] = unescaped(record.get(f"{side}_user"))
        found[f"{side}_tag"] = unescaped((record.get(f"{side}_tag") or "").strip('"'))
    found["branch"] = unescaped(record.get("branch"))
    return found


PHASES = (Phase.explicit, Phase.reuse, Phase.generate)  # a failure shows its message soon, if not its shortest


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
@given(batch=st.lists(messages(), min_size=1, max_size=4))
def test_what_sipmessage_reads_is_read_the_same(batch):
    found = records(batch)
    for number, message in enumerate(batch, 1):
        wanted = theirs(message)
        if wanted is None:
            continue
        assert number in found, message
        got = ours(found[number])
        assert {name: got.get(name) or None for name in wanted} == {
            name: value or None for name, value in wanted.items()
        }, message


def test_the_generator_reaches_the_comparison():
    """Most messages are compared, so the test above is one."""
    batch = []

    @settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(message=messages())
    def gather(message):
        batch.append(message)

    gather()
    assert sum(theirs(message) is not None for message in batch) > len(batch) / 4


@pytest.mark.parametrize("length", [0, 1, 7, 8])
def test_a_datagram_that_is_short_is_survived(length):
    frame = wire.Net().udp(A, B, b"INVITE sip:x SIP/2.0\r\n\r\n")
    short = frame[:38] + struct.pack("!H", length) + frame[40:]
    with tempfile.TemporaryFile() as file:
        file.write(files.pcap([(1, short)]))
        file.seek(0)
        line = _dataplane.Line(inputs=[("x", file.fileno())], voip=True, records="voip")
        line.start()
        while not line.finished():
            line.poll(10, 10)
        assert line.stats()["in"] == 1
