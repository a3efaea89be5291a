"""Writes the captures of this folder: `python3 -m captures.make [--check]`, or one large file with `--big`.

Python's standard library only. The same arguments give the same bytes: no clock and no random source is read.
"""

from __future__ import annotations

import argparse
import gzip
import sys
from collections.abc import Callable
from pathlib import Path

from captures import attacks, demo, files, small
from captures.large import write_large

HERE = Path(__file__).resolve().parent


def zipped(data: bytes) -> bytes:
    """The same, compressed; without a time stamp."""
    return gzip.compress(data, mtime=0)


def plain(data: bytes) -> bytes:
    """The same, not compressed: what a compressor writes depends on its version."""
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def every() -> dict[str, Callable[[], bytes]]:
    """All captures by file name."""
    return {
        "demo.pcap": lambda: files.pcap(demo.build()[0].packets(), nano=True),
        "call-be.pcap": lambda: files.pcap(small.call().packets(), order=">"),
        "call-ns-be.pcap": lambda: files.pcap(small.call().packets(), order=">", nano=True),
        "call.pcapng": lambda: files.pcapng(small.call().packets()),
        "call-be.pcapng": lambda: files.pcapng(small.call().packets(), order=">"),
        "sections.pcapng": small.sections,
        "call.pcap.gz": lambda: zipped(files.pcap(small.call().packets())),
        "cut.pcap": lambda: files.pcap(small.call().packets())[:-100],
        "cut.pcapng": lambda: files.pcapng(small.call().packets())[:-100],
        "raw.pcap": lambda: small.raw(small.call()),
        "sll.pcap": lambda: small.cooked(small.call()),
        "sll2.pcap": lambda: small.cooked2(small.call()),
        "null.pcap": lambda: small.null(small.call()),
        "qinq.pcap": lambda: files.pcap(small.qinq().packets()),
        "trunk.pcap": lambda: files.pcap(small.trunk().packets()),
        "tiny.pcap": lambda: files.pcap(small.tiny().packets()),
        "names.pcap": lambda: files.pcap(small.names().packets()),
        "late-media.pcap": lambda: files.pcap(small.late_media().packets()),
        "attacks.pcap": lambda: files.pcap(attacks.build().packets(), nano=True),
        "wireless.pcap": lambda: files.pcap(small.unrelated(), link=small.IEEE802_11),
    }


def main() -> int:
    """Write or check the captures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file differs")
    parser.add_argument("--big", type=int, metavar="CALLS", help="write one file with so many calls instead")
    parser.add_argument("-o", "--out", type=Path, default=Path("big.pcap"), help="where --big writes (%(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long --big's calls talk (%(default)s)")
    given = parser.parse_args()
    if given.big:
        packets = write_large(given.out, given.big, given.seconds)
        print(f"{given.out}: {packets} packets")
        return 0
    wrong = 0
    for name, make in every().items():
        data, path = make(), HERE / name
        if not given.check:
            path.write_bytes(data)
            print(f"{name}: {len(data)} bytes")
        elif not path.exists() or plain(path.read_bytes()) != plain(data):
            print(f"{name}: differs from what captures/make.py makes", file=sys.stderr)
            wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main())
