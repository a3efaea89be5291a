"""SIP messages and RTCP reports of the selected calls, as HEP at servers: what, and what becomes of a loss."""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
import time
from collections import Counter

import pytest
from daemon_kit import Daemon, closed, until
from hep_kit import Server, parse
from relay_kit import BIN, Relay

from captures import files
from lippycatd.model import handover
from lippycatd.model.handover import Captured, Protocol
from lippycatd.relay import encode

USER = "alice"

FULL = bool(os.environ.get("LIPPYCAT_FULL"))


@pytest.fixture
def made():
    """Everything that is closed at the end."""
    found = []
    yield lambda each: (found.append(each), each)[1]
    for each in reversed(found):
        each.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 and its key, made for this test."""
    folder = tmp_path_factory.mktemp("tls")
    folder.chmod(0o755)
    files_ = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-out", files_[0], "-keyout", files_[1]],
        check=True, capture_output=True,
    )  # fmt: skip
    files_[0].chmod(0o644)
    return files_


@pytest.fixture(scope="module")
def packets(root):
    return files.read_pcap((root / "captures" / "demo.pcap").read_bytes())


@pytest.fixture(scope="module")
def expected(root):
    """What tshark sees of the user's calls: (src, sport, dst, dport, seconds, microseconds) of SIP and of RTCP."""
    capture = root / "captures" / "demo.pcap"
    fields = ["frame.time_epoch", "ip.src", "ipv6.src", "ip.dst", "ipv6.dst", "udp.srcport", "udp.dstport"]
    command = ["tshark", "-n", "-r", capture, "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=|"]
    command += [word for field in (*fields, "tcp.srcport", "tcp.dstport", "sip.Call-ID") for word in ("-e", field)]
    done = subprocess.run([*command, "-Y", "sip"], capture_output=True, text=True, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


def run_both(made, relay_config, daemon_config="voip: {sip_users: [alice]}"):
    relay = made(Relay(relay_config))
    daemon = made(
        Daemon(
            f"capture: {{read_file: '{{source}}'}}\n{daemon_config}\nhep: {{send: true}}\n"
            f"relay: {{socket: {relay.socket}}}\n"
        )
    )
    return relay, daemon


def sink(daemon):
    return daemon.accounting()["sinks"]["hep:main"]


def settled(daemon):
    """All that was fed is handed over: nothing has come for a while."""
    daemon.read_all()
    seen = [0]

    def still():
        seen.append(sink(daemon)["written"])
        time.sleep(0.3)
        return seen[-1] == seen[-2] > 0 and sink(daemon)["queued"] == 0

    until(still, 20, daemon.said())


@pytest.mark.parametrize("kind", ["udp", "tcp", "tls"] if FULL else ["tls"])
def test_a_user_s_calls_at_a_server(made, packets, expected, certificate, kind):
    server = made(Server(kind, certificate=certificate))
    key = certificate[0].parent / "hep.key"
    key.write_text("s3cret\n")
    key.chmod(0o644)
    relay, daemon = run_both(
        made,
        f"relay: {{hep_servers: '{kind}://127.0.0.1:{server.port}', hep_capture_id: 4242, hep_node: edge1, "
        f"hep_key_file: {key}, hep_ca: {certificate[0]}}}\n",
    )
    daemon.feed.send(packets)
    settled(daemon)
    counted = sink(daemon)
    assert counted["written"] == counted["offered"] > 20
    assert counted["dropped"] == {}
    found = server.take(counted["written"])
    assert len(found) == counted["written"]
    assert {(each["agent"], each["key"], each["node"]) for each in found} == {(4242, b"s3cret", b"edge1")}
    sip = [each for each in found if each["type"] == 1]
    rtcp = [each for each in found if each["type"] == 5]
    assert len(sip) + len(rtcp) == len(found)
    check_sip(sip, expected)
    check_rtcp(rtcp, {call_id(each) for each in sip})
    assert relay.status()["hep"][f"{kind}://127.0.0.1:{server.port}"]["sent"] == len(found)
    assert closed(daemon.accounting())
    assert relay.end() == 0, relay.said()


def call_id(packet):
    lines = packet["payload"].decode("utf-8", "replace").split("\r\n")
    return next(line.partition(":")[2].strip() for line in lines if line.lower().startswith(("call-id:", "i:")))


def check_sip(found, expected):
    """Every message of the calls, as tshark names them, at its time and with its addresses."""
    calls = {call_id(each) for each in found}
    wanted = Counter()
    for time_, v4s, v6s, v4d, v6d, us, ud, ts, td, several in expected:
        for call in several.split("|"):  # a segment may hold two messages
            if call in calls:
                seconds, _, fraction = time_.partition(".")
                at = int(seconds), int(fraction[:6])
                wanted[v4s or v6s, int(us or ts), v4d or v6d, int(ud or td), *at, call] += 1
    got = Counter(
        (each["src"], each["sport"], each["dst"], each["dport"], each["seconds"], each["microseconds"], call_id(each))
        for each in found
    )
    assert got == wanted
    for each in found:
        assert each["family"] == (10 if ":" in each["src"] else 2)
        assert "correlation" not in each


def check_rtcp(found, calls):
    assert found
    for each in found:
        assert each["correlation"].decode() in calls
        report = json.loads(each["payload"])
        assert report["type"] in {200, 201}
        assert report["report_count"] == len(report["report_blocks"])
        ipaddress.ip_address(each["src"])


def test_rtcp_is_what_tshark_reads(made, packets, root):
    """The figures of each report, by the SSRC of its sender."""
    server = made(Server("udp"))
    _, daemon = run_both(made, f"relay: {{hep_servers: 'udp://127.0.0.1:{server.port}'}}\n", "")
    daemon.feed.send(packets)
    settled(daemon)
    found = [json.loads(each["payload"]) for each in server.take(sink(daemon)["written"]) if each["type"] == 5]
    command = ["tshark", "-n", "-r", root / "captures" / "demo.pcap", "-Y", "rtcp.pt==200", "-T", "fields"]
    fields = ["rtcp.senderssrc", "rtcp.timestamp.ntp.msw", "rtcp.timestamp.ntp.lsw", "rtcp.timestamp.rtp"]
    fields += ["rtcp.sender.packetcount", "rtcp.sender.octetcount"]
    command += [word for field in fields for word in ("-e", field)] + ["-E", "occurrence=f"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    names = ("ntp_timestamp_sec", "ntp_timestamp_usec", "rtp_timestamp", "packets", "octets")
    shown = Counter((each["ssrc"], *(each["sender_information"][name] for name in names)) for each in found)
    assert shown
    assert shown == Counter(tuple(int(word, 0) for word in line.split("\t")) for line in lines)
    assert {each["sdes_information"][0]["type"] for each in found} == {1}


def message(number, size=900, protocol=Protocol.SIP):
    payload = f"OPTIONS sip:n{number} SIP/2.0\r\n".encode().ljust(size, b"x")
    return Captured(protocol, 17, b"\x0a\0\0\1", 5060, b"\x0a\0\0\2", 5061, 10**18 + number, b"", payload)


@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_a_server_that_is_killed_and_comes_back(made, kind):
    """What the buffer could not hold is what the counter says, and nothing else is missing."""
    server = Server(kind)
    relay = made(Relay(f"relay: {{hep_servers: '{kind}://127.0.0.1:{server.port}', hep_buffer: 128KiB}}\n"))
    sock, _ = relay.connect()
    name = f"{kind}://127.0.0.1:{server.port}"
    with sock:
        for number in range(50):
            sock.send(message(number).pack())
        server.take(50)
        server.close()
        if kind == "tcp":
            until(lambda: relay.get("/readyz")[1].count("closed the connection"))
        for number in range(50, 450):
            sock.send(message(number).pack())
        until(lambda: relay.status()["hep"][name]["offered"] == 450)
        away = relay.status()["hep"][name]
        assert away["offered"] == away["sent"] + away["queued"] + sum(away["dropped"].values())
        assert away["dropped"]["buffer_full"] > 200
        assert f'lippycat_hep_dropped_packets_total{{reason="buffer_full",server="{name}"}}' in relay.metrics()
        again = made(Server(kind, server.port))
        until(lambda: relay.status()["hep"][name]["queued"] == 0, 20)
        sock.send(message(450).pack())
        back = until(lambda: (s := relay.status()["hep"][name])["sent"] + sum(s["dropped"].values()) == 451 and s)
    until(lambda: len(again.packets) == back["sent"] - 50, 10, f"{len(again.packets)} of {back}")
    received = [int(parse(packet)["payload"].split()[1][5:]) for packet in again.packets]
    assert received == sorted(set(received))
    assert received[0] == 50
    assert received[-1] == 450
    assert 401 - len(received) == sum(back["dropped"].values())
    assert relay.get("/readyz")[0] == 200
    assert relay.end() == 1  # something was lost, and it says so


def test_a_relay_that_is_killed_and_comes_back(made, packets):
    """lippycatd goes on, is degraded, keeps what waits, and hands it over later."""
    server = made(Server("udp"))
    relay, daemon = run_both(made, f"relay: {{hep_servers: 'udp://127.0.0.1:{server.port}'}}\n", "")
    until(lambda: daemon.status()["health"]["status"] == "ready", what=daemon.said)
    relay.process.kill()
    relay.process.wait(10)
    until(lambda: "lippycat-relay" in str(daemon.status()["health"]))
    daemon.feed.send(packets)
    daemon.read_all()
    waiting = until(lambda: (s := sink(daemon))["queued"] > 20 and s)
    assert waiting["written"] == 0
    assert closed(daemon.accounting())
    relay.start()
    until(lambda: sink(daemon)["queued"] == 0, 40)
    assert len(server.take(sink(daemon)["written"])) == sink(daemon)["written"]
    assert daemon.end()[0] == 0, daemon.said()


def test_a_relay_without_a_server_says_so(made):
    _, daemon = run_both(made, "")
    line = "its configuration names no server for HEP (relay.hep_servers)"
    until(lambda: line in str(daemon.status()["health"]["reasons"]))


def test_what_is_too_long_is_counted(made):
    server = made(Server("tcp"))
    relay = made(Relay(f"relay: {{hep_servers: 'tcp://127.0.0.1:{server.port}'}}\n"))
    sock, _ = relay.connect()
    with sock:
        sock.send(message(1, handover.MAX_PAYLOAD).pack())
        sock.send(message(2).pack())
        server.take(1)
    assert relay.status()["hep"][f"tcp://127.0.0.1:{server.port}"]["dropped"] == {"too_long": 1}
    with pytest.raises(ValueError, match="too long"):
        message(3, handover.MAX_PAYLOAD + 1).pack()


def test_a_hand_written_packet():
    """Byte by byte, from the description of HEP version 3."""
    found = Captured(Protocol.SIP, 17, b"\n\0\0\1", 5060, b"\n\0\0\2", 5080, 1_700_000_000_123_456_789, b"", b"BYE")
    chunks = (
        "0000 0001 0007 02", "0000 0002 0007 11", "0000 0003 000a 0a000001", "0000 0004 000a 0a000002",
        "0000 0007 0008 13c4", "0000 0008 0008 13d8", "0000 0009 000a 6553f100", "0000 000a 000a 0001e240",
        "0000 000b 0007 01", "0000 000c 000a 00000007", "0000 000e 0008 6b79", "0000 000f 0009 425945",
    )  # fmt: skip
    body = bytes.fromhex("".join(chunks))
    assert encode.packet(found, encode.Agent(7, b"ky", b"")) == b"HEP3" + (len(body) + 6).to_bytes(2, "big") + body


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("relay: {hep_servers: 'http://x:1'}", "'http://x:1' is not udp|tcp|tls://HOST:PORT"),
        ("relay: {hep_servers: 'udp://x'}", "is not udp|tcp|tls://HOST:PORT"),
        ("relay: {hep_servers: 'udp://x:1,udp://x:1'}", "names a server twice"),
        ("relay: {hep_servers: 'tls://x:1', hep_ca: /none}", "relay.hep_ca: /none: No such file"),
        ("relay: {hep_key_file: /none}", "relay.hep_key_file: /none: No such file"),
    ],
)
def test_a_wrong_server_is_one_line(tmp_path, text, line):
    (tmp_path / "relay.yaml").write_text(text)
    done = subprocess.run(
        [BIN / "lippycat-relay", "--config", tmp_path / "relay.yaml"], capture_output=True, text=True, timeout=20,
        check=False,
    )  # fmt: skip
    assert done.returncode in {2, 3}
    assert line in done.stderr
    assert done.stderr.count("\n") == 1
