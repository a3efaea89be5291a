"""A run that looks at calls: as `sniff voip`, but what it shows comes at the end, and no packet goes anywhere."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING

from lippycatd.observe import accounting, report
from lippycatd.observe.progress import Bars
from lippycatd.topology import build, graph, preload
from lippycatd.topology.outlet import Outlet
from lippycatd.topology.run import Runner
from lippycatd.topology.signals import Stop

if TYPE_CHECKING:
    from lippycatd.config import Config
    from lippycatd.sandbox.identity import Identity
    from lippycatd.sinks.calls.views import View

DONE, TROUBLED = 0, 1


def only_reading(config: Config) -> Config:
    """The configuration without its outputs, which are those of `sniff`."""
    return dataclasses.replace(
        config,
        virtual_interface=config.virtual_interface.model_copy(update={"enabled": False}),
        output=config.output.model_copy(update={"write_file": "", "records": ""}),
        metrics=config.metrics.model_copy(update={"listen": ""}),
        origins={
            key: origin for key, origin in config.origins.items() if key not in {"output.write_file", "output.records"}
        }
        | {key: type(config.origins[key])("default") for key in ("output.write_file", "output.records")},
    )


def run(config: Config, runs_as: Identity, view: View) -> int:
    """Reads everything, then shows; gives the exit status. Raises a LippycatError for what prevents it."""
    graph.refuse_sending(config)
    plan = dataclasses.replace(graph.plan(only_reading(config), voip=True), records="voip", prints=False)
    log = report.configure(config.logging)
    with Stop() as stop:
        opened = build.open_all(plan, runs_as)
        view.open(runs_as, [item.fd for item in opened.inputs])
        preload.everything(plan)
        view.preload()
        build.confine(opened, runs_as)
        if opened.report is not None and opened.report.missing:
            log.warning(opened.report.missing)
        line = build.line(opened, sip_bytes=view.raw)
        bars = Bars(sys.stderr, wanted=not config.run.quiet)
        runner = Runner(line, stop, log, bars, Outlet(view, None, opened.pseudonyms), build.stats(opened, line))
        stats = runner.run(0)
        lost = accounting.lost(stats)
        for where, count in lost.items():
            log.warning("packets were lost", where=where, packets=count)
        view.show()
    return TROUBLED if lost or runner.troubled else DONE
