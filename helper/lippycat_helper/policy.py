"""Who may have what. What no entry permits is refused, and the refusal names the entries.

`Policy` answers the questions there are: may this peer speak, may it have this device, may
it capture from this interface. `policy_file` reads one.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lippycat_helper import filters, wire
from lippycat_helper.report import HelperError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Collection

    from lippycat_helper.wire import Kind

# Our own devices are never captured from: what a capture selects would come in again.
EXCLUDED = ("lc*", "lt*")


@dataclass(frozen=True, slots=True)
class Peer:
    """One [[peer]]: a user, or the members of a group."""

    where: str
    uid: int | None
    gid: int | None


@dataclass(frozen=True, slots=True)
class Tap:
    """One [[tap]]: up to `count` devices whose name matches `name`."""

    where: str
    netns: str
    name: str
    kind: Kind
    count: int
    mtu: int
    txqueuelen: int


@dataclass(frozen=True, slots=True)
class Capture:
    """One [[capture]]: up to `count` sockets on interfaces whose name matches `interface`.

    `any` permits all interfaces at once instead. ring_max is the bytes of all rings of
    this entry together; filter is the mandatory program for Ethernet, filter_raw that for
    interfaces without a link-layer header (none: those are refused).
    """

    where: str
    interface: str
    any: bool
    promiscuous: bool
    count: int
    ring_max: int
    snaplen: int
    filter: filters.Program
    filter_raw: filters.Program

    def fits(self, interface: str) -> bool:
        """Say whether the entry is for this interface."""
        if interface == wire.ANY:
            return self.any
        return bool(self.interface) and fnmatch.fnmatchcase(interface, self.interface)


@dataclass(frozen=True, slots=True)
class Policy:
    """The whole policy; `source` is the file's path or "the command line"."""

    source: str
    netns: str
    peers: tuple[Peer, ...]
    taps: tuple[Tap, ...]
    socket: str = wire.SOCKET_PATH
    group: int | None = None
    captures: tuple[Capture, ...] = ()
    capture_socket: str = wire.CAPTURE_SOCKET_PATH
    exclude: tuple[str, ...] = EXCLUDED

    def admit(self, uid: int, groups: Collection[int]) -> None:
        """Raise RefusedError unless a [[peer]] names this user or one of its groups."""
        if any(p.uid == uid if p.uid is not None else p.gid in groups for p in self.peers):
            return
        raise RefusedError(f"user {uid} is no peer: {self.source} has no [[peer]] for it")

    def permit(self, kind: Kind, name: str, netns: str) -> Tap:
        """Find the entry that permits this device; raises RefusedError, naming each entry's reason."""
        if netns != self.netns:
            raise RefusedError(f"{_place(netns)} is another helper's: this one serves {_place(self.netns)}")
        reasons = []
        for tap in self.taps:
            if tap.kind is not kind:
                reasons.append(f"{tap.where} is for {tap.kind.name.lower()}")
            elif tap.netns != netns:
                reasons.append(f"{tap.where} is for {_place(tap.netns)}")
            elif not fnmatch.fnmatchcase(name, tap.name):
                reasons.append(f"{tap.where} is for the name {tap.name!r}")
            else:
                return tap
        wanted = f"{kind.name.lower()} {name} in {_place(netns)}"
        why = "; ".join(reasons) if reasons else "it has no [[tap]]"
        raise RefusedError(f"{wanted} is not permitted by {self.source}: {why}")

    def excluded(self, interface: str) -> str | None:
        """Give the pattern of `exclude` that keeps this interface from being captured."""
        return next((p for p in self.exclude if fnmatch.fnmatchcase(interface, p)), None)

    def permit_capture(self, interface: str, *, promiscuous: bool) -> Capture:
        """Find the entry that permits this capture; raises RefusedError, naming each entry's reason."""
        wanted = f"capture from {interface}" + (" (promiscuous)" if promiscuous else "")
        pattern = self.excluded(interface) if interface != wire.ANY else None
        if pattern:
            raise RefusedError(f"{wanted} is not permitted by {self.source}: exclude has {pattern!r}")
        reasons = []
        for entry in self.captures:
            if not entry.fits(interface):
                names = [repr(entry.interface)] if entry.interface else []
                reasons.append(f"{entry.where} is for {' and '.join(names + ['any'] * entry.any)}")
            elif promiscuous and not entry.promiscuous:
                reasons.append(f"{entry.where} has promiscuous = false")
            else:
                return entry
        why = "; ".join(reasons) if reasons else "it has no [[capture]]"
        raise RefusedError(f"{wanted} is not permitted by {self.source}: {why}")


def _place(netns: str) -> str:
    return f"namespace {netns}" if netns else "the current namespace"


def one_device(netns: str, name: str, kind: Kind, mtu: int, txqueuelen: int) -> Policy:
    """Make the policy that the command line gives as arguments: exactly one device."""
    try:
        wire.check_name(name)
        wire.check_netns(netns)
        wire.check_limits(mtu, txqueuelen)
    except ValueError as error:
        raise HelperError(str(error)) from None
    tap = Tap("the command line", netns, name, kind, 1, mtu, txqueuelen)
    return Policy("the command line", netns, (), (tap,))


def these_interfaces(interfaces: list[str], ring_max: int, sockets: int, snaplen: int) -> Policy:
    """Make the policy that the command line gives as arguments: exactly these interfaces.

    Frames for other hosts are admitted, as the interface delivers them (a bridge's port, a veth); whether it is made
    promiscuous is what each request says.
    """
    everything = filters.accept(snaplen)
    entries = tuple(
        Capture(
            "the command line", "" if name == wire.ANY else name, name == wire.ANY, True,  # noqa: FBT003
            sockets, ring_max, snaplen, everything, everything,
        )
        for name in interfaces
    )  # fmt: skip
    try:
        for name in interfaces:
            wire.check_name(name)
    except ValueError as error:
        raise HelperError(str(error)) from None
    return Policy("the command line", "", (), (), captures=entries)
