"""What can be asked of a helper in the role *tap*, and the devices it has made.

A service keeps a duplicate of each device, so the device and its readers survive the
daemon, and the same device goes back to the peer that asks for the same name,
namespace and kind again; the service manager's store keeps it over the helper's own
restart. A helper of the command line keeps none: its device lives exactly as long as
the run.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lippycat_helper import rules, tap
from lippycat_helper.manager import Manager
from lippycat_helper.operations import Answer, Session, answer_from
from lippycat_helper.report import HelperError, InUseError, PlaceGoneError, RefusedError, say
from lippycat_helper.wire import Descriptor, Operation, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from lippycat_helper.boot import Place
    from lippycat_helper.policy import Policy, Tap
    from lippycat_helper.tap import Device
    from lippycat_helper.wire import Kind


@dataclass(slots=True)
class _Kept:
    device: Device
    holder: Session | None


@dataclass(slots=True)
class Devices:
    """What the operations act on."""

    policy: Policy
    place: Place
    keeps: bool
    manager: Manager = field(default_factory=Manager)
    _devices: dict[str, _Kept] = field(default_factory=dict)
    _guard: int = -1

    def answer(self, session: Session, request: Request, fds: list[int]) -> Answer:
        """Do what is asked, once more checking that it may be; raises HelperError."""
        self._check_place()
        return answer_from(TABLE, "tap", request)(self, session, request, fds)

    def ended(self, session: Session) -> None:
        """Note that the connection is gone; its devices wait for the next one."""
        for kept in self._devices.values():
            if kept.holder is session:
                kept.holder = None

    def restore(self) -> None:
        """Take back what the store kept, if it is still what the policy permits here."""
        for name, fd, guard in self.manager.take():
            try:
                device = self._known(tap.kind_of(fd), name, fd)
                device.guard = guard if guard >= 0 else rules.deafen(name)
            except HelperError as error:
                say(f"{name} of the service manager's store is let go: {error}")
                for each in {fd, guard} - {-1}:
                    os.close(each)
                self.manager.forget(name)
            else:
                self._devices[name] = _Kept(device, None)
                say(f"{name} was kept by the service manager ({device.entry.where})")

    def enforce(self, sessions: Collection[Session]) -> set[Session]:  # noqa: ARG002  each device names its holder
        """Remove the devices that the policy permits no more; gives the connections that had them."""
        lost: set[Session] = set()
        count: Counter[Tap] = Counter()
        for name, kept in list(self._devices.items()):
            device = kept.device
            try:
                device.entry = self.policy.permit(device.entry.kind, name, self.place.netns)
                _check_count(count[device.entry], device.entry, name)
                tap.configure(device.entry, name, device.ifindex)
                count[device.entry] += 1
            except HelperError as error:
                say(f"{name} is removed: {error}")
                self._forget(name)
                with contextlib.suppress(HelperError):
                    tap.remove(name, device.ifindex)
                if kept.holder:
                    lost.add(kept.holder)
        return lost

    def tick(self) -> None:
        """See that the namespace is still the one of its name, and that the devices are root's."""
        self._check_place()
        for kept in self._devices.values():
            with contextlib.suppress(OSError):
                kept.device.own()

    def close(self) -> None:
        """Let all devices go; what the service manager's store has stays there."""
        for kept in self._devices.values():
            kept.device.close()
        self._devices.clear()

    def _check_place(self) -> None:
        if not self.keeps or self.place.current():
            return
        for name in list(self._devices):
            self._forget(name)
        raise PlaceGoneError(
            f"the namespace {self.place.netns} was removed or made anew: its devices are let go, "
            "and the next helper serves the new one"
        )

    def _forget(self, name: str) -> None:
        self._devices.pop(name).device.close()
        self.manager.forget(name)

    def _keep(self, device: Device, session: Session) -> None:
        self._devices[device.name] = _Kept(device, session)
        self.manager.keep(device.name, device.fd, device.guard)

    def ping(self, _session: Session, request: Request, _fds: list[int]) -> Answer:
        """Say that the helper lives, and in which namespace."""
        return Answer(self._reply(request))

    def create(self, session: Session, request: Request, _fds: list[int]) -> Answer:
        """Give the device: the one that is kept, or a new one."""
        entry = self.policy.permit(request.kind, request.name, request.netns)
        kept = self._living(request.name)
        if kept:
            self._again(kept, session, request)
            return self._share(kept.device, request, Descriptor.DEVICE | Descriptor.GUARD, existing=True)
        _check_count(sum(k.device.entry == entry for k in self._devices.values()), entry, request.name)
        try:
            device = tap.create(entry, request.name)
        except InUseError as error:
            raise InUseError(f"{request.name} in {_place(request.netns)} {error}") from None
        say(f"{request.kind.name.lower()} {request.name} made for {session.who} ({entry.where})")
        if not self.keeps:
            return self._hand_over(device, request)
        self._keep(device, session)
        return self._share(device, request, Descriptor.DEVICE | Descriptor.GUARD)

    def adopt(self, session: Session, request: Request, fds: list[int]) -> Answer:
        """Take back a device that a helper before this one made, from its holder."""
        self.policy.permit(request.kind, request.name, request.netns)
        if not self.keeps:
            raise RefusedError("a helper of the command line keeps no device")
        found = self._known(request.kind, request.name, fds[0])
        kept = self._living(request.name)
        if kept:
            self._again(kept, session, request)
            return self._share(kept.device, request, Descriptor.GUARD, existing=True)
        living = sum(k.device.entry == found.entry for k in self._devices.values())
        _check_count(living, found.entry, request.name)
        found.guard = rules.deafen(request.name)
        found.fd = fcntl.fcntl(fds[0], fcntl.F_DUPFD_CLOEXEC, 3)
        self._keep(found, session)
        tap.configure(found.entry, request.name, found.ifindex)
        say(f"{request.kind.name.lower()} {request.name} adopted from {session.who} ({found.entry.where})")
        return self._share(found, request, Descriptor.GUARD, existing=True)

    def release(self, session: Session, request: Request, _fds: list[int]) -> Answer:
        """Stop keeping a device: it ends when the peer closes its descriptor."""
        self.policy.permit(request.kind, request.name, request.netns)
        kept = self._devices.get(request.name)
        if kept:
            self._check_holder(kept, session, request)
            self._forget(request.name)
            say(f"{request.name} released by {session.who}")
        return Answer(self._reply(request))

    def _known(self, kind: Kind, name: str, fd: int) -> Device:
        """Recognise a device by its descriptor."""
        entry = self.policy.permit(kind, name, self.place.netns)
        return tap.recognise(entry, name, fd, (self.place.dev, self.place.inode))

    def _living(self, name: str) -> _Kept | None:
        kept = self._devices.get(name)
        if kept and not kept.device.alive():
            say(f"{name} has vanished")
            self._forget(name)
            return None
        return kept

    def _again(self, kept: _Kept, session: Session, request: Request) -> None:
        self._check_holder(kept, session, request)
        device = kept.device
        tap.configure(device.entry, device.name, device.ifindex)
        kept.holder = session
        say(f"{request.name} given again to {session.who}")

    @staticmethod
    def _check_holder(kept: _Kept, session: Session, request: Request) -> None:
        if kept.device.entry.kind is not request.kind:
            raise InUseError(f"{request.name} is kept as a {kept.device.entry.kind.name.lower()}")
        if kept.holder not in {None, session}:
            who = kept.holder.who if kept.holder else ""
            raise InUseError(f"{request.name} in {_place(request.netns)} is in use by {who}")

    def _share(self, device: Device, request: Request, which: Descriptor, *, existing: bool = False) -> Answer:
        reply = self._reply(request, device, which, existing=existing)
        fds = {Descriptor.DEVICE: device.fd, Descriptor.GUARD: device.guard}
        return Answer(reply, tuple(fd for what, fd in fds.items() if what in which))

    def _hand_over(self, device: Device, request: Request) -> Answer:
        """Give the device away; of its guard both ends of the run hold one."""
        reply = self._reply(request, device, Descriptor.DEVICE | Descriptor.GUARD)
        spent = tuple(fd for fd in (device.fd, self._guard) if fd >= 0)
        self._guard = device.guard
        return Answer(reply, (device.fd, device.guard), spent)

    def _reply(
        self,
        request: Request,
        device: Device | None = None,
        descriptors: Descriptor = Descriptor.NONE,
        *,
        existing: bool = False,
    ) -> Reply:
        return Reply(
            request.operation,
            request.sequence,
            kind=request.kind,
            descriptors=descriptors,
            existing=existing,
            ifindex=device.ifindex if device else 0,
            mtu=device.entry.mtu if device else 0,
            txqueuelen=device.entry.txqueuelen if device else 0,
            netns_dev=self.place.dev,
            netns_inode=self.place.inode,
        )


def _check_count(count: int, entry: Tap, name: str) -> None:
    if count >= entry.count:
        raise RefusedError(f"{name} would be device {count + 1} of {entry.where}, which permits {entry.count}")


def _place(netns: str) -> str:
    return netns or "the current namespace"


TABLE: dict[Operation, Callable[[Devices, Session, Request, list[int]], Answer]] = {
    Operation.PING: Devices.ping,
    Operation.CREATE: Devices.create,
    Operation.ADOPT: Devices.adopt,
    Operation.RELEASE: Devices.release,
}
