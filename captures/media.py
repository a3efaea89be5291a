"""RTP (RFC 3550), telephone events (RFC 4733) and RTCP (RFC 3550 section 6), as bytes."""

from __future__ import annotations

import struct

PCMU, EVENT = 0, 101
DIGITS = "0123456789*#"
QUARTER = (0, 2472, 4702, 6472, 7608)
HALF = (*QUARTER, 8000, *reversed(QUARTER[1:]))
PERIOD = (*HALF, *(-sample for sample in HALF))
"""20 samples of a sine: 400 Hz at 8 kHz"""


def mu_law(sample: int) -> int:
    """One 16-bit sample as G.711 mu-law codes it."""
    sign, magnitude = (0x80, -sample) if sample < 0 else (0, sample)
    magnitude = min(magnitude, 32635) + 132
    exponent = magnitude.bit_length() - 8
    return ~(sign | exponent << 4 | magnitude >> exponent + 3 & 15) & 0xFF


TONE = bytes(map(mu_law, PERIOD)) * 8
"""20 ms of a tone"""


def rtp(sequence: int, timestamp: int, ssrc: int, payload: bytes, kind: int = PCMU, marker: bool = False) -> bytes:
    """One RTP packet."""
    head = struct.pack("!BBHII", 0x80, marker << 7 | kind, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc)
    return head + payload


def event(digit: str, step: int, end: bool) -> bytes:
    """The payload of one telephone event packet, `step` packets of 20 ms after its start."""
    return struct.pack("!BBH", DIGITS.index(digit), end << 7 | 10, 160 * (step + 1))


def rtcp(ssrc: int, name: str, ts_ns: int, timestamp: int, packets: int) -> bytes:
    """A compound packet: sender report and source description."""
    seconds, rest = divmod(ts_ns, 10**9)
    ntp = (seconds + 2208988800 << 32) + (rest << 32) // 10**9
    report = struct.pack("!BBHIQIII", 0x80, 200, 6, ssrc, ntp, timestamp & 0xFFFFFFFF, packets, packets * 160)
    item = struct.pack("!IBB", ssrc, 1, len(name)) + name.encode() + b"\0"
    item += b"\0" * (-len(item) % 4)
    return report + struct.pack("!BBH", 0x81, 202, len(item) // 4) + item
