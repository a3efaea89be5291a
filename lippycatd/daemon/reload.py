"""A reload: the file is read again, and its differences are taken up whole or not at all."""

from __future__ import annotations

import dataclasses
import os
import time
from typing import TYPE_CHECKING

from lippycatd import config
from lippycatd.daemon import settings
from lippycatd.errors import LippycatError
from lippycatd.observe.audit import TARGETS, Audit, Who

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lippycatd.config import Pipelines
    from lippycatd.daemon.pipeline import Pipeline, Prepared
    from lippycatd.sandbox.identity import Identity

_PATIENCE = 5.0  # seconds until a change must be in force


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a reload: the keys that changed, or the one line why nothing did."""

    changed: tuple[str, ...] = ()
    refusal: str = ""


class Reloader:
    """Holds the configuration in force, and changes it."""

    def __init__(
        self,
        wanted: settings.Wanted,
        runs_as: Identity,
        found: Pipelines,
        pipelines: Mapping[str, Pipeline],
        audit: Audit,
    ) -> None:
        self._wanted, self._runs_as, self._pipelines, self._audit = wanted, runs_as, pipelines, audit
        self.current = found
        self.counts = {"accepted": 0, "refused": 0}
        self.loaded = time.time()

    def attempt(self, who: Who, step: Callable[[], None]) -> Outcome:
        """One reload. `step` keeps the daemon going while the changes come into force."""
        prepared: list[tuple[Pipeline, Prepared]] = []
        try:
            new = settings.load(self._wanted, self._runs_as)
            settings.plans(new)
            diff = config.diff(self.current, new)
            if diff.refusal:
                return self._refused(diff.refusal)
            for name, pipeline in self._pipelines.items():
                if not pipeline.over:
                    prepared.append((pipeline, pipeline.prepare(new.configs[name], diff.of(name))))
        except LippycatError as error:
            for _, change in prepared:
                change.give_up()
            return self._refused(str(error))
        self._commit(prepared, step)
        self._tell(who, diff)
        self.current, self.loaded = new, time.time()
        self.counts["accepted"] += 1
        return Outcome(tuple(diff.keys()))

    def _refused(self, line: str) -> Outcome:
        self.counts["refused"] += 1
        return Outcome(refusal=line)

    @staticmethod
    def _commit(prepared: list[tuple[Pipeline, Prepared]], step: Callable[[], None]) -> None:
        waiting = [(pipeline, pipeline.commit(change)) for pipeline, change in prepared]
        due = time.monotonic() + _PATIENCE
        while time.monotonic() < due and any(
            pipeline.changed() < number and not pipeline.over for pipeline, number in waiting
        ):
            step()

    def _tell(self, who: Who, diff: config.Diff) -> None:
        for change in diff.changes:
            if change.key in TARGETS:
                self._audit.targets(who, change.pipeline, change.key, change.old, change.new)

    def tell_all(self, who: Who) -> None:
        """The targets that the daemon starts with."""
        for name, one in self.current.configs.items():
            for key in TARGETS:
                self._audit.targets(who, name, key, (), one.value(key))


class Watch:
    """Sees that the file was written or replaced: what it is, when it was changed, its size."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen = self._now()
        self._next = self._seen

    def _now(self) -> tuple[int, ...]:
        try:
            found = os.stat(self._path)  # noqa: PTH116  an errno is what counts
        except OSError:
            return ()
        return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size, found.st_uid)

    def changed(self) -> int | None:
        """The owner of a file that has changed and has been the same for two looks; else None."""
        now = self._now()
        settled, self._next = now == self._next, now
        if not now or not settled or now == self._seen:
            return None
        self._seen = now
        return now[-1]
