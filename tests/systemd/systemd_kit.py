"""A booted system, from outside; what is sent there, read there and scraped there."""

from __future__ import annotations

import collections
import re
import subprocess
import time

from captures import files
from demo.live import SETTLE
from demo.oracle import extract

SERVICE, TAP, CAPTURE = "lippycatd.service", "lippycat-helper-tap@lc-ns.service", "lippycat-helper-capture.service"
CONFIGURATION = "etc/lippycat/lippycatd.yaml"
# Run inside: send the frames of a pcap file (little endian, Ethernet) on an interface, at about 1500 a second.
SEND = """
import socket, struct, sys, time
data = open(sys.argv[1], "rb").read()
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind((sys.argv[2], 0))
at, sent = 24, 0
while at < len(data):
    length = struct.unpack_from("<I", data, at + 8)[0]
    wire.send(data[at + 16:at + 16 + length])
    at, sent = at + 16 + length, sent + 1
    if sent % 15 == 0:
        time.sleep(0.01)
print(sent)
"""
SCRAPE = """
import urllib.request
print(urllib.request.urlopen("http://127.0.0.1:10469" + __import__("sys").argv[1], timeout=5).read().decode())
"""
# Run inside as a user of the group: read a stream for so many seconds.
READ = """
import socket, sys, time
reader = socket.socket(socket.AF_UNIX)
reader.connect("/run/lippycat/reader-lc-ns.sock")
until, data = time.monotonic() + float(sys.argv[2]), b""
with open(sys.argv[1], "wb") as out:
    while (left := until - time.monotonic()) > 0:
        reader.settimeout(left)
        try:
            data = reader.recv(1 << 16)
        except TimeoutError:
            break
        out.write(data)
"""


class Machine:
    """A booted system."""

    def __init__(self, root, leader):
        self.root, self._enter = root, ["nsenter", "-t", str(leader), "-m", "-u", "-i", "-n", "-p", "-C", "--"]

    def start(self, *command, **options):
        """A process inside."""
        return subprocess.Popen([*self._enter, *map(str, command)], stdin=subprocess.DEVNULL, **options)

    def run(self, *command, check=True, timeout=120):
        """Run a command inside to its end."""
        done = subprocess.run(
            [*self._enter, *map(str, command)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=timeout, check=False,
        )  # fmt: skip
        assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}\n{self.journal()}"
        return done

    def journal(self):
        done = self.run("journalctl", "--no-pager", "-n", "60", check=False)
        return done.stdout

    def property(self, unit, name):
        return self.run("systemctl", "show", "-p", name, "--value", unit).stdout.strip()

    def python(self, program, *arguments):
        """Start a Python program inside."""
        return self.start("python3", "-c", program, *arguments, stdout=subprocess.PIPE, text=True)


def settle(condition, seconds=20):
    until = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < until:
        time.sleep(0.1)
    return found


def alice(capture):
    """What tshark extracts for one user."""
    frames = [frame for _, frame in files.read_pcap(capture.read_bytes())]
    return [frames[number - 1] for number in extract(capture, "alice")]


def send(machine):
    machine.run("ip", "netns", "exec", "phones", "python3", "-c", SEND, "/root/send.pcap", "w1")


def scrape(machine, page="/metrics"):
    return machine.run("python3", "-c", SCRAPE, page).stdout


def value(machine, name):
    """The sum of a metric's samples."""
    found = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", scrape(machine), re.MULTILINE)
    return sum(map(float, found))


def dropped(machine):
    """What was dropped, by the labels; each packet on loopback is captured twice, and one of them left out."""
    found = re.findall(r"^lippycat_packets_dropped_total({[^}]*}) (\S+)$", scrape(machine), re.MULTILINE)
    return {labels: count for labels, count in found if float(count) and 'reason="loopback"' not in labels}


def injected(machine):
    return value(machine, "lippycat_vif_injected_packets_total")


class Tcpdump:
    """A reader of lc0 that goes on whatever happens to the others."""

    def __init__(self, machine, name):
        self.machine, self.file = machine, f"root/{name}.pcap"
        command = ["tcpdump", "-i", "lc0", "-U", "-w", f"/{self.file}", "-s", "0", "-B", "16384", "-Z", "root"]
        self.process = machine.start("ip", "netns", "exec", "lc-ns", *command, stderr=subprocess.PIPE, text=True)
        assert settle((machine.root / self.file).exists)
        time.sleep(0.5)

    def frames(self):
        return [frame for _, frame in files.read_pcap((self.machine.root / self.file).read_bytes())]

    def close(self):
        """End it, whatever happened."""
        if self.lives():
            self.process.kill()
        self.process.communicate()

    def lives(self):
        return self.process.poll() is None

    def stop(self):
        time.sleep(SETTLE)
        self.machine.run("pkill", "-INT", "-f", f"[t]cpdump.*{self.file}")
        told = self.process.communicate(timeout=20)[1]
        assert "0 packets dropped by kernel" in told, told
        return self.frames()


def same(seen, wanted):
    found, named = collections.Counter(seen), collections.Counter(wanted)
    missing, extra = named - found, found - named
    told = [data.hex() for data in (*missing, *extra)][:4]
    assert (missing.total(), extra.total()) == (0, 0), f"{missing.total()} missing, {extra.total()} too many: {told}"
