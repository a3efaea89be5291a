"""The service: who is served, what survives whom, and what a hostile peer cannot do."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from helper_kit import NOBODY, alive, as_nobody, keepers, links, marker, named, status, until

from lippycat_helper import wire
from lippycat_helper.wire import Kind, Operation, Reply, Request, Status
from lippycatd import privileged as client
from lippycatd.errors import PrivilegeError

POLICY = f"""
group = {NOBODY}
[[peer]]
group = {NOBODY}
[[peer]]
user = 0
[[tap]]
name = "lc?"
count = 2
[[tap]]
name = "lt0"
kind = "tun"
mtu = 1400
"""


@pytest.fixture
def helper(service, swept):
    """A service with POLICY, and a way to connect to it."""
    served = service(POLICY)
    opened = []

    def connect(name="lc0", **request):
        made = client.connect(client.VifRequest(name=name, netns=swept, **request), served.path)
        opened.append(made)
        return made

    served.connect = connect
    yield served
    for each in opened:
        each.close()


def test_a_member_of_the_group_needs_no_root(helper, swept):
    def work():
        with client.acquire(client.VifRequest(netns=swept), helper.path) as served:
            vif = served.create()
            written = os.write(vif.fd, bytes(60))
            vif.close()
            return [served.executed, written, client.connected_service(helper.path)]

    assert as_nobody(work) == [False, 60, True]
    assert "lc0" in links(swept)


def test_the_service_holds_only_net_admin_in_its_own_namespace(helper, swept):
    fields = status(helper.process.pid)
    assert int(fields["CapPrm"], 16) == int(fields["CapEff"], 16) == 1 << 12
    assert [int(fields[key], 16) for key in ("CapInh", "CapBnd", "CapAmb")] == [0, 0, 0]
    assert fields["NoNewPrivs"] == "1"
    assert Path(f"/proc/{helper.process.pid}/ns/net").samefile(Path("/run/netns", swept))
    info = Path(helper.path).stat()
    assert (oct(info.st_mode & 0o777), info.st_uid, info.st_gid) == ("0o660", 0, NOBODY)


def test_who_is_no_peer_is_told_and_logged(service, swept):
    served = service("[[tap]]\nname = 'lc0'\n[[peer]]\nuser = 65533\n")
    with pytest.raises(PrivilegeError, match=re.escape("user 0 is no peer: ") + ".*helper.toml has no"):
        client.connect(client.VifRequest(netns=swept), served.path)
    assert not client.connected_service(served.path)
    assert "connection refused: user 0 is no peer" in served.said()
    # Root then executes a helper of its own, here in the namespace that the service made.
    with client.acquire(client.VifRequest(netns=swept), served.path) as own:
        assert own.executed


def test_the_device_survives_the_daemon_and_comes_back(helper, swept):
    first = helper.connect().create()
    assert not first.existing
    first.close()
    with pytest.raises(PrivilegeError, match=f"lc0 in {swept} is in use by user 0, pid {os.getpid()}: choose another"):
        helper.connect().create()


def test_a_peer_that_reconnects_gets_the_same_device(helper, swept):
    one = helper.connect()
    first = one.create()
    first.close()
    one.close()
    subprocess.run(["ip", "-n", swept, "link", "set", "lc0", "down"], check=True)
    assert until(lambda: "lc0" in links(swept))
    again = helper.connect().create()
    assert (again.existing, again.ifindex) == (True, first.ifindex)
    assert os.write(again.fd, bytes(60)) == 60  # it is up again
    again.close()


def test_another_kind_under_the_same_name_is_refused(service, swept):
    served = service("[[peer]]\nuser=0\n[[tap]]\nname='lc0'\n[[tap]]\nname='lc0'\nkind='tun'\n")
    for kind, said in (("tap", None), ("tun", "lc0 is kept as a tap")):
        with client.connect(client.VifRequest(netns=swept, kind=kind), served.path) as peer:
            if said:
                with pytest.raises(PrivilegeError, match=said):
                    peer.create()
            else:
                peer.create().close()


def test_a_vanished_device_is_made_again(helper, swept):
    one = helper.connect()
    first = one.create()
    subprocess.run(["ip", "-n", swept, "link", "delete", "lc0"], check=True)
    second = one.create()
    assert not second.existing
    assert second.ifindex != first.ifindex
    assert os.write(second.fd, bytes(60)) == 60
    first.close()
    second.close()


def test_a_released_device_ends_with_its_last_descriptor(helper, swept):
    peer = helper.connect()
    vif = peer.create()
    peer.release()
    assert "lc0" in links(swept)
    vif.close()
    assert "lc0" not in links(swept)


def test_no_more_devices_than_the_entry_permits(helper, swept):
    vifs = [helper.connect(f"lc{n}").create() for n in range(2)]
    peer = helper.connect("lc2")
    with pytest.raises(PrivilegeError, match=r"lc2 would be device 3 of .*\[\[tap\]\] 1 \(line \d+\), which permits 2"):
        peer.create()
    with pytest.raises(PrivilegeError, match="the helper has ended"):
        peer.ping()
    for vif in vifs:
        vif.close()


def test_other_limits_than_the_policys_are_refused_not_ignored(helper, swept):
    with pytest.raises(PrivilegeError, match="policy gives lt0 mtu 1400, not 65521: use --vif-mtu 1400"):
        helper.connect("lt0", kind="tun").create()
    assert "lt0" not in links(swept)
    helper.connect("lt0", kind="tun", mtu=1400).create().close()


def test_a_refusal_is_logged_with_its_line_and_ends_the_connection(helper):
    peer = helper.connect("eth0")
    with pytest.raises(PrivilegeError, match=r"tap eth0 .* \[\[tap\]\] 1 \(line \d+\) is for the name 'lc\?'"):
        peer.create()
    with pytest.raises(PrivilegeError, match="the helper has ended"):
        peer.ping()
    assert f"user 0, pid {os.getpid()}: CREATE: tap eth0" in helper.said()


def test_the_namespace_stays_and_has_no_marker_and_no_keeper(helper, swept):
    helper.stop()
    assert named(swept)
    assert not marker(swept).exists()
    assert not keepers(swept)
    assert not Path(helper.path).exists()


def test_a_killed_service_blocks_nothing(helper, swept):
    vif = helper.connect().create()
    helper.process.kill()
    helper.process.wait()
    assert "lc0" in links(swept)  # the daemon's descriptor keeps it alive
    vif.close()
    assert until(lambda: "lc0" not in links(swept))
    assert Path(helper.path).exists()
    helper.start()
    helper.connect().create().close()


def test_a_second_service_on_the_same_socket_is_refused(helper):
    command = [sys.executable, "-I", "-m", "lippycat_helper", "--policy", helper.file]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 3
    assert "another helper listens on" in done.stderr
    assert done.stderr.count("\n") == 1
    helper.connect().ping()


# Passes a listening socket as systemd does (sd_listen_fds(3)).
SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.executable, [sys.executable, "-I", "-m", "lippycat_helper", *sys.argv[2:]])
"""


def test_a_socket_that_systemd_passes(privileged, folder, swept):
    path = str(folder / "passed.sock")
    file = folder / "helper.toml"
    file.write_text(f"namespace = '{swept}'\n[[peer]]\nuser = 0\n[[tap]]\nname = 'lc0'\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen()
        arguments = [str(listener.fileno()), "--policy", str(file)]
        command = [sys.executable, "-c", SYSTEMD, *arguments]
        process = subprocess.Popen(command, pass_fds=[listener.fileno()], stderr=subprocess.DEVNULL)
    try:
        with client.connect(client.VifRequest(netns=swept), path) as peer:
            peer.create().close()
        process.terminate()
        assert process.wait(10) == 0
        assert Path(path).exists()  # systemd's, not ours
    finally:
        process.kill()
        process.wait()


def test_a_service_inside_its_namespace_needs_no_sys_admin(service, swept):
    subprocess.run(["ip", "netns", "add", swept], check=True)
    prefix = ["ip", "netns", "exec", swept, "setpriv", "--bounding-set=-all,+net_admin", "--inh-caps=-all", "--"]
    served = service(POLICY.replace(f"group = {NOBODY}\n[[peer]]", "[[peer]]", 1), *prefix)
    with client.connect(client.VifRequest(netns=swept), served.path) as peer:
        peer.create().close()
    assert int(status(served.process.pid)["CapEff"], 16) == 1 << 12


def descriptors(pid):
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def attack(sock, chance, netns):
    """Send one hostile message."""
    valid = [
        Request(Operation.PING, 1),
        Request(Operation.CREATE, 2, Kind.TAP, "eth0", netns),
        Request(Operation.CREATE, 2, Kind.TUN, "lc0", netns),
        Request(Operation.RELEASE, 3, Kind.TAP, "lc1", netns),
        Request(Operation.ADOPT, 4, Kind.TAP, "lc1", netns),
        Request(Operation.RELEASE, 5, capture=7),
        Request(Operation.CAPTURE, 6, name="any", sockets=3, block_size=4096, block_count=4, timeout_ms=1),
    ]
    message = bytearray(chance.choice(valid).pack())
    match chance.randrange(5):
        case 0:
            message = bytearray(chance.randbytes(chance.randrange(1, 300)))
        case 1:
            message[chance.randrange(len(message))] ^= 1 << chance.randrange(8)
        case 2:
            return wire.send(sock, bytes(message), tuple([0] * chance.choice([1, 1, 2, 3, 200])))
        case 3:
            message *= chance.randrange(2, 50)
        case _:
            pass
    return wire.send(sock, bytes(message))


def test_a_hostile_peer_gets_nothing_and_stops_nothing(helper, swept):
    chance = random.Random(7)
    pid = helper.process.pid
    before = descriptors(pid)
    answers = 0
    for _ in range(400):
        sock, _ = helper.raw()
        with sock:
            for _ in range(chance.randrange(1, 5)):
                try:
                    attack(sock, chance, swept)
                    message, fds = wire.receive(sock, Reply.size(), wire.REPLY_FDS_MAX)
                except (ConnectionError, BrokenPipeError):
                    break
                assert not fds
                if not message:
                    break
                reply = Reply.unpack(message)
                answers += 1
                assert reply.operation in {Operation.PING, Operation.RELEASE} or reply.status is not Status.OK
    assert answers > 50
    assert links(swept) == {"lo"}
    assert until(lambda: descriptors(pid) == before)
    assert "Traceback" not in helper.said()
    assert "connection of user 0" in helper.said()
    helper.connect().ping()


def test_a_peer_that_never_reads_or_speaks_does_not_stop_the_others(helper):
    silent, _ = helper.raw()
    flood, _ = helper.raw()
    with silent, flood:
        flood.settimeout(0.2)
        request = Request(Operation.PING).pack()
        try:
            for _ in range(10_000):
                wire.send(flood, request)
        except OSError:
            pass
        helper.connect().ping()
    helper.connect().ping()


def test_connections_are_bounded(helper):
    socks = []
    for _ in range(65):
        sock, reply = helper.raw()
        socks.append(sock)
    assert reply.status is Status.REFUSED
    assert "64 connections are open already" in reply.text
    for sock in socks:
        sock.close()
    assert until(lambda: client.connected_service(helper.path))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_told_and_takes_its_devices_along(helper, swept, number):
    helper.connect().create().close()
    assert "lc0" in links(swept)
    helper.process.send_signal(number)
    assert helper.process.wait(10) == 0
    assert not alive(helper.process.pid)
    assert links(swept) == {"lo"}
