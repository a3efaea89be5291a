"""SIGINT, SIGTERM and SIGHUP end a run cleanly; a second one ends it at once."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Self

from lippycatd.errors import Damaged

if TYPE_CHECKING:
    from types import FrameType

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Stop:
    """Remembers that the user wants an end. While nothing runs yet a signal raises KeyboardInterrupt at once."""

    def __init__(self) -> None:
        self.wanted = False
        self._running = False
        self._before: dict[int, object] = {}

    def running(self) -> None:
        """From here on the loop looks at `wanted`."""
        self._running = True

    def _signalled(self, _number: int, _frame: FrameType | None) -> None:
        if not self._running:
            raise KeyboardInterrupt
        if self.wanted:
            raise Damaged("interrupted again: ended at once, without the accounting")
        self.wanted = True

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._signalled)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal gave
