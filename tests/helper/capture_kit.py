"""What the capture tests are made of: a namespace with wires, frames, a reader of a ring."""

from __future__ import annotations

import contextlib
import ctypes
import json
import mmap
import os
import socket
import struct
import subprocess

from helper_kit import NOBODY, as_nobody, until

from lippycatd import privileged as client

SOL_PACKET, STATISTICS = 263, 6
BLOCK, BLOCKS = 1 << 16, 4
EVERYTHING = "filter = [[0x06, 0, 0, 0x40000]]\n"
PEERS = f"group = {NOBODY}\n[[peer]]\ngroup = {NOBODY}\n[[peer]]\nuser = 0\n"


def ethernet(kind=0x0800, protocol=17, destination=b"\xff" * 6, number=0, size=200):
    """A frame with an IPv4 header; `number` chooses the flow."""
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, size - 14, number, 0, 64, protocol, 0, b"\n\0\0\1", b"\n\0\0\2")
    ports = struct.pack("!HHHH", 5060 + number, 5060, size - 34, 0)
    return (destination + b"\2\0\0\0\0\1" + kind.to_bytes(2, "big") + ip + ports).ljust(size, b"x")


class Wire:
    """A namespace with two pairs of interfaces, up and silent: w0-p0 and w1-p1."""

    def __init__(self, netns):
        self.netns = netns
        self.prefix = ("ip", "netns", "exec", netns)
        self.ip("netns", "add", netns, outside=True)
        self.ip("link", "set", "lo", "up")
        quiet = "echo 1 | tee /proc/sys/net/ipv6/conf/*/disable_ipv6"
        subprocess.run([*self.prefix, "sh", "-c", quiet], check=True, stdout=subprocess.DEVNULL)
        for n in (0, 1):
            self.ip("link", "add", f"w{n}", "type", "veth", "peer", "name", f"p{n}")
        for name in ("w0", "p0", "w1", "p1"):
            self.ip("link", "set", name, "up")

    def ip(self, *arguments, outside=False):
        subprocess.run(["ip", *(() if outside else ("-n", self.netns)), *arguments], check=True)

    def send(self, name, *frames):
        """Send frames out of an interface: its peer receives them."""
        code = (
            "import socket, sys\ns = socket.socket(17, 3, 0)\ns.bind((sys.argv[1], 0))\n"
            "[s.send(bytes.fromhex(line)) for line in sys.stdin.read().split()]"
        )
        text = "\n".join(frame.hex() for frame in frames)
        subprocess.run([*self.prefix, "python3", "-c", code, name], input=text, text=True, check=True)

    def promiscuity(self, name):
        """How often promiscuous mode is asked for."""
        command = ["ip", "-n", self.netns, "-d", "-json", "link", "show", name]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)[0]["promiscuity"]

    def index(self, name):
        path = f"/sys/class/net/{name}/ifindex"
        done = subprocess.run([*self.prefix, "cat", path], capture_output=True, text=True, check=True)
        return int(done.stdout)


def request(interface="w0", **options):
    return client.CaptureRequest(interface, **{"block_size": BLOCK, "block_count": BLOCKS, "timeout_ms": 1} | options)


def packets(fd):
    """tp_packets since the last call."""
    with socket.socket(fileno=os.dup(fd)) as sock:
        return struct.unpack_from("I", sock.getsockopt(SOL_PACKET, STATISTICS, 12))[0]


class Ring:
    """A small reader of a TPACKET_V3 ring: Documentation/networking/packet_mmap.rst."""

    def __init__(self, fd):
        self.map = mmap.mmap(fd, BLOCK * BLOCKS)
        self.block = 0

    def frames(self):
        """The frames of the blocks that are ready: bytes, original length."""
        found = []
        while True:
            at = self.block * BLOCK
            ready, count, offset = struct.unpack_from("III", self.map, at + 8)
            if not ready & 1:
                return found
            at += offset
            for _ in range(count):
                following, _, _, kept, length, _, start = struct.unpack_from("=IIIIIIH", self.map, at)
                found.append((self.map[at + start : at + start + kept], length))
                at += following
            struct.pack_into("I", self.map, self.block * BLOCK + 8, 0)
            self.block = (self.block + 1) % BLOCKS


def received(*rings, count):
    """Wait for so many frames."""
    found = []
    until(lambda: found.extend(f for ring in rings for f in ring.frames()) or len(found) >= count, 5)
    return found


@contextlib.contextmanager
def inside(netns):
    """Be in the namespace for a while: an interface's name is looked up where the caller is."""
    libc = ctypes.CDLL(None, use_errno=True)
    own, there = (os.open(path, os.O_RDONLY) for path in ("/proc/self/ns/net", f"/run/netns/{netns}"))
    try:
        assert libc.setns(there, 0x40000000) == 0
        yield
    finally:
        assert libc.setns(own, 0x40000000) == 0
        os.close(own)
        os.close(there)


def as_nobody_in(netns, work):
    """Run `work` without any privilege in the namespace."""
    with inside(netns):
        return as_nobody(work)
