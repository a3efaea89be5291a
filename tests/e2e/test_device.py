"""The device: what readers see is what was selected, byte for byte and in order."""

from __future__ import annotations

import json
import signal
import statistics
import time
from itertools import pairwise
from pathlib import Path

import pytest

from captures import demo, files, small
from demo.live import Tcpdump

ALICE = ("voip", "--sipuser", "alice")


def numbered(root, name="demo.pcap"):
    return [data for _, data in files.read_pcap((root / "captures" / name).read_bytes())]


def alices(root):
    frames = numbered(root)
    return [frames[number - 1] for number in demo.build()[1]]


def test_two_readers_see_the_same_frames_twice_in_a_row(root, onto_device):
    wanted = alices(root)
    for _ in range(2):
        live = onto_device(*ALICE, "-r", root / "captures" / "demo.pcap", total=3187, readers=2)
        assert live.status == 0, live.told
        assert live.drops == [0, 0]
        assert live.frames == [wanted, wanted]


def test_generated_calls_at_full_speed(shared, make_calls, lippycat, onto_device, tmp_path):
    """About 100,000 frames; the readers see what a file sink keeps."""
    capture = make_calls("--calls", "300", "--rtp-packets", "200", "--seed", "5", "--target-calls", "250")
    packets = len(files.read_pcap(capture.read_bytes()))
    kept = tmp_path / "kept.pcap"
    done = lippycat("sniff", "voip", "-r", capture, "--sipuser", "+4930555000777", "-w", kept)
    assert done.returncode == 0, done.stderr
    wanted = [data for _, data in files.read_pcap(kept.read_bytes())]
    assert len(wanted) > 50_000
    chosen = ("voip", "--sipuser", "+4930555000777", "-r", capture)
    live = onto_device(*chosen, total=packets, readers=2)
    assert live.status == 0, live.told
    assert live.drops == [0, 0]
    assert live.frames[0] == wanted
    assert live.frames[1] == wanted
    assert live.metrics['lippycat_vif_injected_packets_total{vif="lc0"}'] == len(wanted)


def test_everything_without_a_selector(root, onto_device):
    live = onto_device("-r", root / "captures" / "demo.pcap", total=3187)
    assert live.status == 0, live.told
    assert live.frames == [numbered(root)]


def test_frames_that_no_reader_could_see_are_counted(root, onto_device):
    wanted = [frame for (_, frame, owner) in small.tiny().ordered() if owner != "short"]
    live = onto_device("-r", root / "captures" / "tiny.pcap", "--vif-mtu", "1500", total=9)
    assert live.frames == [wanted]
    assert live.metrics['lippycat_vif_dropped_packets_total{reason="short",vif="lc0"}'] == 5
    assert live.told.lower().count("mtu") == 1


def test_tun_strips_the_link_layer(root, onto_device):
    live = onto_device(*ALICE, "-r", root / "captures" / "qinq.pcap", "--vif-type", "tun", total=218)
    assert live.status == 0, live.told
    frames = numbered(root, "qinq.pcap")
    wanted = [frames[number - 1][22:] for number in small.qinq().numbers(["alice"])]
    assert live.frames == [wanted]


@pytest.mark.parametrize("name", ["raw.pcap", "sll.pcap", "sll2.pcap", "null.pcap"])
def test_other_link_types_get_an_ethernet_header(root, onto_device, name):
    live = onto_device(*ALICE, "-r", root / "captures" / name, total=218)
    assert live.status == 0, live.told
    head = bytes.fromhex("0200000000020200000000010800")
    frames = numbered(root, "call-be.pcap")
    assert live.frames == [[head + frames[number - 1][14:] for number in small.call().numbers(["alice"])]]


def lateness(seconds):
    """How late a thread of this machine wakes now: the median over so many seconds of short sleeps, ns."""
    late = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.monotonic_ns()
        time.sleep(0.002)
        late.append(time.monotonic_ns() - start - 2_000_000)
    return sorted(late)[len(late) // 2]


def test_replay_timing(root, onto_device):
    """Gaps between frames as in the capture: half within 50 us and no drift; four times what a control loop is late
    beside it, where other programs disturb the machine more than that."""
    late = [lateness(1)]
    live = onto_device(*ALICE, "-r", root / "captures" / "demo.pcap", "--vif-replay-timing", total=3187)
    late.append(lateness(1))
    assert live.status == 0, live.told
    packets = files.read_pcap((root / "captures" / "demo.pcap").read_bytes())
    wanted = [packets[number - 1][0] for number in demo.build()[1]]
    seen = [ts for ts, _ in live.timed[0]]
    gaps = zip(pairwise(seen), pairwise(wanted), strict=True)
    errors = sorted(abs((b - a) - (d - c)) for (a, b), (c, d) in gaps)
    assert errors[len(errors) // 2] < max(50_000, 4 * max(late)), f"control loop: {late} ns"
    lags = [a - b for a, b in zip(seen, wanted, strict=True)]
    quarter = len(lags) // 4
    drift = statistics.median(lags[-quarter:]) - statistics.median(lags[:quarter])
    assert abs(drift) < max(2_000_000, 4 * max(late)), f"control loop: {late} ns"


def test_replay_speed_and_loop(root, onto_device):
    capture = root / "captures" / "call-be.pcap"
    live = onto_device("-r", capture, "--loop", "3", "--vif-replay-timing", "--vif-replay-speed", "4", total=3 * 218)
    assert live.status == 0, live.told
    assert live.frames == [numbered(root, "call-be.pcap") * 3]
    packets = files.read_pcap(capture.read_bytes())
    span = 3 * (packets[-1][0] - packets[0][0]) / 4
    assert abs((live.timed[0][-1][0] - live.timed[0][0][0]) - span) < 0.3 * span


def test_the_rate_limit_holds_and_loses_nothing(root, onto_device):
    limit = ("--vif-rate-limit", "200", "--vif-rate-burst", "10")
    live = onto_device("-r", root / "captures" / "call-be.pcap", *limit, total=218)
    assert live.status == 0, live.told
    assert live.frames == [numbered(root, "call-be.pcap")]
    seconds = (live.timed[0][-1][0] - live.timed[0][0][0]) / 1e9
    assert 0.9 * 208 / 200 < seconds < 2.5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_long_gap_at_once(root, start, tmp_path, number):
    packets = files.read_pcap((root / "captures" / "call-be.pcap").read_bytes())[:2]
    late = tmp_path / "late.pcap"
    late.write_bytes(files.pcap([packets[0], (packets[0][0] + 3600 * 10**9, packets[1][1])]))
    begun = start("sniff", "-r", late, "--vif-replay-timing", "--vif-startup-delay", "0s", linger=0)
    time.sleep(1.5)
    assert begun.process.poll() is None
    before = time.monotonic()
    begun.process.send_signal(number)
    assert begun.process.wait(10) == 0, begun.err.read_text()
    assert time.monotonic() - before < 2


def test_a_loop_for_ever_keeps_its_memory(root, start):
    """Twenty seconds at full speed, in place of five minutes: the peak of memory does not move."""
    begun = start("sniff", *ALICE, "-r", root / "captures" / "demo.pcap", "--loop", "0", "--vif-startup-delay", "0s")

    def resident():
        status = Path(f"/proc/{begun.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    time.sleep(5)
    early = resident()
    time.sleep(15)
    late = resident()
    injected = begun.metrics()['lippycat_vif_injected_packets_total{vif="lc0"}']
    begun.process.send_signal(signal.SIGINT)
    assert begun.process.wait(20) == 0, begun.err.read_text()
    assert injected > 1711 * 20
    assert late - early < 4096, f"{early} KiB grew to {late} KiB"


def test_nothing_but_our_frames_is_on_the_device(root, onto_device):
    """No router solicitation, no answer of the host's stack, also to echo requests for the device's own address."""
    live = onto_device("-r", root / "captures" / "demo.pcap", "--vif-rate-limit", "2000", total=3187)
    assert live.frames == [numbered(root)]


def test_json_and_device_at_once(root, onto_device):
    live = onto_device(*ALICE, "-r", root / "captures" / "demo.pcap", "--format", "json", total=3187)
    assert live.status == 0, live.told
    summary = json.loads(live.printed.splitlines()[-1])
    assert summary["sinks"]["vif:lc0"]["written"] == 1711 == len(live.frames[0])


def test_a_reader_gets_the_last_frame_when_the_run_ends_at_once(root, start, tmp_path):
    """tcpdump's ring hands a block over after up to a second; a device that vanishes before takes it along."""
    capture = root / "captures" / "demo.pcap"
    begun = start("sniff", *ALICE, "-r", capture, "--vif-startup-delay", "3s", linger=0)
    dump = Tcpdump(begun.netns, begun.device, tmp_path / "seen.pcap")
    dump.wait_ready()
    assert begun.process.wait(60) == 0, begun.err.read_text()
    dump.process.wait(10)
    assert dump.frames() == alices(root)
