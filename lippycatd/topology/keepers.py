"""Looking after what a helper gives, in a thread of its own: captures here, interfaces in the daemon's `keeper`."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, Protocol

from lippycatd.errors import PrivilegeError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from structlog.typing import FilteringBoundLogger

    from lippycatd import _dataplane
    from lippycatd.sources import af_packet

LOOK: Final = 0.5  # seconds between two looks
FIRST: Final = 0.5  # seconds of the backoff, the first time
LONGEST: Final = 30.0  # and at most

_GONE = "the capture helper is gone; the captures go on without it"


class Looks(Protocol):
    """What is looked after."""

    def look(self) -> None:
        """One look, which may take its time."""


class WireKeeper:
    """The captures of one line: an interface that was made anew gets new sockets, also from a helper that came back.

    A helper that ends the connection may have taken sockets back, because its policy is another now: then they are
    asked for again, until it permits them.
    """

    def __init__(self, wire: af_packet.Wire, line: _dataplane.Line, log: FilteringBoundLogger) -> None:
        self._wire, self._line, self._log = wire, line, log
        self._wait, self._due = FIRST, 0.0
        self.trouble = ""
        self.ended = False

    def look(self) -> None:
        """One look; asks the helper where that is needed."""
        if self.ended:
            return
        if not self._wire.helper_is_gone():
            self._wire.tend(self._line)
            return
        if not self.trouble:
            self._say(_GONE)
            self._wait, self._due = FIRST, 0.0
        if time.monotonic() < self._due:
            return
        try:
            self._wire.reconnect()
            self._wire.renew(self._line)
        except PrivilegeError as error:
            if self._wire.forbidden:
                self._end()
            elif self._wire.taken_back:
                self._say(str(error))
            self._due = time.monotonic() + self._wait
            self._wait = min(2 * self._wait, LONGEST)
        else:
            self.trouble = ""
            self._log.info("the capture helper is there")

    def _end(self) -> None:
        """Several workers share the sockets, which only their holder can give up: the line ends."""
        self.ended, self.trouble = True, self._wire.forbidden
        self._log.error(f"{self.trouble}: the capture ends (sockets of several workers cannot be taken back singly)")
        self._line.drain()

    def _say(self, trouble: str) -> None:
        """Each trouble once."""
        if trouble != self.trouble:
            self.trouble = trouble
            self._log.warning(trouble)

    def deaf(self) -> list[str]:
        """The interfaces that were deleted and are not there again."""
        return [f"the interface {self._wire.names[source]} is gone" for source in self._line.deaf()]


class Keepers:
    """The thread that looks after them."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._keepers: tuple[Looks, ...] = ()

    def watch(self, keepers: Iterable[Looks]) -> None:
        """Looks after these from now on; starts with the first."""
        self._keepers = tuple(keepers)
        if self._keepers and not self._thread.is_alive() and not self._end.is_set():
            self._thread.start()

    def _run(self) -> None:
        while not self._end.wait(LOOK):
            for keeper in self._keepers:
                try:
                    keeper.look()
                except Exception as error:  # noqa: BLE001  the next look may go better; the packets go on
                    self._log.error(f"the interface's keeper: {type(error).__name__}: {error}")

    def stop(self) -> None:
        """Ends the thread; it is not waited for where the helper keeps it."""
        self._end.set()
        if self._thread.is_alive():
            self._thread.join(LOOK)
