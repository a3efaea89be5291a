"""What a daemon that was taken over can send on the wires of the booted Debian, and get from its helpers."""

from __future__ import annotations

import json

import pytest
from systemd_kit import CAPTURE, settle

# Run inside as the daemon's user: get a capture socket of the interface and send on it as a taken-over daemon may.
INJECT = """
import os, socket, sys
from lippycatd import privileged
name = sys.argv[1]
request = privileged.CaptureRequest(name, block_size=65536, block_count=4)
helper = privileged.connect_capture()
capture = helper.open_capture(request)
sock = socket.socket(fileno=capture.fds[0])
frame = b"\\2" * 12 + b"\\x88\\xb5" + bytes(50)
for bypass in (0, 1):
    sock.setsockopt(263, 20, bypass)
    for work in (lambda: sock.sendto(frame, (name, 0x88B5)), lambda: os.write(sock.fileno(), frame)):
        try:
            work()
        except OSError as error:
            print(error.strerror)
"""
# Run inside as the daemon's user: ask for what the shipped policy does not name; what was given is printed.
ASKS = """
from lippycatd import privileged
from lippycatd.errors import PrivilegeError
from lippycatd.privileged import CaptureRequest, VifRequest
for interface in ("wire", "any"):
    try:
        privileged.connect_capture().open_capture(CaptureRequest(interface, sockets=4, block_count=300))
        print("a larger ring")
    except PrivilegeError:
        pass
for name, netns in (("eth9", "lc-ns"), ("lc1", ""), ("lc1", "phones")):
    try:
        privileged.connect(VifRequest(name=name, netns=netns), "/run/lippycat/helper-lc-ns.sock").create()
        print(name, netns)
    except PrivilegeError:
        pass
"""


@pytest.fixture(scope="module")
def switched(installed):
    """A switch between the namespaces `phones` and `pbx`; its ports are the host's."""
    run = installed.run
    run("ip", "netns", "add", "pbx")
    run("ip", "link", "add", "wire2", "mtu", "9000", "type", "veth", "peer", "name", "w2", "netns", "pbx")
    run("ip", "link", "add", "switch", "type", "bridge", "ageing_time", "0")
    for name in ("wire2", "switch"):
        run("sysctl", "-qw", f"net.ipv6.conf.{name}.disable_ipv6=1")
    for port in ("wire", "wire2"):
        run("ip", "link", "set", port, "master", "switch", "up")
    run("ip", "link", "set", "switch", "up")
    run("ip", "-n", "pbx", "link", "set", "w2", "mtu", "9000", "up")
    yield installed
    run("ip", "link", "delete", "switch")
    run("ip", "netns", "delete", "pbx")


def as_daemon(machine, program, *arguments):
    user = ["setpriv", "--reuid=lippycat", "--regid=lippycat", "--clear-groups"]
    return machine.run(*user, "/usr/lib/lippycat/bin/python", "-I", "-c", program, *arguments).stdout.split("\n")[:-1]


@pytest.fixture(scope="module")
def udev(switched):
    """A device manager in the booted system, which nspawn keeps from starting; it sees the interfaces inside alone."""
    run = switched.run
    run("mount", "-o", "remount,rw", "/sys")  # a tmpfs of nspawn's; what is mounted below it stays as it is
    run("systemctl", "start", "systemd-udevd.service")
    run("systemctl", "daemon-reexec")  # the manager asks for devices only where they are told when it begins
    assert settle(lambda: switched.property("systemd-udevd.service", "ActiveState") == "active")
    return switched


def received(machine, netns, device):
    told = machine.run("ip", "-n", netns, "-j", "-s", "link", "show", device).stdout
    return json.loads(told)[0]["stats64"]["rx"]["packets"]


def unruled(machine):
    return machine.run("/usr/lib/lippycat/bin/lippycat-egress", "check", check=False).stderr


def test_a_daemon_taken_over_sends_nothing(udev):
    """On the captured wire and on one that appears later; the shipped units alone keep it from it."""
    udev.run("systemctl", "restart", CAPTURE)
    assert unruled(udev) == ""
    before = received(udev, "phones", "w1")
    assert len(as_daemon(udev, INJECT, "wire")) == 4
    assert received(udev, "phones", "w1") == before
    udev.run("ip", "link", "add", "late0", "type", "veth", "peer", "name", "late1", "netns", "pbx")
    udev.run("sysctl", "-qw", "net.ipv6.conf.late0.disable_ipv6=1")
    udev.run("ip", "link", "set", "late0", "up")
    udev.run("ip", "-n", "pbx", "link", "set", "late1", "up")
    try:
        assert settle(lambda: not unruled(udev), 10), udev.journal()
        before = received(udev, "pbx", "late1")
        assert len(as_daemon(udev, INJECT, "late0")) == 4
        assert received(udev, "pbx", "late1") == before
        # The attempt is real: without the rule it goes through, and the doctor says so.
        assert "egress rule" not in udev.run("lippycat", "doctor", check=False).stdout
        udev.run("/usr/lib/lippycat/bin/lippycat-egress", "remove")
        assert as_daemon(udev, INJECT, "late0") == []
        assert received(udev, "pbx", "late1") == before + 4
        assert "no egress rule for capture sockets on" in udev.run("lippycat", "doctor", check=False).stdout
    finally:
        udev.run("ip", "link", "delete", "late0")
        udev.run("systemctl", "start", "lippycat-egress@test.service")
    assert unruled(udev) == ""


def test_a_daemon_taken_over_gets_no_more_than_the_shipped_policy_gives(udev):
    assert as_daemon(udev, ASKS) == []
