"""Live capture measured: rates, CPU, memory, latency, modes; writes a dated result into benchmarks/results/.

    python -m benchmarks.live          (as root; in a namespace of its own)

tcpreplay sends into one end of a veth pair, lippycat captures from the other. CPU is that of the lippycat process while
packets come, without its start. Latency is the difference of two stamps of the kernel for the same packet: as it was
captured, and as a reader of the virtual interface got it.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import control
from benchmarks.rows import LIPPYCAT
from benchmarks.run import RESULTS, machine
from captures import files
from demo.live import Tcpdump, device_is_up, end, wait_for

NETNS, VIF_NETNS = "lc-bench-live", "lc-bench-lc0"
TICKS = os.sysconf("SC_CLK_TCK")
NOTHING = "udp port 1"


@dataclass
class Row:
    """One measurement: what was sent and counted, CPU and memory of lippycat, latencies in µs."""

    name: str
    sent: int
    seconds: float
    summary: dict[str, object]
    cpu: float
    mib: float
    latency: tuple[float, float] | None = None

    def line(self) -> str:
        """The row as Markdown."""
        lost = sum(int(str(n)) for name, n in self.summary.items() if name.endswith("dropped"))
        latency = f"{self.latency[0]:,.0f} / {self.latency[1]:,.0f}" if self.latency else ""
        figures = f"{self.sent / self.seconds / 1e3:,.0f} | {self.sent:,} | {self.summary['in']:,} | {lost:,}"
        per = self.cpu / max(self.sent, 1) * 1e9
        share = self.cpu / self.seconds * 100
        return f"| {self.name} | {figures} | {per:,.0f} | {share:.1f} | {self.mib:.0f} | {latency} |"


HEAD = """| | kpps sent | sent | `in` | dropped | CPU ns/packet | CPU % | MiB | latency p50 / p99 µs |
|---|---:|---:|---:|---:|---:|---:|---:|---:|"""


def inside(*command: str) -> list[str]:
    """A command in the namespace of the wire."""
    return ["nsenter", f"--net=/run/netns/{NETNS}", *command]


@contextmanager
def wire() -> Iterator[None]:
    """The veth pair a0 - a1 in a namespace."""
    ip = ["ip", "-n", NETNS, "link"]
    subprocess.run(["ip", "netns", "add", NETNS], check=True)
    try:
        subprocess.run(inside("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"), check=True)
        subprocess.run([*ip, "add", "a0", "type", "veth", "peer", "name", "a1"], check=True)
        for device in ("a0", "a1"):
            subprocess.run([*ip, "set", device, "up"], check=True)
        yield
    finally:
        subprocess.run(["ip", "netns", "delete", NETNS], check=True)


def send(capture: Path, loops: int, pps: int) -> tuple[int, float]:
    """Packets sent, and seconds."""
    speed = [f"--pps={pps}"] if pps else ["--topspeed"]
    command = inside("tcpreplay", "-q", "-K", f"--loop={loops}", *speed, "-i", "a1", str(capture))
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Actual: (\d+) packets .* in ([\d.]+) seconds", told)
    assert found, told
    return int(found.group(1)), float(found.group(2))


def used(pid: int) -> tuple[float, float]:
    """CPU seconds and resident MiB of a process."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    rss = re.search(r"VmRSS:\s+(\d+)", status)
    return (int(stat[11]) + int(stat[12])) / TICKS, int(rss.group(1)) / 1024 if rss else 0.0


def latency(kept: Path, reader: Tcpdump) -> tuple[float, float]:
    """Median and 99th percentile of the time from the wire to lc0, µs."""
    captured = iter(files.read_pcap(kept.read_bytes()))
    late = []
    for at, data in files.read_pcap(reader.seen.read_bytes()):
        # what a full queue dropped is in the file and not on the device: the next one with these bytes is meant
        late += [(at - ts) / 1e3 for ts, _ in [next(found for found in captured if found[1] == data)]]
    late.sort()
    return statistics.median(late), late[int(len(late) * 0.99)]


def measured(
    name: str,
    capture: Path,
    scratch: Path,
    *options: str,
    loops: int,
    pps: int = 0,
    onto: bool = False,
    timed: bool = True,
) -> Row:
    """One row."""
    out, err, kept = scratch / "out", scratch / "err", scratch / "kept.pcap"
    command = inside(
        LIPPYCAT, "sniff", *options, "-i", "a0", "-p", "--log-level", "debug", "--log-format", "json", "-q"
    )
    if onto:
        command += ["-V", "--vif-required", "--vif-netns", VIF_NETNS]
        command += ["-w", str(kept)] if timed else []  # what the latency is told by
    elif "voip" not in options:
        command += ["-f", NOTHING]
    with out.open("w") as stdout, err.open("w") as stderr:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
    reader = None
    try:
        wait_for("the capture", lambda: "confined" in err.read_text(), process)
        if onto:
            wait_for("lc0", lambda: device_is_up(VIF_NETNS, "lc0"), process)
            reader = Nanoseconds(VIF_NETNS, "lc0", scratch / "seen.pcap")
            reader.wait_ready()
        time.sleep(0.5)
        before, _ = used(process.pid)
        sent, seconds = send(capture, loops, pps)
        time.sleep(0.3)
        after, mib = used(process.pid)
        time.sleep(1.2 if onto else 0)
        if reader:
            reader.stop()
        process.send_signal(signal.SIGINT)
        process.wait(60)
    finally:
        for each in [process] + ([reader.process] if reader else []):
            end(each)
    told = (json.loads(line) for line in err.read_text().splitlines() if line.startswith("{"))
    summary = [each for each in told if each.get("event") == "totals"][-1]
    found = latency(kept, reader) if reader and timed else None
    return Row(name, sent, seconds, summary, after - before, mib, found)


class Nanoseconds(Tcpdump):
    """A tcpdump that keeps the kernel's nanoseconds."""

    def __init__(self, netns: str, device: str, seen: Path) -> None:
        """As Tcpdump."""
        self.seen, self.log = seen, seen.with_suffix(".log")
        command = ["ip", "netns", "exec", netns, "tcpdump", "-i", device, "-n", "-s", "0", "-B", "65536", "-Z", "root"]
        command += ["--time-stamp-precision=nano", "-w", str(seen)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log)


def tcpdump(capture: Path, scratch: Path, loops: int) -> str:
    """The same load with tcpdump instead: what it took and lost."""
    log = scratch / "tcpdump.log"
    command = inside("tcpdump", "-i", "a0", "-n", "-B", "65536", "-w", "/dev/null", "-Z", "root", NOTHING)
    with log.open("w") as stderr:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=stderr)
    wait_for("tcpdump", lambda: "listening on" in log.read_text(), process)
    before, _ = used(process.pid)
    sent, seconds = send(capture, loops, 0)
    after, _ = used(process.pid)
    process.send_signal(signal.SIGINT)
    process.wait(30)
    told = " ".join(log.read_text().split("\n")[-4:])
    per = (after - before) / sent * 1e9
    rate = f"{sent / seconds / 1e3:,.0f} kpps sent, {per:,.0f} CPU ns/packet"
    return f"tcpdump (its filter, in the kernel, takes nothing): {rate}; {told.strip()}"


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    parser.add_argument("--label", default="live")
    given = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="lippycat-bench-") as name, wire():
        scratch = Path(name)
        scratch.chmod(0o755)
        demo = Path(__file__).resolve().parent.parent / "captures" / "demo.pcap"
        control_before = control()

        def row(title: str, *options: str, loops: int, pps: int = 0, onto: bool = False, timed: bool = True) -> None:
            rows.append(measured(title, demo, scratch, *options, loops=loops, pps=pps, onto=onto, timed=timed))
            print(rows[-1].line(), flush=True)

        def mode(word: str) -> tuple[str, str]:
            return ("--tcp-performance-mode", word)

        send(demo, 100, 0)  # the file and the devices are warm afterwards
        nobody, seconds = send(demo, 100, 0)
        alone = f"the sender without anybody who listens: {nobody / seconds / 1e3:,.0f} kpps"
        row("capture and filter", loops=100)
        row("capture and filter, 2 workers", "--tcp-max-workers", "2", loops=100)
        row("capture, follow calls, one user", "voip", "--sipuser", "alice", loops=100)
        row("mode throughput: capture and filter", *mode("throughput"), loops=100)
        row("mode latency: capture and filter", *mode("latency"), loops=100)
        row("mode memory: capture and filter", *mode("memory"), loops=100)
        row("100 kpps, filter alone", loops=150, pps=100_000)
        row("100 kpps onto lc0, with a reader", loops=150, pps=100_000, onto=True, timed=False)
        row("100 kpps onto lc0 and into a file, with a reader", loops=150, pps=100_000, onto=True)
        for word in ("balanced", "latency", "throughput"):
            row(f"20 kpps onto lc0, mode {word}", *mode(word), loops=30, pps=20_000, onto=True)
        peer = tcpdump(demo, scratch, 100)
        control_after = control()
    today = dt.datetime.now(tz=dt.UTC).date().isoformat()
    about = {**machine(), "control loop": f"{control_before:.3f} and {control_after:.3f} CPU s"}
    text = [f"# {today}: {given.label}", "", "".join(f"- {key}: {value}\n" for key, value in about.items())]
    text += [HEAD, *(each.line() for each in rows), "", f"- {alone}", f"- {peer}", ""]
    (RESULTS / f"{today}-{given.label}.md").write_text("\n".join(text))
    print("\n".join(text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
