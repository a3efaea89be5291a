"""What lies in files per call, and what the generators say should."""

from __future__ import annotations

import json
import socket
import struct
from collections import Counter, defaultdict
from pathlib import Path
from urllib.parse import unquote

from captures.files import read_pcap

PATTERN = "{callid}.pcap"
FRAGMENT = 44  # IPv6 next header


def frames_of(path):
    """[(ns, bytes)] of a finished file."""
    return read_pcap(Path(path).read_bytes())


def per_call(directory):
    """{Call-ID: path} of files that were written as `PATTERN`."""
    return {unquote(path.stem): path for path in sorted(Path(directory).rglob("*.pcap"))}


def addresses(frame):
    """(source, destination, rest of the packet, protocol, whether a fragment) of IP in Ethernet with VLAN tags."""
    at = 12
    while frame[at : at + 2] in {b"\x81\x00", b"\x88\xa8"}:
        at += 4
    kind, at = frame[at : at + 2], at + 2
    if kind == b"\x08\x00":
        start = at + (frame[at] & 15) * 4
        fragment = struct.unpack_from("!H", frame, at + 6)[0] & 0x3FFF
        total = struct.unpack_from("!H", frame, at + 2)[0]
        return frame[at + 12 : at + 16], frame[at + 16 : at + 20], frame[start : at + total], frame[at + 9], fragment
    protocol, start = frame[at + 6], at + 40
    return frame[at + 8 : at + 24], frame[at + 24 : at + 40], frame[start:], protocol, protocol == FRAGMENT


def classes(frames):
    """How many frames of each kind a file holds, as gen_calls.py's truth counts them, and which addresses."""
    found, ends = Counter(), set()
    for _, frame in frames:
        source, destination, body, protocol, fragment = addresses(frame)
        ends |= {source, destination}
        if fragment:
            found["sip_frames"] += 1
        elif protocol == socket.IPPROTO_TCP:
            found["sip_frames" if len(body) > (body[12] >> 4) * 4 else "tcp_pure"] += 1
        elif 5060 in struct.unpack_from("!HH", body):
            found["sip_frames"] += 1
        else:
            found["rtcp_frames" if 192 <= body[9] <= 223 else "rtp_frames"] += 1
    return found, ends


def truth_of_calls(capture):
    """{Call-ID: {kind: frames}} of a gen_calls.py capture, and the caller's address of each, which is its own."""
    truth = json.loads(Path(f"{capture}.truth.json").read_text())
    kinds = ("sip_frames", "tcp_pure", "rtp_frames", "rtcp_frames")
    calls = {call["call_id"]: {kind: call[kind] for kind in kinds if call[kind]} for call in truth["calls"]}

    def address(i, version):
        six = struct.pack("!IIQ", 0x20010DB8, 30, 2 + i % 60000)
        return six if version == 6 else bytes((10, 30, (2 + i) >> 8 & 255, (2 + i) & 255))

    callers = {call["call_id"]: address(i, call["ipv"]) for i, call in enumerate(truth["calls"])}
    return calls, callers


def wrong_files(directory, capture):
    """One line for each call whose file is not what gen_calls.py says."""
    calls, callers = truth_of_calls(capture)
    files = per_call(directory)
    lines = [f"{call}: no file" for call in calls.keys() - files.keys()]
    lines += [f"{call}: a file too many" for call in files.keys() - calls.keys()]
    for call in calls.keys() & files.keys():
        found, ends = classes(frames_of(files[call]))
        if found != calls[call] or any(other in ends for name, other in callers.items() if name != call):
            lines.append(f"{call}: {dict(found)} instead of {calls[call]}")
    return lines


def wrong_hard_files(directory, capture, selected=bool):
    """One line for each call of a gen_hard.py capture whose file is not what the truth says.

    The truth names one call for a frame of a TCP connection, which belongs to all calls of that connection or to none,
    and no call for media without signalling: such frames may be in a file too. A call without INVITE has no file.
    The two calls `video` and `incomplete` describe the same endpoint at once: RTCP there may be either's.
    """
    truth = json.loads(Path(f"{capture}.truth.json").read_text())
    original = read_pcap(Path(capture).read_bytes())
    numbers = {frame: n for n, frame in enumerate(original, 1)}
    expected, lines, may = defaultdict(set), [], set(truth["free"])
    may |= {n for n, (_, frame) in enumerate(original, 1) if addresses(frame)[3] == socket.IPPROTO_TCP}
    either = {
        n
        for call in truth["calls"]
        if call["variant"] == "video"
        for low, high in call["frames"]
        for n in range(low, high + 1)
        if not addresses(original[n - 1][1])[4] and 200 <= addresses(original[n - 1][1])[2][9] <= 202
    }
    for call in truth["calls"]:
        spans = [range(low, high + 1) for low, high in call["frames"]]
        if call["call_id"] is None:
            may.update(*spans)
        elif selected(call):
            expected[call["call_id"]].update(*spans)
    for call, path in per_call(directory).items():
        kept = [numbers[frame] for frame in frames_of(path)]
        wanted = expected.pop(call, set())
        missing, more = wanted - set(kept) - set(truth["free"]) - either, set(kept) - wanted - may - either
        if missing or more or kept != sorted(set(kept)):
            lines.append(f"{call}: {len(kept)} frames; too many {sorted(more)[:9]}, missing {sorted(missing)[:9]}")
    return lines, expected.keys()
