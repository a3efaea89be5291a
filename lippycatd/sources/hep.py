"""HEP of other agents as a source: sockets that are open before the lock, and the pipe that the line reads.

The core receives, takes the packets apart and makes a frame of each (Ethernet, IP and UDP with the addresses and ports
that the packet names; both Ethernet addresses spell "HEP"). It is the only source whose frames are made here.
"""

from __future__ import annotations

import dataclasses
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lippycatd import _dataplane
from lippycatd.config.checks import split_listen
from lippycatd.errors import ConfigError, NotPossible
from lippycatd.sandbox import identity
from lippycatd.sources.pcap_file import Input

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lippycatd.config import Config

NAME = "hep"
_BACKLOG = 64
_RECEIVE_BUFFER = 4 << 20  # bytes; the kernel gives what net.core.rmem_max allows
_LONGEST_KEY = 256


@dataclasses.dataclass(slots=True)
class Collector:
    """What receives, and the end of the pipe that the line reads."""

    input: Input
    _core: _dataplane.HepInput
    _open: list[socket.socket]

    def start(self) -> None:
        """Begins to receive."""
        self._core.start()

    def stop(self) -> None:
        """Ends it."""
        self._core.stop()
        for each in self._open:
            each.close()

    def stats(self) -> dict[str, Any]:
        """What came, and what became of it."""
        return self._core.stats()


def open_collector(config: Config, runs_as: identity.Identity, passed: Sequence[socket.socket]) -> Collector:
    """Opens the sockets, where none of this port were passed. Raises NotPossible or ConfigError with one line."""
    listen, where = config.hep.listen, config.origins["hep.listen"]
    port = split_listen(listen)[1]
    sockets = [each for each in passed if each.getsockname()[1] == port]
    if not sockets:
        try:
            sockets = [_bound(listen, socket.SOCK_DGRAM), _bound(listen, socket.SOCK_STREAM)]
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise NotPossible(f"{where}: hep.listen: {listen}: {reason}; choose another address or port") from None
    key = _key(config, runs_as)
    read, write = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(write, False)
    try:
        core = _dataplane.HepInput(
            datagrams=[each.fileno() for each in sockets if each.type == socket.SOCK_DGRAM],
            listeners=[each.fileno() for each in sockets if each.type == socket.SOCK_STREAM],
            pipe=write,
            key=key,
        )
    finally:
        os.close(write)
    return Collector(Input(f"{NAME}:{listen}", read, regular=False), core, sockets)


def _bound(listen: str, kind: socket.SocketKind) -> socket.socket:
    host, port = split_listen(listen)
    found = socket.getaddrinfo(host or None, port, type=kind, flags=socket.AI_PASSIVE)
    family, _, protocol, _, address = found[0]
    sock = socket.socket(family, kind, protocol)
    try:
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        sock.bind(address)
        if kind == socket.SOCK_STREAM:
            sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _key(config: Config, runs_as: identity.Identity) -> bytes:
    """The key that packets must carry, without the line's end."""
    file, where = config.hep.listen_key_file, config.origins["hep.listen_key_file"]
    if not file:
        return b""
    try:
        with identity.opening(file, runs_as):
            found = Path(identity.expand(file, runs_as)).read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise NotPossible(f"{where}: hep.listen_key_file: {file}: {error.strerror}") from None
    if not 0 < len(found) <= _LONGEST_KEY:
        raise ConfigError(f"{where}: hep.listen_key_file: {file}: must hold 1 to {_LONGEST_KEY} bytes")
    return found


def check_all_used(passed: Iterable[socket.socket], configs: Sequence[Config]) -> None:
    """Each socket that was passed has a pipeline that listens there. Raises NotPossible."""
    ports = {split_listen(config.hep.listen)[1] for config in configs if config.hep.listen}
    for each in passed:
        port = each.getsockname()[1]
        if port not in ports:
            raise NotPossible(
                f"systemd passed a socket {NAME!r} with port {port}, and no pipeline has it in hep.listen"
            )
