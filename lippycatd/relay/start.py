"""Starting: everything is opened and loaded before the lock; the network is used after it."""

from __future__ import annotations

import gc
import signal
import socket
from typing import TYPE_CHECKING

from lippycatd import sandbox
from lippycatd.observe import access, metrics, page, program
from lippycatd.observe.notify import Notifier
from lippycatd.observe.report import Reports
from lippycatd.relay import hub, settings, shown
from lippycatd.relay.service import Parts, Service
from lippycatd.topology import preload
from lippycatd.topology.signals import Stop

if TYPE_CHECKING:
    from lippycatd.config import Config

RELAY = "relay"
_NOTHING_SENT: list[int] = []


def run(path: str) -> int:
    """The relay from its configuration to its exit status. Raises a LippycatError for what prevents the start."""
    notifier, version = Notifier(), metrics.program_version()
    config, runs_as = settings.who(path)
    reports = Reports(config.logging)
    with Stop() as stop:
        sockets = program.inherited({RELAY}, {program.METRICS})
        listener = program.one_stream(sockets, RELAY, socket.SOCK_SEQPACKET) or hub.bind(config.relay.socket)
        told = page.Told()
        server = page.Server(_doors(config, program.one_stream(sockets, program.METRICS), told))
        wakes = _wakes()
        _rehearse()
        report = sandbox.enter("relay", runs_as)
        log = reports.logger
        if report.missing:
            log.warning(report.missing)
        service = Service(Parts(config, reports, notifier, stop, server, listener, wakes))
        told.registry = shown.registry(service.stats, version)
        told.health = service.health
        told.status = lambda: {"version": version, "health": service.health().told(), **service.stats()}
        return service.run()


def _doors(config: Config, inherited: socket.socket | None, told: page.Told) -> list[page.Door]:
    """The listener of the pages, systemd's where it passes one."""
    section = config.metrics
    address = section.listen if config.given("metrics.listen") else settings.METRICS_LISTEN
    listener = inherited if inherited is not None or not address else page.bind(address)
    if listener is None:
        return []
    return [page.Door(listener, access.guarded(page.application(told), section), access.tls(section))]


def _wakes() -> socket.socket:
    """What becomes readable when a signal has come."""
    ends, wakes = socket.socketpair()
    ends.setblocking(False)  # noqa: FBT003  socket's signature
    wakes.setblocking(False)  # noqa: FBT003
    signal.set_wakeup_fd(wakes.detach(), warn_on_full_buffer=False)
    return ends


def _rehearse() -> None:
    """Uses once what the run will use, so that nothing is imported after the lock."""
    gc.enable()
    gc.freeze()
    preload.metrics()
    from prometheus_client import generate_latest  # noqa: PLC0415  loaded before the lock, not at import

    generate_latest(shown.registry(lambda: shown.NOTHING, ""))
