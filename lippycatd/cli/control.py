"""`lippycat reload` and `lippycat status`: ask the daemon through its control socket."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lippycatd.cli.debug import UnixConnection
from lippycatd.errors import ConfigError, NotPossible

if TYPE_CHECKING:
    from collections.abc import Sequence

SOCKET = "/run/lippycat/control.sock"
_PATIENCE = 90.0  # seconds: longer than the daemon takes to give up
_LIMIT = 4 << 20  # bytes
_Socket = Annotated[str, typer.Option("--socket", help="the daemon's control socket", metavar="PATH")]


def register(app: typer.Typer, arguments: Sequence[str]) -> None:
    """Adds the commands, or the one that was asked for."""
    for name, command in (("reload", _reload), ("status", _status)):
        if not arguments or arguments[0] == name or arguments[0] not in {"reload", "status"}:
            app.command(name)(command)


def _reload(socket: _Socket = SOCKET) -> None:
    """Make the running lippycatd read its configuration again; fails with its one line when it refuses it."""
    status, answer = ask(socket, "POST", "/api/v1/reload")
    if status != http.client.OK:
        raise ConfigError(f"reload refused: {answer.get('reason', status)}")
    typer.echo("reloaded: " + (", ".join(answer["changed"]) or "nothing has changed"))


def _status(
    socket: _Socket = SOCKET,
    *,
    check: Annotated[bool, typer.Option("--check", help="only see that every worker's heartbeat moves")] = False,
) -> None:
    """Print how the running lippycatd is, as JSON."""
    if check:
        status, answer = ask(socket, "GET", "/healthz")
        if status != http.client.OK:
            raise NotPossible(f"{socket}: the daemon is {answer.get('status', status)}")
        return
    status, answer = ask(socket, "GET", "/api/v1/status")
    if status != http.client.OK:
        raise NotPossible(f"{socket}: answers {status}")
    typer.echo(json.dumps(answer, indent=2))


def ask(path: str, method: str, page: str) -> tuple[int, dict[str, Any]]:
    """The status and the object that the daemon answers. Raises NotPossible when nobody does."""
    connection = UnixConnection(path, _PATIENCE)
    try:
        connection.request(method, page)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read(_LIMIT))
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise NotPossible(f"{path}: {reason}; is lippycatd running, and are you in the group lippycat?") from None
    except ValueError:
        raise NotPossible(f"{path}: is not a control socket of lippycatd") from None
    finally:
        connection.close()
