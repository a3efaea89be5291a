"""The device: real frames through a real TAP and TUN, silent and deaf, seen by a real tcpdump."""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helper_kit import as_nobody, status

from lippycatd import privileged as client

ARP = bytes.fromhex(
    "ffffffffffff02000000000208060001080006040001020000000002c0a84d02000000000000c0a84d01",
).ljust(60, b"\0")
FRAMES = [bytes([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xB5, n]) + bytes([n]) * (50 + n * 7) for n in range(200)]
PACKET = bytes.fromhex("4500001c00010000401167cec0000201c0000202000100020008") + bytes(2)


@pytest.fixture
def device(privileged, netns):
    """Get a device from an executed helper."""
    made = []

    def get(**request):
        helper = client.execute(client.VifRequest(netns=netns, **request))
        made.append(helper)
        vif = helper.create()
        made.insert(0, vif)
        return vif

    yield get
    for each in made:
        each.close()


def nft(netns):
    return subprocess.run(
        ["ip", "netns", "exec", netns, "nft", "list", "ruleset"], capture_output=True, text=True, check=True
    ).stdout


def link(netns, name):
    out = subprocess.run(["ip", "-n", netns, "-d", "-json", "link", "show", name], capture_output=True, check=True)
    return json.loads(out.stdout)[0]


def written_by_nobody(fd, frames):
    def work():
        count = sum(os.write(fd, frame) == len(frame) for frame in frames)
        fields = status("self")
        return [count, {key: int(fields[key], 16) for key in ("CapPrm", "CapEff", "CapInh", "CapBnd", "CapAmb")}]

    return as_nobody(work)


def captured(netns, name, count, work):
    """The bytes of `count` frames that tcpdump sees in the namespace while `work` runs."""
    if not shutil.which("tcpdump"):
        pytest.skip("needs tcpdump")
    reader = subprocess.Popen(
        ["ip", "netns", "exec", netns, "tcpdump", "-i", name, "-B", "16384", "-U", "-w", "-", "-c", str(count)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        while b"listening" not in reader.stderr.readline():
            assert reader.poll() is None
        result = work()
        data, _ = reader.communicate(timeout=20)
    finally:
        reader.kill()
        reader.communicate()
    frames, at = [], 24
    while at < len(data):
        size = struct.unpack_from("<I", data, at + 8)[0]
        frames.append(data[at + 16 : at + 16 + size])
        at += 16 + size
    return frames, result


def test_what_an_unprivileged_process_writes_a_real_tcpdump_reads(device, netns):
    vif = device()
    frames, (count, capabilities) = captured(netns, "lc0", len(FRAMES), lambda: written_by_nobody(vif.fd, FRAMES))
    assert count == len(FRAMES)
    assert set(capabilities.values()) == {0}
    assert frames == FRAMES


def test_a_tun_carries_ip_packets(device, netns):
    vif = device(name="lt0", kind="tun", mtu=1400)
    frames, (count, _) = captured(netns, "lt0", 3, lambda: written_by_nobody(vif.fd, [PACKET] * 3))
    assert count == 3
    assert frames == [PACKET] * 3
    assert "POINTOPOINT" in link(netns, "lt0")["flags"]


def test_the_device_is_as_asked_and_the_reply_says_where_it_is(device, netns):
    vif = device(name="lc-x.1", mtu=9000, txqueuelen=77)
    seen = link(netns, "lc-x.1")
    assert (seen["mtu"], seen["txqlen"], seen["ifindex"]) == (9000, 77, vif.ifindex)
    assert {"UP", "LOWER_UP"} <= set(seen["flags"])
    info = Path("/run/netns", netns).stat()
    assert (vif.netns_dev, vif.netns_inode) == (info.st_dev, info.st_ino)
    assert vif.name_leads_here()
    assert not os.get_inheritable(vif.fd)


def test_a_name_made_anew_no_longer_leads_to_the_device(device, netns):
    vif = device()
    subprocess.run(["ip", "netns", "delete", netns], check=True)
    assert not vif.name_leads_here()
    subprocess.run(["ip", "netns", "add", netns], check=True)
    try:
        assert not vif.name_leads_here()
    finally:
        subprocess.run(["ip", "netns", "delete", netns], check=True)


# Makes a TAP in the namespace it is started in, and sends its descriptor over the socket it is given.
PLAIN = """
import fcntl, os, socket, struct, sys
fd = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", b"lc0", 0x1002))
socket.send_fds(socket.socket(fileno=int(sys.argv[1])), [b"x"], [fd])
"""


@pytest.fixture
def plain(privileged):
    """A TAP that nobody prepared, for comparison: its descriptor, and the namespace it lies in."""
    name = f"lc-plain{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    ours, theirs = socket.socketpair()
    try:
        with ours, theirs:
            command = ["ip", "netns", "exec", name, sys.executable, "-c", PLAIN, str(theirs.fileno())]
            subprocess.run(command, pass_fds=[theirs.fileno()], check=True)
            _, (fd,), _, _ = socket.recv_fds(ours, 1, 1)
        subprocess.run(["ip", "-n", name, "link", "set", "lc0", "up"], check=True)
        yield fd, name
        os.close(fd)
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def sent_by_the_kernel(fd, seconds):
    """The frames that the host sends on the device."""
    frames = []
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and select.select([fd], [], [], left)[0]:
        frames.append(os.read(fd, 65536))
    return frames


def test_the_kernel_says_nothing_on_the_device(device, netns, plain):
    vif = device()
    assert sent_by_the_kernel(plain[0], 3), "an unprepared device must show what this test looks for"
    assert sent_by_the_kernel(vif.fd, 0.2) == []
    # Even an address given later makes no sound.
    subprocess.run(["ip", "-n", netns, "addr", "add", "192.168.77.1/24", "dev", "lc0"], check=True)
    assert sent_by_the_kernel(vif.fd, 1) == []
    command = ["ip", "netns", "exec", netns, "cat", "/proc/sys/net/ipv6/conf/lc0/disable_ipv6"]
    value = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert value.strip() == "1"
    assert link(netns, "lc0")["inet6_addr_gen_mode"] == "none"


def test_the_hosts_stack_never_answers(device, netns, plain):
    vif = device()
    for name in (netns, plain[1]):
        subprocess.run(["ip", "-n", name, "addr", "add", "192.168.77.1/24", "dev", "lc0"], check=True)
    os.write(plain[0], ARP)
    answers = [f for f in sent_by_the_kernel(plain[0], 2) if f[12:14] == b"\x08\x06" and f[21] == 2]
    assert answers, "an unprepared device must answer"
    frames, _ = captured(netns, "lc0", 1, lambda: os.write(vif.fd, ARP))
    assert frames == [ARP]
    assert sent_by_the_kernel(vif.fd, 0.5) == []
    neighbours = subprocess.run(["ip", "-n", netns, "neigh"], capture_output=True, text=True, check=True).stdout
    assert neighbours == ""


def test_the_drop_is_an_ingress_chain_and_outlives_the_helper(run, netns):
    made = run(netns=netns)
    rules = nft(netns)
    assert 'type filter hook ingress device "lc0" priority filter; policy drop;' in rules
    made.kill("helper")
    time.sleep(0.3)
    assert nft(netns) == rules
    made.end()


def test_a_vanished_device_can_be_had_again(device, netns):
    helper = client.execute(client.VifRequest(netns=netns))
    with helper:
        vif = helper.create()
        subprocess.run(["ip", "-n", netns, "link", "delete", "lc0"], check=True)
        again = helper.create()
        try:
            assert os.write(again.fd, FRAMES[0]) == len(FRAMES[0])
        finally:
            vif.close()
            again.close()
