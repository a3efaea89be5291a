"""Where lippycatd connects: the listening socket, and those who are connected."""

from __future__ import annotations

import contextlib
import grp
import os
import socket
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from lippycatd.errors import NotPossible
from lippycatd.model import handover
from lippycatd.model.handover import Kind, Malformed, Wants

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from lippycatd.model.handover import Captured
    from lippycatd.sandbox.identity import Identity

GROUP = "lippycat"
MAX_CLIENTS = 32
_BACKLOG = 16
_AT_ONCE = 256  # messages of one client until the next one's turn
_SEND_BUFFER = 1 << 20  # bytes: a list of pods


def bind(path: str, runs_as: Identity) -> socket.socket:
    """The listening socket: 0660, the user's it will run as, and the group's where that is ours to give.

    Raises NotPossible with one line.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        _remove_stale(path)
        before = os.umask(0o117)
        try:
            listener.bind(path)
        finally:
            os.umask(before)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise NotPossible(f"relay.socket: {path}: {error.strerror or error}; name a place that can be had") from None
    except NotPossible:
        listener.close()
        raise
    with contextlib.suppress(OSError):
        os.chown(path, runs_as.uid if runs_as.drop else -1, _group(runs_as))
    return listener


def _group(runs_as: Identity) -> int:
    try:
        return grp.getgrnam(GROUP).gr_gid
    except KeyError:
        return runs_as.gid if runs_as.drop else -1


def _remove_stale(path: str) -> None:
    """Removes the file of a relay that has gone."""
    if not Path(path).exists():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
        else:
            raise NotPossible(f"relay.socket: {path}: another lippycat-relay listens there; end it, or name another")


class Client:
    """One daemon's connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.name = ""
        self.wants = Wants(0)
        self.waiting: list[bytes] = []  # messages that its socket had no room for


class Hub:
    """Takes connections and messages; `take` gets what was captured. Used by one thread."""

    def __init__(
        self,
        listener: socket.socket,
        has: Wants,
        take: Callable[[Captured], None],
        greet: Callable[[], list[bytes]],
        log: FilteringBoundLogger,
    ) -> None:
        self.listener, self._has, self._take, self._greet, self._log = listener, has, take, greet, log
        listener.setblocking(False)  # noqa: FBT003  socket's signature
        self.clients: dict[int, Client] = {}
        self.received = 0
        self.refused: Counter[str] = Counter()

    def accept(self) -> Client | None:
        """The next connection."""
        try:
            sock, _ = self.listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return None
        sock.setblocking(False)  # noqa: FBT003
        client = Client(sock)
        if len(self.clients) >= MAX_CLIENTS:
            self._refuse(client, "clients", f"lippycat-relay serves {MAX_CLIENTS} connections at once")
            sock.close()
            return None
        self.clients[sock.fileno()] = client
        return client

    def read(self, client: Client) -> bool:
        """Takes what a client has sent; False when its connection has ended."""
        try:
            for _ in range(_AT_ONCE):
                message = handover.receive(client.sock)
                if not message:
                    return self._end(client, "")
                if not self._dispatch(client, *handover.split(message)):
                    return False
        except BlockingIOError:
            return True
        except Malformed as error:
            self._refuse(client, str(error), f"a malformed message ({error})")
            return self._end(client, f"sent a malformed message ({error})")
        except OSError as error:
            return self._end(client, error.strerror or str(error))
        return True

    def _dispatch(self, client: Client, kind: Kind, body: bytes) -> bool:
        if kind is Kind.HELLO and not client.name:
            wants, name = handover.flags(body)
            client.name, client.wants = name or "?", wants & self._has
            self.send(client, handover.welcome(client.wants))
            if Wants.PODS in client.wants:
                for message in self._greet():
                    self.send(client, message)
            self._log.info("lippycatd is connected", pipeline=client.name)
            return True
        if kind is Kind.CAPTURED and Wants.HEP in client.wants:
            self._take(handover.captured(body))
            self.received += 1
            return True
        raise Malformed("unexpected")

    def send(self, client: Client, message: bytes) -> None:
        """Sends, or keeps for later; a client that takes nothing for too long is cut off."""
        client.waiting.append(message)
        self.flush(client)
        if len(client.waiting) > _WAITING:
            self._refuse(client, "slow", "too slow")
            self._end(client, "takes nothing")

    def flush(self, client: Client) -> None:
        """Sends what waits, as far as there is room."""
        sent = 0
        with contextlib.suppress(OSError):
            for message in client.waiting:
                client.sock.send(message)
                sent += 1
        del client.waiting[:sent]

    def tell(self, messages: list[bytes]) -> None:
        """Sends to all who asked for pods."""
        for client in [each for each in self.clients.values() if Wants.PODS in each.wants]:
            for message in messages:
                self.send(client, message)

    def _refuse(self, client: Client, reason: str, line: str) -> None:
        self.refused[reason] += 1
        with contextlib.suppress(OSError):
            client.sock.send(handover.refused(line))

    def _end(self, client: Client, why: str) -> bool:
        self.clients.pop(client.sock.fileno(), None)
        client.sock.close()
        if why:
            self._log.warning(f"a connection of lippycatd was ended: {why}", pipeline=client.name)
        return False

    def close(self) -> None:
        """Ends all connections."""
        for client in list(self.clients.values()):
            self._end(client, "")
        self.listener.close()


_WAITING = 20_000  # messages: more pods than a node has
