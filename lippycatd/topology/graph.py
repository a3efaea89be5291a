"""The validated plan of one pipeline: what the configuration means, before anything is opened."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

from lippycatd.config import later
from lippycatd.errors import NotInThisVersion, UsageError
from lippycatd.sinks import pcap

if TYPE_CHECKING:
    from lippycatd.config import Config

FILE_STARTUP_DELAY = 3 * 10**9  # ns: readers need a moment to attach before a file is over


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """One pipeline: its sources, what it keeps, and its sinks. Times in nanoseconds."""

    config: Config
    voip: bool
    inputs: tuple[str, ...]
    records: Literal["packet", "voip"] | None
    matcher: str
    write: pcap.Target | None
    startup_delay: int

    @property
    def vif(self) -> bool:
        """Whether a virtual interface is asked for."""
        return self.config.virtual_interface.enabled

    @property
    def only_vif(self) -> bool:
        """Whether the virtual interface is the only output that does something."""
        return self.vif and self.write is None and self.records is None


def plan(config: Config, *, voip: bool) -> Plan:
    """Checks that the settings make sense together; UsageError or NotInThisVersion with one line otherwise."""
    if not config.capture.read_file:
        what = "live capture"
        raise NotInThisVersion(later.refusal("nothing to read: name a capture file with --read-file", what))
    write = pcap.target(config)
    records: Literal["packet", "voip"] | None = None
    if config.given("output.format") or not (write or config.virtual_interface.enabled or config.run.quiet):
        records = "voip" if voip else "packet"
    if write and write.standard_output and records:
        raise UsageError("--write-file - and --format both want standard output; write to a file, or leave one out")
    return Plan(
        config=config,
        voip=voip,
        inputs=config.capture.read_file,
        records=records,
        matcher=_matcher(config),
        write=write,
        startup_delay=_startup_delay(config),
    )


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
    return FILE_STARTUP_DELAY if section.startup_delay is None else section.startup_delay
