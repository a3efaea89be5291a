"""Running a command and measuring what it used."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from demo.live import Tcpdump, device_is_up, end, wait_for

LAUNCH = Path(__file__).resolve().parent / "launch.py"
Place = Callable[[], AbstractContextManager[None]]


@dataclass
class Row:
    """One thing to measure: a command that handles so many packets.

    `empty` is the same command with a capture that holds no packet: what it uses is the price of starting, and is taken
    off in the net figures. `place` is entered around each run. `beside` runs beside it (a reader of the device). A
    `slow` row runs in the first turn only.
    """

    name: str
    command: Sequence[str]
    packets: int
    empty: Sequence[str] = ()
    place: Place = nullcontext
    beside: Callable[[subprocess.Popen[bytes]], AbstractContextManager[None]] | None = None
    allowed: tuple[int, ...] = (0,)
    slow: bool = False


@dataclass
class Run:
    """One run: wall and CPU seconds (user and system), and the peak of memory in MiB."""

    wall: float
    cpu: float
    mib: float


@dataclass
class Result:
    """All runs of a row and of its empty twin, and of the control loop beside them."""

    name: str
    packets: int
    runs: list[Run] = field(default_factory=list)
    empty: list[Run] = field(default_factory=list)
    error: str = ""

    def figures(self) -> dict[str, float]:
        """Medians: CPU ns per packet and kpps of the whole command; the same net of starting; MiB."""
        cpu, wall = (statistics.median(getattr(run, name) for run in self.runs) for name in ("cpu", "wall"))
        out = {
            "cpu_s": cpu,
            "cpu_ns_per_packet": cpu / self.packets * 1e9,
            "kpps": self.packets / wall / 1e3,
            "mib": max(run.mib for run in self.runs),
        }
        if self.empty:
            net_cpu = cpu - statistics.median(run.cpu for run in self.empty)
            net_wall = wall - statistics.median(run.wall for run in self.empty)
            out["net_cpu_ns_per_packet"] = net_cpu / self.packets * 1e9
            out["net_kpps"] = self.packets / max(net_wall, 1e-9) / 1e3
        return out


@contextmanager
def launched(command: Sequence[str]) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], dict[str, float]]]]:
    """A command under launch.py, and what gives its figures once it has ended."""
    reading, writing = os.pipe()
    launcher = [sys.executable, "-I", "-S", str(LAUNCH), str(writing), *command]
    try:
        process = subprocess.Popen(
            launcher,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=[writing],
        )
    finally:
        os.close(writing)

    def figures() -> dict[str, float]:
        with os.fdopen(reading) as told:
            return dict(json.loads(told.read()))

    yield process, figures


def once(command: Sequence[str], row: Row) -> Run:
    """One run of a command in the row's place.

    Raises:
        RuntimeError: when it ends with a status that the row does not allow.
    """
    with row.place():
        began = time.monotonic()
        with launched(command) as (process, figures):
            with row.beside(process) if row.beside else nullcontext():
                assert process.stderr is not None
                told = process.stderr.read()
                process.wait()
            wall = time.monotonic() - began
            found = figures()
    if found["status"] not in row.allowed:
        raise RuntimeError(f"exit {found['status']}: {told.decode(errors='replace').strip()[-300:]}")
    return Run(wall, found["cpu"], found["mib"])


def control() -> float:
    """CPU seconds of a fixed loop: how much the machine's neighbours disturb."""
    began = time.process_time()
    total = 0
    for number in range(3_000_000):
        total += number * number
    return time.process_time() - began


def measure(rows: Sequence[Row], times: int) -> tuple[list[Result], list[float]]:
    """Each row so many times, in turns, so that a disturbance meets all alike; and the control loop's figures."""
    results = [Result(row.name, row.packets) for row in rows]
    loop = []
    for turn in range(times):
        loop.append(control())
        for row, result in zip(rows, results, strict=True):
            if result.error or (row.slow and turn):
                continue
            try:
                result.runs.append(once(row.command, row))
                if row.empty:
                    result.empty.append(once(row.empty, row))
            except (OSError, RuntimeError) as error:
                result.error = str(error)
            print(f"turn {turn + 1}: {row.name}: {result.error or f'{result.runs[-1].cpu:.2f} CPU s'}", flush=True)
    return results, loop


@contextmanager
def veth(netns: str) -> Iterator[None]:
    """A namespace with the veth pair v0 - v1, both up: where tcpreplay sends."""
    subprocess.run(["ip", "netns", "add", netns], check=True)
    try:
        inside = ["ip", "-n", netns, "link"]
        subprocess.run([*inside, "add", "v0", "type", "veth", "peer", "name", "v1"], check=True)
        for device in ("v0", "v1"):
            subprocess.run([*inside, "set", device, "up"], check=True)
        yield
    finally:
        subprocess.run(["ip", "netns", "delete", netns], check=True)


@contextmanager
def reader(process: subprocess.Popen[bytes], netns: str, device: str, seen: Path) -> Iterator[None]:
    """A tcpdump on the device, from the moment the device is there."""
    wait_for(device, lambda: device_is_up(netns, device), process)
    tcpdump = Tcpdump(netns, device, seen)
    tcpdump.wait_ready()
    try:
        yield
    finally:
        end(tcpdump.process)
