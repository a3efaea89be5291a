"""The daemon's interface through everything that can happen to it; one tcpdump reads across what it survives."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time

import pytest
from daemon_kit import BIN, Daemon, until
from room_kit import NETNS, POLICY, Room

from captures import files

CONFIG = "capture: {read_file: '{source}'}\nvirtual_interface: {enabled: true}\n"


@pytest.fixture
def room(privileged, tmp_path):
    made = Room(tmp_path)
    yield made
    made.close()


@pytest.fixture
def daemon(room):
    made = []

    def start(config=CONFIG, *, root=False):
        nobody = [] if root else ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]
        made.append(Daemon(config, program=[*room.prefix, *nobody, BIN / "lippycatd"]))
        return made[-1]

    yield start
    for each in made:
        each.close()


@pytest.fixture(scope="session")
def packets(root):
    return files.read_pcap((root / "captures" / "demo.pcap").read_bytes())[:900]


def word(run):
    return run.status()["health"]["status"]


def seen(reader, path):
    """The frames a reader got, once it has ended."""
    time.sleep(0.5)
    reader.send_signal(signal.SIGINT)
    told = reader.communicate(timeout=20)[1]
    assert "0 packets dropped by kernel" in told, told
    return [data for _, data in files.read_pcap(path.read_bytes())]


def selected(run):
    return run.accounting()["selected"]


def written(run):
    return run.metrics().get('lippycat_vif_injected_packets_total{vif="lc0"}', 0)


def test_the_helper_comes_later_goes_and_comes_again(room, daemon, packets, tmp_path):
    run = daemon()
    assert run.get("/readyz")[0] == 200
    assert word(run) == "degraded"
    assert run.metrics()['lippycat_vif_up{vif="lc0"}'] == 0
    run.feed.send(packets[:100])
    run.read_all()
    lost = selected(run)
    assert run.metrics()['lippycat_vif_dropped_packets_total{reason="gone",vif="lc0"}'] == lost > 0
    room.start_helper()
    until(lambda: word(run) == "ready", 40)
    assert run.metrics()['lippycat_vif_up{vif="lc0"}'] == 1
    reader = room.read(tmp_path / "seen.pcap")
    run.feed.send(packets[100:300])
    run.read_all()
    room.kill_helper()
    until(lambda: word(run) == "degraded", 10)
    assert any("the helper is gone" in event["event"] for event in run.events())
    run.feed.send(packets[300:500])
    run.read_all()
    room.start_helper()
    until(lambda: word(run) == "ready", 40)
    assert "adopted" in room.log.read_text()
    run.feed.send(packets[500:700])
    run.read_all()
    until(lambda: written(run) == selected(run) - lost)
    first = selected(run) - lost
    os.kill(pid_of(run), signal.SIGKILL)
    run.process.wait(10)
    assert room.run("ip", "-n", NETNS, "link", "show", "lc0").returncode == 0, "the helper keeps the device"
    again = daemon()
    until(lambda: word(again) == "ready", 10)
    again.feed.send(packets[700:])
    again.read_all()
    until(lambda: written(again) == selected(again))
    assert len(seen(reader, tmp_path / "seen.pcap")) == first + selected(again)
    assert again.end()[0] == 0


def pid_of(run):
    """The daemon behind nsenter, which executes it."""
    return run.process.pid


def test_a_device_that_is_deleted_and_a_namespace_that_is_made_anew(room, daemon, packets, tmp_path):
    room.start_helper()
    run = daemon()
    assert word(run) == "ready"
    room.run("ip", "-n", NETNS, "link", "del", "lc0")
    until(lambda: any("was deleted" in event["event"] for event in run.events()), 10)
    until(lambda: len(run.event("the interface is there")) == 1, 40)
    reader = room.read(tmp_path / "one.pcap")
    run.feed.send(packets[:300])
    run.read_all()
    until(lambda: written(run) == selected(run))
    assert len(seen(reader, tmp_path / "one.pcap")) == selected(run)
    before = selected(run)

    room.run("ip", "netns", "delete", NETNS)
    room.run("ip", "netns", "add", NETNS)
    until(lambda: any("made anew" in event["event"] for event in run.events()), 10)
    if room.helper.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            room.helper.wait(10)
    if room.helper.poll() is not None:
        room.start_helper()  # as systemd does
    until(lambda: len(run.event("the interface is there")) == 2, 60)
    reader = room.read(tmp_path / "two.pcap")
    run.feed.send(packets[300:600])
    run.read_all()
    until(lambda: written(run) == selected(run))
    assert len(seen(reader, tmp_path / "two.pcap")) == selected(run) - before
    assert run.end()[0] == 0


def test_an_interface_that_a_reload_adds_and_takes_away(room, daemon, packets):
    room.start_helper()
    run = daemon("capture: {read_file: '{source}'}\n")
    run.write(CONFIG)
    assert run.reload().stdout == "reloaded: virtual_interface.enabled\n"
    until(lambda: run.metrics().get('lippycat_vif_up{vif="lc0"}') == 1, 20)
    run.feed.send(packets[:300])
    run.read_all()
    until(lambda: written(run) == selected(run) > 0)
    run.write("capture: {read_file: '{source}'}\n")
    assert run.reload().returncode == 0
    until(lambda: run.metrics()['lippycat_vif_up{vif="lc0"}'] == 0)
    before = written(run)
    run.feed.send(packets[300:])
    run.read_all()
    assert (written(run), word(run)) == (before, "ready")
    assert run.end()[0] == 0


def test_a_policy_that_becomes_narrower_and_wider_again(room, daemon, packets):
    room.start_helper()
    run = daemon()
    assert word(run) == "ready"
    room.policy.write_text(POLICY.replace('"lc*"', '"other*"'))
    room.helper.send_signal(signal.SIGHUP)
    until(lambda: word(run) == "degraded", 10)
    run.feed.send(packets[:300])
    run.read_all()
    account = run.accounting()
    assert account["selected"] == sum(account["sinks"]["vif:lc0"]["dropped"].values()) > 0
    until(lambda: "not permitted" in str(run.status()["health"]["reasons"]), 10, run.status()["health"])
    room.policy.write_text(POLICY)
    room.helper.send_signal(signal.SIGHUP)
    until(lambda: run.event("the interface is there"), 40)
    before = written(run)
    run.feed.send(packets[300:])
    run.read_all()
    until(lambda: written(run) - before == selected(run) - account["selected"])
    assert run.end()[0] == 1, "what was not shown was lost"


def test_started_by_root_it_brings_its_own_helper(room, daemon, packets, tmp_path):
    """Its interface ends with it, after readers have fetched what they had buffered; nothing is left behind."""
    run = daemon(root=True)
    reader = room.read(tmp_path / "seen.pcap")
    run.feed.send(packets)
    run.read_all()
    wanted = selected(run)
    status, took = run.end()
    assert (status, took < 5) == (0, True), run.said()
    assert reader.wait(20) == 1, "the device has gone"
    assert len(files.read_pcap((tmp_path / "seen.pcap").read_bytes())) == wanted
    assert room.run("ls", "/run/netns").stdout == ""
