"""Connections: one inherited socket (command line), or a listening one (service)."""

# System calls as the kernel has them: flags and errno are what counts here.
# ruff: noqa: PTH108, PTH116, PTH120

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import struct
import time
from array import array
from typing import TYPE_CHECKING, Protocol

from lippycat_helper import wire
from lippycat_helper.marker import make_directory
from lippycat_helper.operations import Answer, Session, close_spent
from lippycat_helper.report import HelperError, RefusedError, say
from lippycat_helper.wire import Descriptor, MalformedError, Operation, Reply, Request, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from lippycat_helper.boot import Lease
    from lippycat_helper.manager import Manager
    from lippycat_helper.policy import Policy

_SO_PEERGROUPS = 59  # asm-generic/socket.h
_GROUPS_SIZE = 1024  # bytes, the most that Python's getsockopt reads: 256 groups
_CONNECTIONS_MAX = 64
_TICK_SECONDS = 1.0


class Role(Protocol):
    """What a connection is served by: `operations.Helper` or `capturing.Capturing`."""

    policy: Policy

    def answer(self, session: Session, request: Request, fds: list[int]) -> Answer:
        """Do what is asked; raises HelperError. A descriptor that is kept is duplicated."""

    def ended(self, session: Session) -> None:
        """Note that the connection is gone."""

    def enforce(self, sessions: Collection[Session]) -> set[Session]:
        """Close what the policy permits no longer; gives those of the connections that had it."""

    def tick(self) -> None:
        """Look after what is held, about once a second; raises PlaceGoneError."""

    def close(self) -> None:
        """Let everything go."""


def greet(sock: socket.socket, lease: Lease | None = None) -> None:
    """Say first that this peer is served; it gets its part of the namespace's lease."""
    if lease:
        descriptors = Descriptor.LEASE | Descriptor.ALIVE | Descriptor.DONE
        fds = (lease.marker, lease.alive, lease.done)
        wire.send(sock, Reply(Operation.GREETING, descriptors=descriptors).pack(), fds)
    else:
        wire.send(sock, Reply(Operation.GREETING).pack())


def refuse(sock: socket.socket, error: HelperError) -> None:
    """Say first that this peer is not served, and why."""
    with contextlib.suppress(OSError):
        wire.send(sock, Reply(Operation.GREETING, status=error.status, text=str(error)).pack())


def serve_one(helper: Role, sock: socket.socket) -> None:
    """Serve the parent until it ends the connection."""
    session = Session("the command line", os.getuid(), frozenset())
    while _step(helper, session, sock):
        pass
    helper.ended(session)


def _step(helper: Role, session: Session, sock: socket.socket) -> bool:
    """Answer one request; False when the connection has ended or must end."""
    try:
        message, fds = wire.receive(sock, Request.size(), wire.REQUEST_FDS_MAX)
        if not message:
            return False
        try:
            request = _request(message, fds)
            answer = _answer(helper, session, request, fds)
        finally:
            for fd in fds:
                os.close(fd)
    except MalformedError as error:
        say(f"connection of {session.who} closed: {error}")
        return False
    except OSError:
        return False
    try:
        wire.send(sock, answer.reply.pack(), answer.fds)
    except OSError as error:
        say(f"connection of {session.who} closed: {error.strerror}")
        return False
    finally:
        close_spent(answer)
    return answer.reply.status is not Status.REFUSED


def _request(message: bytes, fds: list[int]) -> Request:
    request = Request.unpack(message)
    if len(fds) != (request.operation is Operation.ADOPT):
        raise MalformedError(f"{request.operation.name} with {len(fds)} descriptors")
    return request


def _answer(helper: Role, session: Session, request: Request, fds: list[int]) -> Answer:
    try:
        return helper.answer(session, request, fds)
    except HelperError as error:
        status, text = error.status, str(error)
    except OSError as error:
        status, text = Status.NOT_POSSIBLE, f"cannot do it: {error.strerror}"
    say(f"{session.who}: {request.operation.name}: {text}")
    return Answer(Reply(request.operation, request.sequence, status=status, text=text))


@contextlib.contextmanager
def listening(inherited: socket.socket | None, path: str, group: int | None) -> Iterator[socket.socket]:
    """Give the service's socket: the inherited one, or a new one at this path.

    Its own file is removed at the end; one that a killed helper left is replaced.
    """
    if inherited:
        with inherited:
            yield inherited
        return
    with _listen(path, group) as sock:
        try:
            yield sock
        finally:
            with contextlib.suppress(OSError):
                os.unlink(path)


def _listen(path: str, group: int | None) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        _remove_stale(path)
        make_directory(os.path.dirname(path))
        before = os.umask(0o117)
        try:
            sock.bind(path)
        finally:
            os.umask(before)
        if group is not None and os.stat(path).st_gid != group:
            os.chown(path, -1, group)
        sock.listen(_CONNECTIONS_MAX)
    except OSError as error:
        sock.close()
        raise HelperError(f"cannot listen on {path}: {error.strerror}") from None
    return sock


def _remove_stale(path: str) -> None:
    """Remove the socket file of a dead helper: nobody listens on it."""
    if not os.path.lexists(path):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        else:
            raise HelperError(f"another helper listens on {path}: end it first")


class Service:
    """The loop of the service: it ends with SIGTERM or SIGINT, or with PlaceGoneError."""

    def __init__(self, helper: Role, listener: socket.socket, reread: Callable[[], Policy], manager: Manager) -> None:
        self._helper = helper
        self._listener = listener
        self._reread = reread
        self._manager = manager
        self._poll = selectors.DefaultSelector()
        self._sessions: dict[socket.socket, Session] = {}

    def run(self) -> None:
        """Accept and answer until told to end."""
        ends, wakes = socket.socketpair()
        with ends, wakes:
            for sock in (ends, wakes, self._listener):
                sock.settimeout(0)
            signal.set_wakeup_fd(wakes.fileno())
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, lambda *_: None)
            for sock in (ends, self._listener):
                self._poll.register(sock, selectors.EVENT_READ)
            self._manager.tell("READY=1", "STATUS=serving")
            self._loop(ends)

    def _loop(self, ends: socket.socket) -> None:
        every = min(_TICK_SECONDS, self._manager.watchdog / 2 or _TICK_SECONDS)
        due = time.monotonic() + every
        while True:
            for key, _ in self._poll.select(max(0.0, due - time.monotonic())):
                if key.fileobj is not ends:
                    self._ready(key.fileobj)
                elif self._signalled(ends.recv(64)):
                    return
            if time.monotonic() >= due:
                due = time.monotonic() + every
                self._helper.tick()
                if self._manager.watchdog:
                    self._manager.tell("WATCHDOG=1")

    def _signalled(self, numbers: bytes) -> bool:
        """Act on signals; True when told to end."""
        if {signal.SIGTERM, signal.SIGINT} & set(numbers):
            return True
        self._manager.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            self._helper.policy = self._reread()
        except HelperError as error:
            say(f"the policy was not read again, the old one stays: {error}")
        else:
            lost = self._helper.enforce(self._sessions.values()) | {
                s for s in self._sessions.values() if not self._still(s)
            }
            for sock in [sock for sock, session in self._sessions.items() if session in lost]:
                self._drop(sock)
            say(f"the policy {self._helper.policy.source} was read again")
        self._manager.tell("READY=1")
        return False

    def _still(self, session: Session) -> bool:
        """Say whether the policy still names this peer."""
        try:
            self._helper.policy.admit(session.uid, session.groups)
        except RefusedError as error:
            say(f"connection of {session.who} closed: {error}")
            return False
        return True

    def _ready(self, sock: object) -> None:
        if sock is self._listener:
            self._accept()
        elif isinstance(sock, socket.socket):
            session = self._sessions.get(sock)
            if session and not _step(self._helper, session, sock):
                self._drop(sock)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        sock.settimeout(0)
        try:
            session = self._admit(sock)
            greet(sock)
        except (HelperError, OSError) as error:
            say(f"connection refused: {error}")
            if isinstance(error, HelperError):
                refuse(sock, error)
            sock.close()
            return
        self._sessions[sock] = session
        self._poll.register(sock, selectors.EVENT_READ)

    def _admit(self, sock: socket.socket) -> Session:
        if len(self._sessions) >= _CONNECTIONS_MAX:
            raise RefusedError(f"{_CONNECTIONS_MAX} connections are open already")
        uid, groups, pid = _peer(sock)
        self._helper.policy.admit(uid, groups)
        # 0 where the peer is in another PID namespace.
        return Session(f"user {uid}" + (f", pid {pid}" if pid else ""), uid, frozenset(groups))

    def _drop(self, sock: socket.socket) -> None:
        self._poll.unregister(sock)
        self._helper.ended(self._sessions.pop(sock))
        sock.close()


def _peer(sock: socket.socket) -> tuple[int, set[int], int]:
    """Read the peer's user, all its groups, and its pid (SO_PEERCRED, SO_PEERGROUPS)."""
    credentials = struct.Struct("3i")
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, credentials.size)
    pid, uid, gid = credentials.unpack(raw)
    groups = array("I")
    # With more groups than fit (ERANGE) only the primary one counts.
    with contextlib.suppress(OSError):
        groups.frombytes(sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_SIZE))
    return uid, {gid, *groups}, pid
