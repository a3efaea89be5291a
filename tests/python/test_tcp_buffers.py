"""What `voip.tcp_buffer_strategy`, `.tcp_buffer_pool_size` and `.memory_optimization` change.

One message over TCP whose first segment comes last, so that all others come too early; how many of those there are, and
how many fit, is arithmetic.
"""

from __future__ import annotations

import tempfile
import time

import pytest

from captures import files, wire
from lippycatd import _dataplane

A, B = wire.Endpoint("10.0.0.1", 40000), wire.Endpoint("10.0.0.2", 5060)
START, SECOND = 1_700_000_000 * 10**9, 10**9
SEGMENT, EARLY = 1000, 40
HEAD = (
    b"MESSAGE sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/TCP 10.0.0.1;branch=z9hG4bK1\r\n"
    b"From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\nCall-ID: long\r\nCSeq: 1 MESSAGE\r\n"
    b"Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
)


def message():
    """A message of 41 segments."""
    whole = SEGMENT * (EARLY + 1)
    body = whole - len(HEAD % whole)
    return (HEAD % body) + b"x" * body


def frames(delay=0):
    """Opened, then all segments but the first, then the first; much later something else, second by second."""
    net, data = wire.Net(), message()
    yield START, net.tcp(A, B, 100, 0, wire.SYN)
    parts = [(offset, data[offset : offset + SEGMENT]) for offset in range(0, len(data), SEGMENT)]
    for number, (offset, part) in enumerate([*parts[1:], parts[0]]):
        yield START + number * 1000, net.tcp(A, B, 101 + offset, 1, wire.ACK, part)
    for second in range(delay):
        yield START + second * SECOND, net.udp(A, B, b"x")


def told(packets, buffers, **settings):
    """(records of messages, what the line counted)."""
    with tempfile.TemporaryFile() as file:
        file.write(files.pcap(packets, nano=True))
        file.seek(0)
        line = _dataplane.Line(
            inputs=[("x", file.fileno())], voip=True, records="voip", tcp_buffers=buffers, **settings
        )
        line.start()
        found, until = [], time.monotonic() + 30
        while not line.finished():
            assert time.monotonic() < until, "the line hangs"
            found += line.poll(10_000, 20)
        found += line.poll(10_000, 0)
        return [r for r in found if r["type"] == "sip"], line.stats()


@pytest.mark.parametrize(
    ("strategy", "size", "messages", "refused", "overwritten", "kept"),
    [
        ("adaptive", 1000, 1, 0, 0, EARLY),
        ("adaptive", 7, 1, 0, 0, 7),  # so many wait for their next use
        ("fixed", 1000, 1, 0, 0, 1000),  # made at the start
        ("fixed", 10, 0, EARLY - 10, 0, 10),
        ("ring", 1000, 0, 0, EARLY - 32 * 1024 // SEGMENT, 33),  # the latest 32 KiB, and one that had to go
    ],
)
def test_strategies(strategy, size, messages, refused, overwritten, kept):
    records, stats = told(frames(), (strategy, size, False))
    assert len([r for r in records if r.get("call_id") == "long" and not r["problems"]]) == messages
    figures = stats["evictions"]
    assert (figures["tcp_buffers.refused"], figures["tcp_buffers.overwritten"]) == (refused, overwritten)
    assert (stats["tables"]["tcp_buffers"], stats["tables"]["tcp_buffers_free"]) == (0, kept)


def test_memory_is_given_back_after_bursts():
    limits = (10_000, 100 << 20, 600 * SECOND, 300 * SECOND, 10 * SECOND)
    _, stats = told(frames(delay=65), ("adaptive", 1000, False), tcp=limits)
    assert (stats["memory_trims"], stats["tables"]["tcp_buffers_free"]) == (0, EARLY)
    _, stats = told(frames(delay=65), ("adaptive", 1000, True), tcp=limits)
    assert stats["tables"]["tcp_buffers_free"] == 0
    assert 6 <= stats["memory_trims"] <= 7  # each 10 s


def test_the_names():
    with pytest.raises(ValueError, match="unknown buffer strategy heap"):
        told(frames(), ("heap", 1, False))
