"""Running lippycat onto a real device with real readers, and measuring it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmarks.measure import launched
from captures import files
from demo.live import SETTLE, DemoError, Tcpdump, device_is_up, end, finished, free_port, page, parse_metrics, wait_for

ROOT = Path(__file__).resolve().parents[2]
LIPPYCAT = ROOT / ".venv" / "bin" / "lippycat"
LINGER = 30


@dataclass
class Live:
    """What a run onto a device gave; `frames` and `drops` have one entry a reader."""

    status: int
    told: str
    printed: str
    frames: list[list[bytes]] = field(default_factory=list)
    timed: list[list[tuple[int, bytes]]] = field(default_factory=list)
    drops: list[int] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    page: str = ""


@dataclass
class Started:
    """A run onto a device that has begun; the device is up."""

    process: subprocess.Popen
    port: int
    out: Path
    err: Path
    netns: str
    device: str

    def metrics(self):
        return parse_metrics(page(self.port))


@pytest.fixture
def start(netns, tmp_path):
    """Start lippycat onto a device in a namespace of its own, and wait until the device is up."""
    begun = []

    def launch(*arguments, device="lc0", linger=LINGER, wait=True, **options):
        port = free_port()
        number = len(begun)
        out, err = tmp_path / f"run{number}.out", tmp_path / f"run{number}.err"
        command = [LIPPYCAT, *arguments, "--virtual-interface", "--vif-required", "--vif-netns", netns]
        command += ["--vif-name", device, "--metrics-listen", f"127.0.0.1:{port}", "--metrics-linger", f"{linger}s"]
        options.setdefault("stdin", subprocess.DEVNULL)
        with out.open("w") as stdout, err.open("w") as stderr:
            process = subprocess.Popen([str(part) for part in command], stdout=stdout, stderr=stderr, **options)
        started = Started(process, port, out, err, netns, device)
        begun.append(started)
        if wait:
            try:
                wait_for(device, lambda: device_is_up(netns, device), process)
            except DemoError as error:
                raise AssertionError(f"{error}: {err.read_text()}") from None
        return started

    yield launch
    for started in begun:
        end(started.process)


@pytest.fixture
def onto_device(start, tmp_path):
    """Run lippycat to its end with so many tcpdumps beside it; a Live."""
    runs = []

    def run(*arguments, total, readers=1, buffer_kib=65536, patience=120, **options):
        """`total`: the packets that will have gone in when it is over."""
        runs.append(1)
        started = start("sniff", *arguments, "--vif-startup-delay", "3s", **options)
        dumps = []
        for number in range(readers):
            seen = tmp_path / f"seen{len(runs)}-{number}.pcap"
            dumps.append(Tcpdump(started.netns, started.device, seen, buffer_kib))
        live = Live(0, "", "")
        try:
            for dump in dumps:
                dump.wait_ready()
            until = time.monotonic() + patience
            while time.monotonic() < until and started.process.poll() is None:
                shown = page(started.port)
                if shown:
                    live.page, live.metrics = shown, parse_metrics(shown)
                if finished(live.metrics, total):
                    break
                time.sleep(0.1)
            time.sleep(SETTLE)
            live.drops = [dump.stop() for dump in dumps]
            started.process.send_signal(signal.SIGINT)  # it only lingers
            live.status = started.process.wait(patience)
        finally:
            for dump in dumps:
                end(dump.process)
        live.told, live.printed = started.err.read_text(), started.out.read_text()
        live.timed = [files.read_pcap(dump.seen.read_bytes()) for dump in dumps]
        live.frames = [[data for _, data in timed] for timed in live.timed]
        return live

    return run


@dataclass
class Measured:
    """One finished run with what it used: CPU seconds (user and system) and its peak of memory, in MiB."""

    told: str
    status: int
    cpu: float
    mib: float


@pytest.fixture
def measured():
    """Run lippycat to its end and measure it alone; what a helper uses is not in it."""

    def run(*arguments):
        with launched([str(LIPPYCAT), *map(str, arguments)]) as (process, figures):
            told = process.communicate()[1]
            return Measured(told=told.decode(), **figures())

    return run


@pytest.fixture(scope="session")
def make_calls(shared, tmp_path_factory):
    """Make a capture with tools/gen_calls.py, once for the same arguments; its path."""
    made = {}

    def make(*arguments):
        if arguments not in made:
            path = tmp_path_factory.mktemp("calls") / "calls.pcap"
            command = [sys.executable, shared / "tools" / "gen_calls.py", "-o", path, "--quiet", *arguments]
            subprocess.run(list(map(str, command)), check=True, capture_output=True)
            made[arguments] = path
        return made[arguments]

    return make
