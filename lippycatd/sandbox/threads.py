"""What confines a running process, thread by thread, as /proc/PID/task/TID/status tells it."""

from __future__ import annotations

import dataclasses
import pwd
from pathlib import Path

from lippycatd.errors import NotPossible

_PROC = Path("/proc")
# The sets that must be empty; a process that was never root cannot empty its bounding set, and needs not.
_SETS = {"CapEff": "effective", "CapPrm": "permitted", "CapInh": "inheritable", "CapAmb": "ambient"}


@dataclasses.dataclass(frozen=True, slots=True)
class Thread:
    """One thread: its id and name, whose rights it has, and what is in force. `capabilities`: sets that hold any."""

    tid: int
    name: str
    user: str
    capabilities: tuple[str, ...]
    no_new_privs: bool
    seccomp: int
    filters: int

    @property
    def lacks(self) -> list[str]:
        """What is not in force, in words; empty for a thread that is confined."""
        found = []
        if self.user in {"root", "0"}:
            found.append("runs as root")
        if self.capabilities:
            found.append(f"holds {', '.join(self.capabilities)} capabilities")
        if not self.no_new_privs:
            found.append("can gain privileges")
        if self.seccomp != 2:  # noqa: PLR2004  SECCOMP_MODE_FILTER of linux/seccomp.h
            found.append("no seccomp filter")
        return found


def read(pid: int) -> list[Thread]:
    """Every thread of a process, the first one first. Raises NotPossible when there is no such process."""
    found = []
    try:
        for task in sorted((_PROC / str(pid) / "task").iterdir(), key=lambda path: int(path.name)):
            try:
                found.append(parse((task / "status").read_text(encoding="utf-8", errors="replace")))
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended
    except OSError as error:
        raise NotPossible(f"process {pid}: {error.strerror}; name one that runs (pidof lippycatd)") from None
    if not found:
        raise NotPossible(f"process {pid}: has ended")
    return found


def parse(status: str) -> Thread:
    """A thread from the text of its status file (pure)."""
    fields = {name: value.strip() for name, _, value in (line.partition(":") for line in status.splitlines())}
    uid = int(fields["Uid"].split()[1])
    return Thread(
        tid=int(fields["Pid"]),
        name=fields["Name"],
        user=_name(uid),
        capabilities=tuple(word for field, word in _SETS.items() if int(fields[field], 16)),
        no_new_privs=fields.get("NoNewPrivs") == "1",
        seccomp=int(fields.get("Seccomp", "0")),
        filters=int(fields.get("Seccomp_filters", "0")),
    )


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
