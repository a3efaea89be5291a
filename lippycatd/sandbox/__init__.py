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

# What a role reads after the lock; everything else it needs is open by then.
_READ: dict[str, tuple[str, ...]] = {
    "capture": ("/proc/self", "/etc/localtime", "/usr/share/zoneinfo"),
}


# The sets that must be empty whoever started it; the bounding set of a process without root cannot be changed.
_CAPABILITIES = ("effective", "permitted", "inheritable", "ambient")


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What is in force, as the kernel tells it."""

    facts: dict[str, Any]

    @property
    def missing(self) -> str:
        """One line for what the kernel could not put in force; empty where all of it is."""
        if self.facts.get("landlock") == "none":
            return "this kernel has no Landlock: files are protected by their permissions alone"
        return ""

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.facts.items())


def enter(role: Literal["capture"], runs_as: Identity, *, write: Iterable[str] = ()) -> Report:
    """Drops every privilege for good and locks the process in; before any other thread exists.

    `write` are directories in which files may still be made. Raises NotPossible when the drop does not hold.
    """
    from lippycatd import _dataplane  # noqa: PLC0415  loaded before the lock, not at import

    if sys.platform != "linux":
        return Report({"platform": sys.platform})
    try:
        groups = [] if runs_as.drop else os.getgroups()
        _dataplane.drop_privileges(runs_as.uid, runs_as.gid, groups)
        read = [path for path in _READ[role] if os.path.exists(path)]  # noqa: PTH110
        _dataplane.lock(read=read, write=sorted(set(write)))
    except (OSError, RuntimeError, ValueError) as error:
        raise NotPossible(f"cannot drop privileges to {runs_as.name}: {error}") from None
    report = Report(_dataplane.sandbox_status())
    if runs_as.drop and 0 in {*os.getresuid(), *os.getresgid()}:
        raise NotPossible(f"still root after dropping to {runs_as.name}; this is a fault, please report it")
    held = [name for name in _CAPABILITIES if int(report.facts[name], 16)]
    if held:
        raise NotPossible(f"still holds capabilities ({', '.join(held)}) after dropping them; please report it")
    return report
