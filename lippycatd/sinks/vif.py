"""The virtual interface as a sink, and as a Python interface of its own.

::

    from lippycatd.sinks import vif

    with vif.open("lc0", netns="lc-ns") as lc0:
        print(lc0.hint)                      # ip netns exec lc-ns tcpdump -i lc0
        lc0.inject([frame, frame])           # Ethernet frames, as bytes
        print(lc0.statistics().written)

Opening needs the helper: its service (then no root is needed), or root, which executes one for this interface alone.
The interface lives until it is closed, or the process ends.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from typing import TYPE_CHECKING, Any, Self

from lippycatd.config.sections import VirtualInterface as VifSection
from lippycatd.errors import PrivilegeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lippycatd import _dataplane, privileged

ETHERNET = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Device:
    """An interface that the helper made: its descriptor, and the helper that keeps it alive."""

    vif: privileged.Vif
    helper: privileged.Helper

    @property
    def hint(self) -> str:
        """The line to type in another terminal."""
        tcpdump = f"tcpdump -i {self.vif.name}"
        return f"ip netns exec {self.vif.netns} {tcpdump}" if self.vif.netns else tcpdump

    def lost(self) -> str:
        """One line when the namespace's name leads elsewhere, so that no new reader can see the interface."""
        if self.vif.name_leads_here():
            return ""
        return (
            f"the namespace {self.vif.netns} was removed or made anew: {self.vif.name} is still in the old one, which "
            "new readers cannot reach; start again"
        )

    def close(self) -> None:
        """Gives the interface up; waits until the helper has removed what it made. The sink must be closed before."""
        self.vif.close()
        self.helper.close()

    def sink(self, section: VifSection, *, blocking: bool = True) -> _dataplane.VifSink:
        """The core's sink on this device; its thread starts with it, so it is made after the lock."""
        return sink(section, self.vif.fd, blocking=blocking)  # a duplicate; ours keeps the interface until `close`


def sink(section: VifSection, fd: int | None, *, blocking: bool = True) -> _dataplane.VifSink:
    """The core's sink on a device as the section describes it, or on none as yet."""
    from lippycatd import _dataplane  # noqa: PLC0415  loaded once it is known to be used

    return _dataplane.VifSink(
        name=section.name,
        fd=fd,
        kind=section.type,
        mtu=section.mtu,
        buffer_size=section.buffer_size,
        replay_timing=section.replay_timing,
        replay_speed=section.replay_speed,
        rate_limit=section.rate_limit,
        rate_burst=section.rate_burst,
        blocking=blocking,
        direct=section.direct and not blocking,
    )


def request(section: VifSection) -> privileged.VifRequest:
    """What the helper is asked for. Raises PrivilegeError where it cannot be asked."""
    if sys.platform != "linux":
        raise PrivilegeError(f"--virtual-interface: needs Linux, and this is {sys.platform}; write a file with -w")
    from lippycatd import privileged  # noqa: PLC0415  needs lippycat_helper, which only Linux has

    return privileged.VifRequest(
        name=section.name,
        netns=section.netns,
        kind=section.type,
        mtu=section.mtu,
        txqueuelen=section.txqueuelen,
    )


def create(section: VifSection) -> Device:
    """Asks the helper for the interface that the section describes. Raises PrivilegeError with one line.

    The helper's service is asked where it is running; else root executes a helper for exactly this interface.
    """
    asked = request(section)
    from lippycatd import privileged  # noqa: PLC0415  needs lippycat_helper, which only Linux has

    helper = privileged.acquire(asked)
    try:
        return Device(helper.create(), helper)
    except BaseException:
        helper.close()
        raise


def connect(section: VifSection) -> Device:
    """Asks the helper's service, and nobody else, for the interface. Raises PrivilegeError with one line."""
    from lippycatd import privileged  # noqa: PLC0415  needs lippycat_helper, which only Linux has

    helper = privileged.connect(request(section))
    try:
        return Device(helper.create(), helper)
    except BaseException:
        helper.close()
        raise


def adopt(device: Device, section: VifSection) -> Device:
    """The same device with a helper that has come back. Raises PrivilegeError with one line."""
    from lippycatd import privileged  # noqa: PLC0415  needs lippycat_helper, which only Linux has

    helper = privileged.connect(request(section))
    try:
        helper.adopt(device.vif)
    except BaseException:
        helper.close()
        raise
    device.helper.close()
    return Device(device.vif, helper)


@dataclasses.dataclass(frozen=True, slots=True)
class Statistics:
    """What became of the frames: offered = written + queued + Σ dropped, at every moment."""

    offered: int
    written: int
    queued: int
    dropped: dict[str, int]

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Self:
        """From the core's counters."""
        return cls(raw["offered"], raw["written"], raw["queued"], dict(raw["dropped"]))


class VirtualInterface:
    """An open virtual interface. Not safe to use from several threads at once."""

    def __init__(self, device: Device, section: VifSection) -> None:
        self._device = device
        self._sink = device.sink(section)
        self._linger = section.linger / 1e9
        self._last: Statistics | None = None

    @property
    def name(self) -> str:
        """The interface's name."""
        return self._device.vif.name

    @property
    def netns(self) -> str:
        """The network namespace it lies in; empty for the process's own."""
        return self._device.vif.netns

    @property
    def hint(self) -> str:
        """The line to type in another terminal to see the frames."""
        return self._device.hint

    def inject(self, frames: Sequence[bytes], timestamps_ns: Sequence[int] | None = None, link: int = ETHERNET) -> int:
        """Queues a batch of frames and gives how many were taken; waits while the queue is full.

        `timestamps_ns` (nanoseconds since 1970, one for each frame) set the pace under replay timing.
        `link` is the LINKTYPE_ number of the frames; what is not Ethernet gets an Ethernet header on a TAP.
        Raises ValueError when the lengths differ or the interface is closed.
        """
        if self._last is not None:
            raise ValueError("the interface is closed")
        if timestamps_ns is not None and len(timestamps_ns) != len(frames):
            raise ValueError(f"{len(frames)} frames and {len(timestamps_ns)} timestamps")
        return self._sink.inject(frames, timestamps_ns, link)

    def statistics(self) -> Statistics:
        """The counters now, in one snapshot; after close, the last ones."""
        return self._last or Statistics.of(self._sink.stats())

    def close(self, *, drain: bool = True) -> Statistics:
        """Writes what is queued (or drops it), removes the interface, and gives the final counters. May be repeated.

        After writing it waits for `linger`, since a reader loses what it has not fetched when the interface goes.
        """
        if self._last is None:
            self._last = Statistics.of(self._sink.close(drain))
            if drain and self._last.written:
                time.sleep(self._linger)
            self._device.close()
        return self._last

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open(name: str = "lc0", **settings: Any) -> VirtualInterface:  # noqa: A001, ANN401  `vif.open`; the section's types
    """Makes the interface and opens it. `settings` are the keys of the `virtual_interface` section.

    Raises PrivilegeError when it cannot be had, pydantic's ValidationError for a wrong setting.
    """
    section = VifSection(enabled=True, name=name, **settings)
    return VirtualInterface(create(section), section)
