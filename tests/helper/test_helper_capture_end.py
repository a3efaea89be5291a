"""When a capture ends: with its connection, its release, its helper, or a narrower policy."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from capture_kit import EVERYTHING, PEERS, Ring, ethernet, inside, packets, received, request
from helper_kit import environment, status, until

from lippycatd import privileged as client
from lippycatd.errors import PrivilegeError

ONE = '[[capture]]\ninterface = "w0"\ncount = 2\nring_max = 524288\npromiscuous = true\n' + EVERYTHING

# Stands in for a daemon: opens a capture, says so, and waits to be killed.
DAEMON = """
import sys, time
from lippycatd import privileged
peer = privileged.connect_capture(sys.argv[1])
got = peer.open_capture(privileged.CaptureRequest("w0", promiscuous=True, block_size=65536, block_count=4))
print(got.ifindex, flush=True)
time.sleep(60)
"""


def rings(pid):
    """How many rings a process has mapped, and how many descriptors it holds."""
    maps = Path(f"/proc/{pid}/maps").read_text().count("socket:")
    return maps, len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_the_helper_lets_go_with_the_kill_of_its_client(capturing, wire):
    served = capturing(ONE)
    before = rings(served.process.pid)
    daemon = subprocess.Popen(
        [sys.executable, "-c", DAEMON, served.path], stdout=subprocess.PIPE, env=environment(), text=True
    )
    with daemon:
        assert int(daemon.stdout.readline()) == wire.index("w0")
        assert rings(served.process.pid)[0] == before[0] + 1
        assert wire.promiscuity("w0") == 1
        daemon.kill()
    assert until(lambda: rings(served.process.pid) == before)
    assert until(lambda: wire.promiscuity("w0") == 0)
    # Its share of the entry is free again.
    served.capture(sockets=2)


def test_a_released_capture_frees_its_share(capturing, wire):
    served = capturing(ONE)
    peer = served.connect()
    got = served.capture(peer, sockets=2)
    with pytest.raises(PrivilegeError, match=r"w0 would have socket 3 of .* \(line \d+\), which permits 2"):
        served.capture()
    peer.release(got)
    assert not got.fds
    served.capture(peer, sockets=2)
    other = served.connect()
    with pytest.raises(PrivilegeError, match="this connection has no capture 1"):
        other.release(got)


def test_the_rings_of_an_entry_are_bounded_together(capturing, wire):
    served = capturing(ONE)
    served.capture(block_count=6)
    with pytest.raises(PrivilegeError, match=r"a ring of 262144 bytes for w0 makes 655360 of .* ring_max is 524288"):
        served.capture()


def test_a_killed_helper_leaves_the_capture_running(capturing, wire):
    served = capturing(ONE)
    peer = served.connect()
    got = served.capture(peer)
    ring = Ring(got.fds[0])
    served.process.kill()
    served.process.wait()
    wire.send("p0", ethernet(number=1))
    assert received(ring, count=1) == [(ethernet(number=1), 200)]
    with pytest.raises(PrivilegeError, match="the helper has ended"):
        peer.ping()
    served.start()
    again = served.capture()
    wire.send("p0", ethernet(number=2))
    assert received(Ring(again.fds[0]), count=1) == [(ethernet(number=2), 200)]


def reload(served, entries):
    """Write another policy, and have it read."""
    before = served.said().count("was read again")
    path = Path(served.file)
    path.write_text(f'capture_socket = "{served.path}"\n{PEERS}{entries}')
    served.process.send_signal(signal.SIGHUP)
    assert until(lambda: served.said().count("was read again") > before)


def bind(fd, name):
    """Bind the passed socket anew, as its holder may try: the errno, or 0."""
    with socket.socket(fileno=os.dup(fd)) as sock:
        try:
            sock.bind((name, 3))
        except OSError as error:
            return error.errno
    return 0


def test_a_narrower_policy_takes_a_capture_back(capturing, wire):
    served = capturing(ONE + '[[capture]]\ninterface = "w1"\n' + EVERYTHING)
    lost, kept = served.connect(), served.connect()
    first, second = served.capture(lost, promiscuous=True), served.capture(kept, interface="w1")
    reload(served, '[[capture]]\ninterface = "w1"\ncount = 3\n' + EVERYTHING)
    assert "capture from w0 of user 0" in served.said()
    assert "was ended: capture from w0 (promiscuous) is not permitted" in served.said()
    with pytest.raises(PrivilegeError, match="the helper has ended"):
        lost.ping()
    kept.ping()
    # Its holder still has the socket: it is deaf, and cannot be bound again.
    packets(first.fds[0])
    with inside(wire.netns):
        assert bind(first.fds[0], "w0") == errno.EINVAL
    wire.send("p0", ethernet())
    wire.send("p1", ethernet())
    assert packets(first.fds[0]) == 0
    assert packets(second.fds[0]) == 1
    assert wire.promiscuity("w0") == 0
    with pytest.raises(PrivilegeError, match="capture from w0 is not permitted"):
        served.capture()


@pytest.mark.parametrize(
    "change", [("0x40000", "0x3ffff"), ("promiscuous = true", "promiscuous = false"), ("count = 2", "snaplen = 99")]
)
def test_a_policy_that_confines_otherwise_ends_what_it_did_not_confine(capturing, wire, change):
    served = capturing(ONE)
    peer = served.connect()
    served.capture(peer)
    reload(served, ONE.replace(*change))
    with pytest.raises(PrivilegeError, match="the helper has ended"):
        peer.ping()
    assert "confines it otherwise" in served.said()


def test_a_policy_that_confines_the_same_ends_nothing(capturing, wire):
    served = capturing(ONE)
    peer = served.connect()
    got = served.capture(peer)
    reload(
        served, "# another line, and a wider pattern\n" + ONE.replace('"w0"', '"w?"').replace("count = 2", "count = 9")
    )
    peer.ping()
    wire.send("p0", ethernet())
    assert packets(got.fds[0]) == 1


def test_a_group_of_sockets_is_its_holders_to_close(capturing, wire):
    """A member of a fanout group cannot be bound away: a measured limit of the kernel's."""
    served = capturing(ONE)
    peer = served.connect()
    got = served.capture(peer, sockets=2)
    reload(served, "")
    with pytest.raises(PrivilegeError, match="the helper has ended"):
        peer.ping()
    wire.send("p0", ethernet())
    assert sum(packets(fd) for fd in got.fds) == 1


def test_a_peer_of_the_other_role_is_told(capturing, wire):
    served = capturing(ONE)
    said = "CREATE is not for a helper in the role capture"
    with client.connect(client.VifRequest(), served.path) as peer, pytest.raises(PrivilegeError, match=said):
        peer.create()


def test_the_command_line_captures_from_what_it_names(wire):
    wanted = [request("w0", promiscuous=True, sockets=2), request("w1")]
    with inside(wire.netns):
        helper = client.execute_capture(wanted)
    with helper:
        fields = status(helper._process.pid)
        assert int(fields["CapPrm"], 16) == int(fields["CapEff"], 16) == 1 << 13
        for each in wanted:
            got = helper.open_capture(each)
            assert got.ifindex == wire.index(each.interface)
            wire.send(f"p{each.interface[1]}", ethernet())
            assert sum(packets(fd) for fd in got.fds) == 1
            got.close()
        with pytest.raises(PrivilegeError, match="capture from p0 is not permitted by the command line"):
            helper.open_capture(request("p0"))


def test_an_interface_that_is_missing_is_named(capturing, wire):
    served = capturing('[[capture]]\ninterface = "*"\n' + EVERYTHING)
    with pytest.raises(PrivilegeError, match="there is no interface w7 here: lippycat list interfaces shows them"):
        served.capture(interface="w7")
