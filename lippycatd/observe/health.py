"""Whether it lives, whether it is ready, and what it lacks (pure functions over what is known)."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PATIENCE = 10.0  # seconds that a worker's heartbeat may stand still


@dataclasses.dataclass(frozen=True, slots=True)
class Health:
    """`alive`: every worker's heartbeat moves. `lacks`: why it is not ready. `degraded`: what it goes on without."""

    alive: bool = True
    lacks: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether it does its work, be it without something that it can go on without."""
        return self.alive and not self.lacks

    @property
    def word(self) -> str:
        """One word for people and programs."""
        if not self.alive:
            return "stuck"
        if self.lacks:
            return "not ready"
        return "degraded" if self.degraded else "ready"

    def told(self) -> dict[str, Any]:
        """As `/readyz` has it."""
        return {"status": self.word, "reasons": [*self.lacks, *self.degraded]}


class Heart:
    """Remembers when each heartbeat moved last. A worker that has ended is not missed."""

    def __init__(self, patience: float = PATIENCE, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience, self._clock = patience, clock
        self._seen: dict[str, tuple[int, float]] = {}

    def look(self, beats: Mapping[str, int]) -> tuple[str, ...]:
        """Takes the counters of those that should live; gives the names of those that stand still for too long."""
        now = self._clock()
        for name, count in beats.items():
            if name not in self._seen or self._seen[name][0] != count:
                self._seen[name] = (count, now)
        self._seen = {name: seen for name, seen in self._seen.items() if name in beats}
        return tuple(name for name, (_, since) in self._seen.items() if now - since > self._patience)
