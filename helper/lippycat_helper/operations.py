"""What the two roles share: who asks, what is answered, and that a role has its own table."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from lippycat_helper.report import RefusedError
from lippycat_helper.wire import Operation, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Mapping

_Asked = TypeVar("_Asked")


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply and the descriptors that go with it; `spent` are closed once it is sent."""

    reply: Reply
    fds: tuple[int, ...] = ()
    spent: tuple[int, ...] = ()


@dataclass(slots=True, eq=False)
class Session:
    """One connection, and who is at its other end."""

    who: str
    uid: int
    groups: frozenset[int]


def answer_from(table: Mapping[Operation, _Asked], role: str, request: Request) -> _Asked:
    """Look the operation up; raises RefusedError when it belongs to the other role."""
    asked = table.get(request.operation)
    if asked is None or (request.operation is Operation.RELEASE and bool(request.capture) != (role == "capture")):
        raise RefusedError(f"{request.operation.name} is not for a helper in the role {role}")
    return asked


def close_spent(answer: Answer) -> None:
    """Close what was handed over."""
    for fd in answer.spent:
        os.close(fd)
