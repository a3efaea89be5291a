"""Which frames of a capture belong to a SIP user's calls, found by tshark alone: none of our code takes part.

Two passes. The first lists all SIP messages and takes the Call-IDs of those that name the user in From, To,
Request-URI or P-Asserted-Identity. Signalling: the frames of these Call-IDs with the TCP segments and IP fragments that
tshark put together for them, and all frames of their TCP connections. The second pass takes media: UDP to or from an
endpoint (in its VLAN; RTCP on the next port) that the call's SDP announced, from the call's first message to its last.
"""

from __future__ import annotations

import argparse
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

USERS = ("sip.from.user", "sip.to.user", "sip.r-uri.user", "sip.pai.user")
PARTS = ("tcp.segment", "ip.fragment", "ipv6.fragment")
TAGS = ("ieee8021ad.id", "vlan.id")
SIGNALLING = ("frame.number", "tcp.stream", "sip.Call-ID", "sdp.connection_info.address", "sdp.media.port")
DATAGRAM = ("frame.number", "ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "udp.srcport", "udp.dstport")
Endpoint = tuple[str, str, int]
"""(VLAN identifiers, address, port)"""


@dataclass
class Call:
    """What the messages of one Call-ID say."""

    frames: set[int] = field(default_factory=set)
    users: set[str] = field(default_factory=set)
    streams: set[str] = field(default_factory=set)
    endpoints: set[Endpoint] = field(default_factory=set)


def fields(capture: Path, display_filter: str, names: tuple[str, ...]) -> Iterator[dict[str, list[str]]]:
    """Each frame that the filter shows: field name to all its values."""
    command = ["tshark", "-n", "-r", str(capture), "-Y", display_filter, "-T", "fields", "-E", "aggregator=\x1f"]
    for name in names:
        command += ["-e", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"tshark ended with {done.returncode}: {done.stderr.strip()}")
    for line in done.stdout.splitlines():
        values = line.split("\t")
        yield {name: value.split("\x1f") if value else [] for name, value in zip(names, values, strict=True)}


def calls(capture: Path) -> dict[str, Call]:
    """All calls by Call-ID."""
    found: dict[str, Call] = defaultdict(Call)
    for row in fields(capture, "sip", SIGNALLING + USERS + PARTS + TAGS):
        for call_id in set(row["sip.Call-ID"]):
            call = found[call_id]
            call.frames.update(int(n) for n in row["frame.number"] + [n for part in PARTS for n in row[part]])
            call.users.update(user.lower() for name in USERS for user in row[name])
            call.streams.update(row["tcp.stream"])
            vlan = ",".join(row[TAGS[0]] + row[TAGS[1]])
            for address in row["sdp.connection_info.address"]:
                call.endpoints.update((vlan, address, int(port)) for port in row["sdp.media.port"])
    return dict(found)


def extract(capture: Path, user: str) -> list[int]:
    """The numbers, from 1, of all frames of the user's calls.

    Raises:
        RuntimeError: when tshark fails, or another user's call shares a TCP connection (this cannot tell them apart).
    """
    every = calls(capture)
    own = {call_id: call for call_id, call in every.items() if user.lower() in call.users}
    streams = {stream for call in own.values() for stream in call.streams}
    if streams & {stream for call_id, call in every.items() if call_id not in own for stream in call.streams}:
        raise RuntimeError("a TCP connection carries calls of several users: this extraction cannot tell them apart")
    frames = {number for call in own.values() for number in call.frames}
    if streams:
        shown = "tcp.stream in {" + ",".join(sorted(streams)) + "}"
        frames.update(int(row["frame.number"][0]) for row in fields(capture, shown, ("frame.number",)))
    return sorted(frames | media(capture, list(own.values())))


def media(capture: Path, own: list[Call]) -> set[int]:
    """The frames of the calls' media."""
    spans: dict[Endpoint, list[tuple[int, int]]] = defaultdict(list)
    for call in own:
        for vlan, address, port in call.endpoints:
            for used in (port, port + 1):
                spans[vlan, address, used].append((min(call.frames), max(call.frames)))
    found = set()
    for row in fields(capture, "udp && !sip && !icmp", DATAGRAM + TAGS):
        number, vlan = int(row["frame.number"][0]), ",".join(row[TAGS[0]] + row[TAGS[1]])
        for side, name in (("src", "udp.srcport"), ("dst", "udp.dstport")):
            address = (row[f"ip.{side}"] + row[f"ipv6.{side}"])[0]
            if any(first <= number <= last for first, last in spans.get((vlan, address, int(row[name][0])), ())):
                found.add(number)
    return found


def spans(numbers: list[int]) -> list[str]:
    """Numbers in order as text: runs as first-last."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return [f"{first}-{last}" if last > first else str(first) for first, last in runs]


def main() -> None:
    """Print the frames of a user's calls; the expectations in tests/cases/ are made so."""
    parser = argparse.ArgumentParser(prog="python -m demo.oracle", description=__doc__)
    parser.add_argument("capture", type=Path)
    parser.add_argument("user")
    given = parser.parse_args()
    print("\n".join(spans(extract(given.capture, given.user))))


if __name__ == "__main__":
    main()
