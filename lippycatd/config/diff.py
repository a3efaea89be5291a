"""What a reload changes: a value of two configurations, applied whole or not at all."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from lippycatd.config.load import SETTINGS

if TYPE_CHECKING:
    from lippycatd.config.pipelines import Pipelines


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """One key with another value: in which pipeline, since when (`where`: file and line), and both values."""

    pipeline: str
    key: str
    old: Any
    new: Any
    where: str

    @property
    def hot(self) -> bool:
        """Whether a running daemon takes it."""
        return SETTINGS[self.key].option.hot


@dataclasses.dataclass(frozen=True, slots=True)
class Diff:
    """Everything that is not the same. `added` and `removed` are names of pipelines."""

    changes: tuple[Change, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes or self.added or self.removed)

    @property
    def refusal(self) -> str:
        """One line for the first thing that needs a restart; empty where all of it can be taken up now."""
        for word, names in (("new", self.added), ("gone", self.removed)):
            if names:
                return f"pipeline {names[0]} is {word}: this needs a restart; nothing was changed"
        cold = next((change for change in self.changes if not change.hot), None)
        return f"{cold.where}: {cold.key} needs a restart; nothing was changed" if cold else ""

    def of(self, pipeline: str) -> dict[str, Change]:
        """The changes of one pipeline, by key."""
        return {change.key: change for change in self.changes if change.pipeline == pipeline}

    def keys(self) -> list[str]:
        """The keys that change, each once, in order."""
        return list(dict.fromkeys(change.key for change in self.changes))


def diff(old: Pipelines, new: Pipelines) -> Diff:
    """What differs between two configurations (pure)."""
    changes = []
    for name in old.configs.keys() & new.configs.keys():
        before, after = old.configs[name], new.configs[name]
        for key in SETTINGS:
            if before.value(key) != after.value(key):
                origin = after.origins[key]
                where = str(origin if origin.kind != "default" else f"{before.origins[key]} (now gone)")
                changes.append(Change(name, key, before.value(key), after.value(key), where))
    order = list(SETTINGS)
    changes.sort(key=lambda change: (order.index(change.key), change.pipeline))
    added = tuple(name for name in new.configs if name not in old.configs)
    removed = tuple(name for name in old.configs if name not in new.configs)
    return Diff(tuple(changes), added, removed)
