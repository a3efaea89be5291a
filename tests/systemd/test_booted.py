"""The package in a booted Debian, from its installation on; the tests follow each other."""

from __future__ import annotations

import json
import subprocess
import time

import pytest
from systemd_kit import (
    CAPTURE,
    CONFIGURATION,
    READ,
    SCRAPE,
    SERVICE,
    TAP,
    alice,
    dropped,
    injected,
    same,
    scrape,
    send,
    settle,
    value,
)  # fmt: skip

HELPERS = (TAP, CAPTURE, "lippycat-reader@lc-ns.service", "lippycat-egress@start.service")


def test_the_package_is_installed_and_waits(installed):
    assert installed.property(SERVICE, "ActiveState") == "inactive"
    for socket in ("lippycat-helper-capture", "lippycat-helper-tap@lc-ns", "lippycat-reader@lc-ns"):
        assert installed.property(f"{socket}.socket", "ActiveState") == "active"
    assert "0 missing" in installed.run("lippycat", "doctor").stdout
    assert installed.run("man", "-w", "lippycatd", check=False).returncode in {0, 127}  # no man in a small Debian


def test_it_starts_and_a_reader_sees_exactly_the_selected_frames(installed, all_calls, tcpdump):
    installed.run("systemctl", "start", SERVICE)
    assert json.loads(scrape(installed, "/readyz"))["status"] == "ready"
    dump = tcpdump("started")
    user = ["setpriv", "--reuid=lippycat", "--regid=lippycat", "--clear-groups"]
    (installed.root / "var/lib/lippycat/read.pcapng").touch()
    (installed.root / "var/lib/lippycat/read.pcapng").chmod(0o666)
    reader = installed.start(*user, "python3", "-c", READ, "/var/lib/lippycat/read.pcapng", "9")
    time.sleep(1)
    send(installed)
    assert settle(lambda: injected(installed) >= len(all_calls), 30), installed.journal()
    reader.wait(60)
    same(dump.stop(), all_calls)
    read = installed.root / "var/lib/lippycat/read.pcapng"
    shown = subprocess.run(["capinfos", "-cMT", read], capture_output=True, text=True, check=True).stdout
    assert str(len(all_calls)) in shown.split()
    assert value(installed, "lippycat_packets_in_total") >= len(all_calls)
    assert dropped(installed) == {}


def test_every_thread_is_confined(installed):
    pid = installed.property(SERVICE, "MainPID")
    shown = installed.run("lippycat", "debug", "sandbox", "--pid", pid).stdout
    assert len(shown.splitlines()) > 3
    assert "goes without" not in installed.journal()
    for unit in (TAP, CAPTURE):
        assert installed.property(unit, "User") == "lippycat-helper"


@pytest.mark.parametrize(("unit", "limit"), [(SERVICE, 10), *((unit, 20) for unit in HELPERS)])
def test_the_exposure_of_the_running_units(installed, unit, limit):
    installed.run("systemd-analyze", "security", "--no-pager", f"--threshold={limit}", unit)


def test_a_refused_reload_fails_and_changes_nothing(installed):
    file = installed.root / CONFIGURATION
    good, pid = file.read_text(), installed.property(SERVICE, "MainPID")
    file.write_text(good + "\nnonsense: 1\n")
    try:
        assert installed.run("systemctl", "reload", SERVICE, check=False).returncode != 0
    finally:
        file.write_text(good)
    assert installed.property(SERVICE, "ActiveState") == "active"
    assert installed.property(SERVICE, "MainPID") == pid
    installed.run("systemctl", "reload", SERVICE)


def test_who_asked_for_a_reload_is_told(installed):
    """A member of the group, by uid: the daemon's own namespaces do not hide it."""
    installed.run("useradd", "--uid", "1500", "--groups", "lippycat", "ann")
    installed.run("setpriv", "--reuid=ann", "--regid=ann", "--init-groups", "lippycat", "reload")
    told = installed.run("journalctl", "--no-pager", "-u", SERVICE, "-n", "5").stdout
    assert "by=control" in told
    assert "uid=1500" in told


def test_a_reload_selects_one_user(installed, capture, tcpdump):
    file = installed.root / CONFIGURATION
    good = file.read_text()
    wanted = alice(capture)
    try:
        installed.run("systemctl", "restart", SERVICE)  # the calls that it knows would go on
        file.write_text(good + "\nvoip:\n  sip_users: [alice]\n")
        installed.run("systemctl", "reload", SERVICE)
        dump = tcpdump("alice")
        send(installed)
        assert settle(lambda: injected(installed) >= len(wanted), 30)
        same(dump.stop(), wanted)
    finally:
        file.write_text(good)
        installed.run("systemctl", "reload", SERVICE)


@pytest.mark.parametrize("what", ["restart", "kill the daemon", "kill the helper", "kill both", "upgrade"])
def test_a_reader_lives_on(installed, all_calls, tcpdump, what):
    if what == "kill the helper":
        installed.run("systemctl", "restart", SERVICE)  # the calls that it knows are over for it
    dump = tcpdump(what.replace(" ", "-"))
    if what == "restart":
        installed.run("systemctl", "restart", SERVICE)
    elif what == "upgrade":
        installed.run("dpkg", "-i", "/root/lippycat.deb")
    else:
        killed = {"kill the daemon": [SERVICE], "kill the helper": [TAP], "kill both": [SERVICE, TAP, CAPTURE]}[what]
        pids = {unit: installed.property(unit, "MainPID") for unit in killed}
        installed.run("systemctl", "kill", "-s", "KILL", *killed)
        for unit, pid in pids.items():
            assert settle(lambda unit=unit, pid=pid: installed.property(unit, "MainPID") not in {pid, "0"}), unit

    def ready():
        done = installed.run("python3", "-c", SCRAPE, "/readyz", check=False)
        return '"ready"' in done.stdout

    assert settle(ready, 30), installed.journal()
    assert dump.lives()
    before = injected(installed)
    send(installed)
    assert settle(lambda: injected(installed) - before >= len(all_calls), 30), installed.journal()
    same(dump.stop(), all_calls)


def test_it_stops_clean_and_a_request_does_not_start_it(installed):
    installed.run("systemctl", "stop", SERVICE)
    assert installed.property(SERVICE, "Result") == "success"
    assert installed.run("python3", "-c", SCRAPE, "/metrics", check=False).returncode != 0
    assert installed.property(SERVICE, "ActiveState") == "inactive"
    assert installed.run("systemctl", "--failed", "--plain", "--no-legend").stdout == ""
