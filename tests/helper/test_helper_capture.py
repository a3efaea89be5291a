"""The role capture: what its sockets deliver, and what their holder cannot do with them."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import random
import socket
import struct
from pathlib import Path

import pytest
from capture_kit import (
    BLOCK,
    BLOCKS,
    EVERYTHING,
    SOL_PACKET,
    Ring,
    as_nobody_in,
    ethernet,
    inside,
    packets,
    received,
    request,
)
from helper_kit import as_nobody, status, until

from lippycat_helper import wire as protocol
from lippycat_helper.wire import Kind, Operation, Request
from lippycatd import privileged as client
from lippycatd.errors import PrivilegeError

RX_RING, TX_RING = 5, 13
# `lippycat policy compile udp`: offsets of an untagged Ethernet frame
UDP = """filter = [
    [0x28, 0, 0, 12], [0x15, 0, 5, 0x86dd], [0x30, 0, 0, 20], [0x15, 6, 0, 17], [0x15, 0, 6, 44], [0x30, 0, 0, 54],
    [0x15, 3, 4, 17], [0x15, 0, 3, 0x800], [0x30, 0, 0, 23], [0x15, 0, 1, 17], [0x06, 0, 0, 0x40000], [0x06, 0, 0, 0],
]
"""


def test_what_an_interface_receives_is_in_the_ring(capturing, wire):
    served = capturing('[[capture]]\ninterface = "w?"\n' + EVERYTHING)
    got = served.capture()
    assert (got.ifindex, got.arphrd, got.snaplen, got.any) == (wire.index("w0"), 1, 262144, False)
    sent = [ethernet(number=n) for n in range(20)]
    ring = Ring(got.fds[0])
    wire.send("p0", *sent)
    assert received(ring, count=20) == [(frame, 200) for frame in sent]
    wire.send("p1", *sent)
    wire.send("p0", sent[0])
    assert received(ring, count=1) == [(sent[0], 200)]


def test_a_ring_of_single_frames(capturing, wire):
    served = capturing('[[capture]]\ninterface = "w0"\n' + EVERYTHING)
    got = served.capture(frame_size=1024)
    ring = mmap.mmap(got.fds[0], BLOCK * BLOCKS)
    frame = ethernet(number=7)
    wire.send("p0", frame)
    until(lambda: struct.unpack_from("I", ring, 0)[0] & 1, 5)
    length, kept, start = struct.unpack_from("=IIH", ring, 4)  # struct tpacket2_hdr
    assert (length, ring[start : start + kept]) == (len(frame), frame)
    with pytest.raises(PrivilegeError, match="slot size 1000: choose a power of two"):
        request(frame_size=1000)


def test_a_member_of_the_group_gets_it_without_any_privilege(capturing, wire):
    served = capturing('[[capture]]\ninterface = "w0"\n' + EVERYTHING)

    def work():
        got = client.acquire_capture([request()], served.path).open_capture(request())
        ring = Ring(got.fds[0])
        return [len(ring.map), got.ifindex]

    assert as_nobody(work) == [BLOCK * BLOCKS, wire.index("w0")]


def test_the_helper_holds_net_raw_alone(capturing, wire):
    served = capturing('[[capture]]\ninterface = "w0"\n' + EVERYTHING)
    fields = status(served.process.pid)
    assert int(fields["CapPrm"], 16) == int(fields["CapEff"], 16) == 1 << 13
    assert [int(fields[key], 16) for key in ("CapInh", "CapBnd", "CapAmb")] == [0, 0, 0]
    assert fields["NoNewPrivs"] == "1"


def test_the_policys_filter_and_snap_length_are_locked_on(capturing, wire):
    served = capturing('[[capture]]\ninterface = "w0"\nsnaplen = 60\n' + UDP)
    got = served.capture()
    ring = Ring(got.fds[0])
    wire.send("p0", ethernet(protocol=6), ethernet(kind=0x0806), ethernet(number=7))
    assert received(ring, count=1) == [(ethernet(number=7)[:60], 200)]
    assert packets(got.fds[0]) == 1  # what the filter rejects is in no counter
    with pytest.raises(
        PrivilegeError, match=r"w0 would have socket 2 of .*\[\[capture\]\] 1 \(line 8\), which permits 1"
    ):
        served.capture()


def test_several_sockets_share_the_flows_and_no_frame_comes_twice(capturing, wire):
    served = capturing('[[capture]]\ninterface = "w0"\ncount = 4\n' + EVERYTHING)
    got = served.capture(sockets=4)
    rings = [Ring(fd) for fd in got.fds]
    sent = [ethernet(number=n) for n in range(200)]
    wire.send("p0", *sent)
    found = received(*rings, count=200)
    assert sorted(found) == sorted((frame, 200) for frame in sent)
    assert all(packets(fd) > 10 for fd in got.fds)


def test_any_is_every_interface_but_the_vifs(capturing, wire):
    wire.ip("link", "add", "lc5", "type", "veth", "peer", "name", "p5")
    for name in ("lc5", "p5"):
        wire.ip("link", "set", name, "up")
    served = capturing("[[capture]]\nany = true\npromiscuous = true\n" + EVERYTHING)
    got = served.capture(interface="any")
    assert (got.ifindex, got.arphrd, got.any) == (0, 0, True)
    ring = Ring(got.fds[0])
    for number, name in enumerate(("p0", "p1", "p5")):
        wire.send(name, ethernet(number=number))
    # Each of the pair sees it: sent and received; of p5's pair the vif does not.
    found = received(ring, count=5)
    assert sorted(found) == sorted((ethernet(number=n), 200) for n in (0, 0, 1, 1, 2))
    with pytest.raises(PrivilegeError, match=r"capture from lc5 .* exclude has 'lc\*'"):
        served.capture(interface="lc5")


ARP = ctypes.create_string_buffer(struct.pack("=HBBI", 6, 0, 0, 9), 8)


def attempts(fd):
    """What the holder of the socket tries, by name: the errno, or 0 where it worked."""
    with socket.socket(fileno=os.dup(fd)) as sock:
        found = {}

        def attempt(name, work):
            try:
                work()
                found[name] = 0
            except OSError as error:
                found[name] = error.errno

        ring = struct.pack("7I", BLOCK, 64, BLOCK, 64, 1, 0, 0)
        fprog = struct.pack("@HP", 1, ctypes.addressof(ARP))
        attempt("resize the ring", lambda: sock.setsockopt(SOL_PACKET, RX_RING, ring))
        attempt("end the ring", lambda: sock.setsockopt(SOL_PACKET, RX_RING, bytes(28)))
        attempt("add a ring for sending", lambda: sock.setsockopt(SOL_PACKET, TX_RING, ring))
        attempt("replace the filter", lambda: sock.setsockopt(socket.SOL_SOCKET, 26, fprog))
        attempt("detach the filter", lambda: sock.setsockopt(socket.SOL_SOCKET, 27, 0))
        attempt("unlock the filter", lambda: sock.setsockopt(socket.SOL_SOCKET, 44, 0))
        attempt("change the mark", lambda: sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 1))
        attempt("bind elsewhere", lambda: sock.bind(("w1", 3)))
        return found


def test_what_the_holder_cannot_undo(capturing, wire):
    served = capturing('[[capture]]\ninterface = "w0"\ncount = 3\n' + EVERYTHING)
    peer = served.connect()
    one, group = served.capture(peer), served.capture(peer, sockets=2)
    for got in (one, group):
        found = as_nobody_in(wire.netns, lambda got=got: attempts(got.fds[0]))
        in_group = got is group
        assert found.pop("bind elsewhere") == (errno.EINVAL if in_group else 0)
        assert set(found.values()) <= {errno.EBUSY, errno.EPERM}, found
        assert found["resize the ring"] == found["end the ring"] == found["add a ring for sending"] == errno.EBUSY
    # Bound elsewhere the socket is deaf: its filter is for w0.
    packets(one.fds[0])
    wire.send("p1", ethernet())
    wire.send("p0", ethernet())
    assert packets(one.fds[0]) == 0
    assert sum(packets(fd) for fd in group.fds) == 1


def test_a_link_type_has_its_own_filter(capturing, wire):
    """A TUN device has no link-layer header: what is compiled for Ethernet would read the wrong bytes."""
    with inside(wire.netns):
        fd = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", b"r0", 0x1001))
    wire.ip("link", "set", "r0", "up")
    packet = ethernet()[14:]
    raw = "filter_raw = [[0x30,0,0,9],[0x15,0,1,17],[0x06,0,0,0x40000],[0x06,0,0,0]]\n"
    served = capturing('[[capture]]\nany = true\ninterface = "*"\npromiscuous = true\ncount = 4\n' + UDP + raw)
    named, every = served.capture(interface="r0"), served.capture(interface="any")
    assert (named.arphrd, every.arphrd) == (65534, 0)
    rings = Ring(named.fds[0]), Ring(every.fds[0])
    os.write(fd, packet)
    os.write(fd, ethernet(protocol=6)[14:])  # TCP: neither has it
    wire.send("lo", ethernet(number=5))
    assert received(rings[0], count=1) == [(packet, 186)]
    # On the loopback interface a frame is sent and received.
    assert received(rings[1], count=3) == [(packet, 186), (ethernet(number=5), 200), (ethernet(number=5), 200)]
    os.close(fd)


def test_a_link_type_without_a_filter_is_refused(capturing, wire):
    with inside(wire.netns):
        fd = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", b"r0", 0x1001))
    wire.ip("link", "set", "r0", "up")
    served = capturing('[[capture]]\nany = true\ninterface = "*"\ncount = 2\n' + EVERYTHING)
    with pytest.raises(PrivilegeError, match=r"\[\[capture\]\] 1 .* has no filter_raw for .* link-layer type 65534"):
        served.capture(interface="r0")
    every = served.capture(interface="any")
    os.write(fd, ethernet()[14:])
    assert packets(every.fds[0]) == 0
    os.close(fd)


def test_frames_of_another_host_are_the_policys_to_permit(capturing, wire):
    """The holder can switch promiscuous mode on by itself: the locked filter decides."""
    for permitted in (False, True):
        entry = f'[[capture]]\ninterface = "w0"\npromiscuous = {str(permitted).lower()}\n{EVERYTHING}'
        served = capturing(entry)
        got = served.capture(promiscuous=permitted)
        wire.send("p0", ethernet(destination=b"\2\0\0\0\0\x66"))
        assert packets(got.fds[0]) == int(permitted)
        served.stop()


MESSAGES = [
    Request(Operation.PING, 1),
    Request(Operation.CAPTURE, 2, name="w1", sockets=1, block_size=4096, block_count=4, timeout_ms=1),
    Request(Operation.CAPTURE, 3, name="w0", sockets=64, block_size=4096, block_count=4, timeout_ms=1),
    Request(Operation.CAPTURE, 4, name="w0", sockets=1, block_size=1 << 24, block_count=65_536, timeout_ms=1),
    Request(Operation.RELEASE, 5, capture=3),
    Request(Operation.CREATE, 6, Kind.TAP, "lc0", "lc-ns"),
    Request(Operation.ADOPT, 7, Kind.TAP, "lc0", "lc-ns"),
]


def test_a_hostile_peer_gets_no_socket_and_stops_nothing(capturing, wire):
    served = capturing('[[capture]]\ninterface = "w0"\ncount = 2\n' + EVERYTHING)
    chance = random.Random(11)
    before = len(list(Path(f"/proc/{served.process.pid}/fd").iterdir()))
    for _ in range(200):
        sock, _ = served.raw()
        message = bytearray(chance.choice(MESSAGES).pack())
        if chance.randrange(2):
            message[chance.randrange(3)] ^= 1 << chance.randrange(8)
        with sock, contextlib.suppress(ConnectionError):
            protocol.send(sock, bytes(message), (0,) * chance.choice([0, 0, 1, 5]))
            answer, fds = protocol.receive(sock, protocol.Reply.size(), protocol.REPLY_FDS_MAX)
            assert not fds
            if answer:
                reply = protocol.Reply.unpack(answer)
                assert reply.operation is Operation.PING or reply.status is not protocol.Status.OK
    assert until(lambda: len(list(Path(f"/proc/{served.process.pid}/fd").iterdir())) <= before)
    assert "Traceback" not in served.said()
    served.connect().ping()
