"""What survives whom: the service manager's store, ADOPT, a namespace made anew."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from capture_kit import inside
from helper_kit import NOBODY, as_nobody, environment, links, status, until
from manager_kit import FRAME, POLICY

from lippycat_helper import tap
from lippycatd import privileged as client
from lippycatd.errors import PrivilegeError


def test_a_reader_survives_the_kill_of_the_helper_and_of_the_daemon(manager, reader):
    manager.start()
    peer = manager.connect()
    vif = peer.create()
    heard = reader()
    os.write(vif.fd, FRAME)
    manager.read()
    assert set(manager.store) == {"device-lc0", "guard-lc0"}
    manager.kill()
    os.write(vif.fd, FRAME)  # without the helper
    peer.close()
    vif.close()  # and without the daemon: the store alone keeps lc0
    assert "lc0" in links(manager.netns)
    manager.start()
    assert "lc0 was kept by the service manager" in manager.said()
    with manager.connect() as again:
        same = again.create()
        assert (same.existing, same.ifindex) == (True, vif.ifindex)
        os.write(same.fd, FRAME)
        same.close()
    assert heard(3)


# Stands in for a daemon: connects, has the device, writes a frame a millisecond, and is killed.
DAEMON = """
import os, sys, time
from lippycatd import privileged
vif = privileged.connect(privileged.VifRequest(netns=sys.argv[2]), sys.argv[1]).create()
for number in range(int(sys.argv[3])):
    os.write(vif.fd, bytes.fromhex(sys.argv[4]))
print(vif.ifindex, flush=True)
time.sleep(60)
"""


def daemon(manager, frames):
    """Start a daemon; gives the process once it has written so many frames, and the device's index."""
    process = subprocess.Popen(
        [sys.executable, "-c", DAEMON, manager.path, manager.netns, str(frames), FRAME.hex()],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    return process, int(process.stdout.readline())


def test_one_reader_survives_kill_9_of_both(manager, reader):
    manager.start()
    process, ifindex = daemon(manager, 20)
    heard = reader()
    for dies in ("daemon", "helper", "both"):
        manager.read()
        if dies != "helper":
            process.kill()
            process.wait()
        if dies != "daemon":
            manager.kill()
            manager.start()
        if dies == "helper":
            process.kill()
            process.wait()
        process.stdout.close()
        process, again = daemon(manager, 50)
        assert again == ifindex
    process.kill()
    process.wait()
    process.stdout.close()
    assert heard(150)


def test_what_is_released_leaves_the_store(manager):
    manager.start()
    with manager.connect() as peer:
        vif = peer.create()
        peer.release()
        vif.close()
    assert until(lambda: manager.read() or not manager.store)
    assert "lc0" not in links(manager.netns)


def test_what_the_policy_no_longer_names_leaves_the_store_at_the_start(manager):
    manager.start()
    with manager.connect() as peer:
        peer.create().close()
    manager.kill()
    assert manager.store
    manager.file.write_text(f"namespace = '{manager.netns}'\n[[peer]]\nuser = 0\n[[tap]]\nname = 'lc7'\n")
    manager.start()
    assert "lc0 of the service manager's store is let go: tap lc0" in manager.said()
    assert until(lambda: manager.read() or not manager.store)
    assert "lc0" not in links(manager.netns)


def test_what_is_no_device_leaves_the_store(manager):
    manager.store = {"device-lc0": os.open("/dev/null", os.O_RDWR), "guard-lc0": os.open("/dev/null", os.O_RDWR)}
    manager.start()
    assert "lc0 of the service manager's store is let go: the descriptor is no TAP or TUN device" in manager.said()
    assert until(lambda: manager.read() or not manager.store)


def test_the_manager_is_told_of_readiness_and_the_watchdog(manager):
    manager.start(environment={"WATCHDOG_USEC": "300000"})
    assert until(lambda: manager.read() or manager.told.count("WATCHDOG=1") > 3)
    assert "STATUS=serving" in manager.told


def test_a_helper_without_a_store_adopts_the_device_of_a_living_daemon(manager, reader):
    manager.start()
    peer = manager.connect()
    vif = peer.create()
    heard = reader()
    manager.kill()
    for name in list(manager.store):  # no store: a container
        os.close(manager.store.pop(name))
    manager.start()
    with manager.connect() as new:
        before = vif.guard
        new.adopt(vif)
        assert vif.guard != before
        os.write(vif.fd, FRAME)
        # The helper keeps it again: the daemon may die now.
        vif.close()
        peer.close()
    assert "tap lc0 adopted from user 0" in manager.said()
    with manager.connect() as next_daemon:
        same = next_daemon.create()
        assert (same.existing, same.ifindex) == (True, vif.ifindex)
        os.write(same.fd, FRAME)
        same.close()
    assert heard(2)


def test_a_device_given_back_is_deaf_as_before(manager):
    """What is written to it still does not reach the host's stack, with the first helper's rules gone."""
    manager.start()
    peer = manager.connect()
    vif = peer.create()
    manager.kill()
    for name in list(manager.store):
        os.close(manager.store.pop(name))
    manager.start()
    with manager.connect() as new:
        new.adopt(vif)
        tables = subprocess.run(
            ["ip", "netns", "exec", manager.netns, "nft", "list", "tables"], capture_output=True, text=True, check=True
        ).stdout.split("\n")
        assert len([line for line in tables if "lippycat_lc0_" in line]) == 1
    vif.close()
    peer.close()


def tun(name, *, mode=0x0002, extra=0):
    """A TAP (or TUN) of the test's own, in the namespace of this process."""
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", name.encode(), mode | 0x1000 | extra))
    return fd


def foreign(what, netns):
    """A descriptor that is not the device lc0 of this namespace."""
    code = {
        "in another namespace": lambda: tun("lc0"),
        "is no TAP or TUN": lambda: os.open("/dev/zero", os.O_RDWR),
        "has no TAP or TUN": lambda: os.open("/dev/net/tun", os.O_RDWR),
        "device is lc1, not lc0": lambda: tun("lc1"),
        "device is no tap": lambda: tun("lc0", mode=0x0001),
        "made otherwise": lambda: tun("lc0", extra=0x0100),  # IFF_MULTI_QUEUE
    }[what]
    if what == "in another namespace":
        return code()
    with inside(netns):
        return code()


@pytest.mark.parametrize(
    "what",
    [
        "in another namespace", "is no TAP or TUN", "has no TAP or TUN", "device is lc1, not lc0", "device is no tap",
        "made otherwise",
    ],
)  # fmt: skip
def test_what_is_not_the_device_is_not_adopted(manager, what):
    manager.start()
    before = len(os.listdir(f"/proc/{manager.process.pid}/fd"))  # noqa: PTH208  only counted
    fd = foreign(what, manager.netns)
    vif = client.Vif("lc0", manager.netns, "tap", 65521, 1000, 1, 0, 0, existing=False, fd=fd)
    with manager.connect() as peer, pytest.raises(PrivilegeError, match=what):
        peer.adopt(vif)
    assert until(lambda: len(os.listdir(f"/proc/{manager.process.pid}/fd")) <= before)  # noqa: PTH208
    vif.close()


def test_a_name_that_the_policy_does_not_permit_is_not_adopted(manager):
    manager.start()
    with inside(manager.netns):
        fd = tun("eth7")
    vif = client.Vif("eth7", manager.netns, "tap", 65521, 1000, 1, 0, 0, existing=False, fd=fd)
    with (
        manager.connect(name="eth7") as peer,
        pytest.raises(PrivilegeError, match=r"tap eth7 .* is for the name 'lc\?'"),
    ):
        peer.adopt(vif)
    vif.close()


def test_a_namespace_made_anew_ends_the_helper_and_the_next_serves_it(manager):
    manager.start()
    peer = manager.connect()
    vif = peer.create()
    manager.read()
    subprocess.run(["ip", "netns", "delete", manager.netns], check=True)
    subprocess.run(["ip", "netns", "add", manager.netns], check=True)
    assert not vif.name_leads_here()
    assert manager.process.wait(10) == 4
    manager.read()
    assert "was removed or made anew: its devices are let go" in manager.said()
    assert not manager.store
    with pytest.raises(PrivilegeError, match="the helper has ended"):
        peer.ping()
    peer.close()
    manager.start()
    elsewhere = "lc0 of the descriptor is in another namespace"
    with manager.connect() as again, pytest.raises(PrivilegeError, match=elsewhere):
        again.adopt(vif)
    with manager.connect() as again:
        new = again.create()
        assert not new.existing
        assert new.name_leads_here()
        assert "lc0" in links(manager.netns)
        new.close()
    vif.close()


def test_a_request_meets_a_namespace_made_anew_at_once(manager):
    manager.start()
    with manager.connect() as peer:
        subprocess.run(["ip", "netns", "delete", manager.netns], check=True)
        with pytest.raises(PrivilegeError, match="was removed or made anew: its devices are let go"):
            peer.create()
    assert manager.process.wait(10) == 4
    assert not links(manager.netns)


def test_ping_tells_which_namespace_is_served(manager):
    manager.start()
    with manager.connect() as peer:
        reply = peer.ping()
    info = Path("/run/netns", manager.netns).stat()
    assert (reply.netns_dev, reply.netns_inode) == (info.st_dev, info.st_ino)


def test_a_namespace_may_be_given_instead_of_the_policys(manager):
    manager.file.write_text("namespace = 'lc-other'\n" + POLICY.replace("count = 2", f"namespace = '{manager.netns}'"))
    manager.start("--netns", manager.netns)
    with manager.connect() as peer:
        peer.create().close()
    assert "lc0" in links(manager.netns)
    with (
        manager.connect(name="lt0", kind="tun") as peer,
        pytest.raises(PrivilegeError, match=r"tun lt0 .* is not permitted"),
    ):
        peer.create()


def test_a_holder_cannot_keep_the_device_or_make_it_its_own(manager):
    """TUNSETPERSIST and TUNSETOWNER need no capability: the helper undoes them within a second."""
    manager.start()
    with manager.connect() as peer:
        vif = peer.create()

        def take():
            fcntl.ioctl(vif.fd, 0x400454CB, 1)
            fcntl.ioctl(vif.fd, 0x400454CC, NOBODY)
            return True

        assert as_nobody(take)
        assert until(lambda: details(manager)["linkinfo"]["info_data"] == root_owned())
        peer.release()
        vif.close()
    assert until(lambda: manager.read() or "lc0" not in links(manager.netns))


def details(manager):
    import json  # noqa: PLC0415

    command = ["ip", "-n", manager.netns, "-d", "-json", "link", "show", "lc0"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)[0]


def root_owned():
    return {
        "type": "tap",
        "pi": False,
        "vnet_hdr": False,
        "multi_queue": False,
        "persist": False,
        "user": "root",
        "group": "root",
    }


def test_the_helper_holds_net_admin_alone_after_a_restart(manager):
    manager.start()
    manager.kill()
    manager.start()
    fields = status(manager.process.pid)
    assert int(fields["CapPrm"], 16) == int(fields["CapEff"], 16) == 1 << 12
    assert [int(fields[key], 16) for key in ("CapInh", "CapBnd", "CapAmb")] == [0, 0, 0]


def test_a_helper_needs_no_root_but_its_one_capability(manager):
    """As its unit starts it: a user of its own, one ambient capability, inside the namespace."""
    if not as_nobody(lambda: os.access(tap.__file__, os.R_OK) and os.access(sys.executable, os.X_OK)):
        pytest.skip("the checkout lies where another user cannot read it")
    subprocess.run(["ip", "netns", "add", manager.netns], check=True)
    manager.notify_for(NOBODY)
    user = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"]
    capability = ["--bounding-set=-all,+net_admin", "--inh-caps=+net_admin", "--ambient-caps=+net_admin"]
    # Its node as distributions have it, whatever it is here.
    node = 'test -e "$0" || mknod -m 666 "$0" c 10 200; mount --bind "$0" /dev/net/tun && exec "$@"'
    place = ["ip", "netns", "exec", manager.netns, "sh", "-c", node, str(manager.file.parent / "tun")]
    prefix = [*place, "setpriv", *user, *capability]
    manager.start(prefix=prefix)
    fields = status(manager.process.pid)
    assert int(fields["CapPrm"], 16) == int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 1 << 12
    assert [int(fields[key], 16) for key in ("CapInh", "CapAmb")] == [0, 0]
    assert fields["Uid"].split() == [str(NOBODY)] * 4
    with manager.connect() as peer:
        vif = peer.create()
        assert details(manager)["linkinfo"]["info_data"] == root_owned()
        manager.kill()
        for name in list(manager.store):
            os.close(manager.store.pop(name))
    manager.start(prefix=prefix)
    with manager.connect() as peer:
        peer.adopt(vif)
        assert os.write(vif.fd, FRAME) == len(FRAME)
    vif.close()
