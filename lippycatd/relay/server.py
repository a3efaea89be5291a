"""A server that packets are sent to, as the configuration names it."""

from __future__ import annotations

import contextlib
import dataclasses
import select
import socket
import ssl
import time
from typing import TYPE_CHECKING

from lippycatd.config import checks
from lippycatd.errors import ConfigError

if TYPE_CHECKING:
    from lippycatd.config import Config

PATIENCE = 10.0  # seconds that a connection, or a send, may take
_LOOK = 0.05  # seconds in which a refused datagram is told


@dataclasses.dataclass(frozen=True, slots=True)
class Server:
    """Where, and by what: `udp`, `tcp` or `tls`."""

    kind: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind}://{host}:{self.port}"

    @property
    def is_name(self) -> bool:
        """Whether name servers are asked for it."""
        try:
            socket.getaddrinfo(self.host, None, flags=socket.AI_NUMERICHOST)
        except OSError:
            return True
        return False


def servers(config: Config) -> list[Server]:
    """All that are configured."""
    return [Server(*checks.split_server(text)) for text in config.relay.hep_servers]


def context(config: Config) -> ssl.SSLContext | None:
    """What TLS connections are checked by; None where there are none. Raises ConfigError with one line."""
    if not any(server.kind == "tls" for server in servers(config)):
        return None
    file = config.relay.hep_ca
    try:
        return ssl.create_default_context(cafile=file or None)
    except (OSError, ssl.SSLError) as error:
        where = config.origins["relay.hep_ca"]
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{where}: relay.hep_ca: {file}: {reason}; it must hold certificates in PEM") from None


class Connection:
    """An open way to a server. Everything but `close` raises OSError when it has ended."""

    def __init__(self, server: Server, tls: ssl.SSLContext | None) -> None:
        self._datagrams = server.kind == "udp"
        kind = socket.SOCK_DGRAM if self._datagrams else socket.SOCK_STREAM
        self._socket = _connected(server, kind)
        if server.kind == "tls" and tls is not None:
            try:
                self._socket = tls.wrap_socket(self._socket, server_hostname=server.host)
            except BaseException:
                self._socket.close()
                raise

    def fileno(self) -> int:
        """To wait for its end."""
        return self._socket.fileno()

    def send(self, packet: bytes) -> None:
        """Sends all of it."""
        if self._datagrams:
            self._socket.send(packet)
        else:
            self._socket.sendall(packet)

    def probe(self) -> None:
        """Waits until a refusal of the datagram before would have come."""
        if self._datagrams:
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            poll.poll(int(_LOOK * 1000))
            self.check()

    def check(self) -> None:
        """Sees whether the other side has ended; what it says is of no interest."""
        self._socket.setblocking(False)  # noqa: FBT003  socket's signature
        try:
            while True:
                if not self._socket.recv(4096) and not self._datagrams:
                    raise ConnectionResetError(0, "the server has closed the connection")
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        finally:
            self._socket.settimeout(PATIENCE)

    def close(self) -> None:
        """Gives it up."""
        with contextlib.suppress(OSError):
            self._socket.close()


def _connected(server: Server, kind: socket.SocketKind) -> socket.socket:
    """A socket that is connected to the first address that answers."""
    failure: OSError = OSError(0, "no address")
    end = time.monotonic() + PATIENCE
    for family, _, protocol, _, address in socket.getaddrinfo(server.host, server.port, type=kind):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(max(0.1, end - time.monotonic()))
            sock.connect(address)
            sock.settimeout(PATIENCE)
            if kind == socket.SOCK_STREAM:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(PATIENCE * 1000))
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure
