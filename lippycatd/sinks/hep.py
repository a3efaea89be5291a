"""The sink `hep`: SIP messages and RTCP reports of the selected calls, handed to lippycat-relay, which sends them.

It never waits: what the relay has no room for waits here, up to a limit, and what finds no place is counted. A relay
that is away is connected to again.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import socket
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from lippycatd.model import handover
from lippycatd.model.handover import Captured, Protocol, Wants
from lippycatd.sinks.relay_link import Link

if TYPE_CHECKING:
    from lippycatd.config import Config
    from lippycatd.model.records import Record

_TRANSPORTS = {"udp": 17, "tcp": 6, "ws": 6, "tls": 6}
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """Where to hand over, and how much may wait."""

    path: str
    limit: int  # bytes
    name: str = "main"


def target(config: Config, name: str = "main") -> Target | None:
    """The target that the configuration asks for."""
    return Target(config.relay.socket, config.hep.buffer, name) if config.hep.send else None


class Handover:
    """The sink. `write` takes what it is there for out of a batch; nothing here raises."""

    def __init__(self, target: Target) -> None:
        self.name = f"hep:{target.name}"
        self._target = target
        self._link = Link(target.path, Wants.HEP, target.name)
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._offered = self._written = 0
        self._dropped: Counter[str] = Counter()

    def write(self, batch: list[Record]) -> list[Record]:
        """Hands over; gives the batch without what nobody else takes."""
        for record in batch:
            found = _captured(record)
            if found is not None:
                self._offer(found)
        self._send()
        return [_plain(record) for record in batch if record["type"] != "rtcp"]

    def _offer(self, found: Captured) -> None:
        self._offered += 1
        try:
            message = found.pack()
        except ValueError:
            self._dropped["too_long"] += 1
            return
        if self._bytes + len(message) > self._target.limit:
            self._dropped["buffer_full"] += 1
            return
        self._waiting.append(message)
        self._bytes += len(message)

    @property
    def trouble(self) -> str:
        """Why the relay cannot be had; empty when it can."""
        return self._link.trouble

    def _send(self, *, now: bool = False) -> None:
        """Sends what waits, as far as there is room."""
        if not self._link.tend(now=now):
            return
        while self._waiting and self._link.send(self._waiting[0]):
            self._bytes -= len(self._waiting.popleft())
            self._written += 1

    def counters(self) -> dict[str, Any]:
        """`offered = written + queued + Σ dropped{reason}`, in messages."""
        dropped = dict(self._dropped)
        queued = self._offered - self._written - sum(dropped.values())
        return {"offered": self._offered, "written": self._written, "queued": queued, "dropped": dropped}

    def close(self) -> None:
        """Sends what there is room for, and counts the rest."""
        self._send(now=True)
        if self._waiting:
            self._dropped["relay_away"] += len(self._waiting)
            self._waiting.clear()
        self._link.close()


def _captured(record: Record) -> Captured | None:
    """What a record holds for the relay; None for records of another kind."""
    if record["type"] == "sip":
        protocol, payload, correlation = Protocol.SIP, record["raw"], ""
        transport = _TRANSPORTS.get(record["transport"], 6)
    elif record["type"] == "rtcp" and record["report"] is not None:
        protocol, payload = Protocol.RTCP_JSON, _encode(record["report"]).encode()
        correlation, transport = record["call_id"], 17
    else:
        return None
    return Captured(
        protocol, transport, _address(record["src"]), record["sport"], _address(record["dst"]), record["dport"],
        int(record["ts"].replace(".", "")), correlation.encode()[: handover.MAX_CORRELATION], payload,
    )  # fmt: skip


@functools.lru_cache(4096)
def _address(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def _plain(record: Record) -> Record:
    """A record without the bytes."""
    record.pop("raw", None)
    return record
