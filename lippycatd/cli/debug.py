"""`lippycat debug`: looks into a running process from outside."""

from __future__ import annotations

import getpass
import http.client
import socket
import sys
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from lippycatd.cli import sandbox
from lippycatd.errors import NotPossible, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_URL = "http://127.0.0.1:10469/metrics"
_TIMEOUT = 5.0  # seconds
_LIMIT = 16 << 20  # bytes of a page


def register(app: typer.Typer, _arguments: Sequence[str]) -> None:
    """Adds the commands."""
    debug = typer.Typer(name="debug", no_args_is_help=True, help="Look into a running process.")
    debug.callback()(_nothing)
    debug.command("metrics")(_metrics)
    debug.command("hash-password")(_hash_password)
    debug.command("sandbox")(sandbox.command)
    app.add_typer(debug)


def _nothing() -> None:
    """Look into a running process."""


def _metrics(
    url: Annotated[str, typer.Option("--url", help="page to read", metavar="URL")] = DEFAULT_URL,
    unix: Annotated[
        str | None, typer.Option("--socket", help="Unix socket to read the page from", metavar="PATH")
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="show the metrics of the Python process too")] = False,
) -> None:
    """Read the metrics page of a running process and print it as a table."""
    page = fetch(url, unix)
    rows = [row for row in table(page) if everything or row[0].startswith("lippycat_")]
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        typer.echo(f"{name:<{width}}  {value}")


def _hash_password() -> None:
    """Read a password, from the terminal or the first line of standard input, and print its hash for metrics.users."""
    from lippycatd.observe import access  # noqa: PLC0415  only for this

    password = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    if not password:
        raise UsageError("the password is empty")
    typer.echo(access.hash_password(password))


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float = _TIMEOUT) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connects to the socket instead of an address."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def fetch(url: str, unix: str | None) -> str:
    """The text of a metrics page. Raises UsageError for a wrong URL, NotPossible when nobody answers."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        raise UsageError(f"--url: {url!r}: its port is not a number up to 65535") from None
    if parts.scheme != "http" or not parts.hostname:
        raise UsageError(f"--url: {url!r} is not http://ADDRESS:PORT/metrics")
    where = unix or url
    path = (parts.path or "/metrics") + (f"?{parts.query}" if parts.query else "")
    connection = UnixConnection(unix) if unix else http.client.HTTPConnection(parts.hostname, port, timeout=_TIMEOUT)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read(_LIMIT)
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise NotPossible(f"{where}: {reason}; is it running with --metrics-listen?") from None
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise NotPossible(f"{where}: answers {answer.status} {answer.reason}")
    return body.decode("utf-8", "replace")


def table(page: str) -> list[tuple[str, str]]:
    """Samples of a page in text exposition format as (name with labels, value), histogram buckets left out (pure)."""
    rows = []
    for line in page.splitlines():
        if not line or line.startswith("#"):
            continue
        name, _, value = line.rpartition(" ")
        if "_bucket{" in name or name.endswith("_created") or "_created{" in name:
            continue
        rows.append((name, value.removesuffix(".0")))
    return rows
