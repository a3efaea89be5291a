"""The daemon's configuration file: loading it, checking it, and what it means for a process that runs for long."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

from lippycatd import config
from lippycatd.config import pipelines
from lippycatd.errors import ConfigError, LippycatError, UsageError
from lippycatd.sandbox import identity
from lippycatd.sinks import hep
from lippycatd.topology import build, graph, settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from lippycatd.config import Config, Pipelines

DEFAULT_PATH = "/etc/lippycat/lippycatd.yaml"
METRICS_LISTEN = "127.0.0.1:10469"


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for, and the environment that wins over the file, now and at each reload."""

    path: str
    watch: bool
    environment: config.Layer


def wanted(path: str, *, watch: bool) -> Wanted:
    """The file's path is made absolute once: a reload must find the same one."""
    return Wanted(os.path.abspath(path), watch, config.from_environment(os.environ))  # noqa: PTH100


def load(what: Wanted, runs_as: identity.Identity) -> Pipelines:
    """The configurations of the file as it is now. Raises a LippycatError with one line."""
    text = settings.read(what.path, runs_as, must=True) or ""
    return pipelines.read(text, what.path, what.environment)


def who(what: Wanted) -> identity.Identity:
    """Whom to run as: the file says so, or the environment."""
    named = what.environment.get("security.user")
    early = identity.choose(str(named[0]) if named else "")
    found = load(what, early).common.security.user
    return identity.choose(found) if found else early


def plans(found: Pipelines) -> dict[str, graph.Plan]:
    """A plan for each pipeline. Raises UsageError for what makes no sense together."""
    made = {name: plan(one, name) for name, one in found.configs.items()}
    _check_distinct(made)
    return made


def plan(one: Config, name: str) -> graph.Plan:
    """A pipeline that follows calls, prints nothing, and goes on without its interface until it can be had."""
    if one.given("output.format"):
        raise ConfigError(f"{one.origins['output.format']}: output.format: lippycatd prints no records; remove it")
    made = graph.plan(one, voip=True)
    if made.write is not None and made.write.standard_output:
        where = one.origins["output.write_file"]
        raise ConfigError(f"{where}: output.write_file: lippycatd writes to files, not to standard output")
    section = one.virtual_interface
    delay = made.startup_delay if section.startup_delay is not None else 0
    hands_over = hep.target(one, name)
    records = made.records if made.record_file is not None else "voip" if hands_over else None
    return dataclasses.replace(
        made,
        prints=False,
        records=records,
        startup_delay=delay,
        lasting=not section.required,
        appends=True,
        hep=hands_over,
        pod_names=name if one.output.pod_names else "",
    )


def _check_distinct(made: dict[str, graph.Plan]) -> None:
    """Two pipelines cannot write to the same place."""
    taken: dict[str, str] = {}
    for name, one in made.items():
        section = one.config.virtual_interface
        outputs = [section.name] if one.vif else []
        outputs += [target.name for target in (one.write, one.calls, one.record_file) if target is not None]
        for output in outputs:
            if output in taken:
                raise UsageError(f"pipelines {taken[output]} and {name} both write to {output}; give each its own")
            taken[output] = name


def check(path: str) -> list[str]:
    """Every mistake of a file, one line each; none for a file that the daemon would start with."""
    lines: list[str] = []

    def complain(error: UsageError) -> None:
        lines.append(str(error))

    def attempt(work: Callable[[], object]) -> None:
        try:
            work()
        except LippycatError as error:
            lines.append(str(error))

    def read() -> None:
        what = wanted(path, watch=False)
        text = settings.read(what.path, identity.current(), must=True) or ""
        found = pipelines.read(text, path, what.environment, complain=complain)
        for name, one in found.configs.items():
            attempt(lambda one=one, name=name: build.check_users(plan(one, name)))  # type: ignore[misc]
            attempt(lambda one=one: build.compile_filter(one))  # type: ignore[misc]
        if not lines:
            attempt(lambda: plans(found))

    attempt(read)
    return list(dict.fromkeys(lines))
