"""Seeds for the fuzz targets, from captures: `fuzz_seeds.py OUT CAPTURE…` writes OUT/TARGET/….

Frames become seeds of `decode` and `follow_raw`, UDP payloads and TCP segments those of the parsers by what they look
like, whole files those of the readers. Different texts only, the shortest first, so that a corpus stays small.
"""

from __future__ import annotations

import hashlib
import re
import struct
import sys
from collections import defaultdict
from pathlib import Path

import dpkt

MOST = 150  # seeds a target
LARGEST = 8192  # bytes of a seed
FOLLOWED = 40  # frames of one seed of the line
LINKS = (0, 1, 9, 12, 14, 50, 101, 108, 113, 228, 229, 276)  # LinkType::SUPPORTED, in its order
START = re.compile(rb"(SIP/2\.0 |[A-Z]+ \S+ SIP/2\.0)")


def packets(path: Path) -> tuple[int, list[bytes]]:
    """The link type and the frames of a capture; nothing where it is damaged."""
    try:
        with path.open("rb") as file:
            reader = dpkt.pcap.UniversalReader(file)
            return reader.datalink(), [bytes(data) for _, data in reader]
    except (ValueError, OSError, dpkt.Error, struct.error):
        return 0, []


def payload(frame: bytes) -> bytes:
    """What an Ethernet frame carries above UDP or TCP."""
    try:
        transport = dpkt.ethernet.Ethernet(frame).data.data
        return bytes(transport.data)
    except (AttributeError, dpkt.Error, struct.error, IndexError, ValueError):
        return b""


def of_payload(data: bytes) -> dict[str, bytes]:
    """The seeds that a payload gives."""
    if not START.match(data):
        return {"rtp_rtcp": data} if data[:1] and data[0] >> 6 == 2 else {"websocket": data}
    found = {"sip": data, "sip_framing": b"\x02" + data[:4] + data + data}
    head, _, body = data.partition(b"\r\n\r\n")
    if body:
        kind = re.search(rb"(?im)^(?:content-type|c)[ \t]*:[ \t]*(.*?)\r?$", head)
        found["sdp"] = (kind[1] if kind else b"") + b"\n" + body
    named = re.search(rb"(?im)^(?:from|to|f|t)[ \t]*:[ \t]*(.*?)\r?$", head)
    if named:
        found["name_addr"] = named[1]
        found["users"] = b"al*ce\n+49*\n*x@*\n\n" + named[1]
    return found


def collect(captures: list[Path]) -> dict[str, dict[str, bytes]]:
    """All seeds by target and name."""
    seeds: dict[str, dict[str, bytes]] = defaultdict(dict)

    def add(target: str, data: bytes) -> None:
        if 0 < len(data) <= LARGEST:
            seeds[target][hashlib.sha1(data, usedforsecurity=False).hexdigest()] = data

    for path in captures:
        raw = path.read_bytes()
        add("files", raw)
        add("files_compressed", b"\0\0\0\0" + raw if path.suffix in {".gz", ".zst"} else b"\1\0\0\0" + raw)
        add("files_compressed", b"\2\0\0\0" + raw)
        link, frames = packets(path)
        for frame in frames:
            if link in LINKS:
                add("decode", bytes([LINKS.index(link)]) + frame)
            for target, data in of_payload(payload(frame)).items():
                add(target, data)
        few = [struct.pack("<H", len(frame) & 0x7FF) + frame[:0x7FF] for frame in frames[:FOLLOWED]]
        if link == 1:
            add("follow_raw", b"".join(few)[:LARGEST])
    return seeds


def main(arguments: list[str]) -> int:
    """Write the seeds."""
    out, captures = Path(arguments[0]), sorted(map(Path, arguments[1:]))
    for target, seeds in collect(captures).items():
        (out / target).mkdir(parents=True, exist_ok=True)
        shortest = sorted(seeds.items(), key=lambda item: (len(item[1]), item[0]))
        step = max(1, len(shortest) // MOST)
        for name, data in shortest[::step][:MOST]:
            (out / target / name).write_bytes(data)
        print(f"{target}: {len(shortest[::step][:MOST])} of {len(shortest)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
