"""Several pipelines of one file. Flat sections are one pipeline; below `pipelines` they are what all entries share."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from lippycatd.config import load
from lippycatd.config.sections import SECTIONS, Capture, Hep, Output, Run, VirtualInterface, Voip
from lippycatd.errors import ConfigError

if TYPE_CHECKING:
    from lippycatd.config import yaml_file
    from lippycatd.config.load import Complain, Config, Layer

DEFAULT_NAME = "main"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}", re.ASCII)
_OF_A_PIPELINE = (Capture, Voip, VirtualInterface, Output, Hep)
_SHARED = tuple(section.section for section in SECTIONS if section not in {*_OF_A_PIPELINE, Run})


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One entry of `pipelines`: its name, the line it begins on, and its layer."""

    name: str
    line: int
    layer: Layer


@dataclasses.dataclass(frozen=True, slots=True)
class Pipelines:
    """The effective configurations by the pipelines' names. `named`: they stand under `pipelines`."""

    configs: dict[str, Config]
    named: bool

    @property
    def common(self) -> Config:
        """One of them, for what they share: reports, metrics, security."""
        return next(iter(self.configs.values()))


def entries(raw: yaml_file.RawFile, name: str, complain: Complain = load.raising) -> list[Entry]:
    """The entries of `pipelines`; none where the file has flat sections only."""
    found: list[Entry] = []
    for line, keys in raw.pipelines or []:
        called = keys.pop("name", None)
        title = called.value if called is not None and isinstance(called.value, str) else ""
        if not _NAME.fullmatch(title):
            complain(ConfigError(f"{name}:{line}: a pipeline needs a name of letters, digits, . - _ (at most 32)"))
        elif any(entry.name == title for entry in found):
            complain(ConfigError(f"{name}:{line}: two pipelines are called {title}"))
        for key in [key for key in keys if key.partition(".")[0] in _SHARED]:
            where = f"{name}:{keys.pop(key).line}"
            complain(ConfigError(f"{where}: {key} is shared by all pipelines; write it outside of pipelines"))
        found.append(Entry(title, line, load.layer_of(keys, name, complain)))
    return found


def read(text: str, name: str, *others: Layer, complain: Complain = load.raising) -> Pipelines:
    """The configurations that a file describes, with the layers that win over it."""
    from lippycatd.config import yaml_file  # noqa: PLC0415  only when there is a file

    try:
        raw = yaml_file.parse(text, name)
    except ConfigError as error:
        complain(error)
        raw = yaml_file.RawFile({}, None)
    shared = load.layer_of(raw.keys, name, complain)
    named = entries(raw, name, complain)
    if not named:
        return Pipelines({DEFAULT_NAME: load.build(shared, *others, complain=complain)}, named=False)
    configs = {entry.name: load.build(shared | entry.layer, *others, complain=complain) for entry in named}
    return Pipelines(configs, named=True)
