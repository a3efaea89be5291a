"""What cannot be done here is one clear line, with what to do, and exit status 3."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from helper_kit import environment, links, named

from lippycatd import privileged as client
from lippycatd.errors import PrivilegeError
from lippycatd.privileged import connection


def test_the_daemons_side_imports_nothing_privileged():
    script = "import sys, lippycatd.privileged; print(*sys.modules)"
    modules = subprocess.check_output([sys.executable, "-c", script], text=True, env=environment()).split()
    assert {m for m in modules if m.startswith("lippycat_helper")} == {"lippycat_helper", "lippycat_helper.wire"}
    assert not {m.partition(".")[0] for m in modules} & {"pyroute2", "prctl", "_prctl"}


def fails(**request):
    with pytest.raises(PrivilegeError) as caught:
        client.VifRequest(**request)
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"name": "a-name-much-too-long"}, "at most 15"),
        ({"name": "lc/0"}, "not valid"),
        ({"name": "lc 0"}, "not valid"),
        ({"name": ""}, "is empty"),
        ({"netns": "../lc"}, "not valid"),
        ({"netns": "lc ns"}, "not valid"),
        ({"kind": "veth"}, "choose tap or tun"),
        ({"mtu": 70000}, "choose 68 to 65521"),
        ({"mtu": 0}, "choose 68 to 65521"),
        ({"txqueuelen": -1}, "out of range"),
    ],
)
def test_wrong_values_are_refused_before_anything_starts(request_, said):
    assert said in fails(**request_)


def test_without_root_and_service_the_line_says_both(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(PrivilegeError) as caught:
        client.acquire(client.VifRequest(), "/nonexistent/helper.sock")
    said = str(caught.value)
    assert "needs root (sudo), or membership of the group lippycat and a running lippycat-helper service" in said
    assert caught.value.exit_code == 3


def test_where_there_is_no_linux_the_line_says_so(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(PrivilegeError, match="needs Linux"):
        client.acquire(client.VifRequest())


NO_TUN = ["unshare", "-n", "-m", "sh", "-c", 'mount -t tmpfs none /dev/net; exec "$@"', "sh"]


def without(*capabilities):
    listed = ",".join(f"-{c}" for c in capabilities)
    return ["setpriv", f"--bounding-set={listed}", f"--inh-caps={listed}", "--"]


@pytest.mark.parametrize(
    ("prefix", "netns", "said"),
    [
        (NO_TUN, "", "/dev/net/tun is missing: load the kernel module (modprobe tun)"),
        (without("net_admin"), "", "CAP_NET_ADMIN is missing, which a virtual interface needs: run as root"),
        (without("sys_admin"), "lc-never", "CAP_SYS_ADMIN is missing, which entering or creating the namespace"),
    ],
    ids=["tun", "net_admin", "sys_admin"],
)
def test_what_the_machine_lacks(run, prefix, netns, said):
    made = run(*prefix, netns=netns)
    assert said in made.said["error"]
    assert made.process.wait(20) == 3
    assert made.process.stderr.read() == ""
    assert not os.path.lexists("/run/netns/lc-never")


def test_a_name_that_another_device_has(run, swept):
    subprocess.run(["ip", "netns", "add", swept], check=True)
    subprocess.run(["ip", "-n", swept, "link", "add", "lc0", "type", "veth", "peer", "lcpeer"], check=True)
    made = run(netns=swept)
    assert made.said["error"].startswith(f"lc0 in {swept} exists already (a veth device): choose another --vif-name")
    assert {"lc0", "lcpeer"} <= links(swept)


def test_a_persistent_tap_of_somebody_else_is_left_alone(run, swept):
    subprocess.run(["ip", "netns", "add", swept], check=True)
    subprocess.run(["ip", "-n", swept, "tuntap", "add", "lc0", "mode", "tap"], check=True)
    made = run(netns=swept)
    assert f"lc0 in {swept} exists already (a persistent tap or tun device): choose another" in made.said["error"]
    assert "lc0" in links(swept)


def test_a_helper_that_cannot_start_says_why_in_one_line(monkeypatch, netns):
    monkeypatch.setattr(connection, "_HELPER", (sys.executable, "-I", "-m", "no_such_helper"))
    with pytest.raises(PrivilegeError, match=r"the helper has ended: .*No module named no_such_helper$"):
        client.execute(client.VifRequest(netns=netns))


def test_a_helper_that_is_missing_says_so(monkeypatch, netns):
    monkeypatch.setattr(connection, "_HELPER", ("/nonexistent/python",))
    with pytest.raises(PrivilegeError, match="cannot execute the helper: No such file"):
        client.execute(client.VifRequest(netns=netns))


def test_a_helper_that_died_is_named(netns):
    with client.execute(client.VifRequest(netns=netns)) as helper:
        helper.ping()
        helper._process.kill()
        with pytest.raises(PrivilegeError, match="the helper has ended"):
            helper.ping()
    # The keeper has cleaned up all the same.
    assert not named(netns)


def test_what_the_arguments_do_not_name_ends_the_helper(netns):
    with client.execute(client.VifRequest(netns=netns)) as helper:
        helper.request = client.VifRequest(netns=netns, name="eth0")
        with pytest.raises(PrivilegeError, match=r"not permitted by the command line: .* is for the name 'lc0'"):
            helper.create()
        assert helper._process.wait(10) == 0
        assert "eth0" in helper._last_words()
