"""The DaemonSet's pod, played by podman on this machine: traffic on a veth, a reader on lc0, and things that die.

The namespace lc-host stands for the host's network: the pod's first container leaves a name that is there as it is.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml
from engine_kit import ROOT, status, until
from pod_kit import GET, HOST, NETNS, PORT, Pod

from captures import files
from demo import oracle

CAPTURE = ROOT / "captures/demo.pcap"
NET_ADMIN, NET_RAW = 1 << 12, 1 << 13
START_SECONDS = 2.0  # from the helper's start to the first packet on lc0


def inside(netns, *command, **options):
    return subprocess.run(
        ["ip", "netns", "exec", netns, *map(str, command)], capture_output=True, text=True, check=True, **options
    ).stdout


def send(*options):
    """Send the capture from the other end of the veth; how many frames went out."""
    told = inside(HOST, "tcpreplay", *(options or ("--pps=4000",)), "-i", "a1", CAPTURE)
    return int(re.search(r"Successful packets:\s+(\d+)", told)[1])


class Reader:
    """tcpdump in lc-ns, as a user of the node runs it."""

    def __init__(self, folder, interface="lc0"):
        self.file, log = folder / f"{interface}-{time.monotonic_ns()}.pcap", folder / "tcpdump.log"
        self.log = log
        command = ["ip", "netns", "exec", NETNS, "tcpdump", "-U", "-n", "-i", interface, "-B", "16384", "-w", self.file]
        with log.open("w") as out:
            self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stderr=out)
        assert until(lambda: "listening on" in log.read_text()), log.read_text()

    def alive(self):
        return self.process.poll() is None

    def packets(self):
        """What it has written so far; nothing while it is in the middle of one."""
        try:
            return files.read_pcap(self.file.read_bytes())
        except ValueError:
            return []

    def frames(self):
        return [data for _, data in self.packets()]

    def settled(self, count):
        """The frames, when there are so many and no more come."""
        until(lambda: len(self.frames()) >= count, 15)
        time.sleep(0.3)
        return self.frames()

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(10)


@pytest.fixture(scope="module")
def place(privileged):
    """The host's network of this test, with a veth pair."""
    for tool in ("tcpreplay", "tcpdump", "tshark", "nsenter", "prometheus"):
        if not shutil.which(tool):
            pytest.skip(f"needs {tool}: make setup installs it")
    taken = [name for name in (HOST, NETNS) if Path("/run/netns", name).exists()]
    if taken:
        pytest.skip(f"the namespace {taken[0]} is in use here")
    subprocess.run(["ip", "netns", "add", HOST], check=True)
    try:
        inside(HOST, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1", "net.ipv6.conf.all.disable_ipv6=1")
        for command in ("add a0 type veth peer name a1", "set a0 up", "set a1 up", "set lo up"):
            inside(HOST, "ip", "link", *command.split())
        yield
    finally:
        for name in (HOST, NETNS):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pod")


@pytest.fixture(scope="module")
def documents(folder):
    """The overlay `monitored`, configured to follow alice on one interface."""
    done = subprocess.run([ROOT / "scripts/kustomize.sh"], capture_output=True, text=True, check=False, timeout=900)
    if done.returncode:
        pytest.skip(f"kustomize cannot be built here: {done.stderr[-300:]}")
    shutil.copytree(ROOT / "k8s", folder / "k8s")
    shutil.copytree(ROOT / "monitoring", folder / "monitoring")
    path = folder / "k8s/base/lippycatd.yaml"
    config = yaml.safe_load(path.read_text())
    config["capture"]["default_interface"] = "a0"
    config["voip"]["sip_users"] = ["alice"]
    path.write_text(yaml.safe_dump(config))
    built = subprocess.run(
        [done.stdout.strip(), "build", folder / "k8s/overlays/monitored"], capture_output=True, text=True, check=True
    )
    return list(yaml.safe_load_all(built.stdout))


@pytest.fixture(scope="module")
def pod(engine, images, place, documents, folder):
    """The running pod."""
    made = Pod(engine, documents, folder)
    try:
        made.play()
        until(lambda: made.get("/readyz"), 30)
        yield made
    finally:
        made.down()


@pytest.fixture(scope="module")
def wanted():
    """alice's frames by tshark alone."""
    frames = [data for _, data in files.read_pcap(CAPTURE.read_bytes())]
    return [frames[number - 1] for number in oracle.extract(CAPTURE, "alice")]


@pytest.fixture
def reader(pod, folder):
    made = Reader(folder)
    yield made
    made.stop()


def test_it_is_ready_and_lacks_nothing(pod):
    assert json.loads(pod.get("/healthz")) == {"status": "alive"}
    ready = json.loads(pod.get("/readyz"))
    assert ready["status"] == "ready", (
        ready,
        pod.said("lippycatd"),
        pod.said("helper-tap"),
        pod.said("helper-capture"),
    )


@pytest.fixture(scope="module")
def permitted():
    """The frames that the policy's mandatory filter lets through, by tcpdump and the expression beside it."""
    command = ["tcpdump", "-n", "-r", CAPTURE, "-w", "-", "ip or ip6 or ether proto 0x8100 or ether proto 0x88a8"]
    done = subprocess.run(command, capture_output=True, check=True)
    return len(files.read_pcap(done.stdout))


def test_lc0_shows_exactly_the_selected_frames(pod, reader, wanted, permitted):
    before = pod.metrics()
    send()
    assert Counter(reader.settled(len(wanted))) == Counter(wanted)
    after = pod.metrics()

    def grown(name):
        return sum(value - before.get(key, 0) for key, value in after.items() if key.split("{")[0] == name)

    assert grown("lippycat_packets_in_total") == permitted
    assert grown("lippycat_packets_selected_total") == len(wanted)
    # Frames of calls that nobody has decided on yet are held for ten seconds of the capture's time.
    assert grown("lippycat_packets_filtered_total") + grown("lippycat_packets_held") == permitted - len(wanted)
    assert grown("lippycat_packets_dropped_total") == 0


def test_who_holds_what(pod):
    """/proc/PID/status of every process: the daemon nothing, each helper its one capability."""
    for name, held in (("helper-tap", NET_ADMIN), ("helper-capture", NET_RAW), ("lippycatd", 0)):
        said = status(pod.pid(name))
        text = f"{held:016x}"
        assert (said["CapPrm"], said["CapEff"]) == (text, text), name
        assert (said["CapInh"], said["CapAmb"]) == (f"{0:016x}",) * 2, name
        assert said["NoNewPrivs"] == "1", name
        assert said["Seccomp"] == "2", name
        assert said["Gid"].split() == ["10469"] * 4, name
        assert said["Uid"].split() == (["10469"] if name == "lippycatd" else ["0"]) * 4, name
    assert status(pod.pid("lippycatd"))["CapBnd"] == f"{0:016x}"
    for thread in Path(f"/proc/{pod.pid('lippycatd')}/task").iterdir():
        said = status(f"{pod.pid('lippycatd')}/task/{thread.name}")
        assert (said["CapPrm"], said["Seccomp"], said["NoNewPrivs"]) == (f"{0:016x}", "2", "1")


def test_each_is_where_it_belongs(pod):
    def netns(path):
        info = Path(path).stat()
        return info.st_dev, info.st_ino

    assert netns(f"/proc/{pod.pid('helper-tap')}/ns/net") == netns(f"/run/netns/{NETNS}")
    assert netns(f"/proc/{pod.pid('helper-capture')}/ns/net") == netns(f"/run/netns/{HOST}")
    own = netns(f"/proc/{pod.pid('lippycatd')}/ns/net")
    assert own not in {netns("/proc/self/ns/net"), netns(f"/run/netns/{HOST}"), netns(f"/run/netns/{NETNS}")}
    root = Path(f"/proc/{pod.pid('lippycatd')}/root")
    mounts = Path(f"/proc/{pod.pid('lippycatd')}/mounts").read_text().splitlines()
    options = {line.split()[1]: line.split()[3].split(",") for line in mounts}
    assert "ro" in options["/"]
    assert "ro" in options["/run/lippycat"]
    assert not (root / "dev/net/tun").exists()
    assert not (root / "run/secrets/kubernetes.io").exists()


def test_the_probes_of_the_helpers_answer(pod, documents):
    template = next(d for d in documents if d["kind"] == "DaemonSet")["spec"]["template"]["spec"]
    for container in template["initContainers"][1:]:
        command = container["livenessProbe"]["exec"]["command"]
        pod.engine.podman("exec", pod.containers()[container["name"]]["Id"], *command)
        wrong = [*command[:-1], command[-1] + "x"]
        done = pod.engine.podman("exec", pod.containers()[container["name"]]["Id"], *wrong, check=False)
        assert done.returncode == 1
        assert "no helper answers" in done.stderr


def test_what_a_capture_socket_sends_is_dropped(pod):
    """The first container put the egress rule on the host's interfaces."""
    rules = inside(HOST, "nft", "list", "ruleset")
    assert rules.count("meta mark 0x6c630001") == len(json.loads(inside(HOST, "ip", "-json", "link")))


def test_a_real_prometheus_scrapes_it(pod, folder):
    config = {"scrape_configs": [{
        "job_name": "lippycat", "scrape_interval": "1s", "static_configs": [{"targets": [f"127.0.0.1:{PORT}"]}],
    }]}  # fmt: skip
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    net = ["nsenter", "-t", str(pod.pid("lippycatd")), "-n"]
    command = [*net, shutil.which("prometheus"), f"--config.file={folder}/prometheus.yml"]
    command += [f"--storage.tsdb.path={folder}/tsdb", "--web.listen-address=127.0.0.1:19090"]

    def ask(query):
        page = f"http://127.0.0.1:19090/api/v1/query?query={query}"
        done = subprocess.run([*net, sys.executable, "-c", GET, page], capture_output=True, text=True, check=False)
        result = json.loads(done.stdout)["data"]["result"] if done.returncode == 0 else []
        return float(result[0]["value"][1]) if result else None

    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as served:
        try:
            assert until(lambda: ask('up{job="lippycat"}') == 1.0, 30)
            shown = next(
                value for key, value in pod.metrics().items() if key.startswith("lippycat_vif_injected_packets_total")
            )
            assert ask("sum(lippycat_vif_injected_packets_total)") == shown
        finally:
            served.terminate()


@pytest.mark.parametrize("victim", ["helper-tap", "lippycatd", "helper-capture"])
def test_the_reader_lives_on_when_one_is_killed(pod, reader, wanted, victim):
    """It gets every frame that the daemon counts as written, before and after; a new daemon shows the whole calls."""
    shown = rest(pod, send)
    before = reader.settled(shown)
    assert len(before) == shown > 0
    pod.kill(victim)
    assert until(lambda: json.loads(pod.get("/readyz") or "{}").get("status") == "ready", 40), pod.said("lippycatd")
    assert reader.alive()
    shown = rest(pod, send)
    after = reader.settled(len(before) + shown)[len(before) :]
    assert len(after) == shown > 0
    if victim == "lippycatd":
        assert Counter(after) == Counter(wanted)
    assert reader.alive()
    if victim == "helper-tap":
        assert "lc0 adopted from" in pod.said("helper-tap")


def injected(pod):
    return int(sum(v for k, v in pod.metrics().items() if k.startswith("lippycat_vif_injected_packets_total")))


def rest(pod, work):
    """How many frames were written to lc0 until it is quiet again after the work."""
    before = injected(pod)
    work()
    now = -1
    while now != (now := injected(pod)):
        time.sleep(0.5)
    return now - before


def test_load_stays_below_the_limits(pod, reader, permitted):
    """A few seconds as fast as it goes: nobody is killed for memory, and everything is accounted for."""
    before = pod.metrics()
    pids = {name: pod.pid(name) for name in ("helper-tap", "helper-capture", "lippycatd")}
    send("--pps=25000", "--loop=20")
    sent = permitted * 20

    def sums(*names):
        keys = {f"lippycat_packets_{name}" for name in names}
        return sum(v - before.get(k, 0) for k, v in pod.metrics().items() if k.split("{")[0] in keys)

    assert until(lambda: sums("in_total") >= sent, 30), (sums("in_total"), sent)
    assert sums("in_total") == sent == sums("selected_total", "filtered_total", "held", "dropped_total")
    assert {name: pod.pid(name) for name in pids} == pids
    for name in pids:
        said = pod.engine.inspect(pod.containers()[name]["Id"])
        assert not said["State"]["OOMKilled"]
        assert said["HostConfig"]["Memory"] > 0


def test_a_replaced_pod_loses_only_what_is_counted(pod, folder, wanted):
    """`podman kube play --replace` stands in for an update: a reader of the namespace gets what both pods counted."""
    everything = Reader(folder, "any")
    old = rest(pod, send)
    pod.play("--replace")
    assert until(lambda: json.loads(pod.get("/readyz") or "{}").get("status") == "ready", 40)
    assert rest(pod, send) == len(wanted)
    frames = everything.settled(old + len(wanted))
    everything.stop()
    assert len(frames) == old + len(wanted)


@pytest.mark.skipif(not os.environ.get("LIPPYCAT_FULL"), reason="a time of an idle machine; LIPPYCAT_FULL=1")
def test_two_seconds_from_the_helper_to_the_first_packet(pod, folder):
    """Traffic flows all the time; the pod is replaced; lc-ns sees its first packet within two seconds."""
    traffic = subprocess.Popen(
        ["ip", "netns", "exec", HOST, "tcpreplay", "--pps=3000", "--loop=0", "-i", "a1", CAPTURE],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        pod.down()
        reader = Reader(folder, "any")
        pod.play()
        assert until(reader.packets, 30), pod.said("lippycatd")[-2000:]
        reader.stop()
        began = pod.engine.podman(
            "inspect", "--format", "{{.State.StartedAt.UnixNano}}", pod.containers()["helper-tap"]["Id"]
        ).stdout
        took = reader.packets()[0][0] / 1e9 - int(began) / 1e9
        assert 0 < took <= START_SECONDS
    finally:
        traffic.kill()
        traffic.wait()
