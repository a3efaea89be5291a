"""TLS key logs: files that clients and servers write with SSLKEYLOGFILE, read before the sandbox locks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lippycatd.errors import NotPossible
from lippycatd.sandbox import identity

if TYPE_CHECKING:
    from lippycatd.sandbox.identity import Identity

MAX_BYTES = 64 << 20


def read(name: str, runs_as: Identity) -> bytes:
    """The whole file; the core parses it. Raises NotPossible with one line."""
    try:
        with identity.opening(name, runs_as), Path(identity.expand(name, runs_as)).open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise NotPossible(f"--keylog: {name}: {error.strerror}") from None
    if len(text) > MAX_BYTES:
        raise NotPossible(f"--keylog: {name}: more than {MAX_BYTES >> 20} MiB is no key log")
    return text
