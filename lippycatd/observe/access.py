"""Who may read the pages: TLS, and basic authentication (RFC 7617) against salted scrypt hashes (RFC 7914)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import ssl
import time
from typing import TYPE_CHECKING

from lippycatd.errors import ConfigError, NotPossible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from lippycatd.config.sections import Metrics

_COST = 14  # log2 of scrypt's N: 16 MiB and some 30 ms for each try
_BLOCK, _LANES, _LENGTH, _SALT = 8, 1, 32, 16
_MEMORY = 64 << 20  # bytes that a hash may ask for
_OPEN = frozenset({"/healthz", "/readyz"})  # who watches the process needs no secret
_TRIES = 5.0  # wrong passwords a second that are looked at


def hash_password(password: str, salt: bytes | None = None) -> str:
    """A hash for `metrics.users`: scrypt$COST$SALT$HASH."""
    salt = os.urandom(_SALT) if salt is None else salt
    return f"scrypt${_COST}${_text(salt)}${_text(_scrypt(password, salt, _COST))}"


def _scrypt(password: str, salt: bytes, cost: int) -> bytes:
    return hashlib.scrypt(
        password.encode(), salt=salt, n=1 << cost, r=_BLOCK, p=_LANES, maxmem=_MEMORY, dklen=_LENGTH
    )  # fmt: skip


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _data(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _parts(text: str) -> tuple[int, bytes, bytes] | None:
    """Cost, salt and hash; None for what is no hash of ours."""
    try:
        kind, cost, salt, wanted = text.split("$")
        parts = (int(cost), _data(salt), _data(wanted))
    except (ValueError, binascii.Error):
        return None
    right = kind == "scrypt" and 1 <= parts[0] <= _COST + 2 and len(parts[2]) == _LENGTH
    return parts if right else None


class Users:
    """The names and hashes of `metrics.users`."""

    def __init__(self, entries: Iterable[str]) -> None:
        """Raises ConfigError with one line for an entry that is none."""
        self._hashes: dict[str, tuple[int, bytes, bytes]] = {}
        self._known: set[bytes] = set()  # digests of what was right before: hashing each scrape would be a waste
        self._secret = os.urandom(32)
        self._allowance, self._since = _TRIES, time.monotonic()
        for entry in entries:
            name, _, text = entry.partition(":")
            parts = _parts(text)
            if parts is None or not name:
                raise ConfigError(
                    f"metrics.users: {name or entry!r}: is not NAME:HASH; make one with lippycat debug hash-password"
                )
            self._hashes[name] = parts

    def admit(self, header: str) -> bool:
        """Whether the value of an Authorization header names a user with the right password."""
        kind, _, credentials = header.partition(" ")
        if kind.lower() != "basic":
            return False
        digest = hmac.digest(self._secret, credentials.encode("latin-1", "replace"), "sha256")
        if digest in self._known:
            return True
        try:
            name, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        except ValueError:
            return False
        found = self._hashes.get(name)
        if found is None or not self._may_try():
            return False
        cost, salt, wanted = found
        right = hmac.compare_digest(_scrypt(password, salt, cost), wanted)
        if right:
            self._known.add(digest)
        return right

    def _may_try(self) -> bool:
        """Trying costs processor time, so there are so many tries a second and no more."""
        now = time.monotonic()
        self._allowance = min(_TRIES, self._allowance + (now - self._since) * _TRIES)
        self._since = now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True


def guarded(app: ASGIApp, section: Metrics) -> ASGIApp:
    """The pages for those in `metrics.users`; for everybody where there is none. Raises ConfigError."""
    if not section.users:
        return app
    users = Users(section.users)

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers", ()))
        given = headers.get(b"authorization", b"").decode("latin-1")
        if scope.get("path") in _OPEN or users.admit(given):
            await app(scope, receive, send)
            return
        refused = [(b"www-authenticate", b'Basic realm="lippycat", charset="UTF-8"'), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 401, "headers": refused})
        await send({"type": "http.response.body", "body": b""})

    return guard


def tls(section: Metrics) -> ssl.SSLContext | None:
    """The context of `metrics.tls_cert` and `metrics.tls_key`, read while that may be read. Raises with one line."""
    if bool(section.tls_cert) != bool(section.tls_key):
        given, other = ("tls_cert", "tls_key") if section.tls_cert else ("tls_key", "tls_cert")
        raise ConfigError(f"metrics.{given} does nothing without metrics.{other}")
    if not section.tls_cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for key, path in (("tls_cert", section.tls_cert), ("tls_key", section.tls_key)):
        try:
            with open(path, "rb"):  # noqa: PTH123  the errno is what counts
                pass
        except OSError as error:
            raise NotPossible(f"metrics.{key}: {path}: {error.strerror}") from None
    try:
        context.load_cert_chain(section.tls_cert, section.tls_key)
    except (ssl.SSLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        raise ConfigError(
            f"metrics.tls_cert, metrics.tls_key: not a certificate and its key in PEM: {reason}"
        ) from None
    return context
