"""Confinement of a process: whom it runs as, and what it may still touch."""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import TYPE_CHECKING, Any, Literal

from lippycatd.errors import NotPossible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lippycatd.sandbox.identity import Identity

Role = Literal["capture", "daemon", "relay"]

# What every role reads after the lock; everything else it needs is open by then, or named by the caller.
_READ = ("/proc/self", "/etc/localtime", "/usr/share/zoneinfo")

# Versions of Landlock, and the mode of seccomp that is a filter.
TCP_RULES, SCOPES, FILTERED = 4, 6, 2

# The sets that must be empty whoever started it; the bounding set of a process without root cannot be changed.
_CAPABILITIES = ("effective", "permitted", "inheritable", "ambient")


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What is in force, as the kernel tells it."""

    facts: dict[str, Any]

    @property
    def missing(self) -> str:
        """One line for what the kernel could not put in force; empty where all of it is."""
        if "landlock" not in self.facts:
            return ""
        lacks = lacking(self.facts)
        return f"the sandbox goes without what this kernel lacks: {'; '.join(lacks)}" if lacks else ""

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.facts.items())


def lacking(facts: dict[str, Any]) -> list[str]:
    """What a status shows as not in force, each with what that means (pure)."""
    abi, lacks = facts["landlock_abi"], []
    if facts["landlock"] == "none":
        lacks.append("Landlock (files are protected by their permissions alone)")
    elif abi < TCP_RULES:
        lacks.append(f"TCP rules and scopes in Landlock (it has ABI {abi}, they need 4 and 6)")
    elif abi < SCOPES:
        lacks.append(f"scopes in Landlock (it has ABI {abi}, they need 6: abstract sockets stay reachable)")
    if facts["seccomp"] != FILTERED:
        lacks.append("seccomp filters (every system call stays open)")
    if not facts["mdwe"]:
        lacks.append("PR_SET_MDWE (the seccomp filter alone keeps new memory from being executed)")
    return lacks


def enter(  # noqa: PLR0913  all that may stay
    role: Role,
    runs_as: Identity,
    *,
    read: Iterable[str] = (),
    write: Iterable[str] = (),
    manage: Iterable[str] = (),
    connect: Iterable[int] = (),
) -> Report:
    """Drops every privilege for good and locks the process in; before any other thread exists.

    `read` are files and directories that stay readable, `write` directories in which files may still be made, `manage`
    those in which they are also renamed and removed, `connect` TCP ports that may be connected to. Raises NotPossible
    when the drop does not hold.
    """
    from lippycatd import _dataplane  # noqa: PLC0415  loaded before the lock, not at import

    if sys.platform != "linux":
        return Report({"platform": sys.platform})
    try:
        groups = [] if runs_as.drop else os.getgroups()
        _dataplane.drop_privileges(runs_as.uid, runs_as.gid, groups)
        readable = [path for path in (*_READ, *sorted(set(read))) if os.path.exists(path)]  # noqa: PTH110
        named = {"write": sorted(set(write)), "manage": sorted(set(manage))}
        _dataplane.lock(role, read=readable, **named, connect=sorted(set(connect)))
    except (OSError, RuntimeError, ValueError) as error:
        raise NotPossible(f"cannot drop privileges to {runs_as.name}: {error}") from None
    report = Report(_dataplane.sandbox_status())
    if runs_as.drop and 0 in {*os.getresuid(), *os.getresgid()}:
        raise NotPossible(f"still root after dropping to {runs_as.name}; this is a fault, please report it")
    held = [name for name in _CAPABILITIES if int(report.facts[name], 16)]
    if held:
        raise NotPossible(f"still holds capabilities ({', '.join(held)}) after dropping them; please report it")
    return report
