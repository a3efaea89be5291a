"""The sink `hep`: SIP messages and RTCP reports of the selected calls, handed to lippycat-relay, which sends them.

It never waits: what the relay has no room for waits here, up to a limit, and what finds no place is counted. A relay
that is away is connected to again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import socket
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from lippycatd.model import handover
from lippycatd.model.handover import Captured, Kind, Protocol, Wants

if TYPE_CHECKING:
    from lippycatd.config import Config
    from lippycatd.model.records import Record

_FIRST, _LONGEST = 0.5, 30.0  # seconds of the backoff
_TRANSPORTS = {"udp": 17, "tcp": 6, "ws": 6}
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
        self._socket: socket.socket | None = None
        self._welcomed = False
        self._due, self._wait = 0.0, _FIRST
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._offered = self._written = 0
        self._dropped: Counter[str] = Counter()
        self.trouble = "lippycat-relay was not reached yet"

    def write(self, batch: list[Record]) -> list[Record]:
        """Hands over; gives the batch without what nobody else takes."""
        for record in batch:
            found = _captured(record)
            if found is not None:
                self._offer(found)
        self.tend()
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

    def tend(self) -> None:
        """Connects where that is due, and sends what waits."""
        if self._socket is None and time.monotonic() >= self._due:
            self._connect()
        if self._socket is not None:
            self._listen()
        if self._welcomed and self._socket is not None:
            try:
                while self._waiting:
                    self._socket.send(self._waiting[0])
                    self._bytes -= len(self._waiting.popleft())
                    self._written += 1
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._lose(error.strerror or str(error))

    def _connect(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.setblocking(False)  # noqa: FBT003  socket's signature
        try:
            sock.connect(self._target.path)
            sock.send(handover.hello(Wants.HEP, self._target.name))
        except OSError as error:
            sock.close()
            self._lose(error.strerror or str(error))
        else:
            self._socket, self._welcomed = sock, False

    def _listen(self) -> None:
        """Takes what the relay has said, and notices that it has gone."""
        assert self._socket is not None  # noqa: S101  the caller has looked
        try:
            while True:
                message = handover.receive(self._socket)
                if not message:
                    self._lose("it has ended")
                    return
                if not self._hear(*handover.split(message)):
                    return
        except (BlockingIOError, InterruptedError):
            return
        except handover.Malformed as error:
            self._lose(f"it answers something else ({error})")
        except OSError as error:
            self._lose(error.strerror or str(error))

    def _hear(self, kind: Kind, body: bytes) -> bool:
        """Whether the connection goes on."""
        if kind is Kind.WELCOME:
            if Wants.HEP in handover.flags(body)[0]:
                self._welcomed, self._wait, self.trouble = True, _FIRST, ""
            else:
                self._lose("its configuration names no server for HEP (relay.hep_servers)")
        elif kind is Kind.REFUSED:
            self._lose(body.decode("utf-8", "replace"))
        return self._socket is not None

    def _lose(self, why: str) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket, self._welcomed = None, False
        self.trouble = f"lippycat-relay at {self._target.path}: {why}"
        self._due = time.monotonic() + self._wait
        self._wait = min(2 * self._wait, _LONGEST)

    def counters(self) -> dict[str, Any]:
        """`offered = written + queued + Σ dropped{reason}`, in messages."""
        dropped = dict(self._dropped)
        queued = self._offered - self._written - sum(dropped.values())
        return {"offered": self._offered, "written": self._written, "queued": queued, "dropped": dropped}

    def close(self) -> None:
        """Sends what there is room for, and counts the rest."""
        self._due = 0.0
        self.tend()
        if self._waiting:
            self._dropped["relay_away"] += len(self._waiting)
            self._waiting.clear()
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
            self._socket = None


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
