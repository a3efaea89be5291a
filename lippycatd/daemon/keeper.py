"""Keeping a virtual interface: asked for until it can be had, and again when it, its namespace or the helper goes.

The packets go on meanwhile; those for the interface are counted as `gone`. A thread of its own looks after the
interfaces of all pipelines, because asking the helper may take its time.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import select
import threading
import time
from typing import TYPE_CHECKING

from lippycatd.errors import PrivilegeError
from lippycatd.sinks import vif
from lippycatd.topology.keepers import FIRST, LONGEST, LOOK

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from lippycatd.config.sections import VirtualInterface

_TUNGETIFF = 0x800454D2  # linux/if_tun.h
_IFREQ = 40  # bytes


class Keeper:
    """One interface. `trouble` says why there is none, or what it goes on without; empty when all is well."""

    def __init__(
        self,
        section: VirtualInterface,
        device: vif.Device | None,
        refused: str,
        log: FilteringBoundLogger,
    ) -> None:
        self._section, self._device, self._log = section, device, log
        self._replace: Callable[[int], None] = lambda _fd: None
        self._wait, self._due = FIRST, 0.0
        self._helped = device is not None
        self._closed = False
        self._lock = threading.Lock()
        self.trouble = "" if device is not None else refused or "the interface was not asked for yet"

    def onto(self, replace: Callable[[int], None]) -> None:
        """Where a new device goes: `Line.replace_vif`."""
        self._replace = replace

    @property
    def up(self) -> bool:
        """Whether there is a device."""
        return self._device is not None

    @property
    def passing(self) -> bool:
        """Whether the device ends with this process: no service keeps it."""
        return self._device is not None and self._device.helper.executed

    def look(self) -> None:
        """One look; asks the helper where that is due."""
        with self._lock:
            if self._closed:
                return
            if self._device is not None:
                self._examine(self._device)
            if (self._device is None or not self._helped) and time.monotonic() >= self._due:
                self._ask()

    def _examine(self, device: vif.Device) -> None:
        """Whether the device still is where readers look, and whether the helper lives."""
        if not device.vif.name_leads_here():
            self._lose(f"the namespace {device.vif.netns} was removed or made anew, and {device.vif.name} with it")
        elif not _exists(device.vif.fd):
            self._lose(f"{device.vif.name} was deleted")
        elif self._helped and _has_ended(device):
            self._helped = False
            self._say(f"the helper is gone; {device.vif.name} goes on without it")

    def _lose(self, why: str) -> None:
        if self._device is not None:
            self._device.close()
            self._device, self._helped = None, False
        self._say(f"{why}; it is asked for anew")

    def _say(self, trouble: str) -> None:
        """A new trouble is said once."""
        if trouble != self.trouble:
            self.trouble = trouble
            self._log.warning(trouble)
        self._wait, self._due = FIRST, time.monotonic() + FIRST

    def _ask(self) -> None:
        try:
            if self._device is None:
                self._get()
            else:
                self._device = vif.adopt(self._device, self._section)
        except PrivilegeError as error:
            if self._device is None and str(error) != self.trouble:
                self.trouble = str(error)
                self._log.warning(self.trouble)
            self._due = time.monotonic() + self._wait
            self._wait = min(2 * self._wait, LONGEST)
            return
        self._helped, self._wait = True, FIRST
        if self.trouble:
            self._log.info("the interface is there", vif=self._section.name, netns=self._section.netns)
        self.trouble = ""

    def _get(self) -> None:
        device = vif.connect(self._section)
        if not device.vif.name_leads_here():
            device.close()
            raise PrivilegeError(f"the helper still has {self._section.name} in a namespace that has lost its name")
        self._device = device
        self._replace(device.vif.fd)

    def close(self) -> None:
        """Gives the interface back; the helper's service keeps it for the next daemon."""
        self._closed = True
        if not self._lock.acquire(timeout=LOOK):
            return  # it is asking the helper, which may take its time; the end of the process closes everything
        try:
            if self._device is not None:
                self._device.close()
                self._device = None
        finally:
            self._lock.release()


def _exists(fd: int) -> bool:
    """Whether the device behind a descriptor was not deleted."""
    try:
        fcntl.ioctl(fd, _TUNGETIFF, bytes(_IFREQ))
    except OSError as error:
        return error.errno != errno.EBADFD
    return True


def _has_ended(device: vif.Device) -> bool:
    """Whether the helper has closed its side."""
    poll = select.poll()
    with contextlib.suppress(OSError, ValueError):
        poll.register(device.helper.fileno(), select.POLLIN | select.POLLHUP)
        return bool(poll.poll(0))
    return True
