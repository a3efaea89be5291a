"""The table of what can be asked of a helper in the role *tap*, and the devices it has made.

A service keeps a duplicate of each device, so the device and its readers survive the
daemon, and the same device goes back to the peer that asks for the same name,
namespace and kind again. A helper of the command line keeps none: its device lives
exactly as long as the run.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from lippycat_helper import tap
from lippycat_helper.report import InUseError, RefusedError, say
from lippycat_helper.wire import Descriptor, Operation, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lippycat_helper.boot import Place
    from lippycat_helper.policy import Policy, Tap
    from lippycat_helper.tap import Device

_Asked = TypeVar("_Asked")


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply and the descriptors that go with it; `spent` are closed once it is sent."""

    reply: Reply
    fds: tuple[int, ...] = ()
    spent: tuple[int, ...] = ()


@dataclass(slots=True, eq=False)
class Session:
    """One connection."""

    who: str


@dataclass(slots=True)
class _Kept:
    device: Device
    holder: Session | None


@dataclass(slots=True)
class Helper:
    """What the operations act on."""

    policy: Policy
    place: Place
    keeps: bool
    _devices: dict[str, _Kept] = field(default_factory=dict)
    _guard: int = -1

    def answer(self, session: Session, request: Request) -> Answer:
        """Do what is asked, once more checking that it may be; raises HelperError."""
        return answer_from(TABLE, "tap", request)(self, session, request)

    def ended(self, session: Session) -> None:
        """Note that the connection is gone; its devices wait for the next one."""
        for kept in self._devices.values():
            if kept.holder is session:
                kept.holder = None

    def close(self) -> None:
        """Let all devices go."""
        for kept in self._devices.values():
            kept.device.close()
        self._devices.clear()

    def ping(self, _session: Session, request: Request) -> Answer:
        """Say that the helper lives, and in which namespace."""
        return Answer(self._reply(request))

    def create(self, session: Session, request: Request) -> Answer:
        """Give the device: the one that is kept, or a new one."""
        entry = self.policy.permit(request.kind, request.name, request.netns)
        kept = self._devices.get(request.name)
        if kept and not kept.device.alive():
            say(f"{request.name} has vanished: it is made again")
            self._devices.pop(request.name).device.close()
            kept = None
        if kept:
            return self._again(kept, session, request)
        self._count(entry, request.name)
        try:
            device = tap.create(entry, request.name)
        except InUseError as error:
            raise InUseError(f"{request.name} in {_place(request.netns)} {error}") from None
        say(f"{request.kind.name.lower()} {request.name} made for {session.who} ({entry.where})")
        if not self.keeps:
            return self._hand_over(device, request)
        self._devices[request.name] = _Kept(device, session)
        return self._share(device, request, existing=False)

    def release(self, session: Session, request: Request) -> Answer:
        """Stop keeping a device: it ends when the peer closes its descriptor."""
        self.policy.permit(request.kind, request.name, request.netns)
        kept = self._devices.get(request.name)
        if kept:
            self._check_holder(kept, session, request)
            self._devices.pop(request.name).device.close()
            say(f"{request.name} released by {session.who}")
        return Answer(self._reply(request))

    def _again(self, kept: _Kept, session: Session, request: Request) -> Answer:
        self._check_holder(kept, session, request)
        device = kept.device
        tap.configure(device.entry, device.name, device.ifindex)
        kept.holder = session
        say(f"{request.name} given again to {session.who}")
        return self._share(device, request, existing=True)

    @staticmethod
    def _check_holder(kept: _Kept, session: Session, request: Request) -> None:
        if kept.device.entry.kind is not request.kind:
            raise InUseError(f"{request.name} is kept as a {kept.device.entry.kind.name.lower()}")
        if kept.holder not in {None, session}:
            who = kept.holder.who if kept.holder else ""
            raise InUseError(f"{request.name} in {_place(request.netns)} is in use by {who}")

    def _count(self, entry: Tap, name: str) -> None:
        count = sum(kept.device.entry == entry for kept in self._devices.values())
        if count >= entry.count:
            raise RefusedError(f"{name} would be device {count + 1} of {entry.where}, which permits {entry.count}")

    def _share(self, device: Device, request: Request, *, existing: bool) -> Answer:
        reply = self._reply(request, device, Descriptor.DEVICE | Descriptor.GUARD, existing=existing)
        return Answer(reply, (device.fd, device.guard))

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


def _place(netns: str) -> str:
    return netns or "the current namespace"


TABLE: dict[Operation, Callable[[Helper, Session, Request], Answer]] = {
    Operation.PING: Helper.ping,
    Operation.CREATE: Helper.create,
    Operation.RELEASE: Helper.release,
}


def answer_from(table: Mapping[Operation, _Asked], role: str, request: Request) -> _Asked:
    """Look the operation up; raises RefusedError when it belongs to the other role."""
    asked = table.get(request.operation)
    if asked is None or (request.operation is Operation.RELEASE and bool(request.capture) != (role == "capture")):
        raise RefusedError(f"{request.operation.name} is not for a helper in the role {role}")
    return asked


def close_spent(answer: Answer) -> None:
    """Close what was handed over."""
    for fd in answer.spent:
        os.close(fd)
