"""A forwarding program of the tests: joins two namespaces by two TAP devices and a wire between them with VLAN tags.

`tagging.py CALLER CALLEE FIRST SECOND`: makes the TAP `ta` and moves it into the namespace CALLER, likewise `tb` and
CALLEE. What comes out of a TAP goes over the wire FIRST - SECOND (a veth pair of this namespace) with the tags that
the caller's address asks for, and into the other TAP without them. Prints `ready` when the devices are there, and at
its end (SIGTERM) as JSON how many frames went over the wire with which tags. Standard library only.
"""

from __future__ import annotations

import collections
import fcntl
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys

SOL_PACKET, PACKET_IGNORE_OUTGOING, ETH_P_ALL = 263, 23, 3
SO_RCVBUFFORCE = 33
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
IPV4, ARP, QTAG, ADTAG = b"\x08\x00", b"\x08\x06", b"\x81\x00", b"\x88\xa8"
CALLERS = "10.9.0."
TAGS = {
    1: b"",
    2: QTAG + struct.pack("!H", 0x6000 | 100),  # with a priority
    3: ADTAG + struct.pack("!H", 200) + QTAG + struct.pack("!H", 10),
    4: QTAG + struct.pack("!H", 7) + QTAG + struct.pack("!H", 100),
}
"""By the last byte of the caller's address (RFC 5737 would be nicer, but the tests' namespaces are 10.9.0.0/24)."""


def tap(name, netns):
    """A TAP device in another namespace."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    subprocess.run(["ip", "link", "set", name, "netns", netns], check=True)
    return fd


def wire(name):
    """A packet socket that gets what comes in by a device."""
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    opened.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
    opened.bind((name, 0))
    opened.setblocking(False)  # noqa: FBT003  the standard library's
    return opened


def caller(frame):
    """The last byte of the caller's address, 0 where none is in the frame; callers are 10.9.0.1 to .9."""
    if frame[12:14] == IPV4:
        ends = frame[29], frame[33]
    elif frame[12:14] == ARP:
        ends = frame[31], frame[41]
    else:
        return 0
    return min(ends)


def plain(frame):
    """The frame without tags; the kernel has taken the outer one off already, where it came over a wire."""
    while frame[12:14] in {QTAG, ADTAG}:
        frame = frame[:12] + frame[16:]
    return frame


def forward(taps, wires):
    """Pass frames until a signal ends it; counts them by tag in `counts`."""
    counts = collections.Counter()
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(SystemExit))
    poll = select.poll()
    ways = {}
    for side in (0, 1):
        poll.register(taps[side], select.POLLIN)
        poll.register(wires[side], select.POLLIN)
        ways[taps[side]] = ("onto", side)
        ways[wires[side].fileno()] = ("off", side)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    try:
        while True:
            for fd, _ in poll.poll():
                way, side = ways[fd]
                for _ in range(64):
                    try:
                        frame = os.read(fd, 65535)
                    except BlockingIOError:
                        break
                    if way == "off":
                        os.write(taps[side], plain(frame))
                        continue
                    tags = TAGS.get(caller(frame), b"")
                    counts[tags.hex()] += 1
                    wires[side].send(frame[:12] + tags + frame[12:])
    finally:
        sys.stdout.write(json.dumps(counts) + "\n")


def main():
    """Make the devices and forward."""
    first, second = sys.argv[3:]
    forward([tap("ta", sys.argv[1]), tap("tb", sys.argv[2])], [wire(first), wire(second)])


if __name__ == "__main__":
    main()
