"""The package in a booted Debian, from its installation to its removal; the tests follow each other."""

from __future__ import annotations

import collections
import contextlib
import json
import re
import subprocess
import time

import pytest
from systemd_kit import settle

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


@pytest.fixture(scope="module")
def capture(root):
    return root / "captures" / "demo.pcap"


@pytest.fixture(scope="module")
def all_calls(capture, lippycat, tmp_path_factory):
    """What a run over the file keeps."""
    kept = tmp_path_factory.mktemp("kept") / "kept.pcap"
    assert lippycat("sniff", "voip", "-q", "-r", capture, "-w", kept).returncode == 0
    return [frame for _, frame in files.read_pcap(kept.read_bytes())]


def alice(capture):
    """What tshark extracts for one user."""
    frames = [frame for _, frame in files.read_pcap(capture.read_bytes())]
    return [frames[number - 1] for number in extract(capture, "alice")]


@pytest.fixture(scope="module")
def installed(machine, capture):
    """The package is installed, two namespaces are joined, the capture is there."""
    machine.run("dpkg", "-i", "/root/lippycat.deb")
    machine.run("ip", "netns", "add", "phones")
    machine.run("ip", "link", "add", "wire", "mtu", "9000", "type", "veth", "peer", "name", "w1", "netns", "phones")
    machine.run("sysctl", "-qw", "net.ipv6.conf.wire.disable_ipv6=1")
    machine.run("ip", "-n", "phones", "link", "set", "w1", "mtu", "9000", "up")
    machine.run("ip", "link", "set", "wire", "up")
    frames = files.read_pcap(capture.read_bytes())
    (machine.root / "root/send.pcap").write_bytes(files.pcap(frames))
    return machine


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


@pytest.fixture
def tcpdump(installed):
    """Start a reader of lc0; it is ended with the test."""
    with contextlib.ExitStack() as stack:

        def start(name):
            made = Tcpdump(installed, name)
            stack.callback(made.close)
            return made

        yield start


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
    assert len(seen) == len(wanted)
    assert collections.Counter(seen) == collections.Counter(wanted)


def test_the_package_is_installed_and_waits(installed):
    assert installed.property(SERVICE, "ActiveState") == "inactive"
    for socket in ("lippycat-helper-capture", "lippycat-helper-tap@lc-ns", "lippycat-reader@lc-ns"):
        assert installed.property(f"{socket}.socket", "ActiveState") == "active"
    assert "0 missing" in installed.run("lippycat", "doctor").stdout
    assert installed.run("man", "-w", "lippycatd", check=False).returncode in {0, 127}  # no man in a small Debian


def test_it_starts_and_a_reader_sees_exactly_the_selected_frames(installed, all_calls, tcpdump):
    installed.run("systemctl", "start", SERVICE)
    assert json.loads(scrape(installed, "/readyz"))["status"] == "ready"
    dump = tcpdump("started")
    user = ["setpriv", "--reuid=lippycat", "--regid=lippycat", "--clear-groups"]
    (installed.root / "var/lib/lippycat/read.pcapng").touch()
    (installed.root / "var/lib/lippycat/read.pcapng").chmod(0o666)
    reader = installed.start(*user, "python3", "-c", READ, "/var/lib/lippycat/read.pcapng", "18")
    time.sleep(1)
    send(installed)
    assert settle(lambda: injected(installed) >= len(all_calls), 30), installed.journal()
    reader.wait(60)
    same(dump.stop(), all_calls)
    read = installed.root / "var/lib/lippycat/read.pcapng"
    shown = subprocess.run(["capinfos", "-cMT", read], capture_output=True, text=True, check=True).stdout
    assert str(len(all_calls)) in shown.split()
    assert value(installed, "lippycat_packets_in_total") >= len(all_calls)
    assert dropped(installed) == {}


def test_every_thread_is_confined(installed):
    pid = installed.property(SERVICE, "MainPID")
    shown = installed.run("lippycat", "debug", "sandbox", "--pid", pid).stdout
    assert len(shown.splitlines()) > 3
    assert "goes without" not in installed.journal()
    for unit in (TAP, CAPTURE):
        assert installed.property(unit, "User") == "lippycat-helper"


@pytest.mark.parametrize(("unit", "limit"), [(SERVICE, 10), (TAP, 20), (CAPTURE, 20)])
def test_the_exposure_of_the_running_units(installed, unit, limit):
    installed.run("systemd-analyze", "security", "--no-pager", f"--threshold={limit}", unit)


def test_a_refused_reload_fails_and_changes_nothing(installed):
    file = installed.root / CONFIGURATION
    good, pid = file.read_text(), installed.property(SERVICE, "MainPID")
    file.write_text(good + "\nnonsense: 1\n")
    try:
        assert installed.run("systemctl", "reload", SERVICE, check=False).returncode != 0
    finally:
        file.write_text(good)
    assert installed.property(SERVICE, "ActiveState") == "active"
    assert installed.property(SERVICE, "MainPID") == pid
    installed.run("systemctl", "reload", SERVICE)


def test_a_reload_selects_one_user(installed, capture, tcpdump):
    file = installed.root / CONFIGURATION
    good = file.read_text()
    wanted = alice(capture)
    try:
        installed.run("systemctl", "restart", SERVICE)  # the calls that it knows would go on
        file.write_text(good + "\nvoip:\n  sip_users: [alice]\n")
        installed.run("systemctl", "reload", SERVICE)
        dump = tcpdump("alice")
        send(installed)
        assert settle(lambda: injected(installed) >= len(wanted), 30)
        same(dump.stop(), wanted)
    finally:
        file.write_text(good)
        installed.run("systemctl", "reload", SERVICE)


@pytest.mark.parametrize("what", ["restart", "kill the daemon", "kill the helper", "upgrade"])
def test_a_reader_lives_on(installed, all_calls, tcpdump, what):
    if what == "kill the helper":
        installed.run("systemctl", "restart", SERVICE)  # the calls that it knows are over for it
    dump = tcpdump(what.replace(" ", "-"))
    if what == "restart":
        installed.run("systemctl", "restart", SERVICE)
    elif what == "upgrade":
        installed.run("dpkg", "-i", "/root/lippycat.deb")
    else:
        unit = SERVICE if "daemon" in what else TAP
        pid = installed.property(unit, "MainPID")
        installed.run("systemctl", "kill", "-s", "KILL", unit)
        assert settle(lambda: installed.property(unit, "MainPID") not in {pid, "0"})

    def ready():
        done = installed.run("python3", "-c", SCRAPE, "/readyz", check=False)
        return '"ready"' in done.stdout

    assert settle(ready, 30), installed.journal()
    assert dump.lives()
    before = injected(installed)
    send(installed)
    assert settle(lambda: injected(installed) - before >= len(all_calls), 30), installed.journal()
    same(dump.stop(), all_calls)


def test_it_stops_clean_and_a_request_does_not_start_it(installed):
    installed.run("systemctl", "stop", SERVICE)
    assert installed.property(SERVICE, "Result") == "success"
    assert installed.run("python3", "-c", SCRAPE, "/metrics", check=False).returncode != 0
    assert installed.property(SERVICE, "ActiveState") == "inactive"
    assert installed.run("systemctl", "--failed", "--plain", "--no-legend").stdout == ""


def test_it_is_removed_without_a_trace(installed):
    installed.run("dpkg", "-P", "lippycat")
    for path in ("usr/lib/lippycat", "etc/lippycat", "var/lib/lippycat", "var/log/lippycat"):
        assert not (installed.root / path).exists(), path
    shown = installed.run("systemctl", "list-units", "--plain", "--no-legend", "--type=service,socket").stdout
    assert "lippycat" not in shown
