"""One pipeline of the daemon: its line, its interface, and the changes it takes while it runs."""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import TYPE_CHECKING, Any

from lippycatd.daemon import settings
from lippycatd.daemon.keeper import Keeper
from lippycatd.errors import ConfigError, NotPossible
from lippycatd.observe.progress import Bars
from lippycatd.sinks import pcap, vif
from lippycatd.topology import build
from lippycatd.topology.keepers import WireKeeper
from lippycatd.topology.outlet import Outlet
from lippycatd.topology.run import Runner
from lippycatd.topology.signals import Stop

if TYPE_CHECKING:
    from collections.abc import Mapping

    from structlog.typing import FilteringBoundLogger

    from lippycatd import _dataplane
    from lippycatd.config import Change, Config
    from lippycatd.sandbox.identity import Identity
    from lippycatd.topology.graph import Plan

_SELECTORS = ("voip.sip_users", "voip.call_ids", "capture.protocols")
_RATE = ("virtual_interface.rate_limit", "virtual_interface.rate_burst")
_ENDS = ("no_space", "error")  # after these a file takes no more
_NOT_OF_THE_LINE = ("logging.level", "logging.stats_interval")


@dataclasses.dataclass(slots=True)
class Prepared:
    """A change that can no longer fail: everything is compiled and open."""

    plan: Plan
    line: dict[str, Any]
    rate: tuple[int, int] | None = None
    file: pcap.Opened | None = None
    interface: bool | None = None

    def give_up(self) -> None:
        """It is not taken up: what was opened for it is closed."""
        _close(self.file)


class Pipeline:
    """A running pipeline."""

    def __init__(self, name: str, opened: build.Opened, runs_as: Identity, log: FilteringBoundLogger) -> None:
        self.name = name
        self._opened, self._runs_as, self._log = opened, runs_as, log
        self._line: _dataplane.Line = build.line(opened, metrics=True)
        self.stats = build.stats(opened, self._line)
        outlet = Outlet(None, opened.records, opened.pseudonyms, opened.hep, opened.pods)
        self._runner = Runner(self._line, Stop(), log, Bars(sys.stderr, wanted=False), outlet, self.stats)
        self.wire = WireKeeper(opened.wire, self._line, log) if opened.wire is not None else None
        self.keeper: Keeper | None = None
        if opened.plan.vif:
            self._keep(opened.device)
        self.over = False

    def _keep(self, device: vif.Device | None) -> None:
        self.keeper = Keeper(self._opened.plan.config.virtual_interface, device, self._opened.vif_refused, self._log)
        self.keeper.onto(self._line.replace_vif)

    def start(self) -> None:
        """Starts the line."""
        self._runner.start()

    def step(self) -> int:
        """Takes what the line has for us: how many records. `over` says when it has ended."""
        if self.over:
            return 0
        count = self._runner.step(0)
        if count is None:
            self.over = True
            self._runner.end()
        return count or 0

    @property
    def troubled(self) -> bool:
        """Whether something was damaged, lost or left out."""
        return self._runner.troubled or (self.wire is not None and self.wire.ended)

    @property
    def linger(self) -> float:
        """Seconds that its interface should outlive its last packet; 0 where a service keeps it, or it is empty."""
        if self.keeper is None or not self.keeper.passing:
            return 0.0
        shown = any(figures["injected_packets"] for figures in self.stats()["vif"].values())
        return self._opened.plan.config.virtual_interface.linger / 1e9 if shown else 0.0

    def beats(self) -> int:
        """The heartbeat of the line."""
        return self._line.iterations()

    def degraded(self) -> list[str]:
        """What it goes on without."""
        parts = (self.keeper, self.wire, self._opened.hep, self._opened.pods)
        troubles = [each.trouble for each in parts if each is not None and each.trouble]
        return [*troubles, *(self.wire.deaf() if self.wire is not None else ()), *stopped(self.stats())]

    def drain(self) -> None:
        """Reads nothing more, and writes what was taken."""
        self._line.drain()

    def stop(self) -> None:
        """Ends at once: what waits is counted."""
        self._line.stop()

    def close(self) -> None:
        """Gives the interface and the captures back."""
        if self.keeper is not None:
            self.keeper.close()
        if self._opened.wire is not None:
            self._opened.wire.close()
        for capture in self._opened.captures:
            capture.close()
        if self._opened.collector is not None:
            self._opened.collector.stop()

    def prepare(self, config: Config, changes: Mapping[str, Change]) -> Prepared:
        """What the changes mean, ready to be taken up. Raises a LippycatError, and nothing has changed."""
        plan = settings.plan(config, self.name)
        build.check_users(plan)
        prepared = Prepared(plan, {})
        if not changes.keys() - set(_NOT_OF_THE_LINE):
            return prepared
        if all(item.regular for item in self._opened.inputs) and self._opened.inputs:
            where = next(iter(changes.values())).where
            raise ConfigError(f"{where}: pipeline {self.name} reads files, which it does twice: this needs a restart")
        if changes.keys() & set(_SELECTORS):
            voip, protocols = config.voip, config.capture.protocols
            prepared.line["selection"] = (list(voip.sip_users), list(voip.call_ids), list(protocols))
        if "capture.filter" in changes:
            prepared.line["filters"] = build.compile_filter(config, self._opened.pod_filter) or {}
        if changes.keys() & set(_RATE):
            prepared.rate = (config.virtual_interface.rate_limit, config.virtual_interface.rate_burst)
        if "virtual_interface.enabled" in changes:
            prepared.interface = config.virtual_interface.enabled
        if "output.write_file" in changes:
            self._prepare_file(prepared, changes["output.write_file"])
        return prepared

    def _prepare_file(self, prepared: Prepared, change: Change) -> None:
        """Opens the new file; the old one ends with the change."""
        if prepared.plan.write is not None:
            try:
                inputs = [item.fd for item in self._opened.inputs]
                prepared.file = pcap.open_target(prepared.plan.write, self._runs_as, inputs)
                pcap.check_directory(prepared.file, self._runs_as)
            except NotPossible as error:
                prepared.give_up()
                reason = str(error).removeprefix("--write-file: ")
                raise ConfigError(
                    f"{change.where}: output.write_file: {reason} (a running daemon writes to the directories of the "
                    "files it was started with)"
                ) from None

    def commit(self, prepared: Prepared) -> int:
        """Takes the change up at one batch boundary; gives its number, which `changed` reaches."""
        opened, line, remove = self._opened, dict(prepared.line), []
        before, opened.plan = opened.plan, prepared.plan
        done: pcap.Opened | None = None
        if prepared.file is not None or (before.write is not None and prepared.plan.write is None):
            remove += [f"file:{before.write.name}"] if before.write is not None else []
            line["files"] = [prepared.file.sink()] if prepared.file is not None else []
            done, opened.file = opened.file, prepared.file
        section = prepared.plan.config.virtual_interface
        if prepared.interface is True:
            line["vif"] = vif.sink(section, None, blocking=opened.wire is None)
            opened.vif_refused = ""
            self._keep(None)
        elif prepared.interface is False:
            remove.append(f"vif:{section.name}")
            if self.keeper is not None:
                self.keeper.close()
            self.keeper = None
        number = self._line.change(**line, remove=remove) if line or remove else 0
        _close(done)  # the line writes on through a descriptor of its own
        if prepared.rate is not None and prepared.interface is None and prepared.plan.vif:
            self._line.set_rate(*prepared.rate)
        return number

    def changed(self) -> int:
        """The number of the last change in force."""
        return self._line.changed()


def _close(file: pcap.Opened | None) -> None:
    if file is not None and file.fd is not None:
        os.close(file.fd)


def stopped(stats: Mapping[str, Any]) -> list[str]:
    """The files that take no more, each as one line (pure)."""
    return [
        f"{name} has stopped: {reason}"
        for name, sink in stats["sinks"].items()
        for reason in _ENDS
        if sink["dropped"].get(reason) and not name.startswith("vif:")
    ]
