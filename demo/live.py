"""Runs `lippycat sniff voip` onto a virtual interface with a real tcpdump beside it, and scrapes its metrics."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from captures import files

NETNS, DEVICE = "lc-ns", "lc0"
STARTUP = 5
LINGER = 5
SETTLE = 1.5
PATIENCE = 60
"""seconds: before the replay; how long the metrics page stays up after it; until a reader's ring has handed its last
block over; the longest that any step may take"""


class DemoError(Exception):
    """The demo could not be carried out; one line says why."""


@dataclass
class Outcome:
    """What the run gave."""

    command: list[str]
    status: int
    printed: str
    frames: list[bytes]
    seen: Path
    kernel_drops: int
    metrics: dict[str, float]


def free_port() -> int:
    """A TCP port of the loopback address that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, ready: Callable[[], bool], process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait until `ready`, or until the process has ended; DemoError after PATIENCE seconds."""
    until = time.monotonic() + PATIENCE
    while not ready():
        if process is not None and process.poll() is not None:
            raise DemoError(f"{what}: the command ended with {process.returncode}")
        if time.monotonic() > until:
            raise DemoError(f"{what}: not within {PATIENCE} s")
        time.sleep(0.05)


def device_is_up(netns: str, device: str) -> bool:
    """Whether the device exists in the namespace, and is up."""
    command = ["ip", "-n", netns, "-o", "link", "show", device]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    return shown.returncode == 0 and re.search(r"<[^>]*\bUP\b", shown.stdout) is not None


class Tcpdump:
    """A tcpdump that reads the device, from the moment it says so."""

    def __init__(self, netns: str, device: str, seen: Path, buffer_kib: int = 65536) -> None:
        """Start it; `seen` gets what it captures, and a log lies beside it."""
        self.seen, self.log = seen, seen.with_suffix(".log")
        command = ["ip", "netns", "exec", netns, "tcpdump", "-i", device, "-n", "-s", "0", "-B", str(buffer_kib)]
        command += ["-U", "-Z", "root", "-w", str(seen)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log)

    def wait_ready(self) -> None:
        """Wait until it listens."""
        wait_for("tcpdump", lambda: "listening on" in self.log.read_text(), self.process)

    def stop(self) -> int:
        """End it; how many frames the kernel dropped before it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(PATIENCE)
        told = re.search(r"(\d+) packets? dropped by kernel", self.log.read_text())
        if not told:
            raise DemoError(f"tcpdump did not say what it dropped: {self.log.read_text().strip()}")
        return int(told.group(1))

    def frames(self) -> list[bytes]:
        """What it saw."""
        return [data for _, data in files.read_pcap(self.seen.read_bytes())]


def parse_metrics(page: str) -> dict[str, float]:
    """The samples of a page in Prometheus' text format, by name and labels."""
    samples = {}
    for line in page.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            samples[name] = float(value)
    return samples


def page(port: int) -> str:
    """The metrics page as it is; empty where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def finished(metrics: dict[str, float], total: int) -> bool:
    """Whether the whole file went through the line, and the queues are empty."""
    taken = sum(v for k, v in metrics.items() if k.startswith("lippycat_packets_in_total{"))
    waiting = sum(v for k, v in metrics.items() if k.startswith(("lippycat_packets_held{", "lippycat_sink_queued_")))
    return taken == total and waiting == 0


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, and wait for it."""
    if process.poll() is None:
        process.terminate()
        process.wait(PATIENCE)


def replay(lippycat: Path, capture: Path, user: str, scratch: Path, netns: str = NETNS) -> Outcome:
    """The run: lippycat makes lc0, tcpdump starts to read, the replay begins, the metrics are read, both end.

    Raises:
        DemoError: when a step fails or takes too long.
    """
    if device_is_up(netns, DEVICE):
        raise DemoError(f"{DEVICE} in {netns} is in use: end the other run, or name another namespace with --netns")
    port = free_port()
    command = [str(lippycat), "sniff", "voip", "-r", str(capture), "--sipuser", user, "--virtual-interface"]
    command += ["--vif-required", "--vif-netns", netns, "--vif-startup-delay", f"{STARTUP}s"]
    command += ["--metrics-listen", f"127.0.0.1:{port}", "--metrics-linger", f"{LINGER}s"]
    printed = scratch / "lippycat.log"
    total = len(files.read_pcap(capture.read_bytes()))
    with printed.open("w") as out:
        run = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    tcpdump = None
    metrics: dict[str, float] = {}

    def complete() -> bool:
        nonlocal metrics
        metrics = parse_metrics(page(port)) or metrics
        return finished(metrics, total) or run.poll() is not None

    try:
        wait_for(f"{DEVICE} in {netns}", lambda: device_is_up(netns, DEVICE), run)
        tcpdump = Tcpdump(netns, DEVICE, scratch / "seen.pcap")
        tcpdump.wait_ready()
        wait_for("the replay", complete)
        time.sleep(SETTLE)
        drops = tcpdump.stop()
        status = run.wait(PATIENCE)
    except DemoError as error:
        raise DemoError(f"{error}\n{printed.read_text()}".strip()) from None
    finally:
        if tcpdump is not None:
            end(tcpdump.process)
        end(run)
    return Outcome(command, status, printed.read_text(), tcpdump.frames(), tcpdump.seen, drops, metrics)
