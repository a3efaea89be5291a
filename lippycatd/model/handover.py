"""The messages between lippycatd and lippycat-relay, over a Unix socket that keeps their bounds (SOCK_SEQPACKET).

Every message is a header of magic, version and kind, and a body of at most MAX_BODY bytes; numbers are in network byte
order. The daemon says HELLO with what it wants, the relay answers WELCOME with what it has of that, or REFUSED with
one line, and closes. Then the daemon sends CAPTURED; the relay sends POD and GONE, and SYNCED after a whole list.
"""

from __future__ import annotations

import enum
import json
import socket
import struct
from typing import Any, NamedTuple

SOCKET_PATH = "/run/lippycat/relay.sock"
VERSION = 1
MAGIC = b"LR"
MAX_BODY = 80 << 10
MAX_CORRELATION = 512
MAX_NAME = 64
MAX_ADDRESSES = 64

_HEADER = struct.Struct("!2sBB")
_FLAGS = struct.Struct("!I")
_CAPTURED = struct.Struct("!BBBxHHQ16s16sH")
MAX_MESSAGE = _HEADER.size + MAX_BODY
MAX_PAYLOAD = MAX_BODY - _CAPTURED.size - MAX_CORRELATION


class Kind(enum.IntEnum):
    """Of a message."""

    HELLO = 1
    WELCOME = 2
    REFUSED = 3
    CAPTURED = 4
    POD = 5
    GONE = 6
    SYNCED = 7


class Wants(enum.IntFlag):
    """What the daemon asks for, and what the relay has."""

    HEP = 1
    PODS = 2


class Protocol(enum.IntEnum):
    """Of what was captured, with the numbers of HEP."""

    SIP = 1
    RTCP_JSON = 5


class Malformed(Exception):
    """A message that is not as described here; says which part."""


class Captured(NamedTuple):
    """What was seen on the wire: `ts` in nanoseconds, addresses as 4 or 16 bytes, `transport` as IP has it."""

    protocol: Protocol
    transport: int
    src: bytes
    sport: int
    dst: bytes
    dport: int
    ts: int
    correlation: bytes
    payload: bytes

    def pack(self) -> bytes:
        """As a message. Raises ValueError where a part is too long."""
        if len(self.payload) > MAX_PAYLOAD or len(self.correlation) > MAX_CORRELATION:
            raise ValueError("too long for one message")
        fixed = _CAPTURED.pack(
            self.protocol, self.transport, len(self.src), self.sport, self.dport, self.ts, self.src, self.dst,
            len(self.correlation),
        )  # fmt: skip
        return header(Kind.CAPTURED) + fixed + self.correlation + self.payload


class Pod(NamedTuple):
    """A pod as the Kubernetes API tells of it."""

    namespace: str
    name: str
    node: str
    addresses: tuple[str, ...]


def header(kind: Kind) -> bytes:
    """What a message begins with."""
    return _HEADER.pack(MAGIC, VERSION, kind)


def split(message: bytes) -> tuple[Kind, bytes]:
    """Kind and body. Raises Malformed."""
    if len(message) < _HEADER.size:
        raise Malformed("short")
    magic, version, number = _HEADER.unpack_from(message)
    if magic != MAGIC:
        raise Malformed("magic")
    if version != VERSION:
        raise Malformed("version")
    try:
        return Kind(number), message[_HEADER.size :]
    except ValueError:
        raise Malformed("kind") from None


def hello(wants: Wants, name: str) -> bytes:
    """What the daemon begins with: `name` is what reports call it."""
    return header(Kind.HELLO) + _FLAGS.pack(wants) + name.encode()[:MAX_NAME]


def welcome(has: Wants) -> bytes:
    """The relay's answer."""
    return header(Kind.WELCOME) + _FLAGS.pack(has)


def refused(why: str) -> bytes:
    """The relay's answer to what it cannot take, with one line."""
    return header(Kind.REFUSED) + why.encode()[:1024]


def flags(body: bytes) -> tuple[Wants, str]:
    """What HELLO or WELCOME hold. Raises Malformed."""
    if not _FLAGS.size <= len(body) <= _FLAGS.size + MAX_NAME:
        raise Malformed("length")
    (number,) = _FLAGS.unpack_from(body)
    return Wants(number & (Wants.HEP | Wants.PODS)), body[_FLAGS.size :].decode("utf-8", "replace")


def captured(body: bytes) -> Captured:
    """What CAPTURED holds. Raises Malformed."""
    if len(body) < _CAPTURED.size:
        raise Malformed("short")
    number, transport, size, sport, dport, ts, src, dst, length = _CAPTURED.unpack_from(body)
    begin = _CAPTURED.size + length
    if size not in {4, 16}:
        raise Malformed("address")
    if length > MAX_CORRELATION or begin > len(body):
        raise Malformed("length")
    try:
        protocol = Protocol(number)
    except ValueError:
        raise Malformed("protocol") from None
    return Captured(
        protocol, transport, src[:size], sport, dst[:size], dport, ts, body[_CAPTURED.size : begin], body[begin:]
    )


def pod(found: Pod) -> bytes:
    """A pod that is there, or has changed."""
    return header(Kind.POD) + json.dumps([*found[:3], list(found.addresses[:MAX_ADDRESSES])]).encode()


def gone(namespace: str, name: str) -> bytes:
    """A pod that is gone."""
    return header(Kind.GONE) + json.dumps([namespace, name]).encode()


def read_pod(body: bytes) -> Pod:
    """What POD holds. Raises Malformed."""
    match _json(body):
        case [str(namespace), str(name), str(node), [*addresses]] if all(isinstance(each, str) for each in addresses):
            return Pod(namespace, name, node, tuple(addresses))
    raise Malformed("pod")


def read_gone(body: bytes) -> tuple[str, str]:
    """What GONE holds: namespace and name. Raises Malformed."""
    match _json(body):
        case [str(namespace), str(name)]:
            return namespace, name
    raise Malformed("pod")


def _json(body: bytes) -> Any:  # noqa: ANN401  whatever it holds is looked at by the caller
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Malformed("json") from None


def receive(sock: socket.socket) -> bytes:
    """One message; empty at the end. Raises Malformed for one that is too long, OSError as recv does."""
    message, _, marks, _ = sock.recvmsg(MAX_MESSAGE)
    if marks & socket.MSG_TRUNC:
        raise Malformed("length")
    return message
