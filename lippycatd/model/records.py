"""The records of the core, by type: their fields in the order in which they are printed.

A record is a dict whose first key is `type`. Times (`ts`, `start`, …) are decimal seconds as text with nine digits,
addresses are text without brackets, IPv6 compressed (RFC 5952), `*_ms` are floats in milliseconds.
"""

from __future__ import annotations

from typing import Any, Final, Literal

Record = dict[str, Any]
Kind = Literal["packet", "voip"]

_EVERY: Final = ("type", "ts", "source", "frame")
FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "packet": (*_EVERY, "src", "dst", "sport", "dport", "protocol", "length", "info"),
    "sip": (
        *_EVERY,
        *("frames", "src", "sport", "dst", "dport", "transport", "method", "request_uri", "status", "reason"),
        *("call_id", "from_user", "from_host", "from_tag", "to_user", "to_host", "to_tag", "cseq", "cseq_method"),
        *("branch", "user_agent", "content_type", "content_length", "retransmission", "problems", "sdp"),
    ),
    "stream": (
        *_EVERY,
        *("src", "sport", "dst", "dport", "ssrc", "payload_type", "codec", "call_id", "start", "end", "packets"),
        *("bytes", "expected", "lost", "unique_lost", "duplicates", "reordered", "jitter_ms", "max_jitter_ms"),
        *("mean_jitter_ms", "max_delta_ms", "mos", "r_factor", "dtmf", "events"),
    ),
    "call": (
        *_EVERY,
        *("call_id", "from_user", "to_user", "state", "start", "ring", "answer", "end", "pdd_ms", "final"),
        *("streams", "packets"),
    ),
}
# Which types a line gives: plain packets, or what `sniff voip` follows.
TYPES: Final[dict[Kind, tuple[str, ...]]] = {"packet": ("packet",), "voip": ("sip", "stream", "call")}


def columns(kind: Kind) -> tuple[str, ...]:
    """The columns of a CSV file: the fields of every type that can occur, each once."""
    return tuple(dict.fromkeys(field for name in TYPES[kind] for field in FIELDS[name]))
