"""Starting: everything is opened and loaded before the lock; the network is used after it."""

from __future__ import annotations

import contextlib
import gc
import signal
import socket
from typing import TYPE_CHECKING

from lippycatd import sandbox
from lippycatd.observe import access, metrics, page, program
from lippycatd.observe.notify import Notifier
from lippycatd.observe.report import Reports
from lippycatd.relay import hub, settings, shown
from lippycatd.relay.encode import Agent
from lippycatd.relay.sending import Sender
from lippycatd.relay.server import context, servers
from lippycatd.relay.service import Parts, Service
from lippycatd.topology import preload
from lippycatd.topology.signals import Stop

if TYPE_CHECKING:
    from lippycatd.config import Config
    from lippycatd.relay.pods import Api

RELAY = "relay"
# What the C library reads to find the address of a name (nsswitch.conf(5), hosts(5), resolv.conf(5), gai.conf(5)).
_NAMES = [f"/etc/{name}" for name in ("hosts", "nsswitch.conf", "host.conf", "resolv.conf", "gai.conf", "services")]
_NAME_SERVER = 53


def run(path: str) -> int:
    """The relay from its configuration to its exit status. Raises a LippycatError for what prevents the start."""
    notifier, version = Notifier(), metrics.program_version()
    config, runs_as = settings.who(path)
    reports = Reports(config.logging)
    with Stop() as stop:
        sockets = program.inherited({RELAY}, {program.METRICS})
        listener = program.one_stream(sockets, RELAY, socket.SOCK_SEQPACKET) or hub.bind(config.relay.socket, runs_as)
        told = page.Told()
        server = page.Server(_doors(config, program.one_stream(sockets, program.METRICS), told))
        wakes = _wakes()
        senders = _senders(config, reports)
        api = settings.api(config)
        agent = Agent(config.relay.hep_capture_id, settings.key(config), config.relay.hep_node.encode())
        _rehearse()
        report = sandbox.enter(
            "relay", runs_as, read=[*_NAMES, *(api.files if api else ())], connect=_ports(senders, api)
        )
        log = reports.logger
        if report.missing:
            log.warning(report.missing)
        service = Service(Parts(config, reports, notifier, stop, server, listener, wakes, senders, agent, api))
        told.registry = shown.registry(service.stats, version)
        told.health = service.health
        told.status = lambda: {"version": version, "health": service.health().told(), **service.stats()}
        return service.run()


def _senders(config: Config, reports: Reports) -> list[Sender]:
    """One for each server; the names are asked for once, so that all that needs is loaded."""
    tls, limit = context(config), config.relay.hep_buffer
    found = [Sender(server, limit, tls, reports.logger) for server in servers(config)]
    for sender in found:
        with contextlib.suppress(OSError):
            socket.getaddrinfo(sender.server.host, sender.server.port)
    return found


def _ports(senders: list[Sender], api: Api | None) -> set[int]:
    """The TCP ports that will be connected to."""
    ports = {each.server.port for each in senders if each.server.kind != "udp"}
    ports |= {api.port} if api is not None else set()
    names = api is not None or any(each.server.is_name for each in senders)
    return ports | ({_NAME_SERVER} if names else set())


def _doors(config: Config, inherited: socket.socket | None, told: page.Told) -> list[page.Door]:
    """The listener of the pages, systemd's where it passes one."""
    section = config.metrics
    address = section.listen if config.given("metrics.listen") else settings.METRICS_LISTEN
    listener = inherited if inherited is not None or not address else page.bind(address)
    if listener is None:
        return []
    return [page.Door(listener, access.guarded(page.application(told), section), access.tls(section))]


def _wakes() -> tuple[socket.socket, socket.socket]:
    """The first becomes readable when a signal has come, or something was sent to the second."""
    ends, wakes = socket.socketpair()
    ends.setblocking(False)  # noqa: FBT003  socket's signature
    wakes.setblocking(False)  # noqa: FBT003
    signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
    return ends, wakes


def _rehearse() -> None:
    """Uses once what the run will use, so that nothing is imported after the lock."""
    gc.enable()
    gc.freeze()
    preload.metrics()
    from prometheus_client import generate_latest  # noqa: PLC0415  loaded before the lock, not at import

    generate_latest(shown.registry(lambda: shown.NOTHING, ""))
