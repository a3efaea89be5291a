"""The HTTP page of the metrics: bound before the sandbox is locked, served by one thread after it."""

from __future__ import annotations

import socket
import threading
from http.server import HTTPServer
from socketserver import BaseServer
from typing import TYPE_CHECKING

from prometheus_client import MetricsHandler

from lippycatd.config.checks import split_listen
from lippycatd.errors import NotPossible

if TYPE_CHECKING:
    from prometheus_client.registry import CollectorRegistry

_TIMEOUT = 2.0  # seconds that one reader may take; the page is served to one at a time
_BACKLOG = 16


def bind(listen: str) -> socket.socket:
    """A listening socket for ADDRESS:PORT. Raises NotPossible with one line when it cannot be had."""
    host, port = split_listen(listen)
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise NotPossible(f"--metrics-listen {listen}: {reason}; choose another address or port") from None
    return listener


class _Inherited(HTTPServer):
    """A server on a socket that listens already; behind the lock no other can be made."""

    def __init__(self, listener: socket.socket, handler: type[MetricsHandler]) -> None:
        BaseServer.__init__(self, listener.getsockname()[:2], handler)
        self.socket = listener
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])


class Page:
    """Serves a registry on a listening socket."""

    def __init__(self, listener: socket.socket, registry: CollectorRegistry) -> None:
        handler = MetricsHandler.factory(registry)
        handler.timeout = _TIMEOUT  # type: ignore[attr-defined]  # of socketserver.StreamRequestHandler
        self._server = _Inherited(listener, handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)

    def start(self) -> None:
        """Begins to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread and closes the socket."""
        self._server.shutdown()
        self._thread.join(_TIMEOUT)
        self._server.server_close()
