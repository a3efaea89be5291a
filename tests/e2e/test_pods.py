"""Names of pods by way of lippycat-relay, from a stand-in for the Kubernetes API."""

from __future__ import annotations

import json
import socket
import subprocess
import time

import pytest
from daemon_kit import BIN, Daemon, until
from kubernetes_kit import Api, pod
from relay_kit import Relay

from captures import files
from lippycatd.model import handover
from lippycatd.model.handover import Kind, Wants
from lippycatd.sources import pod_routes


@pytest.fixture
def made():
    found = []
    yield lambda each: (found.append(each), each)[1]
    for each in reversed(found):
        each.close()


@pytest.fixture
def folder(tmp_path):
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_mode & 0o005 != 0o005 and path.is_relative_to("/tmp"):
            path.chmod(0o755)
    account = tmp_path / "account"
    account.mkdir()
    account.chmod(0o755)
    (account / "token").write_text("right")
    (account / "token").chmod(0o644)
    return tmp_path


PODS = [
    pod("sbc", "192.0.2.20"),
    pod("agent", "2001:db8::10"),
    pod("on-the-host", "10.0.0.1", host_network=True),
    pod("done", "192.0.2.99", phase="Succeeded"),
    pod("phone", "192.0.2.10"),
]


def config(api, folder):
    return (
        f"relay: {{kubernetes_api: 'https://localhost:{api.port}', kubernetes_token: {folder}/account/token, "
        f"kubernetes_ca: {api.certificate}, node_name: node1}}\n"
    )


def synced(relay):
    return until(lambda: relay.metrics().get("lippycat_kubernetes_synced") == 1, 20, relay.said())


class Reader:
    """What lippycatd would know."""

    def __init__(self, relay):
        self.sock, has = relay.connect(Wants.PODS)
        assert has == Wants.PODS
        self.pods = {}

    def read(self, kind):
        """Until a message of that kind, which is taken too."""
        while True:
            found, body = handover.split(handover.receive(self.sock))
            if found is Kind.POD:
                one = handover.read_pod(body)
                self.pods[one.name] = one.addresses
            elif found is Kind.GONE:
                self.pods.pop(handover.read_gone(body)[1], None)
            if found is kind:
                return self.pods

    def close(self):
        self.sock.close()


ALL = {"sbc": ("192.0.2.20",), "agent": ("2001:db8::10",), "on-the-host": (), "done": (), "phone": ("192.0.2.10",)}


def test_list_watch_bookmark_and_gone(made, folder):
    api = made(Api(folder, PODS))
    relay = made(Relay(config(api, folder)))
    synced(relay)
    assert [query.get("continue") for query in api.asked[:3]] == [None, "2", "4"]
    reader = made(Reader(relay))
    assert reader.read(Kind.SYNCED) == ALL
    until(lambda: api.watching)
    api.change("ADDED", pod("new", "192.0.2.30"))
    assert reader.read(Kind.POD)["new"] == ("192.0.2.30",)
    api.change("MODIFIED", pod("new", "192.0.2.31"))
    assert reader.read(Kind.POD)["new"] == ("192.0.2.31",)
    api.change("DELETED", pod("new", "192.0.2.31"))
    assert "new" not in reader.read(Kind.GONE)
    api.change("BOOKMARK", {"kind": "Pod"})
    until(lambda: relay.metrics().get('lippycat_kubernetes_events_total{type="bookmark"}') == 1)
    version = api.version
    api.end_watches()  # it goes on from the bookmark, without a list
    until(lambda: api.watching, 20)
    assert api.asked[-1]["resourceVersion"] == str(version)
    assert relay.metrics()['lippycat_kubernetes_events_total{type="list"}'] == 1
    api.oldest = api.version + 50  # the next watch is answered with 410, and what has changed is found by a list
    api.pods["late"] = pod("late", "192.0.2.40")
    del api.pods["sbc"]
    api.version = api.oldest
    api.end_watches()
    assert reader.read(Kind.SYNCED) == {**{key: value for key, value in ALL.items() if key != "sbc"},
                                        "late": ("192.0.2.40",)}  # fmt: skip
    until(lambda: api.watching)
    api.change("ERROR", {"kind": "Status", "code": 410})  # the same within a watch
    reader.read(Kind.SYNCED)
    metrics = relay.metrics()
    assert metrics['lippycat_kubernetes_events_total{type="list"}'] == 3
    assert metrics['lippycat_kubernetes_errors_total{reason="gone"}'] == 2
    assert metrics["lippycat_kubernetes_pods"] == 5


def test_a_wrong_token_is_one_line_until_it_is_right(made, folder):
    """The relay says so, goes on trying, reads the file again, and needs no restart."""
    api = made(Api(folder, PODS, token="rotated"))
    relay = made(Relay(config(api, folder)))
    until(lambda: "does not accept the token" in relay.get("/readyz")[1], 10, relay.said())
    until(lambda: relay.metrics().get('lippycat_kubernetes_errors_total{reason="unauthorized"}', 0) >= 2)
    assert relay.said().count("does not accept the token") == 1
    assert relay.get("/readyz")[0] == 200
    token = folder / "account" / "token"
    token.with_suffix(".new").write_text("rotated\n")
    token.with_suffix(".new").chmod(0o644)
    token.with_suffix(".new").rename(token)
    synced(relay)
    assert "the pods of this node are known" in relay.said()
    assert relay.end() == 0


def test_records_carry_the_names(made, folder, root):
    """Calls and streams of a daemon; an API that goes away takes nothing from what is known."""
    api = made(Api(folder, PODS))
    relay = made(Relay(config(api, folder)))
    synced(relay)
    daemon = made(
        Daemon(
            "capture: {read_file: '{source}'}\noutput: {pod_names: true, records: '{folder}/out/r.jsonl'}\n"
            f"relay: {{socket: {relay.socket}}}\n"
        )
    )
    until(lambda: daemon.status()["health"]["status"] == "ready", 15, daemon.said)
    api.close()
    daemon.feed.send(files.read_pcap((root / "captures" / "demo.pcap").read_bytes()))
    daemon.read_all()
    assert daemon.end()[0] == 0, daemon.said()
    records = [json.loads(line) for line in (daemon.out / "r.jsonl").read_text().splitlines()]
    found = [record for record in records if record["type"] in {"call", "stream"}]
    names = {"192.0.2.20": "sbc", "192.0.2.10": "phone", "2001:db8::10": "agent"}
    seen = set()
    for record in found:
        for end in ("src", "dst"):
            expected = names.get(record[end])
            assert record.get(f"{end}_pod") == expected
            assert record.get(f"{end}_namespace") == (expected and "voip")
            assert record.get(f"{end}_node") == (expected and "node1")
            seen.add(expected)
    assert {"sbc", "phone"} <= seen
    assert None in seen


def test_without_an_api_it_is_off(made):
    relay = made(Relay())
    sock, has = relay.connect(Wants.PODS)
    with sock:
        assert has == Wants(0)
    assert "lippycat_kubernetes_pods" not in relay.metrics()


def test_an_api_without_a_node_is_refused(made, folder):
    relay = made(Relay("relay: {kubernetes_api: 'https://x'}\n", listens=False))
    with pytest.raises(AssertionError, match=r"relay\.kubernetes_api needs relay\.node_name"):
        relay.start()


def test_a_pod_s_addresses_are_captured(made, folder, tmp_path, privileged):
    """--pod on loopback, which has three senders: the pod's frames and no other."""
    api = made(Api(folder, [pod("phone", "127.0.0.2"), pod("other", "127.0.0.3")]))
    relay = made(Relay(config(api, folder)))
    synced(relay)
    (tmp_path / "c.yaml").write_text(f"relay: {{socket: {relay.socket}}}\n")
    out = tmp_path / "out.pcap"
    command = [BIN / "lippycat", "sniff", "-i", "lo", "--config", tmp_path / "c.yaml", "-w", out, "-q"]
    command += ["--filter", "udp port 5999", "-c", "2", "--pod", "voip/phone"]
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True)
    try:
        due = time.monotonic() + 20
        while process.poll() is None and time.monotonic() < due:
            for sender in ("127.0.0.3", "127.0.0.2", "127.0.0.4"):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
                    udp.bind((sender, 0))
                    udp.sendto(sender.encode(), ("127.0.0.1", 5999))
            time.sleep(0.1)
        assert process.wait(5) == 0, process.stderr.read()
    finally:
        process.kill()
        process.stderr.close()
    assert [bytes(data)[-9:] for _, data in files.read_pcap(out.read_bytes())] == [b"127.0.0.2"] * 2


def test_a_pod_that_is_not_there_is_one_line(made, folder, tmp_path, lippycat):
    api = made(Api(folder, PODS))
    relay = made(Relay(config(api, folder)))
    synced(relay)
    (tmp_path / "c.yaml").write_text(f"relay: {{socket: {relay.socket}}}\n")
    for name, line in (
        ("voip/none", "--pod voip/none: there is no such pod on this node"),
        ("voip/done", "--pod voip/done: has no address of its own (not running, or on the host's network)"),
        ("none", "'none' is not NAMESPACE/NAME"),
    ):
        done = lippycat("sniff", "voip", "--config", tmp_path / "c.yaml", "--pod", name)
        assert done.returncode in {2, 3}
        assert line in done.stderr
        assert done.stderr.count("\n") == 1


def test_the_interface_of_a_route():
    """Tables as the kernel writes them (proc(5)): a route for the address alone names the interface."""
    four = (
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "cali1\t0502F40A\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0\n"
        "cni0\t0002F40A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    )
    six = "20010db8000000000000000000000010 80 " + "0" * 32 + " 00 " + "0" * 32 + " 00000400 1 0 00000001    cali2\n"
    assert pod_routes.interface("10.244.2.5", four, six) == "cali1"
    assert pod_routes.interface("10.244.2.6", four, six) == ""
    assert pod_routes.interface("2001:db8::10", four, six) == "cali2"
