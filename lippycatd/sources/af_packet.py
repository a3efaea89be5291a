"""Interfaces as a source: sockets from the helper, read by the core through their rings.

The helper decides what may be captured; here is asked for it, and asked again when an interface was made anew.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import struct
import sys
from typing import TYPE_CHECKING, Self

from lippycatd.errors import PrivilegeError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lippycatd import _dataplane, privileged
    from lippycatd.config.sections import Capture as Section
    from lippycatd.config.sections import Voip

ANY = "any"
_SIOCGIFMTU = 0x8921  # linux/sockios.h
_IFREQ = struct.Struct("=16si12x")


@dataclasses.dataclass(frozen=True, slots=True)
class Ring:
    """The ring of each socket. Sizes in bytes; `timeout_ms`: when a block that is not full is handed over.

    `frame_size` is the slot of a ring of single frames, 0 for one of blocks.
    """

    block_size: int
    block_count: int
    timeout_ms: int
    frame_size: int = 0

    @property
    def size(self) -> int:
        """Bytes of the ring."""
        return self.block_size * self.block_count

    @classmethod
    def of(cls, section: Section, sockets: int, mtu: int = 0) -> Self:
        """The ring of one of so many sockets that share an interface: whole blocks, at least two.

        `mtu` is the interface's, 0 where there is none: then frames come in blocks.
        """
        share = -(-section.buffer_size // sockets)
        slot = _slot(mtu) if section.ring == "frames" and mtu else 0
        size = max(section.block_size, slot)
        return cls(size, max(2, -(-share // size)), section.block_timeout // 10**6, slot)

    def rounded(self, section: Section, sockets: int) -> str:
        """One line where that is more than was asked for; else nothing."""
        whole = self.size * sockets
        if whole == section.buffer_size:
            return ""
        return (
            f"capture.buffer_size: {section.buffer_size} bytes become {whole}: {self.block_count} blocks of "
            f"{self.block_size} for each of {sockets} workers"
        )


def _slot(mtu: int) -> int:
    """A slot that holds a frame of that MTU: Ethernet and VLAN headers before it, the kernel's before them."""
    needed = mtu + 14 + 8 + 82
    return 1 << (needed - 1).bit_length()


def workers(section: Voip) -> tuple[int, str]:
    """How many threads read, and one line where that is fewer than were asked for."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    if section.max_workers <= there:
        return section.max_workers, ""
    return there, f"voip.max_workers: {section.max_workers} become {there}, as many as there are processors"


def mtu(name: str) -> int:
    """The MTU of an interface in bytes; 0 where it is not known (`any`, or not to be asked)."""
    import fcntl  # noqa: PLC0415  only Linux comes here

    if name == ANY:
        return 0
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            return int(_IFREQ.unpack(fcntl.ioctl(probe, _SIOCGIFMTU, _IFREQ.pack(name.encode(), 0)))[1])
    except OSError:
        return 0


class Wire:
    """The captures of one line, in the order of its sources."""

    def __init__(
        self, requests: Sequence[privileged.CaptureRequest], helper: privileged.CaptureHelper, own: Sequence[int] = ()
    ) -> None:
        """Asks for every interface; raises PrivilegeError with one line. `own`: interfaces never captured from."""
        self._helper, self.own = helper, tuple(own)
        self._requests = tuple(requests)
        self._captures: list[privileged.Capture | None] = []
        self._asked: dict[int, int] = {}
        self._before: set[int] = set()  # captures of a helper before this one
        self.taken_back: set[int] = set()
        self.forbidden = ""
        try:
            for request in self._requests:
                self._captures.append(helper.open_capture(request))
        except BaseException:
            self.close()
            raise

    @property
    def names(self) -> tuple[str, ...]:
        """The interfaces."""
        return tuple(request.interface for request in self._requests)

    def _open(self) -> list[privileged.Capture]:
        return [capture for capture in self._captures if capture is not None]

    def never(self, ifindex: int, netns: tuple[int, int]) -> None:
        """An interface of our own in that namespace (device and inode) is not captured from."""
        if any((capture.netns_dev, capture.netns_inode) == netns for capture in self._open()):
            self.own = (*self.own, ifindex)

    def inputs(self) -> list[_dataplane.LiveInput]:
        """What the core needs to read them; the descriptors stay ours."""
        return [self._input(capture) for capture in self._open()]

    def _input(self, capture: privileged.Capture) -> _dataplane.LiveInput:
        from lippycatd import _dataplane  # noqa: PLC0415  loaded once it is known to be used

        request = capture.request
        return _dataplane.LiveInput(
            name=request.interface,
            fds=list(capture.fds),
            block_size=request.block_size,
            block_count=request.block_count,
            timeout_ms=request.timeout_ms,
            frame_size=request.frame_size,
            snaplen=request.snaplen,
            mtu=mtu(request.interface),
            own=list(self.own),
        )

    def tend(self, line: _dataplane.Line) -> None:
        """Gives the line new sockets for interfaces that were made anew; to be called about once a second."""
        for source in line.deaf():
            if self._asked.get(source, 0) > line.changed():
                continue  # on its way
            with contextlib.suppress(PrivilegeError):  # it is not there again yet
                self._asked[source] = self._renew(source, line)

    def _renew(self, source: int, line: _dataplane.Line) -> int:
        """The old capture goes first: the helper bounds what there is at once."""
        stale = self._captures[source]
        self._captures[source] = None
        if stale is not None and source in self._before:
            stale.close()
        elif stale is not None:
            self._helper.release(stale)
        return self._open_anew(source, line)

    def _open_anew(self, source: int, line: _dataplane.Line) -> int:
        fresh = self._helper.open_capture(self._requests[source])
        self._captures[source] = fresh
        self._before.discard(source)
        return line.replace_input(source, self._input(fresh))

    def helper_is_gone(self) -> bool:
        """Whether the helper has closed its side; what is open goes on without it."""
        import select  # noqa: PLC0415  only Linux comes here

        poll = select.poll()
        try:
            poll.register(self._helper.fileno(), select.POLLIN | select.POLLHUP)
        except (OSError, ValueError):
            return True
        return bool(poll.poll(0))

    @property
    def executed(self) -> bool:
        """Whether the helper is our own child: none comes after it."""
        return self._helper.executed

    def reconnect(self) -> None:
        """Goes on with the helper's service that has come back. Raises PrivilegeError with one line."""
        from lippycatd import privileged  # noqa: PLC0415  loaded before

        fresh = privileged.connect_capture()
        self._helper.close()
        self._helper = fresh
        self._before = set(range(len(self._captures)))
        for source, capture in enumerate(self._captures):
            if capture is None or _is_taken_back(capture):
                self.taken_back.add(source)
            elif len(capture.fds) > 1:
                self._check(capture.request)

    def _check(self, request: privileged.CaptureRequest) -> None:
        """A group of sockets cannot be taken back: who holds it asks, and keeps to the answer (`forbidden`)."""
        try:
            self._helper.release(self._helper.open_capture(request))
        except PrivilegeError as error:
            if "permit" in str(error):  # every refusal of the policy says so
                self.forbidden = str(error)
            raise

    def renew(self, line: _dataplane.Line) -> None:
        """New sockets for those that the helper has taken back. Raises PrivilegeError while it does not give them."""
        for source in sorted(self.taken_back):
            stale, self._captures[source] = self._captures[source], None
            if stale is not None:
                stale.close()
            self._asked[source] = self._open_anew(source, line)
            self.taken_back.discard(source)

    def close(self) -> None:
        """Gives the sockets and the helper up; the core's own descriptors must be closed before."""
        for capture in self._open():
            capture.close()
        self._captures.clear()
        self._helper.close()


def _is_taken_back(capture: privileged.Capture) -> bool:
    """Whether the helper has bound the socket away, to a protocol that nobody sends."""
    from lippycat_helper import wire  # noqa: PLC0415  which only Linux has

    try:
        with socket.socket(fileno=os.dup(capture.fds[0])) as mine:
            return bool(mine.getsockname()[1] == wire.NOBODYS_PROTOCOL)
    except OSError:
        return True


def open_wire(section: Section, sockets: int, say: Callable[[str], None]) -> Wire:
    """The captures that the section describes, with so many sockets for each interface.

    Raises PrivilegeError with one line for what cannot be had.
    """
    if sys.platform != "linux":
        raise PrivilegeError(f"live capture through rings needs Linux, and this is {sys.platform}")
    from lippycatd import privileged  # noqa: PLC0415  needs lippycat_helper, which only Linux has

    requests = []
    for name in interfaces(section):
        ring = Ring.of(section, sockets, mtu(name))
        if told := ring.rounded(section, sockets):
            say(f"{name}: {told}")
        if section.ring == "frames" and not ring.frame_size:
            say(f"{name}: its frames come in blocks: capture.ring frames is for named interfaces")
        requests.append(
            privileged.CaptureRequest(
                interface=name,
                promiscuous=section.promiscuous,
                snaplen=section.snaplen,
                sockets=sockets,
                **dataclasses.asdict(ring),
            )
        )
    return Wire(requests, privileged.acquire_capture(requests))


def interfaces(section: Section) -> tuple[str, ...]:
    """The interfaces that are asked for; `any` where none is named. UsageError when they make no sense together."""
    names = section.default_interface or (ANY,)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"--interface: {twice} is named twice")
    if ANY in names and len(names) > 1:
        raise UsageError("--interface: any stands for every interface; name no other beside it")
    if ANY in names and section.promiscuous:
        raise UsageError("--promiscuous: needs an interface; name it with --interface")
    return names
