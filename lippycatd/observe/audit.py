"""Who set which target and when: one JSON object a line in a file, or an event among the reports."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
from typing import TYPE_CHECKING, Any

from lippycatd.errors import NotPossible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from structlog.typing import FilteringBoundLogger

_MODE = 0o600
# The keys that are targets, and what each of their values is called.
TARGETS = {"voip.sip_users": "user", "voip.call_ids": "call_id"}


@dataclasses.dataclass(frozen=True, slots=True)
class Who:
    """Who caused it: by what way, and the user and process, where the kernel tells."""

    way: str
    uid: int | None = None
    pid: int | None = None

    def told(self) -> dict[str, Any]:
        """As fields."""
        fields = {"by": self.way, "uid": self.uid, "pid": self.pid}
        return {name: value for name, value in fields.items() if value is not None}


def open_file(path: str, uid: int, gid: int) -> int:
    """A descriptor that appends, mode 0600, never through a symbolic link, owned by the user dropped to."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(path, flags, _MODE)
        if os.geteuid() == 0:
            os.fchown(fd, uid, gid)
    except OSError as error:
        raise NotPossible(f"logging.audit_file: {path}: {error.strerror}") from None
    return fd


class Audit:
    """Writes one entry a target that is set or taken away."""

    def __init__(self, fd: int | None, log: FilteringBoundLogger, config_file: str) -> None:
        self._fd, self._log, self._file = fd, log, config_file

    def targets(self, who: Who, pipeline: str, key: str, old: Iterable[str], new: Iterable[str]) -> None:
        """The difference of two lists of targets."""
        before, after = set(old), set(new)
        for action, values in (("follow", sorted(after - before)), ("leave", sorted(before - after))):
            for value in values:
                self._tell(who, {"action": action, "pipeline": pipeline, TARGETS[key]: value, "config": self._file})

    def _tell(self, who: Who, fields: dict[str, Any]) -> None:
        if self._fd is None:
            self._log.info("target", **fields, **who.told())
            return
        now = dt.datetime.now(dt.UTC).isoformat(timespec="microseconds")
        line = json.dumps({"time": now, **fields, **who.told()}, ensure_ascii=False) + "\n"
        try:
            os.write(self._fd, line.encode("utf-8", "backslashreplace"))
        except OSError as error:
            self._log.error(f"the audit file takes no more: {error.strerror}", **fields, **who.told())
