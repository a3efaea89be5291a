"""Records without names: users, numbers and Call-IDs become tokens that only the holder of a key can make again.

A token is a keyed BLAKE2b (RFC 7693) of the text, so the same text gives the same token under the same key, in every
field and every run, and nothing leads back from a token without the key. A short number can be tried out by whoever
holds the key: keep it apart from the records.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import TYPE_CHECKING, Any

from lippycatd.errors import ConfigError, NotPossible
from lippycatd.model import records
from lippycatd.sandbox import identity

if TYPE_CHECKING:
    from collections.abc import Iterable

KEY_MINIMUM = 16  # bytes: what cannot be tried out
KEY_LIMIT = 4096
_TOKEN = 10  # bytes: two of a thousand million texts share a token once in a million times
_URI = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*:)(?P<rest>.*)", re.DOTALL)
_HOST = re.compile(r"(?P<host>(\[[0-9A-Fa-f:.]*\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?)([;?].*)?", re.DOTALL)


class Pseudonyms:
    """Replaces what identifies somebody. Fields are chosen by their names, new ones too."""

    def __init__(self, key: bytes) -> None:
        self._key = hashlib.blake2b(key, digest_size=32, person=b"lippycat key").digest()

    def token(self, text: str, kind: str) -> str:
        """The token of a text: `u-` and `c-` tell users from Call-IDs."""
        data = text.encode("utf-8", "surrogatepass")
        found = hashlib.blake2b(data, key=self._key, digest_size=_TOKEN, person=kind.encode()).hexdigest()
        return f"{kind[0]}-{found}"

    def apply(self, batch: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """The batch with tokens; the records given stay as they are."""
        return [self._record(record) for record in batch]

    def _record(self, record: dict[str, Any]) -> dict[str, Any]:
        return {field: self._value(field, value) for field, value in record.items() if field != "raw"}

    def _value(self, field: str, value: object) -> object:
        kind = records.identifies(field)
        if kind is None or value is None or value == "":
            return value
        if kind == "file":
            return None
        if isinstance(value, (list, tuple)):
            return [self._value(field, item) for item in value]
        return self.uri(str(value)) if kind == "uri" else self.token(str(value), kind)

    def uri(self, text: str) -> str:
        """A URI with its scheme and host kept and its user a token; parameters and headers, which may name people, go.

        What has no host that is plainly one becomes a token as a whole.
        """
        found = _URI.fullmatch(text)
        scheme, rest = (found["scheme"], found["rest"]) if found else ("", text)
        user, at, where = rest.rpartition("@")
        host = _HOST.fullmatch(where) if at else None
        if host is not None:
            return f"{scheme}{self.token(user.partition(':')[0], 'user')}@{host['host']}"
        if not at and scheme.lower() in {"sip:", "sips:"} and (host := _HOST.fullmatch(rest)):
            return f"{scheme}{host['host']}"
        return f"{scheme}{self.token(rest, 'user')}"


def load(path: str, runs_as: identity.Identity) -> Pseudonyms:
    """The key of a file, or one of this run alone where `path` is empty. ConfigError, NotPossible: one line."""
    if not path:
        return Pseudonyms(os.urandom(32))
    try:
        with identity.opening(path, runs_as), open(identity.expand(path, runs_as), "rb") as file:  # noqa: PTH123
            key = file.read(KEY_LIMIT + 1).strip()
    except FileNotFoundError:
        raise ConfigError(f"--pseudonym-key: {path}: no such file; make one: openssl rand -hex 32") from None
    except PermissionError:
        raise NotPossible(f"--pseudonym-key: {path}: not readable; check its permissions") from None
    except OSError as error:
        raise ConfigError(f"--pseudonym-key: {path}: {error.strerror}") from None
    if not KEY_MINIMUM <= len(key) <= KEY_LIMIT:
        raise ConfigError(f"--pseudonym-key: {path}: a key has {KEY_MINIMUM} to {KEY_LIMIT} bytes, not {len(key)}")
    return Pseudonyms(key)
