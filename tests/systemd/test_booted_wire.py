"""The service of the booted Debian beside traffic between two namespaces that are not its own: what a reader sees, what
a real Prometheus reads, and what a daemon that was taken over can send there."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.parse
from collections import Counter
from pathlib import Path

import pytest
from systemd_kit import CAPTURE, CONFIGURATION, SCRAPE, SERVICE, alice, dropped, injected, same, settle, value

from captures import files

ROOT = Path(__file__).resolve().parents[2]
# Run inside: send the frames of a pcap file from the two namespaces at the ends of the switch, each from its own side.
TALK = """
import ctypes, os, socket, struct, sys, time
ends = []
for name, device in (("phones", "w1"), ("pbx", "w2")):
    assert ctypes.CDLL(None).setns(os.open("/run/netns/" + name, os.O_RDONLY), 0x40000000) == 0
    ends.append(socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
    ends[-1].bind((device, 0))
data, at, sent, side = open(sys.argv[1], "rb").read(), 24, 0, {}
while at < len(data):
    length = struct.unpack_from("<I", data, at + 8)[0]
    frame = data[at + 16:at + 16 + length]
    to, who = frame[:6], frame[6:12]
    ends[side.setdefault(who, 1 - side.get(to, 1))].send(frame)
    at, sent = at + 16 + length, sent + 1
    if sent % 15 == 0:
        time.sleep(0.01)
print(sent)
"""
SCRAPES = """
global: {scrape_interval: 500ms, scrape_timeout: 500ms}
scrape_configs:
  - job_name: lippycat
    static_configs: [{targets: ["127.0.0.1:10469"]}]
"""
ASK = SCRAPE.replace("10469", "19090")
# Run inside as the daemon's user: get a capture socket of the interface and send on it as a taken-over daemon may.
INJECT = """
import os, socket, sys
from lippycatd import privileged
name = sys.argv[1]
request = privileged.CaptureRequest(name, block_size=65536, block_count=4)
helper = privileged.connect_capture()
capture = helper.open_capture(request)
sock = socket.socket(fileno=capture.fds[0])
frame = b"\\2" * 12 + b"\\x88\\xb5" + bytes(50)
for bypass in (0, 1):
    sock.setsockopt(263, 20, bypass)
    for work in (lambda: sock.sendto(frame, (name, 0x88B5)), lambda: os.write(sock.fileno(), frame)):
        try:
            work()
        except OSError as error:
            print(error.strerror)
"""
# Run inside as the daemon's user: ask for what the shipped policy does not name; what was given is printed.
ASKS = """
from lippycatd import privileged
from lippycatd.errors import PrivilegeError
from lippycatd.privileged import CaptureRequest, VifRequest
for interface in ("wire", "any"):
    try:
        privileged.connect_capture().open_capture(CaptureRequest(interface, sockets=4, block_count=300))
        print("a larger ring")
    except PrivilegeError:
        pass
for name, netns in (("eth9", "lc-ns"), ("lc1", ""), ("lc1", "phones")):
    try:
        privileged.connect(VifRequest(name=name, netns=netns), "/run/lippycat/helper-lc-ns.sock").create()
        print(name, netns)
    except PrivilegeError:
        pass
"""


@pytest.fixture(scope="module")
def switched(installed):
    """A switch between the namespaces `phones` and `pbx`; its ports are the host's."""
    run = installed.run
    run("ip", "netns", "add", "pbx")
    run("ip", "link", "add", "wire2", "mtu", "9000", "type", "veth", "peer", "name", "w2", "netns", "pbx")
    run("ip", "link", "add", "switch", "type", "bridge", "ageing_time", "0")
    for name in ("wire2", "switch"):
        run("sysctl", "-qw", f"net.ipv6.conf.{name}.disable_ipv6=1")
    for port in ("wire", "wire2"):
        run("ip", "link", "set", port, "master", "switch", "up")
    run("ip", "link", "set", "switch", "up")
    for netns, device in (("phones", "w1"), ("pbx", "w2")):
        run("ip", "netns", "exec", netns, "sysctl", "-qw", f"net.ipv6.conf.{device}.disable_ipv6=1")
    run("ip", "-n", "pbx", "link", "set", "w2", "mtu", "9000", "up")
    yield installed
    run("ip", "link", "delete", "switch")
    run("ip", "netns", "delete", "pbx")


@pytest.fixture
def configured(switched):
    """Start the service anew with what is added to the shipped configuration."""
    file = switched.root / CONFIGURATION
    shipped = file.read_text()

    def start(capture="", more=""):
        file.write_text(shipped.replace("  default_interface: any", capture or "  default_interface: any") + more)
        switched.run("systemctl", "restart", SERVICE)
        return switched

    yield start
    file.write_text(shipped)
    switched.run("systemctl", "restart", SERVICE)


def talk(machine, packets):
    (machine.root / "root/talk.pcap").write_bytes(files.pcap(packets))
    return int(machine.run("python3", "-c", TALK, "/root/talk.pcap").stdout)


def as_daemon(machine, program, *arguments):
    user = ["setpriv", "--reuid=lippycat", "--regid=lippycat", "--clear-groups"]
    return machine.run(*user, "/usr/lib/lippycat/bin/python", "-I", "-c", program, *arguments).stdout.split("\n")[:-1]


def test_a_call_between_two_namespaces(configured, capture, tcpdump):
    """Each frame comes twice, on both ports of the switch; who asks for it sees it once, and nothing else."""
    machine = configured("  default_interface: any\n  deduplicate: true", "\nvoip: {sip_users: [alice]}\n")
    dump, wanted = tcpdump("between"), alice(capture)
    packets = files.read_pcap(capture.read_bytes())
    sent = talk(machine, packets)
    assert settle(lambda: injected(machine) >= len(wanted), 30), machine.journal()
    same(dump.stop(), wanted)
    reasons = dropped(machine)
    policy = "ip or ip6 or ether proto 0x8100 or ether proto 0x88a8"  # the shipped one, as far as the capture goes
    command = ["tcpdump", "-nr", str(capture), policy]
    admitted = len(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines())
    assert [float(count) for labels, count in reasons.items() if "duplicate" in labels] == [admitted], (reasons, sent)
    assert len(reasons) == 1


def counted(capture, field):
    """How often tshark reads each value of a field."""
    command = ["tshark", "-n", "-r", capture, "-Y", "sip", "-T", "fields", "-E", "aggregator=;", "-e", field]
    told = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout
    return Counter(word for line in told.splitlines() for word in line.split(";") if word)


@pytest.fixture
def prometheus(configured):
    """A Prometheus inside that scrapes the service; ask it."""
    program = shutil.which("prometheus") or shutil.which("prometheus", path=ROOT / ".setup/bin")
    assert program, "prometheus is missing: make setup unpacks it"
    machine = configured("  default_interface: wire")
    shutil.copy(program, machine.root / "usr/local/bin/prometheus")
    (machine.root / "root/prometheus.yml").write_text(SCRAPES)
    command = ["prometheus", "--config.file=/root/prometheus.yml", "--storage.tsdb.path=/root/tsdb"]
    command += ["--web.listen-address=127.0.0.1:19090", "--log.level=error"]
    server = machine.start(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ask(query, label=""):
        """Samples by a label, or the only sample."""
        page = "/api/v1/query?" + urllib.parse.urlencode({"query": query})
        done = machine.run("python3", "-c", ASK, page, check=False)
        found = json.loads(done.stdout)["data"]["result"] if done.returncode == 0 else []
        values = {item["metric"].get(label, ""): float(item["value"][1]) for item in found}
        return values if label else values.get("")

    assert settle(lambda: ask("up{job='lippycat'}", "job") == {"lippycat": 1}, 20), machine.journal()
    yield machine, ask
    machine.run("pkill", "-x", "prometheus")
    server.wait(20)


def test_a_prometheus_reads_the_generators_numbers(prometheus, shared, tmp_path):
    machine, ask = prometheus
    calls = tmp_path / "calls.pcap"
    size = ["--calls", "40", "--rtp-packets", "40", "--start-window", "2", "--register", "30", "--options", "10"]
    command = [sys.executable, shared / "tools" / "gen_calls.py", "-o", calls, *size, "--seed", "5", "--quiet"]
    subprocess.run(list(map(str, command)), check=True)
    truth = json.loads((tmp_path / "calls.pcap.truth.json").read_text())
    totals = truth["totals"]
    assert talk(machine, files.read_pcap(calls.read_bytes())) == totals["packets"]
    assert settle(lambda: ask("sum(lippycat_packets_in_total)") == totals["packets"], 20), value(
        machine, "lippycat_packets_in_total"
    )
    assert ask("lippycat_packets_in_total", "source") == {"wire": totals["packets"]}
    assert settle(lambda: ask("sum(lippycat_call_attempts_total)") == totals["calls"])
    assert ask("sum(lippycat_call_results_total{code='200'})") == totals["by_final"]["200"]
    assert ask("sum(lippycat_registrations_total{result='registered'})") == len(truth["registrations"])
    streams = "sum(lippycat_streams_total or vector(0)) + sum(lippycat_streams_active)"
    assert settle(lambda: ask(streams) == totals["streams"]), ask(streams)
    methods = ask("sum by (code) (lippycat_sip_messages_total{kind='request'})", "code")
    assert {name: count for name, count in methods.items() if count} == counted(calls, "sip.Method")
    statuses = ask("sum by (code) (lippycat_sip_messages_total{kind='response'})", "code")
    assert {name: count for name, count in statuses.items() if count} == counted(calls, "sip.Status-Code")
    assert ask("sum(lippycat_packets_dropped_total)") in {0, None}
    written = ask("sum(lippycat_sink_written_packets_total)")
    assert (
        written
        == ask("sum(lippycat_packets_selected_total)")
        == ask("lippycat_vif_injected_packets_total", "vif")["lc0"]
    )


@pytest.fixture(scope="module")
def udev(switched):
    """A device manager in the booted system, which nspawn keeps from starting; it sees the interfaces inside alone."""
    run = switched.run
    run("mount", "-o", "remount,rw", "/sys")  # a tmpfs of nspawn's; what is mounted below it stays as it is
    run("systemctl", "start", "systemd-udevd.service")
    run("systemctl", "daemon-reexec")  # the manager asks for devices only where they are told when it begins
    assert settle(lambda: switched.property("systemd-udevd.service", "ActiveState") == "active")
    return switched


def received(machine, netns, device):
    told = machine.run("ip", "-n", netns, "-j", "-s", "link", "show", device).stdout
    return json.loads(told)[0]["stats64"]["rx"]["packets"]


def unruled(machine):
    return machine.run("/usr/lib/lippycat/bin/lippycat-egress", "check", check=False).stderr


def test_a_daemon_taken_over_sends_nothing(udev):
    """On the captured wire and on one that appears later; the shipped units alone keep it from it."""
    udev.run("systemctl", "restart", CAPTURE)
    assert unruled(udev) == ""
    before = received(udev, "phones", "w1")
    assert len(as_daemon(udev, INJECT, "wire")) == 4
    assert received(udev, "phones", "w1") == before
    udev.run("ip", "link", "add", "late0", "type", "veth", "peer", "name", "late1", "netns", "pbx")
    udev.run("sysctl", "-qw", "net.ipv6.conf.late0.disable_ipv6=1")
    udev.run("ip", "link", "set", "late0", "up")
    udev.run("ip", "-n", "pbx", "link", "set", "late1", "up")
    try:
        assert settle(lambda: not unruled(udev), 10), udev.journal()
        before = received(udev, "pbx", "late1")
        assert len(as_daemon(udev, INJECT, "late0")) == 4
        assert received(udev, "pbx", "late1") == before
        # The attempt is real: without the rule it goes through, and the doctor says so.
        assert "egress rule" not in udev.run("lippycat", "doctor", check=False).stdout
        udev.run("/usr/lib/lippycat/bin/lippycat-egress", "remove")
        assert as_daemon(udev, INJECT, "late0") == []
        assert received(udev, "pbx", "late1") == before + 4
        assert "no egress rule for capture sockets on" in udev.run("lippycat", "doctor", check=False).stdout
    finally:
        udev.run("ip", "link", "delete", "late0")
        udev.run("systemctl", "start", "lippycat-egress@test.service")
    assert unruled(udev) == ""


def test_a_daemon_taken_over_gets_no_more_than_the_shipped_policy_gives(udev):
    assert as_daemon(udev, ASKS) == []
