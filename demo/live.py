"""Runs `lippycat sniff voip` onto lc0 with a real tcpdump beside it, and scrapes its metrics."""

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
PATIENCE = 60
"""seconds: before the replay; how long the metrics page stays up after it; the longest that any step may take"""


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


def wait_for(what: str, ready: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    """Wait until `ready`, or until the process has ended; DemoError after PATIENCE seconds."""
    until = time.monotonic() + PATIENCE
    while not ready():
        if process is not None and process.poll() is not None:
            raise DemoError(f"{what}: the command ended with {process.returncode}")
        if time.monotonic() > until:
            raise DemoError(f"{what}: not within {PATIENCE} s")
        time.sleep(0.05)


def device_is_up() -> bool:
    """Whether lc0 exists in lc-ns, and is up."""
    shown = subprocess.run(
        ["ip", "-n", NETNS, "-o", "link", "show", DEVICE], capture_output=True, text=True, check=False
    )
    return shown.returncode == 0 and re.search(r"<[^>]*\bUP\b", shown.stdout) is not None


def parse_metrics(page: str) -> dict[str, float]:
    """The samples of a page in Prometheus' text format, by name and labels."""
    samples = {}
    for line in page.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            samples[name] = float(value)
    return samples


def scrape(port: int) -> dict[str, float]:
    """One scrape; empty where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return parse_metrics(answer.read().decode())
    except OSError:
        return {}


def finished(metrics: dict[str, float], total: int) -> bool:
    """Whether the whole file went through the line, and the queues are empty."""
    taken = sum(v for k, v in metrics.items() if k.startswith("lippycat_packets_in_total{"))
    waiting = sum(v for k, v in metrics.items() if k.startswith(("lippycat_packets_held{", "lippycat_sink_queued_")))
    return taken == total and waiting == 0


def stop_tcpdump(tcpdump: subprocess.Popen[str], log: Path) -> int:
    """End tcpdump; how many frames the kernel dropped before it."""
    if tcpdump.poll() is None:
        tcpdump.send_signal(signal.SIGINT)
    tcpdump.wait(PATIENCE)
    told = re.search(r"(\d+) packets? dropped by kernel", log.read_text())
    if not told:
        raise DemoError(f"tcpdump did not say what it dropped: {log.read_text().strip()}")
    return int(told.group(1))


def replay(lippycat: Path, capture: Path, user: str, scratch: Path) -> Outcome:
    """The run: lippycat makes lc0, tcpdump starts to read, the replay begins, the metrics are read, both end.

    Raises:
        DemoError: when a step fails or takes too long.
    """
    port = free_port()
    command = [str(lippycat), "sniff", "voip", "-r", str(capture), "--sipuser", user, "--virtual-interface"]
    command += ["--vif-required", "--vif-startup-delay", f"{STARTUP}s"]
    command += ["--metrics-listen", f"127.0.0.1:{port}", "--metrics-linger", f"{LINGER}s"]
    seen, log, printed = scratch / "seen.pcap", scratch / "tcpdump.log", scratch / "lippycat.log"
    total = len(files.read_pcap(capture.read_bytes()))
    with printed.open("w") as out, log.open("w") as told:
        run = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, text=True)
        tcpdump = None
        try:
            try:
                wait_for(f"{DEVICE} in {NETNS}", device_is_up, run)
            except DemoError as error:
                raise DemoError(f"{error}\n{printed.read_text().strip()}") from None
            reader = ["ip", "netns", "exec", NETNS, "tcpdump", "-i", DEVICE, "-n", "-B", "65536", "-U"]
            reader += ["-Z", "root", "-w", str(seen)]
            tcpdump = subprocess.Popen(reader, stdin=subprocess.DEVNULL, stderr=told, text=True)
            wait_for("tcpdump", lambda: "listening on" in log.read_text(), tcpdump)
            metrics: dict[str, float] = {}

            def complete() -> bool:
                nonlocal metrics
                metrics = scrape(port) or metrics
                return finished(metrics, total) or run.poll() is not None

            wait_for("the replay", complete)
            time.sleep(0.5)
            drops = stop_tcpdump(tcpdump, log)
            status = run.wait(PATIENCE)
        finally:
            for process in (tcpdump, run):
                if process is not None and process.poll() is None:
                    process.terminate()
                    process.wait(PATIENCE)
    frames = [data for _, data in files.read_pcap(seen.read_bytes())]
    return Outcome(command, status, printed.read_text(), frames, seen, drops, metrics)
