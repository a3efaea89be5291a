"""The messages: what is packed is read again, and everything else is malformed."""

from __future__ import annotations

import dataclasses
import itertools
import os
import random
import socket
from pathlib import Path

import pytest

from lippycat_helper import wire
from lippycat_helper.wire import Descriptor, Kind, MalformedError, Operation, Reply, Request, Status

REQUESTS = [
    Request(Operation.PING, 7),
    Request(Operation.CREATE, 2**32 - 1, Kind.TAP, "lc0", "lc-ns"),
    Request(Operation.CREATE, 1, Kind.TUN, "x" * wire.NAME_MAX, "n" * wire.NETNS_MAX),
    Request(Operation.RELEASE, 0, Kind.TAP, "lc0", ""),
    Request(
        Operation.CAPTURE, 5, name="eth0", promiscuous=True, sockets=4, snaplen=1500, block_size=1 << 20,
        block_count=64, timeout_ms=20,
    ),
    Request(Operation.RELEASE, 6, capture=2**32 - 1),
    Request(
        Operation.CAPTURE, 5, name="eth0", sockets=1, block_size=1 << 20, block_count=64, timeout_ms=1, frame_size=2048
    ),
]  # fmt: skip
REPLIES = [
    Reply(Operation.GREETING),
    Reply(Operation.CREATE, 9, Status.IN_USE, text="lc0 is in use"),
    Reply(
        Operation.CREATE, 3, Status.OK, Kind.TAP, Descriptor.DEVICE | Descriptor.DONE, existing=True, ifindex=2,
        mtu=65521, txqueuelen=1000, netns_dev=4, netns_inode=2**63, text="",
    ),
    Reply(
        Operation.CAPTURE, 3, descriptors=Descriptor.CAPTURE, any=True, hardware=True, ifindex=2, snaplen=262144,
        arphrd=65534, sockets=64, capture=9,
    ),
]  # fmt: skip


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_request_is_read_as_it_was_written(request_):
    message = request_.pack()
    assert len(message) == Request.size() == 116
    assert Request.unpack(message) == request_


@pytest.mark.parametrize("reply", REPLIES)
def test_a_reply_is_read_as_it_was_written(reply):
    message = reply.pack()
    assert len(message) == Reply.size() == 260
    assert Reply.unpack(message) == reply


def test_a_long_text_is_cut_at_a_whole_character():
    assert Reply.unpack(Reply(Operation.PING, text="é" * 300).pack()).text == "é" * 103


def patched(message, offset, value):
    return message[:offset] + bytes(value) + message[offset + len(bytes(value)) :]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "0 bytes"),
        (REQUESTS[0].pack() + b"\0", "117 bytes"),
        (patched(REQUESTS[0].pack(), 0, b"XX"), "not a message"),
        (patched(REQUESTS[0].pack(), 2, b"\x01"), "version 1"),
        (patched(REQUESTS[0].pack(), 3, b"\x09"), "operation 9"),
        (patched(REQUESTS[0].pack(), 3, b"\x00"), "greeting"),
        (patched(REQUESTS[1].pack(), 8, b"\x07"), "kind 7"),
        (patched(REQUESTS[1].pack(), 9, b"\x02"), "unknown flags"),
        (patched(REQUESTS[1].pack(), 9, b"\x01"), "operands"),
        (patched(REQUESTS[1].pack(), 10, b"\x01"), "operands"),
        (patched(REQUESTS[1].pack(), 12, b"\x01"), "operands"),
        (patched(REQUESTS[4].pack(), 12, b"\x01"), "operands"),
        (patched(REQUESTS[4].pack(), 8, b"\x01"), "operands"),
        (patched(REQUESTS[4].pack(), 10, b"\x41"), "65 sockets"),
        (patched(REQUESTS[4].pack(), 20, b"\x01"), "block size 1048577"),
        (patched(REQUESTS[4].pack(), 24, bytes(4)), "0 blocks"),
        (patched(REQUESTS[4].pack(), 28, b"\xff\xff"), "65535 ms"),
        (patched(REQUESTS[4].pack(), 18, b"\x08"), "snaplen 525788"),
        (patched(REQUESTS[5].pack(), 36, b"lc0\0"), "operands"),
        (patched(REQUESTS[1].pack(), 8, b"\x00"), "operands"),
        (patched(REQUESTS[1].pack(), 36, bytes(16)), "operands"),
        (patched(REQUESTS[1].pack(), 36, b"x" * 16), "does not end"),
        (patched(REQUESTS[1].pack(), 36, b"lc0\0x"), "does not end"),
        (patched(REQUESTS[1].pack(), 36, b"\xff\xfe"), "not readable"),
        (patched(REQUESTS[1].pack(), 36, b"../"), "not valid"),
        (patched(REQUESTS[1].pack(), 36, b"lc%d\0"), "not valid"),
        (patched(REQUESTS[1].pack(), 52, b"a/b\0\0"), "not valid"),
        (patched(REQUESTS[0].pack(), 36, b"lc0\0"), "operands"),
    ],
)
def test_a_malformed_request_says_why(message, reason):
    with pytest.raises(MalformedError, match=reason):
        Request.unpack(message)


def test_no_bytes_make_anything_but_a_request_or_a_refusal():
    chance = random.Random(20)
    for _ in range(20_000):
        message = bytearray(chance.choice(REQUESTS).pack())
        for _ in range(chance.randrange(1, 6)):
            message[chance.randrange(len(message))] = chance.choice([0, 1, 255, chance.randrange(256)])
        try:
            request = Request.unpack(bytes(message))
        except MalformedError:
            continue
        assert Request.unpack(request.pack()) == request
        if request.name:
            wire.check_name(request.name)
        wire.check_netns(request.netns)


@pytest.mark.parametrize("name", ["", "a" * 16, "a b", "a/b", "..", ".", "-a", "a:1", "lc%d", "é", "a\n"])
def test_what_cannot_be_an_interface(name):
    with pytest.raises(ValueError, match="interface name"):
        wire.check_name(name)


@pytest.mark.parametrize("name", ["a" * 64, "a b", "a/b", "..", "-a", "a\0"])
def test_what_cannot_be_a_namespace(name):
    with pytest.raises(ValueError, match="namespace name"):
        wire.check_netns(name)


@pytest.mark.parametrize(("mtu", "queue"), [(67, 1), (65522, 1), (1500, -1), (1500, 1_000_001)])
def test_limits(mtu, queue):
    with pytest.raises(ValueError, match="out of range"):
        wire.check_limits(mtu, queue)


@pytest.fixture
def pair():
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        yield one, other


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_descriptors_arrive_closed_on_exec(pair):
    one, other = pair
    wire.send(one, b"x", (0, 1))
    message, fds = wire.receive(other, 10, wire.REPLY_FDS_MAX)
    assert message == b"x"
    assert [os.get_inheritable(fd) for fd in fds] == [False, False]
    for fd in fds:
        os.close(fd)


@pytest.mark.parametrize(
    ("message", "fds", "most", "reason"),
    [
        (b"x", (0,), 0, "unexpected"),
        (b"x", (0, 1), 1, "unexpected"),
        (b"x", (0, 1, 2), 1, "cut ancillary"),
        (b"x" * 11, (), 0, "longer than 10"),
        (b"x" * 11, (0, 1), 8, "longer than 10"),
        (b"x", (0,) * 100, 64, "cut ancillary"),
    ],
)
def test_what_does_not_belong_is_refused_and_closed(pair, message, fds, most, reason):
    before = descriptors()
    wire.send(pair[0], message, fds)
    with pytest.raises(MalformedError, match=reason):
        wire.receive(pair[1], 10, most)
    assert descriptors() == before


def test_foreign_ancillary_data_is_refused(pair):
    pair[1].setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    wire.send(pair[0], b"x")
    with pytest.raises(MalformedError, match="unexpected"):
        wire.receive(pair[1], 10, wire.REPLY_FDS_MAX)


def test_every_field_of_a_reply_travels():
    for full, field in itertools.product(REPLIES, dataclasses.fields(Reply)):
        if field.name not in {"status", "text"}:
            assert getattr(Reply.unpack(full.pack()), field.name) == getattr(full, field.name)
