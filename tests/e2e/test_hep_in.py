"""HEP that others send, as a source: what becomes of each packet, by tshark on what is written."""

from __future__ import annotations

import json
import socket
import subprocess
from collections import Counter

import pytest
from daemon_kit import BIN, Daemon, until
from hep_senders import Sniff, chunk, packet, shown, sip
from relay_kit import Relay

from captures import files


@pytest.fixture
def made(tmp_path):
    found = []
    yield lambda each: (found.append(each), each)[1]
    for each in reversed(found):
        each.close()


def test_every_packet_has_its_fate(made, tmp_path):
    """Over UDP and TCP; frames as tshark reads them, with good checksums and the mark; the rest by its reason."""
    key = tmp_path / "key"
    key.write_text("s3cret\n")
    (tmp_path / "conf.yaml").write_text(f"hep: {{listen_key_file: {key}}}\n")
    run = made(Sniff(tmp_path, "--config", tmp_path / "conf.yaml", "--sipuser", "alice"))
    good = chunk(14, b"s3cret")
    whole = [
        packet(sip(), "192.0.2.1", "192.0.2.2", good),
        packet(sip(n=2, method="ACK"), "2001:db8::1", "2001:db8::2", good, chunk(18, b"\x00\x2a")),
        packet(sip(call="c2", user="eve"), "192.0.2.1", "192.0.2.9", good, chunk(300, b"x"), chunk(1, b"x", vendor=7)),
        packet(sip(n=3, method="BYE") + b"x" * 65_000, "192.0.2.1", "192.0.2.2", good),
    ]
    refused = {
        "key": packet(sip()), "payload": packet(b"", "192.0.2.1", "192.0.2.2", good), "short": b"HEP3",
        "protocol": packet(b"log", "192.0.2.1", "192.0.2.2", good, protocol=100), "length": whole[0] + b"x",
        "rtcp_json": packet(b"{}", "192.0.2.1", "192.0.2.2", good, protocol=5), "version": b"\x09junk",
        "chunk": b"HEP3\0\x0d" + chunk(3, b"x"),
    }  # fmt: skip
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.connect(("127.0.0.1", run.port))
        for each in (*whole[:3], *refused.values()):
            udp.send(each)
    until(lambda: run.metric("hep_received_packets_total") == 11)
    with (
        socket.create_connection(("127.0.0.1", run.port)) as tcp,
        socket.create_connection(("127.0.0.1", run.port)) as other,
    ):
        stream = whole[0] + whole[3] + whole[2]
        for at in range(0, len(stream), 7001):
            tcp.send(stream[at : at + 7001])
        other.send(b"GET / HTTP/1.1\r\n\r\n")
        assert other.recv(10) == b""  # closed
        until(lambda: run.metric("hep_frames_total") == 6)
        assert run.metric("hep_streams") == 1
    assert run.metric("hep_received_packets_total") == 15
    for reason in (*refused, "framing"):
        assert run.metric("hep_refused_packets_total", reason=reason) == 1, reason
    assert run.metric("hep_unknown_chunks_total") == 4
    until(lambda: run.metric("packets_in_total") == 6)
    status, records = run.end()
    assert status == 0, run.log.read_text()
    fields = [
        "ip.src",
        "ipv6.src",
        "udp.srcport",
        "udp.dstport",
        "frame.time_epoch",
        "sip.Call-ID",
        "eth.src",
        "vlan.id",
    ]
    fields += ["ip.checksum.status", "udp.checksum.status"]
    rows = shown(run.out, *fields)
    mark, time_ = "02:48:45:50:00:00", "1700000000.123456000"
    four = ["192.0.2.1", "", "5060", "5061", time_, "c1", mark, "", "1", "1"]
    assert sorted(rows) == sorted(
        [four, ["", "2001:db8::1", "5060", "5061", time_, "c1", mark, "42", "", "1"], four, four]
    )
    kinds = Counter(each["type"] for each in records)
    assert kinds["sip"] == 4
    account = records[-1]
    assert account["in"] == account["selected"] + account["filtered"] + account["held"] + sum(
        account["dropped"].values()
    )
    assert (account["in"], account["selected"], account["filtered"]) == (6, 4, 2)
    assert {each["source"] for each in records[:-1]} == {run.source}


def test_a_round_trip(made, tmp_path, root):
    """What one lippycatd hands out, another takes in: the same messages at the same times."""
    run = made(Sniff(tmp_path))
    relay = made(Relay(f"relay: {{hep_servers: 'tcp://127.0.0.1:{run.port}'}}\n"))
    daemon = made(
        Daemon(f"capture: {{read_file: '{{source}}'}}\nhep: {{send: true}}\nrelay: {{socket: {relay.socket}}}\n")
    )
    daemon.feed.send(files.read_pcap((root / "captures" / "demo.pcap").read_bytes()))
    daemon.read_all()
    daemon.feed.close()
    done = subprocess.run(
        [BIN / "lippycat", "sniff", "voip", "-r", root / "captures" / "demo.pcap", "--format", "json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    wanted = [json.loads(line) for line in done.stdout.splitlines()]
    wanted = [each for each in wanted if each["type"] == "sip"]
    until(lambda: run.metric("hep_frames_total") >= len(wanted), 20)
    _, records = run.end()
    names = ("src", "sport", "dst", "dport", "call_id", "cseq", "method", "status", "from_tag", "sdp")

    def same(record):
        return (record["ts"][:17], *(json.dumps(record.get(name)) for name in names))

    assert Counter(map(same, (each for each in records if each["type"] == "sip"))) == Counter(map(same, wanted))


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["-r", "x.pcap"], "hep.listen is a source of its own; leave --read-file out"),
        (["-i", "lo"], "hep.listen is a source of its own; leave --interface out"),
        (["--hep-listen", "nonsense"], "'nonsense' is not ADDRESS:PORT"),
        (["--hep-listen", "192.0.2.77:9060"], "hep.listen: 192.0.2.77:9060: Cannot assign requested address"),
    ],
)
def test_what_cannot_be_is_one_line(lippycat, more, line):
    done = lippycat("sniff", "voip", "--hep-listen", "127.0.0.1:9060", *more)
    assert done.returncode in {2, 3}
    assert line in done.stderr
    assert done.stderr.count("\n") == 1


def test_sockets_that_systemd_passes(made):
    """A daemon without a network: its sockets were bound before."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        port = udp.getsockname()[1]
        daemon = made(Daemon(f"hep: {{listen: 'ignored:{port}'}}\n", inherited={"hep": udp}, fed=False))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect(("127.0.0.1", port))
            sender.send(packet(sip()))
        until(lambda: daemon.accounting()["in"] == 1)
        assert daemon.accounting()["selected"] == 1
        assert daemon.end()[0] == 0, daemon.said()
