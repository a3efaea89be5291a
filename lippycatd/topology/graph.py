"""The validated plan of one pipeline: what the configuration means, before anything is opened."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

from lippycatd.errors import UsageError
from lippycatd.sinks import call_pcap, hep, pcap, record_files
from lippycatd.sources import af_packet, libpcap

if TYPE_CHECKING:
    from lippycatd.config import Config

FILE_STARTUP_DELAY = 3 * 10**9  # ns: readers need a moment to attach before a file is over

_SOURCES = ("capture.read_file", "capture.default_interface")
_LIVE_ONLY = (
    "capture.default_interface",
    "capture.pods",
    "capture.promiscuous",
    "capture.snaplen",
    "capture.deduplicate",
    "voip.max_workers",
    "voip.tcp_batch_size",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """One pipeline: its sources, what it keeps, and its sinks. Times in nanoseconds."""

    config: Config
    voip: bool
    inputs: tuple[str, ...]
    interfaces: tuple[str, ...]
    records: Literal["packet", "voip"] | None
    prints: bool
    record_file: record_files.Target | None
    matcher: str
    write: pcap.Target | None
    calls: call_pcap.Target | None
    startup_delay: int
    lasting: bool = False  # goes on without its interface, and gets it later
    hep: hep.Target | None = None
    pod_names: str = ""  # for whom lippycat-relay is asked for pods
    appends: bool = False  # keeps what its file of records holds

    @property
    def vif(self) -> bool:
        """Whether a virtual interface is asked for."""
        return self.config.virtual_interface.enabled

    @property
    def only_vif(self) -> bool:
        """Whether the virtual interface is the only output that does something."""
        others = (self.write, self.calls, self.record_file)
        return self.vif and not self.lasting and not self.prints and all(other is None for other in others)


def plan(config: Config, *, voip: bool) -> Plan:
    """Checks that the settings make sense together; UsageError with one line otherwise."""
    _check_source(config)
    _check_relay(config)
    write = pcap.target(config)
    calls = call_pcap.target(config, voip=voip)
    record_file = record_files.target(config)
    _check_records(config, voip=voip)
    _check_snap(config, files=bool(write or calls), voip=voip)
    other = write or calls or record_file or config.virtual_interface.enabled or config.run.quiet
    prints = config.given("output.format") or not other
    records: Literal["packet", "voip"] | None = None
    if prints or record_file:
        records = "voip" if voip else "packet"
    if write and write.standard_output and prints:
        raise UsageError("--write-file - and --format both want standard output; write to a file, or leave one out")
    return Plan(
        config=config,
        voip=voip,
        inputs=config.capture.read_file,
        interfaces=() if config.capture.read_file or config.hep.listen else af_packet.interfaces(config.capture),
        records=records,
        prints=prints,
        record_file=record_file,
        matcher=_matcher(config),
        write=write,
        calls=calls,
        startup_delay=_startup_delay(config),
    )


def _check_source(config: Config) -> None:
    """Files, interfaces or HEP, and what acts on one of them only."""
    if config.hep.listen:
        _check_hep(config)
    if config.capture.read_file:
        for key in _LIVE_ONLY:
            if config.origins[key].kind == "flag":
                raise UsageError(f"{config.origins[key]} does nothing with --read-file: it is for live capture")
        return
    libpcap.check(config.capture)
    vif = config.virtual_interface
    if vif.enabled and not vif.netns and vif.name in af_packet.interfaces(config.capture):
        raise UsageError(f"--interface {vif.name}: is the virtual interface of this run, which is not captured from")
    if config.given("run.loop"):
        raise UsageError("--loop: acts on files that are read with --read-file")
    if vif.enabled and vif.replay_timing:
        raise UsageError(
            "--vif-replay-timing: acts on files that are read with --read-file; a live capture has its own"
        )


def _check_hep(config: Config) -> None:
    """A pipeline that receives HEP has no other source."""
    for key in ("capture.read_file", *_LIVE_ONLY):
        if config.given(key) and (config.origins[key].kind == "flag" or key in _SOURCES):
            where = config.origins["hep.listen"]
            raise UsageError(f"{where}: hep.listen is a source of its own; leave {config.origins[key]} out")


def _check_relay(config: Config) -> None:
    """What only lippycat-relay does, and what cannot be meant together with it."""
    for key, origin in config.origins.items():
        if key.startswith("relay.") and key != "relay.socket" and origin.kind != "default":
            raise UsageError(f"{origin}: {key} is lippycat-relay's; write it into its file (docs/relay.md)")
    if config.hep.send and config.output.pseudonymise:
        raise UsageError(f"{config.origins['hep.send']}: hep.send: the messages hold the names that "
                         "output.pseudonymise hides; leave one of them out")  # fmt: skip


def refuse_sending(config: Config) -> None:
    """A run of the command line hands nothing to the relay."""
    for key in ("hep.send", "output.pod_names"):
        if config.value(key):
            raise UsageError(f"{config.origins[key]}: {key}: acts in lippycatd; remove it")


def _check_records(config: Config, *, voip: bool) -> None:
    """What is told of calls needs calls to be followed."""
    if voip:
        return
    for key in ("output.records", "output.pseudonymise"):
        if config.value(key):
            raise UsageError(f"{config.origins[key]}: acts on the records of calls: use sniff voip")


def _check_snap(config: Config, *, files: bool, voip: bool) -> None:
    """Speech is left out of files only, and only where it is known what is speech."""
    if config.output.rtp_snap is None:
        return
    where = config.origins["output.rtp_snap"]
    if not voip:
        raise UsageError(f"{where}: acts on the media of calls: use sniff voip")
    if not files:
        raise UsageError(f"{where}: acts on files, and none is written: add --write-file or --per-call-pcap")


def _matcher(config: Config) -> str:
    """The core's name for the matcher."""
    if config.voip.gpu_enable:
        return config.voip.gpu_backend
    if config.voip.gpu_backend == "cpu-simd":
        raise UsageError("--gpu-backend cpu-simd needs --gpu-enable")
    return "disabled"


def _startup_delay(config: Config) -> int:
    """How long to wait before the first packet: only where an interface has readers to wait for."""
    section = config.virtual_interface
    if not section.enabled:
        return 0
    if section.startup_delay is None and not config.capture.read_file:
        return 0
    return FILE_STARTUP_DELAY if section.startup_delay is None else section.startup_delay
