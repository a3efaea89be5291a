"""A forwarding program of the tests: passes frames between two devices and harms the RTP that goes one way.

`impair.py FIRST SECOND LOG`: of each RTP source's packets from FIRST to SECOND some are lost (alone and three in a
row), doubled, overtaken by the next one, and every second one is late by 12 ms. LOG gets, at the end, what was done: by
source the counters, and what went out when. Everything else passes as it is, both ways. Standard library only.
"""

from __future__ import annotations

import heapq
import json
import select
import signal
import socket
import struct
import sys
import time
from pathlib import Path

SOL_PACKET, PACKET_IGNORE_OUTGOING, ETH_P_ALL = 263, 23, 3
LATE, AFTER = 0.012, 0.001


def device(name):
    """A packet socket that gets what comes in by a device."""
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    opened.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    opened.bind((name, 0))
    return opened


def rtp(frame):
    """(source, sequence number, timestamp) of RTP over UDP and IPv4; the source is port and SSRC."""
    if len(frame) < 54 or frame[12:14] != b"\x08\0" or frame[14] != 0x45 or frame[23] != 17 or frame[42] >> 6 != 2:
        return None
    sport, _ = struct.unpack("!HH", frame[34:38])
    sequence, timestamp, ssrc = struct.unpack("!HII", frame[44:54])
    return (sport, ssrc), sequence, timestamp


def plain(frame):
    """The frame without UDP checksum: a sender on a veth leaves it to hardware that is not there."""
    if frame[12:14] == b"\x08\0" and frame[14] == 0x45 and frame[23] == 17:
        return frame[:40] + b"\0\0" + frame[42:]
    return frame


class Harm:
    """What happens to the packets of one source, by their number."""

    def __init__(self):
        self.count = 0
        self.lost, self.doubled, self.overtaken = 0, 0, 0
        self.sent = []
        self.last = 0.0
        self.held = []

    def departures(self, now, packet):
        """(time, packet) of what leaves for this one: nothing, itself, or with one that it has overtaken."""
        n, self.count = self.count, self.count + 1
        if n % 20 == 7 or n % 100 in {50, 51, 52}:
            self.lost += 1
            return []
        if n % 25 == 11:
            self.overtaken += 1
            self.held.append(packet)
            return []
        self.last = max(self.last, now + (LATE if n % 2 else 0.0))  # no other one is overtaken
        leaving = [(self.last, packet)]
        if n % 33 == 5:
            self.doubled += 1
            leaving.append((self.last, packet))
        leaving += [(self.last + AFTER, held) for held in self.held]
        self.held = []
        self.last = max(time for time, _ in leaving)
        return leaving


def forward(first, second, sources):
    """Pass frames until a signal ends it."""
    waiting, order = [], 0
    poll = select.poll()
    for each in (first, second):
        poll.register(each, select.POLLIN)
    names = {first.fileno(): first, second.fileno(): second}
    while True:
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, _, frame, seen = heapq.heappop(waiting)
            second.send(frame)
            source, sequence, timestamp = seen
            sources[source].sent.append((sequence, timestamp, time.time_ns()))
        left = (waiting[0][0] - time.monotonic()) * 1000 if waiting else 1000
        for fd, _ in poll.poll(max(0, left)):
            frame = plain(names[fd].recv(65535))
            seen = rtp(frame) if names[fd] is first else None
            if seen is None:
                (second if names[fd] is first else first).send(frame)
                continue
            harm = sources.setdefault(seen[0], Harm())
            for due, packet in harm.departures(time.monotonic(), (frame, seen)):
                order += 1
                heapq.heappush(waiting, (due, order, *packet))


def main():
    """Forward, and tell what was done."""
    first, second, log = sys.argv[1:]
    sources = {}

    def stop(*_):
        raise SystemExit

    signal.signal(signal.SIGTERM, stop)
    try:
        forward(device(first), device(second), sources)
    finally:
        names = ("lost", "doubled", "overtaken", "sent")
        told = [{"source": s, **{name: getattr(harm, name) for name in names}} for s, harm in sources.items()]
        Path(log).write_text(json.dumps(told))


if __name__ == "__main__":
    main()
