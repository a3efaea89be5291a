"""The relay's main loop: it takes what pipelines hand over, and tells systemd how it goes."""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import selectors
import time
from typing import TYPE_CHECKING, Any

from lippycatd.model.handover import Wants
from lippycatd.observe.health import Health
from lippycatd.relay import encode
from lippycatd.relay.hub import Client, Hub
from lippycatd.relay.pods import Watcher

if TYPE_CHECKING:
    import socket

    from lippycatd.config import Config
    from lippycatd.model.handover import Captured
    from lippycatd.observe.notify import Notifier
    from lippycatd.observe.page import Server
    from lippycatd.observe.report import Reports
    from lippycatd.relay.encode import Agent
    from lippycatd.relay.pods import Api
    from lippycatd.relay.sending import Sender
    from lippycatd.topology.signals import Stop

_NAP = 0.5  # seconds
_SECOND = 10**9  # ns


@dataclasses.dataclass(frozen=True, slots=True)
class Parts:
    """What the running relay consists of."""

    config: Config
    reports: Reports
    notifier: Notifier
    stop: Stop
    server: Server
    listener: socket.socket
    wakes: tuple[socket.socket, socket.socket]
    senders: list[Sender]
    agent: Agent
    api: Api | None


class Service:
    """Runs until SIGTERM comes."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self._log = parts, parts.reports.logger
        self._told: queue.SimpleQueue[list[bytes]] = queue.SimpleQueue()
        self._watcher = Watcher(parts.api, self._tell, self._log) if parts.api is not None else None
        greet = self._watcher.snapshot if self._watcher is not None else list
        self._hub = Hub(parts.listener, self._has, self._take, greet, self._log)
        self._starting = True
        self._look = 0

    @property
    def _has(self) -> Wants:
        """What there is to connect for."""
        hep = Wants.HEP if self._parts.senders else Wants(0)
        return hep | (Wants.PODS if self._watcher is not None else Wants(0))

    def _tell(self, messages: list[bytes]) -> None:
        """From the watcher's thread: the loop sends them on."""
        self._told.put(messages)
        with contextlib.suppress(OSError):
            self._parts.wakes[1].send(b"p")

    def _take(self, found: Captured) -> None:
        """Passes on what a pipeline has handed over."""
        packet = encode.packet(found, self._parts.agent)
        for sender in self._parts.senders:
            sender.offer(packet)

    # What the pages show. Called from the server's thread: they only read.

    def stats(self) -> dict[str, Any]:
        """One snapshot."""
        health = self.health()
        return {
            "clients": len(self._hub.clients),
            "received": self._hub.received,
            "refused": dict(self._hub.refused),
            "hep": {str(sender.server): sender.stats() for sender in self._parts.senders},
            "kubernetes": self._watcher.stats() if self._watcher is not None else None,
            "ready": int(health.ready),
            "degraded": int(bool(health.degraded)),
        }

    def health(self) -> Health:
        """How it is now."""
        troubles = tuple(sender.trouble for sender in self._parts.senders if sender.trouble)
        if self._watcher is not None and self._watcher.trouble:
            troubles = (*troubles, self._watcher.trouble)
        return Health(lacks=("starting",) if self._starting else (), degraded=troubles)

    # The loop.

    def run(self) -> int:
        """Until the end; gives the exit status."""
        parts, hub = self._parts, self._hub
        parts.stop.running()
        parts.server.start()
        for sender in parts.senders:
            sender.start()
        if self._watcher is not None:
            self._watcher.start()
        self._starting = False
        parts.notifier.send(READY=1, STATUS=self._line())
        with selectors.DefaultSelector() as waiting:
            waiting.register(parts.wakes[0], selectors.EVENT_READ)
            waiting.register(hub.listener, selectors.EVENT_READ)
            while not parts.stop.wanted:
                self._turn(waiting)
        parts.notifier.send(STOPPING=1, STATUS="ending")
        hub.close()
        if self._watcher is not None:
            self._watcher.stop()
        for sender in parts.senders:
            sender.stop()
        self._log.info("totals", received=hub.received, refused=sum(hub.refused.values()))
        lost = False
        for sender in parts.senders:
            figures = sender.stats()
            lost = lost or bool(figures["dropped"])
            self._log.info("totals", server=str(sender.server), **figures)
        parts.server.stop()
        return int(lost)

    def _turn(self, waiting: selectors.BaseSelector) -> None:
        for key, _ in waiting.select(_NAP):
            if key.fileobj is self._parts.wakes[0]:
                with contextlib.suppress(BlockingIOError):
                    self._parts.wakes[0].recv(64)
                self._pass_on()
            elif isinstance(key.data, Client):
                self._read(waiting, key.data)
            else:
                self._admit(waiting)
        now = time.monotonic_ns()
        if now >= self._look:
            self._look = now + _SECOND
            self._parts.notifier.send(WATCHDOG=1, STATUS=self._line())
            for client in list(self._hub.clients.values()):
                self._hub.flush(client)

    def _pass_on(self) -> None:
        while not self._told.empty():
            self._hub.tell(self._told.get())

    def _admit(self, waiting: selectors.BaseSelector) -> None:
        client = self._hub.accept()
        if client is not None:
            waiting.register(client.sock, selectors.EVENT_READ, client)

    def _read(self, waiting: selectors.BaseSelector, client: Client) -> None:
        sock, fd = client.sock, client.sock.fileno()
        if not self._hub.read(client):
            del sock
            waiting.unregister(fd)

    def _line(self) -> str:
        """One line for systemctl status."""
        health = self.health()
        reasons = "; ".join([*health.lacks, *health.degraded])
        figures = f"{len(self._hub.clients)} pipelines, {self._hub.received} messages"
        return f"{health.word}: {figures}" + (f" ({reasons})" if reasons else "")
