"""Everything that would be imported, or loaded from the file system, later: it is used once before the lock."""

from __future__ import annotations

import gc
import io
import time
from typing import TYPE_CHECKING, Any

from lippycatd.observe import accounting
from lippycatd.observe.progress import Bars

if TYPE_CHECKING:
    from lippycatd.topology.graph import Plan

_NOTHING: dict[str, Any] = {
    **dict.fromkeys(("in", "selected", "filtered", "held"), 0),
    **{name: {} for name in ("dropped", "sources")},
    "sinks": {"none": {"offered": 0, "written": 0, "queued": 0, "dropped": {}}},
}


class _Terminal(io.StringIO):
    """Swallows what is drawn, as a terminal would take it."""

    def isatty(self) -> bool:
        return True


def everything(plan: Plan) -> None:
    """Uses once what the run will use, so that nothing is imported after the lock."""
    gc.enable()
    gc.freeze()
    time.tzset()
    time.localtime()
    if not plan.config.run.quiet:
        accounting.show(_NOTHING, _Terminal())
        bars = Bars(_Terminal(), wanted=True)
        bars.start()
        bars.update((1, 1, 1, 2))
        bars.stop()
    if plan.records == "packet":
        from lippycatd.sinks import dissect  # noqa: F401, PLC0415  the writer asks for it
    if plan.config.metrics.listen:
        metrics()


def reload() -> None:
    """Loads what reading a configuration again needs."""
    from lippycatd.config import pipelines  # noqa: PLC0415  only the daemon reads it again

    pipelines.read("a: [b]\nlogging: {level: x}\n", "rehearsal", complain=lambda _: None)
    pipelines.read("{", "rehearsal", complain=lambda _: None)


def metrics() -> None:
    """Loads the exporter and renders a page once."""
    import encodings.idna  # noqa: F401, PLC0415  socket and http ask for it by name
    import stringprep  # noqa: F401, PLC0415  encodings.idna asks for it by name

    from prometheus_client import generate_latest  # noqa: PLC0415  only needed for the page

    from lippycatd.observe.metrics import registry  # noqa: PLC0415

    generate_latest(registry(lambda: {**_NOTHING, "sinks": {}}, ""))
