"""A daemon that was taken over: its uid, its helper's sockets, its descriptors, and bad intentions.

Each attempt is made by a process without any capability, once as it is and once in the daemon's sandbox. What it must
not reach is looked at from outside: what the sockets deliver, what comes over the wires, whose the device is.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import os
import socket
import struct
import subprocess
import sys

import pytest
from capture_kit import BLOCK, BLOCKS, EVERYTHING, PEERS, SOL_PACKET, as_nobody_in, ethernet, packets, request
from helper_kit import as_nobody, links, until

from lippycat_helper import wire as protocol
from lippycat_helper.wire import Kind, Operation, Request
from lippycatd import _dataplane
from lippycatd import privileged as client
from lippycatd.errors import PrivilegeError

POLICY = (
    '[[capture]]\ninterface = "w0"\nsnaplen = 100\ncount = 3\nring_max = 786432\n'
    "filter = [[0x28,0,0,12],[0x15,0,1,0x0800],[0x06,0,0,0x40000],[0x06,0,0,0]]\n"
)
OTHER_HOST = b"\x02\0\0\0\0\x77"
SANDBOXED = pytest.mark.parametrize("sandboxed", [False, True], ids=["without the sandbox", "in the sandbox"])
# What the sandbox refuses (seccomp) or the kernel does.
NO = {errno.EPERM, errno.EACCES, errno.EBUSY, errno.EINVAL, errno.EALREADY, errno.ENOPROTOOPT}


def tried(work):
    """0 where it went through, else the errno."""
    try:
        work()
    except OSError as error:
        return error.errno
    return 0


def lock(*, sandboxed):
    if sandboxed:
        _dataplane.lock("daemon", read=[], write=[])


def widen(fd, elsewhere):
    """All that a holder of a capture socket may try in order to get more than the policy gives."""
    ring = struct.pack("7I", 1 << 20, 64, 1 << 20, 64, 1, 0, 0)
    code = ctypes.create_string_buffer(struct.pack("=HBBI", 6, 0, 0, 0x40000), 8)
    fprog = struct.pack("@HP", 1, ctypes.addressof(code))
    promiscuous = struct.pack("=iHH8s", elsewhere["w0"], 1, 0, b"")
    sock = socket.socket(fileno=os.dup(fd))
    level = socket.SOL_SOCKET
    return {
        "larger ring": tried(lambda: sock.setsockopt(SOL_PACKET, 5, ring)),
        "no ring": tried(lambda: sock.setsockopt(SOL_PACKET, 5, bytes(28))),
        "ring for sending": tried(lambda: sock.setsockopt(SOL_PACKET, 13, ring)),
        "version of the ring": tried(lambda: sock.setsockopt(SOL_PACKET, 10, 0)),
        "filter": tried(lambda: sock.setsockopt(level, 26, fprog)),
        "no filter": tried(lambda: sock.setsockopt(level, 27, 0)),
        "eBPF filter": tried(lambda: sock.setsockopt(level, 50, struct.pack("i", fd))),
        "unlocked": tried(lambda: sock.setsockopt(level, 44, 0)),
        "mark": tried(lambda: sock.setsockopt(level, 36, 0)),
        # These may go through without the sandbox: what they give is looked at from outside.
        "promiscuous": tried(lambda: sock.setsockopt(SOL_PACKET, 1, promiscuous)),
        "another interface": tried(lambda: sock.bind(("w1", 3))),
        "bound back": tried(lambda: sock.bind(("w0", 3))),
    }


def inside_the_kernel(found):
    """What of `widen` the kernel itself must refuse."""
    return {
        name: number for name, number in found.items() if name not in {"promiscuous", "another interface", "bound back"}
    }


@SANDBOXED
@pytest.mark.parametrize(("sockets", "slot"), [(1, 0), (2, 0), (1, 1024)])
def test_its_sockets_deliver_no_more_than_the_policy_permits(capturing, wire, sandboxed, sockets, slot):
    served = capturing(POLICY)
    got = served.capture(sockets=sockets, frame_size=slot)
    numbers = {name: wire.index(name) for name in ("w0", "w1")}

    def attack():
        lock(sandboxed=sandboxed)
        return widen(got.fds[0], numbers)

    found = as_nobody_in(wire.netns, attack)
    assert set(inside_the_kernel(found).values()) <= NO, found
    assert 0 not in inside_the_kernel(found).values()
    if sandboxed:
        assert found["promiscuous"] == errno.EPERM
        assert found["another interface"] == errno.EPERM
    for fd in got.fds:
        packets(fd)
    wire.send("p1", ethernet())  # another interface
    wire.send("p0", ethernet(destination=OTHER_HOST), ethernet(kind=0x0806))  # promiscuous; not the policy's
    assert [packets(fd) for fd in got.fds] == [0] * sockets
    wire.send("p0", ethernet())
    assert sum(packets(fd) for fd in got.fds) == 1  # still captures, up to the policy's snap length
    ring = next(
        bytes(mmap.mmap(fd, BLOCK * BLOCKS)) for fd in got.fds if b"\x13\xc4" in mmap.mmap(fd, BLOCK * BLOCKS)[:]
    )
    assert ethernet()[:100] in ring
    assert ethernet()[:101] not in ring


@SANDBOXED
def test_what_it_sends_reaches_no_wire(capturing, wire, sandboxed):
    served = capturing(POLICY + '[[capture]]\ninterface = "p?"\ncount = 2\n' + EVERYTHING)
    got, *seen = (served.capture(interface=name).fds[0] for name in ("w0", "p0", "p1"))
    command = [*wire.prefix, sys.executable, "-I", "-m", "lippycat_helper.egress"]
    subprocess.run(command, check=True, timeout=30)

    def attack():
        numbers = {name: socket.if_nametoindex(name) for name in ("w0", "w1")}
        sock = socket.socket(fileno=os.dup(got))
        lock(sandboxed=sandboxed)
        sent = [tried(lambda name=name: sock.sendto(ethernet(), (name, 0x0800))) for name in numbers]
        sent.append(tried(lambda: os.write(sock.fileno(), ethernet())))
        return sent

    as_nobody_in(wire.netns, attack)
    assert [packets(fd) for fd in seen] == [0, 0]


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"interface": "w1"}, "capture from w1 is not permitted"),
        ({"interface": "any"}, "capture from any is not permitted"),
        ({"interface": "lc0"}, "exclude has"),
        ({"promiscuous": True}, "has promiscuous = false"),
        ({"sockets": 4}, "would have socket 4"),
        ({"block_count": 13}, "whose ring_max is 786432"),
        ({"interface": "../w0"}, "interface name"),
    ],
)
def test_it_cannot_ask_for_more(capturing, wire, wanted, reason):
    served = capturing(POLICY)

    def ask():
        try:
            client.connect_capture(served.path).open_capture(request(**wanted))
        except PrivilegeError as error:
            return str(error)
        return "given"

    assert reason in as_nobody(ask)


def test_a_larger_snap_length_is_not_given(capturing, wire):
    got = capturing(POLICY).capture(snaplen=200)
    assert got.snaplen == 100


TAPS = PEERS + "[[tap]]\nname = 'lc?'\n"


@pytest.mark.parametrize(
    "message",
    [
        Request(Operation.CREATE, 1, Kind.TAP, "eth0", "{netns}"),
        Request(Operation.CREATE, 1, Kind.TUN, "lc0", "{netns}"),
        Request(Operation.CREATE, 1, Kind.TAP, "lc0", ""),
        Request(Operation.CREATE, 1, Kind.TAP, "lc0", "elsewhere"),
        Request(Operation.RELEASE, 1, Kind.TAP, "eth0", "{netns}"),
        Request(Operation.RELEASE, 1, capture=1),
        Request(Operation.CAPTURE, 1, name="any", sockets=1, block_size=65536, block_count=4, timeout_ms=1),
    ],
    ids=lambda message: f"{message.operation.name} {message.kind.name} {message.name} {message.netns}",
)
def test_another_name_kind_or_namespace_is_refused(service, swept, message):
    served = service(TAPS)
    sock, _ = served.raw()
    with sock:
        filled = message.pack().replace(b"{netns}".ljust(len(swept), b"\0"), swept.encode())
        protocol.send(sock, filled)
        reply, fds = protocol.receive(sock, protocol.Reply.size(), protocol.REPLY_FDS_MAX)
        assert protocol.Reply.unpack(reply).status is protocol.Status.REFUSED
        assert not fds
        assert sock.recv(1) == b""  # and the connection has ended
    assert links(swept) == {"lo"}


def owner(netns):
    command = ["ip", "-n", netns, "-d", "-json", "link", "show", "lc0"]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)[0]
    return [told["linkinfo"]["info_data"][key] for key in ("persist", "user", "group")]


def seize(fd):
    """What a holder of a TAP may try in order to have it for itself."""
    name = struct.pack("16sH22x", b"eth9", 0x1002)
    return {
        "persistent": tried(lambda: fcntl.ioctl(fd, 0x400454CB, 1)),
        "owner": tried(lambda: fcntl.ioctl(fd, 0x400454CC, 65534)),
        "group": tried(lambda: fcntl.ioctl(fd, 0x400454CE, 65534)),
        "another name": tried(lambda: fcntl.ioctl(fd, 0x400454CA, name)),
        "another device": tried(lambda: fcntl.ioctl(os.open("/dev/net/tun", os.O_RDWR), 0x400454CA, name)),
        "queue": tried(lambda: fcntl.ioctl(fd, 0x400454D9, struct.pack("16sH22x", b"", 0x0400))),
    }


@SANDBOXED
def test_its_device_stays_roots(service, swept, sandboxed):
    served = service(TAPS)
    with client.connect(client.VifRequest(netns=swept), served.path) as peer:
        vif = peer.create()
        assert owner(swept) == [False, "root", "root"]

        def attack():
            lock(sandboxed=sandboxed)
            return seize(vif.fd)

        found = as_nobody_in(swept, attack)
        assert 0 not in {found[what] for what in ("another name", "another device", "queue")}, found
        if sandboxed:
            assert set(found.values()) <= {errno.EPERM, errno.EACCES}, found
            assert owner(swept) == [False, "root", "root"]
        # Without the sandbox the kernel lets it: the helper sets it right within a second.
        assert until(lambda: owner(swept) == [False, "root", "root"])
        assert os.write(vif.fd, bytes(60)) == 60
        peer.release()
        vif.close()
    assert until(lambda: "lc0" not in links(swept))
