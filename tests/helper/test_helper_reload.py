"""A policy that is read again while the helper serves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from helper_kit import NOBODY, links, until
from manager_kit import FRAME, POLICY

from lippycatd.errors import PrivilegeError


def reload(manager, policy):
    """Write another policy, and have it read."""
    before = manager.told.count("RELOADING=1")
    manager.file.write_text(f"namespace = '{manager.netns}'\n{policy}")
    manager.process.send_signal(signal.SIGHUP)
    assert until(lambda: manager.read() or manager.told.count("RELOADING=1") > before)
    assert until(lambda: manager.read() or manager.told.count("READY=1") > before + 1)


def test_a_narrower_policy_removes_what_it_permits_no_more(manager):
    manager.start()
    lost, kept = manager.connect(name="lc0"), manager.connect(name="lc1")
    vifs = [lost.create(), kept.create()]
    reload(manager, "[[peer]]\nuser = 0\n[[tap]]\nname = 'lc1'\nmtu = 1400\n")
    assert links(manager.netns) == {"lo", "lc1"}
    with pytest.raises(OSError, match="File descriptor in bad state"):
        os.write(vifs[0].fd, FRAME)
    assert os.write(vifs[1].fd, FRAME) == len(FRAME)
    with pytest.raises(PrivilegeError, match="the helper has ended"):
        lost.ping()
    kept.ping()
    assert "lc0 is removed: tap lc0 in namespace" in manager.said()
    manager.read()
    assert set(manager.store) == {"device-lc1", "guard-lc1"}
    for each in (*vifs, lost, kept):
        each.close()


def test_who_is_a_peer_no_more_loses_the_connection(manager):
    manager.start()
    with manager.connect() as peer:
        vif = peer.create()
        reload(manager, POLICY.replace("user = 0", f"user = {NOBODY}"))
        with pytest.raises(PrivilegeError, match="the helper has ended"):
            peer.ping()
        vif.close()
    assert "closed: user 0 is no peer" in manager.said()
    assert "lc0" in links(manager.netns)


def test_a_policy_that_is_refused_leaves_the_old_one(manager):
    manager.start()
    with manager.connect() as peer:
        vif = peer.create()
        reload(manager, "[[tap]]\nname = 'lc0'\nnonsense = 1\n")
        assert "the policy was not read again, the old one stays: " in manager.said()
        assert "unknown key 'nonsense'" in manager.said()
        peer.ping()
        vif.close()
    check = [sys.executable, "-I", "-m", "lippycat_helper", "--check", "--policy", str(manager.file)]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "unknown key 'nonsense'" in done.stderr


def test_what_takes_a_restart_is_not_half_applied(manager):
    manager.start()
    with manager.connect() as peer:
        vif = peer.create()
        policy = manager.file.read_text()
        for key, value in (("namespace", "lc-other"), ("socket", "/run/lippycat/other.sock")):
            before = manager.told.count("READY=1")
            text = policy.split("\n", 1)[1] if key == "namespace" else policy
            manager.file.write_text(f'{key} = "{value}"\n{text}')
            manager.process.send_signal(signal.SIGHUP)
            assert until(lambda before=before: manager.read() or manager.told.count("READY=1") > before)
            assert f"another {key} takes a restart of this helper" in manager.said()
        peer.ping()
        assert os.write(vif.fd, FRAME) == len(FRAME)
        vif.close()
