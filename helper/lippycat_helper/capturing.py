"""What can be asked of a helper in the role *capture*, and the sockets it has passed.

A capture lives as long as the connection that asked for it, or until it is released: the
helper's part (its duplicates and the mappings that pin the rings) ends then.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lippycat_helper import capture
from lippycat_helper.operations import Answer, Session, answer_from
from lippycat_helper.report import RefusedError, say
from lippycat_helper.wire import Descriptor, Operation, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from lippycat_helper.boot import Place
    from lippycat_helper.capture import Sockets
    from lippycat_helper.policy import Capture, Policy

_NUMBER_MAX = 0xFFFF_FFFF


@dataclass(slots=True)
class Capturing:
    """What the operations act on: the captures of each connection, by number."""

    policy: Policy
    place: Place
    _captures: dict[Session, dict[int, Sockets]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def answer(self, session: Session, request: Request, fds: list[int]) -> Answer:  # noqa: ARG002  none is taken
        """Do what is asked, once more checking that it may be; raises HelperError."""
        return answer_from(TABLE, "capture", request)(self, session, request)

    def ended(self, session: Session) -> None:
        """Let go what the connection had."""
        for made in self._captures.pop(session, {}).values():
            self._let_go(session, made)

    def enforce(self, sessions: Collection[Session]) -> set[Session]:
        """End the captures that the policy would not permit so any more; gives their connections.

        A locked filter cannot change, so a capture ends too when its entry's filter, snap
        length or promiscuity is another now: who asks again gets the new one. A connection
        without a capture ends too: its peer may hold sockets of a helper before this one, and
        has to ask.
        """
        lost = {session for session in sessions if not self._captures.get(session)}
        for session, captures in self._captures.items():
            for number, made in list(captures.items()):
                reason = self._against(made)
                if reason:
                    made.revoke()
                    del captures[number]
                    lost.add(session)
                    say(f"capture from {made.interface} of {session.who} was ended: {reason}")
        return lost

    def _against(self, made: Sockets) -> str:
        """Say what the policy now has against a capture; empty when it may go on."""
        old = made.entry
        try:
            new = self.policy.permit_capture(made.interface, promiscuous=made.promiscuous)
        except RefusedError as error:
            return str(error)
        as_before = replace(new, where=old.where, interface=old.interface, count=old.count, ring_max=old.ring_max)
        if replace(as_before, any=old.any) != old:
            return f"{new.where} confines it otherwise"
        made.entry = new
        living = [m for each in self._captures.values() for m in each.values() if m.entry == new]
        if sum(len(m.sockets) for m in living) > new.count or sum(m.bytes for m in living) > new.ring_max:
            return f"{new.where} permits fewer"
        return ""

    def tick(self) -> None:
        """There is nothing to look after: the sockets stay where they were made."""

    def close(self) -> None:
        """Let all captures go."""
        for session in list(self._captures):
            self.ended(session)

    def ping(self, _session: Session, request: Request) -> Answer:
        """Say that the helper lives, and in which namespace it captures."""
        return Answer(self._reply(request))

    def capture(self, session: Session, request: Request) -> Answer:
        """Give the sockets."""
        entry = self.policy.permit_capture(request.name, promiscuous=request.promiscuous)
        self._bounds(entry, request)
        made = capture.create(entry, request, self.policy.excluded)
        number = next(self._numbers) & _NUMBER_MAX
        self._captures.setdefault(session, {})[number] = made
        say(f"{_words(made)} for {session.who} ({entry.where})")
        return Answer(self._reply(request, made, number), tuple(s.fileno() for s in made.sockets))

    def release(self, session: Session, request: Request) -> Answer:
        """Let one capture go; it ends when the peer closes its descriptors."""
        made = self._captures.get(session, {}).pop(request.capture, None)
        if made is None:
            raise RefusedError(f"this connection has no capture {request.capture}")
        self._let_go(session, made)
        return Answer(self._reply(request))

    @staticmethod
    def _let_go(session: Session, made: Sockets) -> None:
        made.close()
        say(f"capture from {made.interface} of {session.who} has ended")

    def _bounds(self, entry: Capture, request: Request) -> None:
        """An entry's sockets and ring memory are bounded for all its captures together."""
        living = [m for each in self._captures.values() for m in each.values() if m.entry == entry]
        count = sum(len(made.sockets) for made in living) + request.sockets
        if count > entry.count:
            raise RefusedError(
                f"{request.name} would have socket {count} of {entry.where}, which permits {entry.count}"
            )
        size = request.sockets * request.block_size * request.block_count
        total = sum(made.bytes for made in living) + size
        if total > entry.ring_max:
            raise RefusedError(
                f"a ring of {size} bytes for {request.name} makes {total} of {entry.where}, "
                f"whose ring_max is {entry.ring_max}"
            )

    def _reply(self, request: Request, made: Sockets | None = None, number: int = 0) -> Reply:
        reply = Reply(
            request.operation, request.sequence, netns_dev=self.place.dev, netns_inode=self.place.inode
        )  # fmt: skip
        if made is None:
            return reply
        return replace(
            reply, descriptors=Descriptor.CAPTURE, any=made.ifindex == 0, hardware=made.hardware,
            ifindex=made.ifindex, arphrd=made.arphrd, snaplen=made.snaplen,
            sockets=len(made.sockets), capture=number,
        )  # fmt: skip


def _words(made: Sockets) -> str:
    sockets = f" with {len(made.sockets)} sockets" if len(made.sockets) > 1 else ""
    return f"capture from {made.interface}{sockets}{', promiscuous,' if made.promiscuous else ''}"


TABLE: dict[Operation, Callable[[Capturing, Session, Request], Answer]] = {
    Operation.PING: Capturing.ping,
    Operation.CAPTURE: Capturing.capture,
    Operation.RELEASE: Capturing.release,
}
