"""A Debian that boots in systemd-nspawn with the package installed."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from systemd_kit import Machine, Tcpdump, settle

from captures import files

ROOT = Path(__file__).resolve().parents[2]
NEEDS = {
    "systemd-nspawn": "systemd-container",
    "nsenter": "util-linux",
    "dpkg-deb": "dpkg",
}
# What nspawn's own filter leaves out and the daemon's lock needs.
CALLS = "landlock_create_ruleset landlock_add_rule landlock_restrict_self"


@pytest.fixture(scope="session")
def package():
    """The Debian package, built anew where the sources are newer."""
    done = subprocess.run(
        ["make", "--no-print-directory", "deb"], cwd=ROOT, capture_output=True, text=True, timeout=1800, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = sorted((ROOT / "dist").glob("lippycat_*.deb"), key=lambda path: path.stat().st_mtime)
    return found[-1]


@pytest.fixture(scope="session")
def machine(base, package, tmp_path_factory):
    """The booted system, without the package; it is copied to /root."""
    for program, needed in NEEDS.items():
        if shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
            pytest.skip(f"needs {program} (apt-get install {needed})")
    work = tmp_path_factory.mktemp("nspawn")
    root = work / "root"
    for name in ("upper", "work", "root"):
        (work / name).mkdir()
    options = f"lowerdir={base},upperdir={work}/upper,workdir={work}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, root], check=True)
    try:
        (root / "etc/machine-id").write_text("")
        shutil.copy(package, root / "root/lippycat.deb")
        yield from _booted(root, work / "console.log")
    finally:
        subprocess.run(["umount", "-l", root], check=False)
        shutil.rmtree(work, ignore_errors=True)


def _booted(root, console):
    command = [
        "systemd-nspawn",
        "-q",
        "-D",
        root,
        "--boot",
        "--register=no",
        "--keep-unit",
        f"--machine=lct{os.getpid()}",
    ]
    command += ["--private-network", "--capability=CAP_NET_ADMIN", "--console=pipe", f"--system-call-filter={CALLS}"]
    with console.open("w") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    try:
        leader = settle(lambda: _child(process.pid), 20)
        if not leader:
            pytest.skip(f"systemd-nspawn does not boot here: {console.read_text()[-300:]}")
        machine = Machine(root, leader)
        states = {"running", "degraded"}
        up = settle(lambda: machine.run("systemctl", "is-system-running", check=False).stdout.strip() in states, 60)
        assert up, console.read_text()
        # The node of the outer machine is often root's alone; the helper is not root.
        machine.run("mkdir", "-p", "/dev/net")
        machine.run("rm", "-f", "/dev/net/tun")
        machine.run("mknod", "-m", "666", "/dev/net/tun", "c", "10", "200")
        yield machine
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _child(pid):
    done = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return int(done.stdout.split()[0]) if done.stdout.split() else 0


@pytest.fixture(scope="session")
def capture(root):
    return root / "captures" / "demo.pcap"


@pytest.fixture(scope="session")
def all_calls(capture, lippycat, tmp_path_factory):
    """What a run over the file keeps."""
    kept = tmp_path_factory.mktemp("kept") / "kept.pcap"
    assert lippycat("sniff", "voip", "-q", "-r", capture, "-w", kept).returncode == 0
    return [frame for _, frame in files.read_pcap(kept.read_bytes())]


@pytest.fixture(scope="session")
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


@pytest.fixture
def tcpdump(installed):
    """Start a reader of lc0; it is ended with the test."""
    with contextlib.ExitStack() as stack:

        def start(name):
            made = Tcpdump(installed, name)
            stack.callback(made.close)
            return made

        yield start
