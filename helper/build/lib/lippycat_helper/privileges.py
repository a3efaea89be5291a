"""What this process holds, and giving up the rest for good (capabilities(7))."""

from __future__ import annotations

from pathlib import Path

import prctl

from lippycat_helper.report import HelperError

# capability numbers of linux/capability.h, as bits of /proc/PID/status
NET_ADMIN = 1 << 12
NET_RAW = 1 << 13
SETPCAP = 1 << 8
SYS_ADMIN = 1 << 21
_NAMES = {NET_ADMIN: "CAP_NET_ADMIN", NET_RAW: "CAP_NET_RAW", SYS_ADMIN: "CAP_SYS_ADMIN"}
_CAPS = {NET_ADMIN: prctl.CAP_NET_ADMIN, NET_RAW: prctl.CAP_NET_RAW, SYS_ADMIN: prctl.CAP_SYS_ADMIN}


def held(status: str | None = None) -> dict[str, int]:
    """Read the capability sets and NoNewPrivs of this process, as /proc/self/status has them."""
    if status is None:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    sets = {key: int(fields[key], 16) for key in ("CapInh", "CapPrm", "CapEff", "CapBnd")}
    sets["CapAmb"] = int(fields.get("CapAmb", "0"), 16)
    sets["NoNewPrivs"] = int(fields["NoNewPrivs"])
    return sets


def need(capability: int, purpose: str) -> None:
    """Raise HelperError unless this process may use the capability."""
    if not held()["CapEff"] & capability:
        name = _NAMES[capability]
        raise HelperError(
            f"{name} is missing, which {purpose} needs: run as root "
            f"(in a container: add the capability {name.removeprefix('CAP_')})"
        )


def keep_only(capability: int) -> None:
    """Give up all but one capability, for good, and prove it.

    Permitted and effective become exactly this one; inheritable, ambient and the
    bounding set become empty; no_new_privs is set and the process is not dumpable.
    Raises HelperError when it does not hold the capability or something remains.
    """
    before = held()
    try:
        _give_up(capability, before)
    except OSError as error:
        raise HelperError(f"could not give up privileges: {error.strerror}") from None
    now = held()
    # Without CAP_SETPCAP (a unit's or a container's choice) the bounding set stays as it
    # was given; no_new_privs makes it meaningless.
    wanted = {"CapPrm": capability, "CapEff": capability, "CapInh": 0, "CapAmb": 0}
    if before["CapEff"] & SETPCAP:
        wanted["CapBnd"] = 0
    wrong = [key for key, value in (wanted | {"NoNewPrivs": 1}).items() if now[key] != value]
    if wrong:
        need(capability, "the helper")
        raise HelperError(f"could not give up privileges: {', '.join(wrong)} is not as it must be")


def _give_up(capability: int, before: dict[str, int]) -> None:
    if before["CapEff"] & SETPCAP:
        _lock_root()
        prctl.capbset.limit()
    prctl.set_no_new_privs(1)
    prctl.set_dumpable(0)
    for each in (prctl.cap_effective, prctl.cap_permitted):
        each.limit(_CAPS[capability])
    prctl.cap_inheritable.limit()


def _lock_root() -> None:
    """Being uid 0 is worth nothing: no capability comes back by exec or setuid."""
    bits = prctl.securebits
    for name in ("noroot", "no_setuid_fixup", "keep_caps_locked"):
        setattr(bits, name, True)
    for name in ("noroot_locked", "no_setuid_fixup_locked"):
        setattr(bits, name, True)
