"""HEP with other programs: kamailio's siptrace and sngrep as agents, kamailio's sipcapture and sngrep as servers."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from daemon_kit import Daemon, until
from hep_senders import Sniff, shown, sip
from relay_kit import Relay

from captures import files
from demo.live import free_port

KAMAILIO, SNGREP = shutil.which("kamailio"), shutil.which("sngrep")
needs_kamailio = pytest.mark.skipif(KAMAILIO is None, reason="needs kamailio (apt-get install kamailio)")
needs_sngrep = pytest.mark.skipif(SNGREP is None, reason="needs sngrep (apt-get install sngrep)")


class Program:
    """Runs until it is closed; what it says is in `log`."""

    def __init__(self, folder, *command):
        self.log = folder / "said"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def said(self):
        return self.log.read_text(errors="replace")

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)


class Kamailio(Program):
    """One kamailio on loopback."""

    def __init__(self, folder, *lines):
        self.port = free_port()
        folder = folder / "kamailio"
        (folder / "db").mkdir(parents=True)
        head = ["debug=2", "log_stderror=yes", "children=1", "disable_tcp=yes", f"listen=udp:127.0.0.1:{self.port}"]
        text = "\n".join([*head, *lines]).replace("{modules}", str(modules())).replace("{folder}", str(folder))
        (folder / "kamailio.cfg").write_text(text + "\n")
        super().__init__(
            folder, KAMAILIO, "-f", folder / "kamailio.cfg", "-DD", "-E", "-m", 16, "-M", 4, "-Y", folder,
            "-P", folder / "pid",
        )  # fmt: skip
        until(lambda: "is finally" in self.said() or self.process.poll() is not None, 10, self.said())
        assert self.process.poll() is None, self.said()


def modules():
    """Where kamailio's modules are on this architecture."""
    return next(Path("/usr/lib").glob("*/kamailio/modules"))


@pytest.fixture
def made(tmp_path):
    found = []
    yield lambda each: (found.append(each), each)[1]
    for each in reversed(found):
        each.close()


@needs_kamailio
@pytest.mark.parametrize("version", [1, 2, 3] if os.environ.get("LIPPYCAT_FULL") else [3])
def test_kamailio_sends(made, tmp_path, version):
    """The request that it got and the answer that it gave, with their addresses."""
    run = made(Sniff(tmp_path))
    agent = made(
        Kamailio(
            tmp_path,
            *(f'loadmodule "{{modules}}/{name}.so"' for name in ("sl", "siptrace")),
            f'modparam("siptrace", "duplicate_uri", "sip:127.0.0.1:{run.port}")',
            'modparam("siptrace", "hep_mode_on", 1)',
            f'modparam("siptrace", "hep_version", {version})',
            'modparam("siptrace", "hep_capture_id", 77)',
            'modparam("siptrace", "trace_to_database", 0)',
            'modparam("siptrace", "trace_on", 1)',
            'modparam("siptrace", "trace_mode", 1)',
            'request_route { sl_send_reply("200", "OK"); }',
        )
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind(("127.0.0.1", 0))
        client.settimeout(10)
        own = client.getsockname()[1]
        request = sip(method="OPTIONS").replace(b"192.0.2.1;", f"127.0.0.1:{own};".encode())
        begun = time.time()
        client.sendto(request, ("127.0.0.1", agent.port))
        assert client.recv(4096).startswith(b"SIP/2.0 200 OK")
    until(lambda: run.metric("packets_in_total") == 2, 10, agent.said())
    _, records = run.end()
    found = [each for each in records if each["type"] == "sip"]
    assert [(each["sport"], each["dport"]) for each in found] == [(own, agent.port), (agent.port, own)]
    assert [(each.get("method"), each.get("status")) for each in found] == [("OPTIONS", None), (None, 200)]
    assert all(abs(float(each["ts"]) - begun) < 5 for each in found)
    rows = shown(run.out, "ip.src", "ip.dst", "udp.checksum.status")
    assert rows == [["127.0.0.1", "127.0.0.1", "1"]] * 2


def feed(made, root, port, kind="udp"):
    """The demo through a daemon and a relay to that port; gives the daemon when all is handed over."""
    relay = made(Relay(f"relay: {{hep_servers: '{kind}://127.0.0.1:{port}'}}\n"))
    daemon = made(
        Daemon(f"capture: {{read_file: '{{source}}'}}\nhep: {{send: true}}\nrelay: {{socket: {relay.socket}}}\n")
    )
    packets = files.read_pcap((root / "captures" / "demo.pcap").read_bytes())
    daemon.feed.send(packets)
    daemon.read_all()
    return relay


def wanted(root):
    """Every SIP message of the demo by its Call-ID, as tshark has them."""
    rows = shown(root / "captures" / "demo.pcap", "sip.Call-ID")
    return Counter(call for row in rows for call in row[0].split(","))


@needs_kamailio
def test_kamailio_receives(made, tmp_path, root):
    """Its sipcapture sees each message, with the sender's address."""
    server = made(
        Kamailio(
            tmp_path,
            *(f'loadmodule "{{modules}}/{name}.so"' for name in ("pv", "xlog", "db_text", "sipcapture")),
            'modparam("sipcapture", "db_url", "text://{folder}/db")',
            'modparam("sipcapture", "capture_on", 1)',
            'modparam("sipcapture", "hep_capture_on", 1)',
            'request_route { xlog("L_NOTICE", "SEEN $ci $si $sp\n"); drop; }',
            'onreply_route { xlog("L_NOTICE", "SEEN $ci $si $sp\n"); drop; }',
        )
    )
    feed(made, root, server.port)
    expected = wanted(root)
    until(lambda: server.said().count("SEEN") >= sum(expected.values()), 20, server.said())
    assert Counter(re.findall(r"SEEN (\S+) ", server.said())) == expected
    sources = Counter(re.findall(r"SEEN \S+ (\S+) (\d+)", server.said()))
    rows = shown(root / "captures" / "demo.pcap", "ip.src", "ipv6.src", "udp.srcport", "tcp.srcport", "sip.Call-ID")
    told = Counter()
    for v4, v6, udp, tcp, calls in rows:
        told[v4 or v6, udp or tcp] += len(calls.split(","))
    assert {name.strip("[]"): count for (name, _), count in sources.items()}.keys() == {name for name, _ in told}


@needs_sngrep
def test_sngrep_sends(made, tmp_path, root):
    """Its -H as the agent of a file: each message over UDP arrives."""
    run = made(Sniff(tmp_path))
    capture = root / "captures" / "demo.pcap"
    expected = Counter(row[0] for row in shown(capture, "sip.Call-ID", only="sip && udp"))
    made(Program(tmp_path, SNGREP, "-N", "-q", "-I", capture, "-H", f"udp:127.0.0.1:{run.port}"))
    until(lambda: run.metric("packets_in_total") >= sum(expected.values()), 20, expected)
    time.sleep(0.5)
    run.end()
    got = Counter(row[0] for row in shown(run.out, "sip.Call-ID"))
    assert {call: count for call, count in got.items() if call in expected} == dict(expected)


@needs_sngrep
def test_sngrep_receives(made, tmp_path, root):
    """Its -L as the server of the relay: what it writes holds each message."""
    port, out = free_port(), tmp_path / "sngrep.pcap"
    server = made(Program(tmp_path, SNGREP, "-N", "-q", "-L", f"udp:127.0.0.1:{port}", "-O", out))
    time.sleep(1)
    feed(made, root, port)
    expected = wanted(root)
    until(
        lambda: out.exists() and sum(Counter(row[0] for row in shown(out, "sip.Call-ID")).values()) > 10,
        20,
        server.said(),
    )
    time.sleep(0.5)
    server.close()
    got = Counter(row[0] for row in shown(out, "sip.Call-ID"))
    assert got == expected
