"""The HTTP pages: bound and loaded before the sandbox is locked, served by one thread after it.

`/metrics` for Prometheus, `/healthz` and `/readyz` for whoever watches processes, `/api/v1/status` for people and
programs. The same code serves `sniff`, the daemon's listener, and its control socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any, cast

import uvicorn
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from lippycatd.config.checks import split_listen
from lippycatd.errors import NotPossible
from lippycatd.observe.health import Health

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Iterable

    from prometheus_client.registry import CollectorRegistry
    from starlette.requests import Request
    from starlette.types import ASGIApp

    Handler = Callable[[Request], Awaitable[Response]]

_BACKLOG = 64
_CONNECTIONS = 64  # at once; more are told to come again
_QUIET = 10.0  # seconds that a connection may say nothing
_PATIENCE = 6  # such times that an answer may take
_END = 1.0  # seconds that requests may take once the end has come
_OK, _UNAVAILABLE = 200, 503


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


@dataclasses.dataclass(slots=True)
class Told:
    """What the pages show. It is filled in when there is something to show."""

    registry: CollectorRegistry | None = None
    health: Callable[[], Health] = lambda: Health(lacks=("starting",))
    status: Callable[[], dict[str, Any]] = dict


def application(told: Told, more: Iterable[Route] = ()) -> Starlette:
    """The pages of one process, and more where they are wanted."""

    async def metrics(request: Request) -> Response:
        if told.registry is None:
            return Response("starting\n", _UNAVAILABLE, media_type="text/plain")
        encoder, kind = choose_encoder(request.headers.get("accept", ""))
        return Response(encoder(told.registry), headers={"Content-Type": kind})

    async def healthz(_: Request) -> Response:
        health = told.health()
        return JSONResponse({"status": "alive" if health.alive else "stuck"}, _OK if health.alive else _UNAVAILABLE)

    async def readyz(_: Request) -> Response:
        health = told.health()
        return JSONResponse(health.told(), _OK if health.ready else _UNAVAILABLE)

    async def status(_: Request) -> Response:
        return JSONResponse(told.status())

    pages: dict[str, Handler] = {
        "/metrics": metrics,
        "/healthz": healthz,
        "/readyz": readyz,
        "/api/v1/status": status,
    }
    return Starlette(routes=[*(Route(path, page) for path, page in pages.items()), *more])


class _Protocol(H11Protocol):
    """Ends connections that say nothing, and tells who is at the other end of a Unix socket."""

    cycle: RequestResponseCycle | None  # type: ignore[assignment]  # none before the first request
    _waited = 0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look_later()
        peer = transport.get_extra_info("socket")
        if peer is not None and peer.family == getattr(socket, "AF_UNIX", None):
            raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            pid, uid = (int.from_bytes(raw[at : at + 4], sys.byteorder) for at in (0, 4))
            self.client = (f"uid:{uid}", pid)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._waited = 0
        self._look_later()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._timer is not None:
            self._timer.cancel()

    def _look_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(_QUIET, self._still_quiet)

    def _still_quiet(self) -> None:
        self._waited += 1
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering and self._waited < _PATIENCE:
            self._look_later()
        elif not self.transport.is_closing():
            self.transport.close()


@dataclasses.dataclass(frozen=True, slots=True)
class Door:
    """A listening socket and what is served on it."""

    listener: socket.socket
    app: ASGIApp
    tls: ssl.SSLContext | None = None


class Server:
    """Serves on its doors. Made before the lock, with everything it will import; `start` comes after it."""

    def __init__(self, doors: Iterable[Door]) -> None:
        for name in ("uvicorn.error", "asyncio"):
            logging.getLogger(name).addHandler(logging.NullHandler())
            logging.getLogger(name).propagate = False
        self._doors = tuple(doors)
        self._servers = [uvicorn.Server(_settings(door)) for door in self._doors]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        for server in self._servers:
            server.config.load()
            self._loop.run_until_complete(self._rehearse(server))

    async def _rehearse(self, server: uvicorn.Server) -> None:
        """One request over a socket pair, so that nothing is loaded for the first real one."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)  # noqa: FBT003  socket's signature
        made: Any = server.config.http_protocol_class
        arguments = {"config": server.config, "server_state": server.server_state, "app_state": {}}
        await self._loop.connect_accepted_socket(lambda: made(**arguments, _loop=self._loop), theirs)
        for path in ("metrics", "readyz", "nothing"):
            request = f"GET /{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic bjpw\r\n\r\n"
            await self._loop.sock_sendall(ours, request.encode())
            await self._loop.sock_recv(ours, 1 << 16)
        ours.close()
        for _ in range(100):
            if server.server_state.connections:
                await asyncio.sleep(0)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        pairs = zip(self._servers, self._doors, strict=True)
        await asyncio.gather(*(server.serve([door.listener]) for server, door in pairs))

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Where its requests are answered."""
        return self._loop

    def start(self) -> None:
        """Begins to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread and closes the sockets."""
        for server in self._servers:
            server.should_exit = True
        self._thread.join(2 * _END)
        for door in self._doors:
            with contextlib.suppress(OSError):
                door.listener.close()
        if not self._thread.is_alive():
            self._loop.close()


def _settings(door: Door) -> uvicorn.Config:
    """One door's server: HTTP/1.1 and nothing else, silent, bounded."""
    tls = door.tls
    return uvicorn.Config(
        cast("Any", door.app),
        loop="none",
        http=_Protocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=int(_END),
        ssl_context_factory=(lambda _config, _default: tls) if tls is not None else None,
    )
