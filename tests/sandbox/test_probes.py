"""A process that was taken over: what it tries is refused, in every thread, by the real sandbox."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROBES = Path(__file__).with_name("probes.py")
# Landlock, not seccomp, answers these: the calls are needed, the files are not.
BY_NAME = {"read /etc/passwd", "read /proc of another", "write a stray file", "make a directory"}
# What the service needs: connections to the helper, the relay and systemd, which go and come back.
OF_THE_DAEMON = {"connect an open TCP socket"}
# What the relay needs besides: sockets of the internet, to the ports of its configuration.
OF_THE_RELAY = {"socket AF_INET", "socket AF_INET6", "TCP socket"}
# Without the sandbox these are refused as well: no capability is held, or this kernel lacks the thing.
LEAST_OPEN = 55


def attempted(way, role, directory):
    command = [sys.executable, PROBES, way, role, "nobody"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, cwd=directory, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def directory(privileged, tmp_path):
    """A directory where nobody may write."""
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_mode & 0o005 != 0o005 and path.is_relative_to("/tmp"):
            path.chmod(0o755)
    tmp_path.chmod(0o777)
    return tmp_path


@pytest.fixture
def without(directory):
    """The answers when only the privileges are dropped."""
    return attempted("open", "capture", directory)["open"]


@pytest.mark.parametrize("role", ["capture", "daemon", "relay"])
def test_every_attempt_is_refused_in_every_thread(role, directory):
    found = attempted("locked", role, directory)
    assert found["first"] == found["later"]
    for name, answered in found["first"].items():
        expected = "EACCES" if name in BY_NAME else "ENOSYS" if name == "clone3" else "EPERM"
        if role == "relay" and name in OF_THE_RELAY:
            expected = "done"
        if role != "capture" and name in OF_THE_DAEMON:
            expected = "EACCES"  # Landlock: no TCP connection, whatever the call
        assert answered == expected, name
    assert list(directory.iterdir()) == []
    assert found["needed"] == dict.fromkeys(found["needed"], "done")


def test_the_attempts_are_real(without):
    """Most of them succeed where only the privileges were dropped, so it is the sandbox that refuses them."""
    succeeded = {name for name, answered in without.items() if answered == "done"}
    assert len(succeeded) >= LEAST_OPEN, sorted(set(without) - succeeded)
    assert {
        "read /etc/passwd", "write a stray file", "socket AF_INET", "TCP socket", "socket AF_NETLINK", "execute",
        "fork", "be traced", "read memory of another", "signal another", "memory to write and execute", "promiscuous",
        "bind an open packet socket", "send on the captured wire", "owner of the device", "persistent device",
        "unshare users", "dumpable again",
    } <= succeeded  # fmt: skip
