"""The egress rule: what a capture socket sends reaches no wire, everything else does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
from capture_kit import EVERYTHING, as_nobody_in, ethernet, inside, packets

QDISC_BYPASS = 20


def egress(wire, *arguments):
    command = [*wire.prefix, sys.executable, "-I", "-m", "lippycat_helper.egress", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def rules(wire):
    command = [*wire.prefix, "nft", "list", "ruleset"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def inject(fd, name):
    """Send on a passed socket as its holder may try: through the queue, past it, and from another binding."""
    tried = []
    with socket.socket(fileno=os.dup(fd)) as sock:
        for bypass in (0, 1):
            sock.setsockopt(263, QDISC_BYPASS, bypass)
            try:
                sock.sendto(ethernet(number=40 + bypass), (name, 0x0800))
                tried.append("sent")
            except OSError as error:
                tried.append(error.strerror)
    return tried


@pytest.fixture
def socket_of_w0(capturing, wire):
    """A capture on w0, and a plain one on p0 and p1 that counts what comes over the wires."""
    served = capturing('[[capture]]\ninterface = "w0"\n[[capture]]\ninterface = "p?"\ncount = 2\n'.replace(
        "\n[[", f"\n{EVERYTHING}[[") + EVERYTHING)  # fmt: skip
    return [served.capture(interface=name).fds[0] for name in ("w0", "p0", "p1")]


def test_without_the_rule_a_socket_can_send(wire, socket_of_w0):
    """The danger is real: the holder has no capability and no right but the descriptor."""
    fd, p0, p1 = socket_of_w0
    as_nobody_in(wire.netns, lambda: [inject(fd, name) for name in ("w0", "w1")])
    assert [packets(p0), packets(p1)] == [2, 2]


def test_with_the_rule_nothing_that_it_sends_arrives(wire, socket_of_w0):
    done = egress(wire)
    assert (done.returncode, done.stderr) == (0, "")
    fd, p0, p1 = socket_of_w0
    as_nobody_in(wire.netns, lambda: [inject(fd, name) for name in ("w0", "w1", "lo")])
    assert [packets(p0), packets(p1)] == [0, 0]
    # Who is not a capture socket sends as before.
    wire.send("w0", ethernet())
    assert packets(p0) == 1
    assert rules(wire).count("counter packets 2 bytes 400 drop") == 3


def test_it_may_be_done_again_and_adds_what_has_appeared(wire):
    assert egress(wire).returncode == 0
    first = rules(wire)
    assert first.count("meta mark 0x6c630001") == 5  # lo, two pairs
    assert egress(wire).returncode == 0
    assert rules(wire) == first
    assert egress(wire, "check").returncode == 0
    wire.ip("link", "add", "w9", "type", "veth", "peer", "name", "p9")
    lacks = egress(wire, "check")
    assert (lacks.returncode, sorted(lacks.stderr.split()[-2:])) == (1, ["p9,", "w9"])
    assert egress(wire).returncode == 0
    assert rules(wire).count("meta mark 0x6c630001") == 7
    wire.ip("link", "delete", "w9")
    assert egress(wire).returncode == 0
    assert rules(wire) == first
    for _ in range(2):
        assert egress(wire, "remove").returncode == 0
        assert "lippycat" not in rules(wire)


def test_several_at_once_add_it_once(wire):
    """As udev starts them when several interfaces appear."""
    command = [*wire.prefix, sys.executable, "-I", "-m", "lippycat_helper.egress"]
    started = [subprocess.Popen(command) for _ in range(4)]
    assert [each.wait(30) for each in started] == [0] * 4
    assert rules(wire).count("meta mark 0x6c630001") == 5


def test_it_says_what_it_lacks(wire):
    with inside(wire.netns):
        command = ["setpriv", "--bounding-set=-net_admin", "--", sys.executable, "-I", "-m", "lippycat_helper.egress"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr == (
        "lippycat-helper: CAP_NET_ADMIN is missing, which the egress rule needs: run as root "
        "(in a container: add the capability NET_ADMIN)\n"
    )
