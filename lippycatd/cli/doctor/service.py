"""The installation: users, the helper, the interpreter, systemd, the configuration."""

from __future__ import annotations

import dataclasses
import grp
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import sys
from pathlib import Path

from lippycat_helper import wire
from lippycatd import privileged
from lippycatd.cli.doctor.finding import Finding
from lippycatd.daemon import settings
from lippycatd.errors import LippycatError

CONFIGURATION = Path("/etc/lippycat/lippycatd.yaml")
USER = "lippycat"
SYSTEMD_MINIMUM = 252
_TIMEOUT = 5.0  # seconds


@dataclasses.dataclass(frozen=True, slots=True)
class Socket:
    """One socket of the helper: its role and path, whether it exists, and why it does not admit us (empty: it does)."""

    role: str
    path: str
    exists: bool
    refusal: str


@dataclasses.dataclass(frozen=True, slots=True)
class Service:
    """What was read; `systemd` is 0 where it does not run, `closed` the first directory that others may not enter."""

    root: bool
    user: str
    has_user: bool
    members: frozenset[str]
    member: bool
    sockets: tuple[Socket, ...]
    modules: frozenset[str]
    closed: str
    systemd: int
    configuration: str | None


def read() -> Service:
    """Looks at this machine."""
    user, members, member = _group()
    return Service(
        root=os.geteuid() == 0,
        user=user,
        has_user=_exists(USER),
        members=members,
        member=member,
        sockets=(_tap_socket(), _capture_socket()),
        modules=frozenset(name for name in ("lippycat_helper", "pyroute2", "prctl") if importlib.util.find_spec(name)),
        closed=first_closed([Path(sys.executable).resolve(), Path(__file__).resolve()]),
        systemd=_systemd(),
        configuration=_configuration(),
    )


def judge(found: Service) -> list[Finding]:
    """What that means (pure)."""
    return [
        _user(found),
        *(_socket(item, found) for item in found.sockets),
        _membership(found),
        _modules(found),
        _paths(found),
        _manager(found),
        _yaml(found),
    ]


def _user(found: Service) -> Finding:
    if found.has_user:
        return Finding("service", "user", "ok", USER)
    fix = f"systemd-sysusers, or useradd --system {USER}; by hand it runs as --user, the user behind sudo, or nobody"
    return Finding("service", "user", "limited", f"there is no user {USER}", fix)


def _socket(item: Socket, found: Service) -> Finding:
    name = f"helper ({item.role})"
    if item.exists and not item.refusal:
        return Finding("service", name, "ok", f"{item.path} admits {found.user}")
    unit = "lippycat-helper-tap@lc-ns.socket" if item.role == "tap" else "lippycat-helper-capture.socket"
    if item.exists and found.root:
        return Finding("service", name, "ok", f"{item.path} is not for root, who runs the helper itself")
    if item.exists:
        return Finding("service", name, "missing", f"{item.path}: {item.refusal}", f"systemctl status {unit}")
    if found.root:
        return Finding("service", name, "ok", f"no {item.path}; root runs the helper itself")
    fix = f"systemctl enable --now {unit}, or run lippycat with sudo"
    return Finding("service", name, "limited", f"no {item.path}, and {found.user} is not root", fix)


def _membership(found: Service) -> Finding:
    if found.root or found.member:
        return Finding("service", "group", "ok", f"{found.user} may use the helper")
    if found.user in found.members:
        return Finding(
            "service", "group", "limited", f"{found.user} is in group {USER}, this session not yet", "log in again"
        )
    fix = f"usermod -aG {USER} {found.user}, then log in again"
    return Finding("service", "group", "limited", f"{found.user} is not in group {USER}", fix)


def _modules(found: Service) -> Finding:
    lacks = sorted({"lippycat_helper", "pyroute2", "prctl"} - found.modules)
    if not lacks:
        return Finding("service", "helper program", "ok", "installed with what it needs")
    fix = "install lippycat-helper for this interpreter (make setup, or the Debian package)"
    return Finding("service", "helper program", "missing", f"not importable: {', '.join(lacks)}", fix)


def _paths(found: Service) -> Finding:
    if not found.closed:
        return Finding("service", "python", "ok", sys.executable)
    seen = f"{found.closed} is closed to other users; what runs is loaded before the drop"
    return Finding("service", "python", "limited", seen, "build on /usr/bin/python3 outside a home for the service")


def _manager(found: Service) -> Finding:
    if found.systemd >= SYSTEMD_MINIMUM:
        return Finding("service", "systemd", "ok", str(found.systemd))
    if found.systemd:
        fix = f"the units need {SYSTEMD_MINIMUM} or newer"
        return Finding("service", "systemd", "missing", str(found.systemd), fix)
    return Finding("service", "systemd", "limited", "does not run here", "run lippycatd by hand, or in a container")


def _yaml(found: Service) -> Finding:
    if found.configuration is None:
        return Finding("service", "configuration", "ok", f"no {CONFIGURATION}: defaults and flags")
    if not found.configuration:
        return Finding("service", "configuration", "ok", f"{CONFIGURATION} is valid")
    return Finding("service", "configuration", "missing", found.configuration, f"correct {CONFIGURATION}")


def _group() -> tuple[str, frozenset[str], bool]:
    """Name of the user, members of the group, and whether this process is in it."""
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        name = str(os.geteuid())
    try:
        group = grp.getgrnam(USER)
    except KeyError:
        return name, frozenset(), False
    return name, frozenset(group.gr_mem), group.gr_gid in {os.getegid(), *os.getgroups()}


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _tap_socket() -> Socket:
    path = wire.SOCKET_PATH
    if not Path(path).is_socket():
        return Socket("tap", path, exists=False, refusal="")
    refused = "" if privileged.connected_service(path) else "does not admit this user, or nobody answers"
    return Socket("tap", path, exists=True, refusal=refused)


def _capture_socket() -> Socket:
    path = wire.CAPTURE_SOCKET_PATH
    if not Path(path).is_socket():
        return Socket("capture", path, exists=False, refusal="")
    try:
        privileged.connect_capture(path).close()
    except LippycatError as error:
        return Socket("capture", path, exists=True, refusal=str(error))
    return Socket("capture", path, exists=True, refusal="")


def first_closed(paths: list[Path]) -> str:
    """The first directory on the way to the paths that others may not enter; empty where there is none."""
    for path in paths:
        for directory in reversed(path.parents):
            if not directory.stat().st_mode & 0o001:
                return str(directory)
    return ""


def _systemd() -> int:
    program = shutil.which("systemctl", path=os.defpath)
    if program is None or not Path("/run/systemd/system").is_dir():
        return 0
    try:
        done = subprocess.run(  # noqa: S603  a program of the system, by its full name
            [program, "--version"], capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    version = re.match(r"systemd (\d+)", done.stdout)
    return int(version[1]) if version else 0


def _configuration() -> str | None:
    """What is wrong with the service's configuration, empty when nothing is; None: there is none, or not to read."""
    if not os.access(CONFIGURATION, os.R_OK):
        return None
    return "; ".join(settings.check(str(CONFIGURATION)))
