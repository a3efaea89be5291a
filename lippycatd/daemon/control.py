"""The control socket: HTTP over a Unix socket of the group `lippycat`. A reload is asked for there.

`POST /api/v1/reload` answers 200 with the keys that changed, or 409 with the one line why nothing did; all other pages
are those of the public listener.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import queue
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lippycatd.observe.audit import Who

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from lippycatd.daemon.reload import Outcome

RELOAD = "/api/v1/reload"
_PATIENCE = 60.0  # seconds
_CONFLICT, _UNAVAILABLE = 409, 503


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """A reload that somebody waits for."""

    who: Who
    outcome: concurrent.futures.Future[Outcome]


class Desk:
    """Where requests wait until the main thread takes them."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._asked: queue.SimpleQueue[Asked] = queue.SimpleQueue()

    def take(self) -> Asked | None:
        """The next request."""
        try:
            return self._asked.get_nowait()
        except queue.Empty:
            return None

    async def _reload(self, request: Request) -> Response:
        peer = request.client
        uid = int(peer.host.removeprefix("uid:")) if peer and peer.host.startswith("uid:") else None
        asked = Asked(Who("control", uid, peer.port if peer else None), concurrent.futures.Future())
        self._asked.put(asked)
        self._wake()
        try:
            outcome = await asyncio.wait_for(asyncio.wrap_future(asked.outcome), _PATIENCE)
        except TimeoutError:
            return JSONResponse({"result": "unknown", "reason": "the daemon does not answer"}, _UNAVAILABLE)
        if outcome.refusal:
            return JSONResponse({"result": "refused", "reason": outcome.refusal}, _CONFLICT)
        return JSONResponse({"result": "reloaded", "changed": list(outcome.changed)})

    def routes(self) -> list[Route]:
        """What is served on the control socket alone."""
        return [Route(RELOAD, self._reload, methods=["POST"])]
