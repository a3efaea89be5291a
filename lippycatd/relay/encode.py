"""HEP version 3: a message that was captured as one packet for a Homer server.

The header is `HEP3` and the length of all; chunks follow, each with its vendor (0: the generic ones), type and length
("HEP/EEP Protocol", revision 12, of the Homer project).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from lippycatd.model.handover import Captured

MAX_PACKET = 0xFFFF
_HEADER = struct.Struct("!4sH")
_CHUNK = struct.Struct("!HHH")
_GENERIC = 0
# Types of the generic chunks.
_FAMILY, _PROTOCOL, _V4, _V6, _PORTS = 1, 2, (3, 4), (5, 6), (7, 8)
_SECONDS, _MICROSECONDS, _TYPE, _AGENT, _KEY, _PAYLOAD, _CORRELATION, _NODE = 9, 10, 11, 12, 14, 15, 17, 19
_INET, _INET6 = 2, 10


class Agent(NamedTuple):
    """What every packet says of its sender: capture id, authentication key, and name."""

    number: int
    key: bytes
    name: bytes


def packet(found: Captured, agent: Agent) -> bytes | None:
    """The packet; None where it does not fit into one."""
    seconds, rest = divmod(found.ts, 10**9)
    v6 = len(found.src) != 4  # noqa: PLR2004  bytes of an IPv4 address
    src, dst = _V6 if v6 else _V4
    chunks = [
        _chunk(_FAMILY, bytes([_INET6 if v6 else _INET])),
        _chunk(_PROTOCOL, bytes([found.transport])),
        _chunk(src, found.src),
        _chunk(dst, found.dst),
        _chunk(_PORTS[0], found.sport.to_bytes(2, "big")),
        _chunk(_PORTS[1], found.dport.to_bytes(2, "big")),
        _chunk(_SECONDS, (seconds & 0xFFFFFFFF).to_bytes(4, "big")),
        _chunk(_MICROSECONDS, (rest // 1000).to_bytes(4, "big")),
        _chunk(_TYPE, bytes([found.protocol])),
        _chunk(_AGENT, agent.number.to_bytes(4, "big")),
    ]
    if agent.key:
        chunks.append(_chunk(_KEY, agent.key))
    if agent.name:
        chunks.append(_chunk(_NODE, agent.name))
    if found.correlation:
        chunks.append(_chunk(_CORRELATION, found.correlation))
    size = _HEADER.size + sum(map(len, chunks)) + _CHUNK.size + len(found.payload)
    if size > MAX_PACKET:
        return None
    chunks.append(_chunk(_PAYLOAD, found.payload))
    return _HEADER.pack(b"HEP3", size) + b"".join(chunks)


def _chunk(kind: int, value: bytes) -> bytes:
    return _CHUNK.pack(_GENERIC, kind, _CHUNK.size + len(value)) + value
