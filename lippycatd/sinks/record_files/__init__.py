"""Records in files: JSON lines, CSV or SQLite, by the name's ending; a sink with the accounting of one."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Literal

from lippycatd.errors import ConfigError, UsageError
from lippycatd.model import records
from lippycatd.sandbox import identity

if TYPE_CHECKING:
    from collections.abc import Collection

    from lippycatd.config import Config
    from lippycatd.sinks.record_files.base import RecordFile

FLAG = "--records"
Style = Literal["jsonl", "csv", "sqlite"]
_STYLES: dict[str, Style] = {".jsonl": "jsonl", ".json": "jsonl", ".csv": "csv", ".sqlite": "sqlite", ".db": "sqlite"}


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """What to write: the name as given, the format, and the types of records."""

    name: str
    style: Style
    types: tuple[str, ...]


def target(config: Config) -> Target | None:
    """The target that the configuration asks for; one line in a UsageError or ConfigError where it cannot be meant."""
    output = config.output
    if not output.records:
        if config.given("output.records"):
            raise UsageError(f"{FLAG}: the name is empty")
        return None
    style = _STYLES.get(os.path.splitext(output.records)[1].lower())  # noqa: PTH122  the name stays text
    if style is None:
        raise ConfigError(f"{FLAG}: {output.records}: the ending chooses the format: {', '.join(_STYLES)}")
    types = tuple(name for name in records.TABLES if name in output.record_types)
    if not types:
        raise ConfigError(f"--record-types: names none of {', '.join(records.TABLES)}")
    return Target(output.records, style, types)


def open_target(
    target: Target, runs_as: identity.Identity, inputs: Collection[int], *, append: bool = False
) -> RecordFile:
    """Creates what is written with the rights the process has now, and gives it to the user it will run as.

    With `append` what a file holds already stays. Raises NotPossible, UsageError or ConfigError with one line.
    """
    path = os.path.abspath(identity.expand(target.name, runs_as))  # noqa: PTH100  for SQLite, which opens it again
    with identity.opening(target.name, runs_as):
        if target.style == "sqlite":
            from lippycatd.sinks.record_files import database  # noqa: PLC0415  SQLite is loaded only for this

            return database.create(target, path, runs_as, inputs, append=append)
        from lippycatd.sinks.record_files import lines  # noqa: PLC0415  as above

        return lines.create(target, path, runs_as, inputs, append=append)
