"""What must not hurt the daemon. Each case, and the test that makes it happen (tests/e2e, else where it says):

| case | test |
|---|---|
| kill -9 of the daemon, of the helper | test_daemon_vif: the_helper_comes_later_goes_and_comes_again (one tcpdump) |
| kill -9 of both, one after the other and at once | systemd/test_booted: a_reader_lives_on[kill both] (one tcpdump) |
| | helper/test_helper_survival: one_reader_survives_kill_9_of_both |
| kill -9 of the capture helper | test_daemon_live: the_interface_is_made_anew_and_the_helper_is_killed |
| | test_capture_service: the_helper_is_killed_and_comes_back |
| lc0 deleted, its namespace made anew | test_daemon_vif: a_device_that_is_deleted_and_a_namespace_that_is_made_anew |
| the capture interface deleted and made anew | test_daemon_live: the_interface_is_made_anew_and_the_helper_is_killed |
| links down and up | here: links_that_go_down_and_come_up (one tcpdump over those of the wire) |
| the policy narrowed | test_daemon_vif: a_policy_that_becomes_narrower_and_wider_again |
| | test_capture_service: sockets_that_the_policy_takes_back_are_asked_for_again |
| | test_capture_service: sockets_of_several_workers_are_given_up |
| the disk full under -w | test_daemon: a_full_disk_stops_that_file_and_nothing_else |
| no descriptors left | test_daemon: no_descriptors_are_left_and_it_goes_on |
| a clock that steps | here: a_clock_that_steps (one tcpdump) |
| malformed configurations on reload | test_daemon: malformed_configurations_are_refused_and_change_nothing |
| SIGTERM under full load | test_daemon and test_daemon_live: the_end_under_full_load |
| more than it can take | here: an_overload_is_met_in_the_documented_order |
| a hundred reloads | test_daemon: a_hundred_reloads_leave_nothing_behind |
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from daemon_kit import BIN, Daemon, closed, until
from room_kit import Room

from captures import files
from demo.oracle import extract
from tests.e2e.test_live import Wire

_numbers = itertools.count()
HOUR = 3600 * 10**9  # ns


@pytest.fixture
def wire(privileged, tmp_path):
    made = Wire(f"lc-c{os.getpid()}-{next(_numbers)}", tmp_path)
    yield made
    made.close()


@pytest.fixture
def live(wire):
    """Start a daemon that captures from the wire."""
    made = []

    def start(config):
        program = ["nsenter", f"--net=/run/netns/{wire.netns}", BIN / "lippycatd"]
        made.append(Daemon(config, program=program, fed=False))
        return made[-1]

    yield start
    for each in made:
        each.close()


def used(run):
    """Descriptors, threads, resident memory in KiB."""
    process = Path(f"/proc/{run.process.pid}")
    memory = re.search(r"VmRSS:\s+(\d+)", (process / "status").read_text())
    return len(list((process / "fd").iterdir())), len(list((process / "task").iterdir())), int(memory[1])


def reader(netns, path):
    """A tcpdump of lc0 that has begun."""
    command = [
        "ip",
        "netns",
        "exec",
        netns,
        "tcpdump",
        "-i",
        "lc0",
        "-U",
        "--immediate-mode",
        "-B",
        "65536",
        "-w",
        path,
    ]
    process = subprocess.Popen(
        [*command, "-w", str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "listening on lc0" in process.stderr.readline()
    return process


def ended(process, path):
    """Its frames; the kernel hands a block over within a second."""
    time.sleep(3)  # on a busy machine too
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=20)[1]
    assert "0 packets dropped by kernel" in told, told
    return [data for _, data in files.read_pcap(path.read_bytes())]


def test_links_that_go_down_and_come_up(wire, netns, live, root, tmp_path):
    """The wire's twice, then lc0's: the wire's readers notice nothing, those of lc0 lose what is counted."""
    demo = root / "captures" / "demo.pcap"
    run = live(
        f"capture: {{default_interface: a0}}\nvirtual_interface: {{enabled: true, netns: {netns}}}\n"
        "logging: {format: json}\n"
    )
    until(lambda: run.metrics().get('lippycat_vif_up{vif="lc0"}') == 1)
    dump = reader(netns, tmp_path / "wire.pcap")
    sent = 0

    def send():
        nonlocal sent
        sent += wire.send(demo, "--pps=3000")
        until(lambda: run.accounting()["in"] == sent, 20, f"{run.accounting()}, not {sent}")
        until(lambda: run.accounting()["sinks"]["vif:lc0"]["queued"] == 0)

    send()
    before = used(run)
    for device in ("a0", "a1"):
        wire.ip("link", "set", device, "down")
        time.sleep(1)
        wire.ip("link", "set", device, "up")
        time.sleep(0.5)
        send()
    account = run.accounting()
    assert (account["dropped"], closed(account)) == ({}, True)
    assert account["sinks"]["vif:lc0"]["written"] == account["selected"] == len(ended(dump, tmp_path / "wire.pcap"))
    assert any("a0: the interface is down" in event["event"] for event in run.events())
    subprocess.run(["ip", "-n", netns, "link", "set", "lc0", "down"], check=True)
    send()
    lost = run.accounting()["selected"] - account["selected"]
    assert run.accounting()["sinks"]["vif:lc0"]["dropped"] == {"link_down": lost}
    subprocess.run(["ip", "-n", netns, "link", "set", "lc0", "up"], check=True)
    dump = reader(netns, tmp_path / "vif.pcap")
    send()
    assert len(ended(dump, tmp_path / "vif.pcap")) == lost
    assert closed(run.accounting())
    until(lambda: used(run)[0] <= before[0] and used(run)[1] <= before[1], 5, f"{used(run)}, not {before}")
    assert used(run)[2] < before[2] * 1.05 + 2048
    assert run.end()[0] == 1, "what lc0 did not take was lost"


@pytest.fixture
def room(privileged, tmp_path):
    made = Room(tmp_path)
    yield made
    made.close()


def test_a_clock_that_steps(room, root, tmp_path):
    """An hour back in the midst of calls, and a day ahead between: alice's calls come whole."""
    demo = root / "captures" / "demo.pcap"
    packets = files.read_pcap(demo.read_bytes())
    alices = set(extract(demo, "alice"))
    half, steps = len(packets) // 2, [0, 24 * HOUR]
    stepped = [(ts - HOUR if at >= half else ts, data) for at, (ts, data) in enumerate(packets)]
    room.start_helper()
    nobody = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]
    config = "capture: {read_file: '{source}'}\nvoip: {sip_users: alice}\n"
    config += "virtual_interface: {enabled: true, rate_limit: 2000}\n"  # as fast as tcpdump is on a busy machine
    run = Daemon(config, program=[*room.prefix, *nobody, BIN / "lippycatd"])
    try:
        until(lambda: run.status()["health"]["status"] == "ready")
        dump, wanted = room.read(tmp_path / "seen.pcap"), []
        for number, step in enumerate(steps):
            domain = b"example." + (b"net", b"com")[number]  # other calls each time
            part = [(ts + step, data.replace(b"example.net", domain)) for ts, data in stepped]
            run.feed.send(part)
            run.read_all()
            wanted += [data for at, (_, data) in enumerate(part, 1) if at in alices]
        until(lambda: run.accounting()["sinks"]["vif:lc0"]["written"] == len(wanted))
        account = run.accounting()
        assert (account["dropped"], closed(account)) == ({}, True)
        assert sorted(ended(dump, tmp_path / "seen.pcap")) == sorted(wanted)
        assert run.end()[0] == 0, run.said()
        totals = run.event("totals")[-1]
        assert (totals["in"], totals["held"], totals["selected"]) == (2 * len(packets), 0, len(wanted))
    finally:
        run.close()


LEVELS = [
    "backpressure level 1: streams are not measured",
    "backpressure level 2: media whose call is not known yet is not remembered",
    "backpressure level 3: no media is taken, only SIP; what is left out is counted (backpressure.media)",
]
RING = 8 << 20  # bytes


def portion(packets, share):
    """How many of the packets fill such a share of the ring (each with its header, linux/if_packet.h)."""
    sums = itertools.accumulate(-(-(len(data) + 98) // 16) * 16 for _, data in packets)
    return next(count for count, total in enumerate(sums) if total >= share * RING)


def test_an_overload_is_met_in_the_documented_order(wire, live, make_calls):
    """The ring fills while it stands still, each time further: what it leaves out then is what docs/modes.md says."""
    calls = make_calls(
        "--calls", "60", "--rtp-packets", "400", "--register", "20", "--options", "5", "--frag", "0", "--tcp", "0"
    )
    packets = files.read_pcap(calls.read_bytes())
    run = live(f"capture: {{default_interface: a0, buffer_size: {RING}, block_size: 64KiB, block_timeout: 1s}}\n")
    media, sent = [], 0
    for level, share in enumerate((0.36, 0.6, 0.85), 1):
        count = portion(packets, share)
        run.process.send_signal(signal.SIGSTOP)
        try:
            sent += wire.send(calls, "--topspeed", f"--limit={count}")
            wire.inside("ip", "link", "set", "a1", "down")  # nothing comes while it catches up
        finally:
            run.process.send_signal(signal.SIGCONT)
        until(lambda level=level: LEVELS[level - 1] in run.said(), 10)
        until(lambda: run.metrics()["lippycat_backpressure_level"] == 0, 20)
        wire.inside("ip", "link", "set", "a1", "up")
        account = run.accounting()
        assert account["in"] == sent, account
        assert closed(account)
        media.append(account["dropped"].get("backpressure.media", 0))
        assert account["dropped"] == {reason: n for reason, n in {"backpressure.media": media[-1]}.items() if n}
    assert media[:2] == [0, 0]
    assert media[2] > 0
    told = []

    def relieved():  # the log comes after the metric
        told[:] = [event for event in run.events() if event["event"].startswith("backpressure level")]
        return told[-1]["event"] == "backpressure level 0: everything is done again"

    until(relieved, 10)
    rising = [event["event"] for event in told if event["level"] == "warning"]
    assert rising == LEVELS
    # SIP to the last: every message of all three times.
    shown = [(calls, portion(packets, share)) for share in (0.36, 0.6, 0.85)]
    wanted = sum(messages(path, count) for path, count in shown)
    counted = sum(n for name, n in run.metrics().items() if name.startswith("lippycat_sip_messages_total"))
    assert counted == wanted


def messages(capture, count):
    """How many SIP messages tshark finds in the first packets."""
    command = ["tshark", "-n", "-r", capture, "-c", count, "-Y", "sip", "-T", "fields", "-e", "sip.CSeq"]
    told = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout
    return sum(len(line.split(",")) for line in told.splitlines())
