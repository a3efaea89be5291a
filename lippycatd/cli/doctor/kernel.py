"""What the kernel offers."""

from __future__ import annotations

import ctypes
import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

from lippycatd import _dataplane, sandbox
from lippycatd.cli.doctor.finding import Finding

if TYPE_CHECKING:
    from lippycatd.cli.doctor.finding import State

_PR_GET_MDWE = 66  # linux/prctl.h
_CLOCK = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
_SLOW_CLOCKS = {"acpi_pm", "hpet", "jiffies", "refined-jiffies", "xen"}
_RINGS = 4  # rings of 64 MiB that should fit four times over into what is free
_RING = 64 << 20  # bytes, the default of capture.buffer_size
_DESCRIPTORS = 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Kernel:
    """What was read: numbers as the kernel gives them, None or empty where it gives none. Memory in bytes."""

    release: str
    tun: bool
    namespaces: bool
    packet: bool
    landlock: int
    seccomp: str
    mdwe: bool
    clock: str
    free: int
    descriptors: int


def read() -> Kernel:
    """Looks at this machine."""
    import resource  # noqa: PLC0415  not on every system

    return Kernel(
        release=os.uname().release,
        tun=_is_device("/dev/net/tun"),
        namespaces=Path("/proc/self/ns/net").exists(),
        packet=Path("/proc/net/packet").exists(),
        landlock=_dataplane.sandbox_status()["landlock_abi"],
        seccomp=text("/proc/sys/kernel/seccomp/actions_avail"),
        mdwe=ctypes.CDLL(None).prctl(_PR_GET_MDWE, 0, 0, 0, 0) >= 0,
        clock=text(_CLOCK),
        free=available(text("/proc/meminfo")),
        descriptors=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
    )


def judge(found: Kernel) -> list[Finding]:
    """What that means (pure)."""
    return [
        _needed("TUN and TAP", "/dev/net/tun", "modprobe tun; in a container pass the device in", there=found.tun),
        _needed(
            "network namespaces", "/proc/self/ns/net", "needs a kernel with CONFIG_NET_NS", there=found.namespaces
        ),
        _needed("packet sockets", "AF_PACKET, TPACKET_V3", "modprobe af_packet", there=found.packet),
        _landlock(found.landlock),
        _wanted("seccomp", "filters", "needs a kernel with CONFIG_SECCOMP_FILTER", there="errno" in found.seccomp),
        _wanted("fixed memory", "PR_SET_MDWE", "needs Linux 6.3 or newer; seccomp does it alone", there=found.mdwe),
        _clock(found.clock),
        _memory(found.free),
        _wanted(
            "descriptors", f"at most {found.descriptors}", "raise the hard limit (ulimit -Hn, LimitNOFILE=) to 4096",
            there=found.descriptors >= _DESCRIPTORS,
        ),
    ]  # fmt: skip


def _needed(name: str, what: str, fix: str, *, there: bool) -> Finding:
    return Finding("kernel", name, "ok", what) if there else Finding("kernel", name, "missing", f"no {what}", fix)


def _wanted(name: str, what: str, fix: str, *, there: bool) -> Finding:
    return Finding("kernel", name, "ok", what) if there else Finding("kernel", name, "limited", f"no {what}", fix)


def _landlock(abi: int) -> Finding:
    if abi >= sandbox.SCOPES:
        return Finding("kernel", "Landlock", "ok", f"ABI {abi}: files, TCP, signals and abstract sockets")
    if abi >= sandbox.TCP_RULES:
        seen = f"ABI {abi}: files and TCP, not signals and abstract sockets"
    else:
        seen = f"ABI {abi}: files only" if abi else "none: files are protected by their permissions alone"
    fix = "Linux 6.12 or newer has ABI 6" if abi else "Linux 6.12 or newer, with landlock in the boot parameter lsm="
    return Finding("kernel", "Landlock", "limited", seen, fix)


def _clock(name: str) -> Finding:
    state: State = "limited" if name in _SLOW_CLOCKS else "ok"
    fix = "reading this clock takes a system call; boot with clocksource=tsc where the CPU has constant_tsc"
    return Finding("kernel", "clock source", state, name or "not told", fix if state == "limited" else "")


def _memory(free: int) -> Finding:
    seen = f"{free >> 20} MiB free; a ring takes {_RING >> 20} MiB an interface"
    if free >= _RING * _RINGS or not free:
        return Finding("kernel", "memory of rings", "ok", seen)
    fix = "lower capture.buffer_size: the kernel holds the ring whatever limit the process has"
    return Finding("kernel", "memory of rings", "limited", seen, fix)


def available(meminfo: str) -> int:
    """Bytes that can be had, from the text of /proc/meminfo; 0 where it does not tell (pure)."""
    for line in meminfo.splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) << 10
    return 0


def text(path: str | Path) -> str:
    """The file's text without spaces around; empty where there is none."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _is_device(path: str) -> bool:
    try:
        return Path(path).is_char_device()
    except OSError:
        return False
