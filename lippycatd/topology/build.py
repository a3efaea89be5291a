"""Opening what a plan needs, in the order that DESIGN.md gives, and confining the process before the first byte.

Inputs and the filter come first, because a wrong name should change nothing; then the helper makes the interface, the
outputs and the metrics listener are opened, privileges are dropped and the sandbox is locked. Only then do threads
start and bytes of the inputs get parsed.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Any

from lippycatd import _dataplane, sandbox
from lippycatd.config import checks
from lippycatd.errors import ConfigError, Damaged, NotPossible, PrivilegeError
from lippycatd.sinks import call_pcap, hep, pcap, pods, pseudonyms, record_files, vif
from lippycatd.sources import af_packet, bpf, keylog, libpcap, pcap_file, pod_routes
from lippycatd.sources import hep as hep_source

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from lippycatd.config import Config
    from lippycatd.observe.page import Server, Told
    from lippycatd.sandbox.identity import Identity
    from lippycatd.sinks.record_files.base import RecordFile
    from lippycatd.topology.graph import Plan


@dataclasses.dataclass(slots=True)
class Opened:
    """Everything a line needs, open and confined."""

    plan: Plan
    inputs: list[pcap_file.Input]
    filters: dict[int, bpf.Program] | None
    pod_filter: str = ""  # what --pod adds to every filter
    wire: af_packet.Wire | None = None
    captures: list[libpcap.Capture] = dataclasses.field(default_factory=list)
    collector: hep_source.Collector | None = None
    notes: list[str] = dataclasses.field(default_factory=list)
    device: vif.Device | None = None
    vif_refused: str = ""
    file: pcap.Opened | None = None
    calls: call_pcap.Opened | None = None
    records: RecordFile | None = None
    hep: hep.Handover | None = None
    pods: pods.Pods | None = None
    pseudonyms: pseudonyms.Pseudonyms | None = None
    pages: Pages | None = None
    keylog: bytes = b""
    report: sandbox.Report | None = None


def open_all(plan: Plan, runs_as: Identity, sockets: Sequence[socket.socket] = ()) -> Opened:
    """Opens and confines. `sockets` for HEP may be there already. Raises a LippycatError with one line."""
    config = plan.config
    check_users(plan)
    inputs = pcap_file.open_inputs(plan.inputs, runs_as)
    pcap_file.check_loops(inputs, config.run.loop)
    capture, pod_filter = config.capture, ""
    if config.capture.pods and plan.interfaces:
        addresses = pods.look_up(config.relay.socket, config.capture.pods)
        capture, pod_filter = pod_routes.narrowed(config.capture, addresses)
    opened = Opened(plan, inputs, compile_filter(config, pod_filter), pod_filter)
    if config.voip.keylog:
        opened.keylog = keylog.read(config.voip.keylog, runs_as)
    if config.hep.listen:
        opened.collector = hep_source.open_collector(config, runs_as, sockets)
        opened.inputs.append(opened.collector.input)
    if plan.interfaces and sys.platform != "linux":
        opened.captures = libpcap.open_captures(capture, plan.interfaces)
        opened.inputs += [capture.input for capture in opened.captures]
    elif plan.interfaces:
        workers, note = af_packet.workers(config.voip)
        opened.notes += [note] if note else []
        opened.wire = af_packet.open_wire(capture, workers, opened.notes.append)
    try:
        _open_outputs(opened, runs_as)
    except BaseException:
        close(opened)
        raise
    return opened


def close(opened: Opened) -> None:
    """Gives up what outlives the line: the interface, and the captures."""
    if opened.collector is not None:
        opened.collector.stop()
    if opened.device is not None:
        opened.device.close()
    if opened.wire is not None:
        opened.wire.close()
    for capture in opened.captures:
        capture.close()


def _open_interface(opened: Opened) -> None:
    plan, config = opened.plan, opened.plan.config
    try:
        opened.device = vif.create(config.virtual_interface)
    except PrivilegeError as error:
        if config.virtual_interface.required or plan.only_vif:
            raise
        opened.vif_refused = str(error)
    if opened.wire is not None and opened.device is not None:
        made = opened.device.vif
        opened.wire.never(made.ifindex, (made.netns_dev, made.netns_inode))


def _open_outputs(opened: Opened, runs_as: Identity) -> None:
    plan, config = opened.plan, opened.plan.config
    fds = [item.fd for item in opened.inputs]
    if plan.vif:
        _open_interface(opened)
    if plan.write is not None:
        opened.file = pcap.open_target(plan.write, runs_as, fds)
    if plan.calls is not None:
        opened.calls = call_pcap.open_target(plan.calls, runs_as)
    if config.output.pseudonymise:
        opened.pseudonyms = pseudonyms.load(config.output.pseudonym_key, runs_as)
    if plan.record_file is not None:
        opened.records = record_files.open_target(plan.record_file, runs_as, fds, append=plan.appends)
    if plan.hep is not None:
        opened.hep = hep.Handover(plan.hep)
    if plan.pod_names:
        opened.pods = pods.Pods(config.relay.socket, plan.pod_names)


def confine(opened: Opened, runs_as: Identity) -> None:
    """Drops privileges and locks the sandbox; after this nothing is imported and nothing new is opened."""
    # A helper's service may restart, and is reached anew: that takes what the daemon's role may do.
    served = opened.wire is not None and not opened.wire.executed
    role: sandbox.Role = "daemon" if served else "capture"
    opened.report = sandbox.enter(role, runs_as, write=writable(opened), manage=managed(opened))
    settle(opened, runs_as)


def writable(opened: Opened) -> list[str]:
    """Directories and files that are written by name after the lock."""
    rotates = opened.file is not None and opened.file.target.rotates
    directories = [opened.file.directory] if opened.file is not None and rotates else []
    return [*directories, *(opened.records.paths if opened.records is not None else ())]


def managed(opened: Opened) -> list[str]:
    """Directories in which files come, go and change their names after the lock."""
    return [opened.calls.directory] if opened.calls is not None else []


def settle(opened: Opened, runs_as: Identity) -> None:
    """After the drop: what is written by name can be written. Raises NotPossible."""
    if opened.records is not None:
        opened.records.settle()
    if opened.file is not None:
        pcap.check_directory(opened.file, runs_as)
    if opened.calls is not None:
        call_pcap.check(opened.calls, runs_as)


def line(opened: Opened, *, sip_bytes: bool = False, metrics: bool = False) -> _dataplane.Line:
    """The core's line for what was opened; its threads start with `start`. Raises Damaged or NotPossible."""
    plan, config = opened.plan, opened.plan.config
    live = opened.wire.inputs() if opened.wire else []
    for capture in opened.captures:
        capture.start()
    sink = opened.device.sink(config.virtual_interface, blocking=not live) if opened.device else None
    if sink is None and plan.vif and plan.lasting:
        sink = vif.sink(config.virtual_interface, None, blocking=not live)
    try:
        made = _dataplane.Line(
            inputs=[(item.name, item.fd) for item in opened.inputs],
            live=live,
            deduplicate=config.capture.deduplicate,
            spin_ns=config.capture.busy_poll,
            batch=config.voip.tcp_batch_size,
            backpressure=config.voip.enable_backpressure,
            tcp=config.voip.tcp_limits,
            tcp_buffers=config.voip.tcp_buffers,
            users=list(config.voip.sip_users),
            call_ids=list(config.voip.call_ids),
            protocols=list(config.capture.protocols),
            voip=plan.voip,
            filters=opened.filters,
            matcher=plan.matcher,
            hold_time_ns=config.capture.hold_time,
            hold_bytes=config.capture.hold_bytes,
            loops=config.run.loop,
            count=config.run.count,
            startup_delay_ns=plan.startup_delay if sink is not None else 0,
            files=[opened.file.sink()] if opened.file else [],
            call_files=opened.calls.sink() if opened.calls else None,
            rtp_snap=config.output.rtp_snap,
            vif=sink,
            records=plan.records,
            show_dtmf=config.voip.show_dtmf,
            jitter_buffer_ns=config.voip.jitter_buffer,
            g711_plc=config.voip.g711_plc,
            rtp_heuristic=config.voip.rtp_heuristic,
            metrics=metrics or bool(config.metrics.listen),
            trunks=[checks.split_trunk(trunk) for trunk in config.voip.trunks],
            sip_bytes=sip_bytes or plan.hep is not None,
            rtcp=plan.hep is not None,
            keylog=opened.keylog,
        )
        if opened.collector is not None:
            opened.collector.start()
    except ValueError as error:
        raise Damaged(str(error)) from None
    except OSError as error:
        raise NotPossible(str(error)) from None
    return made


def stats(opened: Opened, line: _dataplane.Line) -> Callable[[], dict[str, Any]]:
    """One snapshot of all counters: the core's, and those of the sinks of records."""
    records, sender, collector = opened.records, opened.hep, opened.collector
    if records is None and sender is None and collector is None and not opened.captures:
        return line.stats

    def snapshot() -> dict[str, Any]:
        over = line.finished()
        found = line.stats()
        libpcap.account(opened.captures, found, over=over)
        if records is not None:
            found["sinks"][records.name] = records.counters()
        if sender is not None:
            found["sinks"][sender.name] = sender.counters()
        if collector is not None:
            found["hep"] = {collector.input.name: collector.stats()}
        return found

    return snapshot


def check_users(plan: Plan) -> None:
    """Refuses a pattern that the matcher cannot take."""
    try:
        _dataplane.check_patterns(list(plan.config.voip.sip_users))
    except ValueError as error:
        origin = plan.config.origins["voip.sip_users"]
        where = f"{origin}: voip.sip_users" if origin.kind == "file" else origin
        raise ConfigError(f"{where}: {error}") from None


def compile_filter(config: Config, more: str = "") -> dict[int, bpf.Program] | None:
    """The programs of the filter, and of what else must hold; ConfigError says where it stands."""
    try:
        found = bpf.compile_filter(config.capture.filter)
        both = f"({config.capture.filter}) and ({more})" if config.capture.filter else more
        return bpf.compile_filter(both) if more else found
    except ConfigError as error:
        origin = config.origins["capture.filter"]
        if origin.kind != "file":
            raise
        raise ConfigError(f"{origin}: capture.filter: {error}") from None


@dataclasses.dataclass(slots=True)
class Pages:
    """The pages of a process, loaded and bound, and what they will show."""

    told: Told
    server: Server
    version: str
    over: bool = False


def prepare_pages(config: Config) -> Pages:
    """Binds the listener and loads the server, before the lock. Raises NotPossible or ConfigError."""
    from lippycatd.observe import access, metrics, page  # noqa: PLC0415  the server is only needed for it

    told, version = page.Told(), metrics.program_version()
    tls = access.tls(config.metrics)
    app = access.guarded(page.application(told), config.metrics)
    return Pages(told, page.Server([page.Door(page.bind(config.metrics.listen), app, tls)]), version)


def serve(opened: Opened, line: _dataplane.Line) -> Pages | None:
    """Starts to serve the metrics and the health of the line, where that is asked for."""
    pages = opened.pages
    if pages is None:
        return None
    from lippycatd.observe import health, metrics  # noqa: PLC0415  loaded with the server

    heart, snapshot = health.Heart(), stats(opened, line)

    def looked() -> health.Health:
        stuck = () if pages.over else heart.look({"line": line.iterations()})
        return health.Health(alive=not stuck, degraded=tuple(filter(None, (opened.vif_refused,))))

    pages.told.registry = metrics.registry(snapshot, pages.version)
    pages.told.health = looked
    pages.told.status = lambda: {"version": pages.version, "health": looked().told(), "accounting": snapshot()}
    pages.server.start()
    return pages
