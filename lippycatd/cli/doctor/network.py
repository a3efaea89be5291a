"""The interfaces, and the programs around them."""

from __future__ import annotations

import array
import dataclasses
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

from lippycatd.cli.doctor.finding import Finding
from lippycatd.cli.doctor.kernel import text

# linux/if.h, linux/ethtool.h and linux/sockios.h
_UP, _LOOPBACK = 0x1, 0x8
_SIOCETHTOOL, _GGRO, _GFLAGS, _LRO = 0x8946, 0x2B, 0x25, 1 << 15
# What is run beside lippycat: program → (package of Debian, what for).
PROGRAMS = {
    "ip": ("iproute2", "entering the namespace of lc0"),
    "tcpdump": ("tcpdump", "reading lc0"),
    "nft": ("nftables", "keeping the daemon from sending on the captured wire"),
}
_TIMEOUT = 5.0  # seconds


@dataclasses.dataclass(frozen=True, slots=True)
class Interface:
    """An interface that is up: name, and whether the kernel merges what it receives (None: it does not tell)."""

    name: str
    gro: bool | None
    lro: bool | None


@dataclasses.dataclass(frozen=True, slots=True)
class Network:
    """What was read: interfaces that are up without loopback, programs that were found, and what `nft` said.

    `unruled`: where what capture sockets send is not refused, in one line; empty where it is, or where we may not look.
    """

    interfaces: tuple[Interface, ...]
    programs: frozenset[str]
    nft: str
    unruled: str


def read() -> Network:
    """Looks at this machine."""
    up = [name for _, name in sorted(socket.if_nameindex()) if _flags(name) & (_UP | _LOOPBACK) == _UP]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        interfaces = [Interface(name, _ask(asking, name, _GGRO, 1), _ask(asking, name, _GFLAGS, _LRO)) for name in up]
    programs = frozenset(name for name in PROGRAMS if shutil.which(name, path=f"{os.defpath}:/usr/sbin:/sbin"))
    root = os.geteuid() == 0
    nft = _nft() if "nft" in programs and root else ""
    return Network(tuple(interfaces), programs, nft, _unruled() if root and not nft else "")


def judge(found: Network) -> list[Finding]:
    """What that means (pure)."""
    findings = [_interfaces(found.interfaces), *_merging(found.interfaces)]
    for program, (package, reason) in PROGRAMS.items():
        if program in found.programs:
            findings.append(Finding("network", program, "ok", "installed"))
        else:
            fix = f"apt-get install {package}: it is for {reason}"
            findings.append(Finding("network", program, "limited", "not installed", fix))
    if found.nft:
        fix = "load nf_tables, or go without the rule that keeps the daemon from sending on the wire"
        findings.append(Finding("network", "nft rules", "limited", found.nft, fix))
    elif found.unruled:
        fix = (
            "systemctl start lippycat-egress@now, which the capture helper and udev do; by hand: "
            f"{sys.executable} -I -m lippycat_helper.egress (without it a daemon that is taken over can send there)"
        )
        findings.append(Finding("network", "egress rule", "limited", found.unruled, fix))
    return findings


def _interfaces(found: tuple[Interface, ...]) -> Finding:
    if found:
        return Finding("network", "interfaces", "ok", f"up: {', '.join(item.name for item in found)}")
    fix = "set one up (ip link set NAME up); capture files can be read without"
    return Finding("network", "interfaces", "limited", "none is up but loopback", fix)


def _merging(found: tuple[Interface, ...]) -> list[Finding]:
    """Offloads that deliver frames which never were on the wire."""
    findings = []
    for name in ("gro", "lro"):
        merging = [item.name for item in found if getattr(item, name)]
        if not merging:
            findings.append(Finding("network", name.upper(), "ok", "off, or not told"))
            continue
        seen = f"on at {', '.join(merging)}: frames arrive merged, larger than on the wire"
        fix = "; ".join(f"ethtool -K {one} {name} off" for one in merging)
        findings.append(Finding("network", name.upper(), "limited", seen, fix))
    return findings


def _flags(name: str) -> int:
    return int(text(Path("/sys/class/net", name, "flags")) or "0", 16)


def _ask(asking: socket.socket, name: str, command: int, bit: int) -> bool | None:
    """One value of ethtool (struct ethtool_value); needs no privilege."""
    value = array.array("I", [command, 0])
    request = struct.pack("16sP", name.encode(), value.buffer_info()[0])
    try:
        fcntl.ioctl(asking, _SIOCETHTOOL, request)
    except OSError:
        return None
    return bool(value[1] & bit)


def _nft() -> str:
    """Why nft cannot work here; empty where it does."""
    path = f"{os.defpath}:/usr/sbin:/sbin"
    try:
        done = subprocess.run(  # noqa: S603  a program of the system, by its full name
            [shutil.which("nft", path=path) or "nft", "list", "tables"],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
            env={"PATH": path},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"nft does not run: {error}"
    return "" if done.returncode == 0 else " ".join(done.stderr.split()) or f"nft ends with {done.returncode}"


def _unruled() -> str:
    """What the helper's program says of its rule; empty where all is well, or it cannot tell."""
    command = [sys.executable, "-I", "-m", "lippycat_helper.egress", "check"]
    try:
        done = subprocess.run(  # noqa: S603  our own program
            command, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stderr.strip().removeprefix("lippycat-helper: ") if done.returncode == 1 else ""
