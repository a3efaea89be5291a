"""An hour of mixed traffic: new calls, flows and connections all the time, and a daemon whose memory must stay flat.

`python -m benchmarks.soak [MINUTES]`, as root. It runs in a network and mount namespace of its own: a sender puts
frames on one end of a veth pair, `lippycatd` captures the other, follows every call, keeps a tenth of the users and
shows them on lc0. Every ten seconds it reads the daemon's resident memory (/proc/PID/status) and its metrics page.
Writes a dated result; ends with 1 when memory grew by more than 5 % after the warm-up, or the accounting does not
agree with what was sent. Warm-up lasts 15 minutes of 60 (a quarter of a shorter run): the longest timeout of a table
is ten minutes.
"""

from __future__ import annotations

import datetime as dt
import heapq
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from itertools import count
from pathlib import Path

from captures.call import Call
from captures.demo import USER, dialog
from captures.scene import MS, START, Scene
from captures.wire import Endpoint, Net
from demo.live import free_port, page, parse_metrics, wait_for

ROOT = Path(__file__).resolve().parent.parent
CALLS_PER_SECOND = 2
CALL_SECONDS = 15.0
STRANGERS_PER_SECOND = 100
"""datagrams a second of flows that belong to no call, each flow new"""
SAMPLE = 10.0
ALLOWED = 1.05
MARK = "LIPPYCAT_SOAK_INSIDE"


class Sender(threading.Thread):
    """Puts frames on the wire at their time. Every call, flow and connection is a new one; the seed is fixed."""

    def __init__(self, device: str) -> None:
        super().__init__(daemon=True)
        self.sent = 0
        self.calls = 0
        self.late = 0.0
        self.ends = threading.Event()
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._socket.bind((device, 0))
        self._random = random.Random(1)  # noqa: S311  traffic, no secret
        self._queue: list[tuple[int, int, bytes]] = []
        self._order = count()

    def run(self) -> None:
        """Until told to end: a second's worth of new things, then what is due of all of them."""
        begun = time.monotonic()
        for second in count():
            self._begin(second)
            while not self.ends.is_set() and self._queue and self._queue[0][0] < (second + 1) * 1000 * MS:
                at, _, data = heapq.heappop(self._queue)
                behind = time.monotonic() - begun - at / 1e9
                if behind < 0:
                    time.sleep(-behind)
                self.late = max(self.late, behind)
                self._socket.send(data)
                self.sent += 1
            if self.ends.is_set():
                return

    def _begin(self, second: int) -> None:
        scene = Scene()
        for _ in range(CALLS_PER_SECOND):
            self._call(scene, second)
        for _ in range(STRANGERS_PER_SECOND):
            src, dst = (
                Endpoint(f"198.18.{self._byte()}.{self._byte()}", self._random.randint(1024, 65535)) for _ in "ab"
            )
            at = (second * 1000 + self._random.randrange(1000)) * MS
            scene.add(at, Net().udp(src, dst, self._random.randbytes(40), scene.ident()))
        for ts, data in scene.packets():
            heapq.heappush(self._queue, (ts - START, next(self._order), data))

    def _byte(self) -> int:
        return self._random.randint(1, 254)

    def _call(self, scene: Scene, second: int) -> None:
        self.calls += 1
        number = self.calls
        user = USER if number % 10 == 0 else f"user{number}"
        low = 10000 + 4 * (number % 12000)
        ends = Endpoint(f"198.19.{number % 250}.1", low), Endpoint(f"198.19.{number % 241}.2", low)
        tcp = number % 5 == 0
        talk = dialog(f"soak{number}", user, "bob", port=20000 + number % 40000 if tcp else 5060)
        start = (second * 1000 + self._random.randrange(1000)) * MS
        call = Call(scene, str(number), talk, ends, seconds=CALL_SECONDS, tcp=tcp, busy=number % 7 == 0)
        call.digits, call.long_invite, call.mux = "12#", number % 11 == 0, number % 3 == 0
        call.run(start)


def resident(pid: int) -> int:
    """Resident memory in KiB (proc(5): VmRSS)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def sample(pid: int, port: int, sender: Sender, begun: float) -> dict[str, float]:
    """One line of the record."""
    got = parse_metrics(page(port))

    def total(name: str) -> float:
        return sum(value for key, value in got.items() if key.partition("{")[0] == name)

    tables = {key.partition('"')[2].partition('"')[0]: v for key, v in got.items() if "_table_entries{" in key}
    return {
        "seconds": round(time.monotonic() - begun),
        "rss_kib": resident(pid),
        "sent": sender.sent,
        "in": total("lippycat_packets_in_total"),
        "dropped": total("lippycat_packets_dropped_total"),
        "calls_active": total("lippycat_calls_active"),
        "evictions": total("lippycat_table_evictions_total"),
        "written": total("lippycat_vif_injected_packets_total"),
        **tables,
    }


def verdict(samples: list[dict[str, float]], minutes: float) -> tuple[bool, dict[str, float]]:
    """Whether memory stayed flat after the warm-up; the figures."""
    warm = min(15 * 60, minutes * 60 / 4)
    after = [s["rss_kib"] for s in samples if s["seconds"] >= warm]
    third = max(1, len(after) // 3)
    first, last, peak = statistics.median(after[:third]), statistics.median(after[-third:]), max(after)
    figures = {"first_kib": first, "last_kib": last, "peak_kib": peak, "growth": round(last / first, 4)}
    return last / first <= ALLOWED and peak / first <= ALLOWED, figures


def main(arguments: list[str]) -> int:
    """Run it in namespaces of its own."""
    if os.geteuid() != 0:
        sys.stderr.write("benchmarks.soak needs root: it makes a network namespace and a veth pair\n")
        return 3
    if MARK not in os.environ:
        prepare = "mount -t tmpfs t /run && mkdir /run/netns /run/lippycat && ip link set lo up && "
        prepare += 'sysctl -qw net.ipv6.conf.default.disable_ipv6=1 net.ipv6.conf.all.disable_ipv6=1 && exec "$@"'
        command = [
            "unshare",
            "-m",
            "-n",
            "sh",
            "-c",
            prepare,
            "sh",
            sys.executable,
            "-m",
            "benchmarks.soak",
            *arguments,
        ]
        return subprocess.run(command, env={**os.environ, MARK: "1"}, check=False, cwd=ROOT).returncode
    return soak(float(arguments[0]) if arguments else 60.0)


def soak(minutes: float) -> int:
    """The run itself; the exit status."""
    for step in ("link add a0 mtu 9000 type veth peer name a1 mtu 9000", "link set a0 up", "link set a1 up"):
        subprocess.run(["ip", *step.split()], check=True)
    port, folder = free_port(), Path(tempfile.mkdtemp(prefix="lc-soak-"))
    folder.chmod(0o777)
    config = folder / "lippycatd.yaml"
    config.write_text(
        f"capture: {{default_interface: a0}}\nvoip: {{sip_users: {USER}}}\n"
        "virtual_interface: {enabled: true, name: lc0, netns: lc-ns}\n"
        f"metrics: {{listen: '127.0.0.1:{port}'}}\ndaemon: {{control_socket: {folder}/control.sock}}\n"
    )
    config.chmod(0o644)
    log = (folder / "log").open("w")
    command = [str(ROOT / ".venv" / "bin" / "lippycatd"), "--config", str(config)]
    daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    samples: list[dict[str, float]] = []
    sender = Sender("a1")
    try:
        wait_for("the daemon", lambda: "lippycat_build_info" in scraped(port), daemon)
        begun = time.monotonic()
        sender.start()
        while (left := begun + minutes * 60 - time.monotonic()) > 0:
            time.sleep(min(SAMPLE, left))
            samples.append(sample(daemon.pid, port, sender, begun))
            sys.stderr.write(f"\r{json.dumps(samples[-1])} ")
        sender.ends.set()
        sender.join(30)
        time.sleep(2)
        samples.append(sample(daemon.pid, port, sender, begun))
    finally:
        daemon.send_signal(signal.SIGTERM)
        status = daemon.wait(30)
    flat, figures = verdict(samples, minutes)
    agrees = samples[-1]["in"] == sender.sent
    report(minutes, samples, {**figures, "in_equals_sent": agrees, "status": status, "calls": sender.calls})
    sys.stderr.write(f"\n{figures}; in {samples[-1]['in']:.0f}, sent {sender.sent}, exit {status}; log {folder}/log\n")
    accounted = status == (1 if samples[-1]["dropped"] else 0)  # 1: something was lost, and it said how much
    return 0 if flat and agrees and accounted else 1


def scraped(port: int) -> str:
    """The page, or nothing while nobody serves it."""
    try:
        return page(port)
    except OSError:
        return ""


def report(minutes: float, samples: list[dict[str, float]], figures: dict[str, object]) -> None:
    """The dated result: the figures, and a line a minute."""
    today = dt.datetime.now(dt.UTC).date().isoformat()
    path = ROOT / "benchmarks" / "results" / f"{today}-soak.md"
    names = list(samples[-1])
    rows = samples[:: max(1, len(samples) // 30)] + samples[-1:]
    lines = [f"# {today}: {minutes:.0f} minutes of mixed traffic", "", *(f"- {k}: {v}" for k, v in figures.items()), ""]
    lines += ["| " + " | ".join(names) + " |", "|" + "---:|" * len(names)]
    lines += ["| " + " | ".join(f"{row.get(name, 0):.0f}" for name in names) + " |" for row in rows]
    path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
