"""Which helper: the running service's, or one of our own."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lippycat_helper import wire
from lippycatd.errors import PrivilegeError
from lippycatd.privileged.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Callable

Client = TypeVar("Client", bound=Connection)


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a helper is wanted for, in the words of its refusals.

    `what` needs it; `elsewhere` says what to do on another system than Linux; `absent`, that no service runs.
    """

    what: str
    elsewhere: str
    absent: str


def choose(purpose: Purpose, path: str, connect: Callable[[], Client], execute: Callable[[], Client]) -> Client:
    """Give the service's helper where its socket is there and accepts us, else, as root, one that is executed.

    Call it before any thread exists. Raises PrivilegeError (exit status 3) with what the service said.
    """
    if sys.platform != "linux":
        raise PrivilegeError(purpose.elsewhere)
    refusal = purpose.absent
    if Path(path).exists():
        try:
            return connect()
        except PrivilegeError as error:
            refusal = str(error)
    if os.geteuid() == 0:
        return execute()
    raise PrivilegeError(
        f"{purpose.what} needs root (sudo), or membership of the group {wire.GROUP} "
        f"and a running lippycat-helper service ({refusal})"
    )
