"""The daemon's main loop: it keeps the pipelines going, answers what is asked, and tells systemd how it goes."""

from __future__ import annotations

import selectors
import signal
import time
from typing import TYPE_CHECKING, Any

from lippycatd.daemon.reload import Outcome, Watch
from lippycatd.observe import accounting
from lippycatd.observe.audit import Who
from lippycatd.observe.health import PATIENCE, Health, Heart
from lippycatd.observe.merge import merged

if TYPE_CHECKING:
    from lippycatd.daemon.start import Parts

_NAP = 0.05  # seconds: how long records, a signal or an end may go unnoticed
_SECOND = 10**9  # ns
_DRAIN = 3.0  # seconds from the signal until what is not written is counted instead
_END = 4.5  # seconds until it ends whatever happens
ASKED = frozenset({signal.SIGHUP, signal.SIGUSR1})  # taken by this loop, blocked everywhere


class Service:
    """Runs until the inputs end or SIGTERM comes."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self._log = parts, parts.reports.logger
        patience = min(PATIENCE, parts.notifier.watchdog / 2) if parts.notifier.watchdog else PATIENCE
        self._heart = Heart(patience)
        self._watch = Watch(parts.wanted.path) if parts.wanted.watch else None
        self._phase = "starting"
        self._health = Health(lacks=("starting",))
        self._since = time.time()
        self._look = 0
        self._totals_due = time.monotonic_ns() + self._stats_interval

    @property
    def _stats_interval(self) -> int:
        return self._parts.reloader.current.common.logging.stats_interval

    # What the pages show. Called from the server's thread: they only read.

    def stats(self) -> dict[str, Any]:
        """One snapshot of all pipelines, with what the daemon itself counts."""
        parts = self._parts
        found = merged({one.name: one.stats() for one in parts.pipelines.values()}, named=parts.reloader.current.named)
        found["config_reloads"] = dict(parts.reloader.counts)
        found["config_loaded"] = parts.reloader.loaded
        found["reports_left_out"] = parts.reports.limiter.left_out
        found["ready"] = int(self._health.ready)
        found["degraded"] = int(bool(self._health.degraded))
        return found

    def health(self) -> Health:
        """As of the last look."""
        return self._health

    def status(self) -> dict[str, Any]:
        """Everything in one object."""
        parts = self._parts
        return {
            "version": parts.version,
            "uptime_seconds": round(time.time() - self._since, 3),
            "config": {"file": parts.wanted.path, "loaded": parts.reloader.loaded, **parts.reloader.counts},
            "health": self._health.told(),
            "pipelines": {
                name: {
                    "running": not one.over,
                    "degraded": one.degraded(),
                    "vif": {"up": one.keeper.up, "reason": one.keeper.trouble} if one.keeper else None,
                    "accounting": accounting.summary(one.stats()),
                }
                for name, one in parts.pipelines.items()
            },
        }

    # The loop.

    def run(self) -> int:
        """Until the end; gives the exit status."""
        parts = self._parts
        for one in parts.pipelines.values():
            one.start()
        self._phase = ""
        parts.stop.running()
        parts.server.start()
        self._watch_interfaces()
        self._examine()
        parts.notifier.send(READY=1, STATUS=self._line())
        with selectors.DefaultSelector() as waiting:
            waiting.register(parts.wakes, selectors.EVENT_READ)
            while not parts.stop.wanted and not all(one.over for one in parts.pipelines.values()):
                if not self._turn() and waiting.select(_NAP):
                    parts.wakes.recv(64)
        return self._end()

    def _turn(self) -> int:
        """One round: how many records there were."""
        count = sum(one.step() for one in self._parts.pipelines.values())
        self._signals()
        while (asked := self._parts.desk.take()) is not None:
            asked.outcome.set_result(self._reload(asked.who))
        now = time.monotonic_ns()
        if now >= self._look:
            self._look = now + _SECOND
            self._examine()
            self._watched()
            if not self._health.alive:
                self._log.error("a worker stands still", workers=", ".join(self._heart.look(self._beats())))
            else:
                self._parts.notifier.send(WATCHDOG=1, STATUS=self._line())
        if self._stats_interval and now >= self._totals_due:
            self._totals_due = now + self._stats_interval
            self._totals()
        return count

    def _signals(self) -> None:
        while (found := signal.sigtimedwait(ASKED, 0)) is not None:
            if found.si_signo == signal.SIGUSR1:
                self._totals()
            else:
                self._reload(Who("signal", found.si_uid, found.si_pid))

    def _watched(self) -> None:
        owner = self._watch.changed() if self._watch is not None else None
        if owner is not None:
            self._reload(Who("file", owner))

    def _reload(self, who: Who) -> Outcome:
        parts = self._parts
        parts.notifier.reloading()
        outcome = parts.reloader.attempt(who, self._keep_going)
        common = parts.reloader.current.common
        if outcome.refusal:
            self._log.error(f"reload refused: {outcome.refusal}", **who.told())
        else:
            if parts.reports.level != common.logging.level:
                parts.reports.level = common.logging.level
            if "logging.stats_interval" in outcome.changed:
                self._totals_due = time.monotonic_ns() + self._stats_interval
            self._watch_interfaces()
            self._log.info("reloaded", changed=", ".join(outcome.changed) or "nothing", **who.told())
        self._examine()
        parts.notifier.send(READY=1, STATUS=self._line())
        return outcome

    def _keep_going(self) -> None:
        if not sum(one.step() for one in self._parts.pipelines.values()):
            time.sleep(_NAP / 10)

    def _watch_interfaces(self) -> None:
        pipelines = self._parts.pipelines.values()
        every = [keeper for one in pipelines for keeper in (one.keeper, one.wire) if keeper is not None]
        self._parts.keepers.watch(every)

    # How it goes.

    def _beats(self) -> dict[str, int]:
        return {one.name: one.beats() for one in self._parts.pipelines.values() if not one.over}

    def _examine(self) -> None:
        pipelines = self._parts.pipelines.values()
        lacks = [self._phase] if self._phase else []
        lacks += [f"pipeline {one.name} has ended" for one in pipelines if one.over]
        degraded = [reason for one in pipelines for reason in one.degraded()]
        alive = not self._heart.look(self._beats())
        self._health = Health(alive=alive, lacks=tuple(lacks), degraded=tuple(degraded))

    def _line(self) -> str:
        """One line for systemctl status."""
        stats = self.stats()
        reasons = "; ".join([*self._health.lacks, *self._health.degraded])
        figures = f"in {stats['in']}, selected {stats['selected']}, calls {stats.get('calls', {}).get('active', 0)}"
        return f"{self._health.word}: {figures}" + (f" ({reasons})" if reasons else "")

    def _totals(self) -> None:
        self._parts.reports.flush()
        self._log.info("totals", **accounting.totals(self.stats()))

    def _end(self) -> int:
        """Drains, accounts, and says what was lost."""
        parts, begun = self._parts, time.monotonic()
        self._phase = "ending"
        self._examine()
        parts.notifier.send(STOPPING=1, STATUS="ending")
        for one in parts.pipelines.values():
            one.drain()
        hard = False
        while not all(one.over for one in parts.pipelines.values()) and time.monotonic() - begun < _END:
            if not hard and time.monotonic() - begun > _DRAIN:
                hard = True
                for one in parts.pipelines.values():
                    one.stop()
            self._keep_going()
        self._totals()
        lost = accounting.lost(self.stats())
        for where, count in lost.items():
            self._log.warning("packets were lost", where=where, packets=count)
        unfinished = [one.name for one in parts.pipelines.values() if not one.over]
        for name in unfinished:
            self._log.error("the pipeline did not end in time", pipeline=name)
        self._linger(begun)
        parts.keepers.stop()
        for one in parts.pipelines.values():
            one.close()
        parts.server.stop()
        troubled = any(one.troubled for one in parts.pipelines.values())
        return int(bool(lost) or bool(unfinished) or troubled)

    def _linger(self, begun: float) -> None:
        """Readers fetch what they have buffered before a device ends that nobody keeps."""
        wanted = max((one.linger for one in self._parts.pipelines.values()), default=0.0)
        time.sleep(max(0.0, min(wanted, _END - (time.monotonic() - begun))))
