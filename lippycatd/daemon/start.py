"""Starting: everything is opened, loaded and made before the lock; what runs comes after it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
from typing import TYPE_CHECKING

from lippycatd import sandbox
from lippycatd.daemon import listen, settings
from lippycatd.daemon.control import Desk
from lippycatd.daemon.pipeline import Pipeline
from lippycatd.daemon.reload import Reloader
from lippycatd.daemon.service import ASKED, Service
from lippycatd.errors import ConfigError
from lippycatd.observe import access, audit, metrics, page, program
from lippycatd.observe.notify import Notifier
from lippycatd.observe.report import Reports
from lippycatd.sinks import pseudonyms
from lippycatd.sources import bpf, hep
from lippycatd.topology import build, preload
from lippycatd.topology.keepers import Keepers
from lippycatd.topology.signals import Stop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lippycatd.config import Pipelines
    from lippycatd.sandbox.identity import Identity
    from lippycatd.topology.graph import Plan

_UMASK = 0o027  # files made after the lock are 0640
# What libpcap looks names up in when a filter is compiled at a reload (nsswitch.conf(5), hosts(5), services(5)).
_NAMES = (
    "hosts",
    "services",
    "protocols",
    "networks",
    "ethers",
    "nsswitch.conf",
    "host.conf",
    "resolv.conf",
    "gai.conf",
)


@dataclasses.dataclass(slots=True)
class Parts:
    """What the running daemon consists of."""

    wanted: settings.Wanted
    version: str
    reports: Reports
    notifier: Notifier
    stop: Stop
    server: page.Server
    desk: Desk
    wakes: socket.socket
    keepers: Keepers
    pipelines: dict[str, Pipeline]
    reloader: Reloader


@dataclasses.dataclass(slots=True)
class _Opened:
    """What is open before the lock."""

    found: Pipelines
    plans: dict[str, Plan]
    opened: dict[str, build.Opened]
    audit_fd: int | None
    told: page.Told
    server: page.Server
    desk: Desk
    notes: list[str]
    wakes: tuple[socket.socket, socket.socket]


def run(wanted: settings.Wanted) -> int:
    """The daemon from its configuration to its exit status. Raises a LippycatError for what prevents the start."""
    notifier, version = Notifier(), metrics.program_version()
    started_by = audit.Who("start", os.getuid(), os.getpid())
    runs_as = settings.who(wanted)
    found = settings.load(wanted, runs_as)
    common = found.common
    hide = pseudonyms.load(common.output.pseudonym_key, runs_as).apply if common.logging.pseudonymise else None
    reports = Reports(common.logging, hide=hide)
    os.umask(_UMASK)
    with Stop() as stop, contextlib.ExitStack() as cleanup:
        made = _open(found, runs_as)
        for opened in made.opened.values():
            cleanup.callback(build.close, opened)
        signal.pthread_sigmask(signal.SIG_BLOCK, ASKED)
        _rehearse(made.plans)
        _confine(made, wanted, runs_as, reports)
        cleanup.pop_all()
        return _confined(made, wanted, runs_as, _Around(notifier, reports, stop, version, started_by))


@dataclasses.dataclass(frozen=True, slots=True)
class _Around:
    notifier: Notifier
    reports: Reports
    stop: Stop
    version: str
    started_by: audit.Who


def _open(found: Pipelines, runs_as: Identity) -> _Opened:
    """Inputs, filters, interfaces, outputs, listeners, in this order."""
    plans = settings.plans(found)
    sockets = program.inherited({listen.CONTROL}, {program.METRICS, hep.NAME})
    passed = sockets.get(hep.NAME, [])
    opened = {name: build.open_all(plan, runs_as, passed) for name, plan in plans.items()}
    hep.check_all_used(passed, [plan.config for plan in plans.values()])
    common = found.common
    file = common.logging.audit_file
    audit_fd = audit.open_file(file, runs_as.uid, runs_as.gid) if file else None
    ends, wakes = socket.socketpair()
    ends.setblocking(False)  # noqa: FBT003  socket's signature
    wakes.setblocking(False)  # noqa: FBT003
    signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
    desk = Desk(lambda: _wake(wakes))
    told = page.Told()
    notes: list[str] = []
    doors = list(_doors(found, sockets, told, desk, notes))
    return _Opened(found, plans, opened, audit_fd, told, page.Server(doors), desk, notes, (ends, wakes))


def _wake(wakes: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        wakes.send(b"w")


def _doors(
    found: Pipelines, sockets: dict[str, list[socket.socket]], told: page.Told, desk: Desk, notes: list[str]
) -> Iterator[page.Door]:
    """The public listener and the control socket, systemd's where it passes them."""
    section = found.common.metrics
    listener = program.one_stream(sockets, program.METRICS)
    address = section.listen if found.common.given("metrics.listen") else settings.METRICS_LISTEN
    if listener is None and address:
        listener = page.bind(address)
    if listener is not None:
        yield page.Door(listener, access.guarded(page.application(told), section), access.tls(section))
    control, path = program.one_stream(sockets, listen.CONTROL), found.common.daemon.control_socket
    if control is None and path:
        control = listen.control(path, notes.append)
    if control is not None:
        yield page.Door(control, page.application(told, desk.routes()))


def _rehearse(plans: dict[str, Plan]) -> None:
    """Uses once what the run, and a reload, will use."""
    for plan in plans.values():
        preload.everything(plan)
    preload.metrics()
    preload.reload()
    from lippycatd import privileged  # noqa: F401, PLC0415  an interface may be asked for at a reload

    with contextlib.suppress(ConfigError):  # a machine without /etc/services knows no names
        bpf.compile_filter("port sip and host localhost and ip proto \\tcp")


def _confine(made: _Opened, wanted: settings.Wanted, runs_as: Identity, reports: Reports) -> None:
    """The lock."""
    names = [f"/etc/{name}" for name in _NAMES]
    read = [os.path.dirname(wanted.path), *names, "/run/netns"]  # noqa: PTH120
    write = [path for opened in made.opened.values() for path in build.writable(opened)]
    manage = [path for opened in made.opened.values() for path in build.managed(opened)]
    files = [plan.write.name for plan in made.plans.values() if plan.write is not None]
    write += [os.path.dirname(os.path.abspath(name)) for name in files]  # noqa: PTH100, PTH120
    report = sandbox.enter("daemon", runs_as, read=read, write=write, manage=manage)
    reports.logger.debug("confined", sandbox=str(report))
    if report.missing:
        reports.logger.warning(report.missing)
    for opened in made.opened.values():
        opened.report = report
        build.settle(opened, runs_as)


def _confined(made: _Opened, wanted: settings.Wanted, runs_as: Identity, around: _Around) -> int:
    """What happens behind the lock."""
    log = around.reports.logger
    for note in made.notes:
        log.warning(note)
    for opened in made.opened.values():
        if opened.vif_refused:
            log.warning(opened.vif_refused)
        for note in opened.notes:
            log.info(note)
    after = dataclasses.replace(runs_as, drop=False)
    pipelines = {name: Pipeline(name, opened, after, log) for name, opened in made.opened.items()}
    reloader = Reloader(wanted, after, made.found, pipelines, audit.Audit(made.audit_fd, log, wanted.path))
    parts = Parts(
        wanted, around.version, around.reports, around.notifier, around.stop,
        made.server, made.desk, made.wakes[0], Keepers(log), pipelines, reloader,
    )  # fmt: skip
    service = Service(parts)
    made.told.registry = metrics.registry(service.stats, parts.version)
    made.told.health, made.told.status = service.health, service.status
    reloader.tell_all(around.started_by)
    return service.run()
