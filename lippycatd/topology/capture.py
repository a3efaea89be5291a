"""`sniff` from its configuration to its exit status."""

from __future__ import annotations

import contextlib
import functools
import sys
from typing import TYPE_CHECKING, Any

from lippycatd.observe import accounting, report
from lippycatd.observe.progress import Bars
from lippycatd.sinks.records import Writer
from lippycatd.topology import build, graph, preload
from lippycatd.topology.keepers import Keepers, WireKeeper
from lippycatd.topology.outlet import Outlet
from lippycatd.topology.run import Runner, standard_output_is_terminal
from lippycatd.topology.signals import Stop

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from lippycatd.config import Config
    from lippycatd.sandbox.identity import Identity

DONE, TROUBLED = 0, 1


def run(config: Config, runs_as: Identity, *, voip: bool) -> int:
    """Runs one pipeline to its end and gives the exit status. Raises a LippycatError for what prevents the start."""
    graph.refuse_sending(config)
    plan = graph.plan(config, voip=voip)
    log = report.configure(config.logging)
    with Stop() as stop:
        opened = build.open_all(plan, runs_as)
        if config.metrics.listen:
            opened.pages = build.prepare_pages(config)
        with contextlib.ExitStack() as cleanup:
            cleanup.callback(build.close, opened)
            preload.everything(plan)
            build.confine(opened, runs_as)
            return _confined(opened, stop, log)


def _confined(opened: build.Opened, stop: Stop, log: FilteringBoundLogger) -> int:
    """What happens behind the lock."""
    config = opened.plan.config
    log.debug("confined", sandbox=str(opened.report))
    if opened.report is not None and opened.report.missing:
        log.warning(opened.report.missing)
    if opened.vif_refused:
        log.error(opened.vif_refused)
    for note in opened.notes:
        log.info(note)
    line = build.line(opened)
    pages = build.serve(opened, line)
    if opened.device is not None and not config.run.quiet:
        sys.stderr.write(f"{opened.device.hint}\n")
    wanted = not config.run.quiet and not (opened.plan.prints and standard_output_is_terminal())
    outlet = Outlet(_writer(opened.plan), opened.records, opened.pseudonyms)
    runner = Runner(line, stop, log, Bars(sys.stderr, wanted=wanted), outlet, build.stats(opened, line))
    if opened.device is not None:
        runner.watch(opened.device.lost)
    keepers, keeper = Keepers(log), None
    if opened.wire is not None and opened.wire.executed:
        runner.chore(functools.partial(opened.wire.tend, line))
    elif opened.wire is not None:
        keeper = WireKeeper(opened.wire, line, log)
        keepers.watch([keeper])
    stats = runner.run(config.logging.stats_interval)
    keepers.stop()
    lost = _tell(stats, runner, config, log)
    if opened.device is not None:
        runner.linger(config.virtual_interface.linger)
    if pages is not None:
        pages.over = True
        runner.linger(config.metrics.linger)
        pages.server.stop()
    ended = keeper is not None and keeper.ended
    return TROUBLED if lost or runner.troubled or opened.vif_refused or ended else DONE


def _writer(plan: graph.Plan) -> Writer | None:
    """The printer of records, where they are wanted."""
    if plan.records is None or not plan.prints:
        return None
    return Writer(plan.records, plan.config.output.format, sys.stdout.buffer)


def _tell(stats: dict[str, Any], runner: Runner, config: Config, log: FilteringBoundLogger) -> bool:
    """The accounting at the end, for programs and for people; whether something was lost."""
    runner.outlet.summary(accounting.summary(stats))
    log.info("totals", **accounting.totals(stats))
    if not config.run.quiet:
        accounting.show(stats, sys.stderr)
    lost = accounting.lost(stats)
    for where, count in lost.items():
        if where.startswith("records:"):
            log.warning("records were lost", where=where, records=count)
        else:
            log.warning("packets were lost", where=where, packets=count)
    return bool(lost)
