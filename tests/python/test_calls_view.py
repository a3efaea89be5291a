"""The list and the ladder of calls: what they say, and that no text of a call steers a terminal or a browser."""

from __future__ import annotations

import csv
import io
import json
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lippycatd.errors import UsageError
from lippycatd.sinks.calls import ladder, ladder_svg, ladder_text, listing

A, B = ("10.0.0.1", 5060), ("10.0.0.2", 5060)


def sip(ts, what, source=A, target=B, **more):
    record = {"type": "sip", "ts": f"{1_700_000_000 + ts:.9f}", "source": "x", "frame": 1, "call_id": "c1"}
    record |= {"src": source[0], "sport": source[1], "dst": target[0], "dport": target[1], "cseq_method": "INVITE"}
    record |= {"from_user": "alice", "from_host": "a", "from_tag": "1", "to_user": "bob", "to_host": "b", "to_tag": "2"}
    if isinstance(what, int):
        record |= {"status": what, "reason": {180: "Ringing", 200: "OK", 486: "Busy Here"}.get(what, "Some")}
    else:
        record |= {"method": what, "request_uri": "sip:bob@b"}
        record["cseq_method"] = what
    return {**record, "sdp": [], "problems": [], **more}


def sdp(ip="10.0.0.1", port=4000, formats=("0", "101"), direction="sendrecv"):
    return [
        {"media": "audio", "ip": ip, "port": port, "proto": "RTP/AVP", "formats": list(formats), "direction": direction}
    ]


def stream(**more):
    record = {"type": "stream", "ts": "1700000009.000000000", "call_id": "c1", "ssrc": "0x1", "codec": "PCMU"}
    record |= {"src": "10.0.0.1", "sport": 4000, "dst": "10.0.0.2", "dport": 4002}
    record |= {"start": "1700000002.000000000", "end": "1700000009.000000000", "packets": 95, "expected": 100}
    return {**record, "lost": 5, "unique_lost": 5, "mean_jitter_ms": 0.5, "mos": 3.9, **more}


CALL = {
    "type": "call",
    "ts": "1700000010.000000000",
    "call_id": "c1",
    "state": "ended",
    "final": 200,
    "answer": "1700000002.000000000",
    "end": "1700000010.000000000",
    "pdd_ms": 40.0,
}


def rows(*batch, sort=""):
    found = listing.Listing()
    found.write([dict(record) for record in batch])
    return found.rows(listing.sort_keys(sort))


def drawn(*batch):
    collector = ladder.Collector()
    collector.write([dict(record) for record in batch])
    return collector.ladder()


def test_a_row_has_the_figures_of_its_records():
    (row,) = rows(sip(0, "INVITE"), sip(1, 180, B, A), sip(2, 200, B, A), stream(), stream(mos=4.1, codec="PCMA"), CALL)
    assert (row["method"], row["from"], row["to"], row["messages"]) == ("INVITE", "alice@a", "bob@b", 3)
    assert (row["state"], row["final"], row["duration_ms"], row["pdd_ms"]) == ("ended", 200, 8000.0, 40.0)
    assert (row["codec"], row["streams"], row["mos"], row["lost"]) == ("PCMU,PCMA", 2, 3.9, 10)
    assert (row["loss_percent"], row["jitter_ms"]) == (5.0, 0.5)


@pytest.mark.parametrize(
    ("answers", "state"),
    [([], "pending"), ([100], "pending"), ([401], "challenged"), ([401, 200], "completed"), ([404], "failed")],
)
def test_without_an_invite_the_last_answer_is_the_state(answers, state):
    (row,) = rows(
        sip(0, "REGISTER"), *[sip(n, code, B, A, cseq_method="REGISTER") for n, code in enumerate(answers, 1)]
    )
    assert (row["method"], row["state"]) == ("REGISTER", state)


def test_rows_are_sorted_and_what_has_no_value_comes_last():
    batch = [sip(n, "INVITE", call_id=f"c{n}", from_user=user) for n, user in enumerate("bca")]
    batch += [stream(call_id="c1", mos=3.0), stream(call_id="c2", mos=4.0)]
    assert [row["index"] for row in rows(*batch)] == [1, 2, 3]
    assert [row["index"] for row in rows(*batch, sort="from")] == [3, 1, 2]
    assert [row["index"] for row in rows(*batch, sort="-mos")] == [3, 2, 1]
    assert [row["index"] for row in rows(*batch, sort="mos,-index")] == [2, 3, 1]
    assert [row["index"] for row in rows(*batch, sort="method,-from")] == [2, 1, 3]
    with pytest.raises(UsageError, match="--sort: nonsense is none of index, method"):
        listing.sort_keys("nonsense")


def test_the_three_formats_say_the_same():
    found = rows(sip(0, "INVITE"), stream(), CALL)
    assert [json.loads(line) for line in listing.as_json(found).splitlines()] == found
    (row,) = csv.DictReader(io.StringIO(listing.as_csv(found)))
    assert {name: str(found[0][name] if found[0][name] is not None else "") for name in listing.FIELDS} == row
    text = listing.as_text(found)
    for part in ("INVITE", "alice@a", "10.0.0.2:5060", "ended", "8.0 s", "40 ms", "PCMU", "3.90", "5.00%", "c1"):
        assert part in text


def test_more_calls_than_the_limit_are_counted(monkeypatch):
    monkeypatch.setattr(listing, "LIMIT", 2)
    found = listing.Listing()
    found.write([sip(n, "INVITE", call_id=f"c{n}") for n in range(5)])
    assert (len(found.rows()), found.left_out) == (2, 3)


def test_participants_in_the_order_they_appear_and_media_between_them():
    proxy = ("10.0.0.9", 5060)
    found = drawn(sip(0, "INVITE", A, proxy), sip(1, "INVITE", proxy, B), sip(2, 200, B, proxy), stream(), CALL)
    assert found.participants == ("10.0.0.1:5060", "10.0.0.9:5060", "10.0.0.2:5060")
    assert [(s.kind, s.source, s.target) for s in found.steps] == [
        ("sip", 0, 1),
        ("sip", 1, 2),
        ("sip", 2, 1),
        ("media", 0, 2),
    ]
    assert "lost 5 (5.00 %), jitter 0.500 ms, MOS 3.90" in found.steps[-1].notes[-1]
    assert found.since(1) == 10**9


def test_media_of_others_get_a_column():
    found = drawn(sip(0, "INVITE"), stream(dst="10.0.0.77"))
    assert found.participants == ("10.0.0.1:5060", "10.0.0.2:5060", "10.0.0.77")


RAW = b"INVITE x SIP/2.0\r\n\r\nv=0\r\na=rtpmap:96 opus/48000/2\r\n"


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [
        (sdp(), sdp(), ["SDP as before"]),
        (sdp(), sdp(direction="sendonly"), ["! audio on hold (sendonly)"]),
        (sdp(), sdp(ip="0.0.0.0"), ["! audio on hold (0.0.0.0)"]),
        (sdp(direction="inactive"), sdp(), ["! audio resumed"]),
        (sdp(), sdp(port=6000), ["! audio moves 10.0.0.1:4000 → 10.0.0.1:6000"]),
        (sdp(ip="2001:db8::1"), sdp(), ["! audio moves [2001:db8::1]:4000 → 10.0.0.1:4000"]),
        (sdp(), sdp(formats=("96", "8")), ["! audio codecs PCMU,101 → opus,PCMA"]),
        (sdp(), sdp(port=0), ["! audio refused"]),
        (sdp(), sdp() + sdp(port=7000), ["! audio added"]),
        (sdp() + sdp(port=7000), sdp(), ["! audio removed"]),
    ],
)
def test_what_a_new_offer_changes(first, second, wanted):
    found = drawn(
        sip(0, "INVITE", sdp=first, raw=RAW), sip(1, 200, B, A, sdp=sdp()), sip(2, "INVITE", sdp=second, raw=RAW)
    )
    assert [note for note in found.steps[2].notes if note.startswith(("!", "SDP"))] == wanted


def test_the_text_ladder_is_aligned_and_tells_times():
    found = drawn(
        sip(0, "INVITE", sdp=sdp()), sip(0.02, 180, B, A), sip(1, 180, B, A, retransmission=True), stream(), CALL
    )
    text = ladder_text.draw(found)
    lines = [line for line in text.splitlines() if line.count("│") == 2]
    assert len({tuple(place for place, c in enumerate(line) if c == "│") for line in lines}) == 1
    assert "+0.020000" in text
    assert "─ INVITE (SDP) ─" in text
    assert "<── 180 Ringing ⟳ ──" in text.replace("───", "──").replace("───", "──")
    assert "═ RTP PCMU 7.0 s ═" in text


HOSTILE = st.text(
    st.sampled_from(list("ab<>&\"'\x00\x07\x08\x1b\x7f\x9b\n\r\t]\u202e\u200f\u2028é電🎉\ud800")), max_size=12
)


class Tags(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes = set(), set()
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


@given(texts=st.tuples(*[HOSTILE] * 6), raw=st.binary(max_size=60))
def test_no_text_of_a_call_leaves_its_place(texts, raw):
    call_id, user, host, reason, uri, codec = texts
    mean = {"call_id": call_id, "from_user": user, "from_host": host, "raw": raw}
    media = [{**sdp()[0], "media": host, "ip": user or None, "formats": [codec], "direction": reason}]
    batch = [
        sip(0, f"INVITE{reason}", request_uri=uri, sdp=media, **mean),
        sip(1, 200, B, A, reason=reason, problems=[uri], **mean),
        sip(2, "BYE", sdp=[{**media[0], "port": 9}], **mean),
        stream(call_id=call_id, codec=codec, dtmf=user, events=1),
        {**CALL, "call_id": call_id, "state": reason, "hung_up_by": uri},
    ]
    found = drawn(*batch)
    for text in (ladder_text.draw(found, messages=True), listing.as_text(rows(*batch))):
        assert all(line.isprintable() for line in text.split("\n")), text
    picture = ET.fromstring(ladder_svg.svg(found).encode("utf-8", "backslashreplace"))
    assert {node.tag.rpartition("}")[2] for node in picture.iter()} <= {"svg", "style", "rect", "text", "line", "path"}
    page = Tags(ladder_svg.html(found))
    assert not page.tags & {"script", "img", "a", "iframe", "object", "b", "ab"}
    assert not {name for name in page.attributes if name.startswith("on")}
    assert json.loads(json.dumps(ladder.as_record(found)))["type"] == "ladder"


def test_a_ladder_longer_than_the_limit_says_so(monkeypatch):
    monkeypatch.setattr(ladder, "LIMIT", 3)
    found = drawn(*[sip(n, "INVITE") for n in range(5)])
    assert (len(found.steps), found.left_out) == (3, 2)
    assert "2 more messages and streams are left out" in ladder_text.draw(found)
