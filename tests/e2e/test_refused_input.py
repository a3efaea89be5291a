"""Wrong input: one clear line, no traceback, the right exit code."""

from __future__ import annotations

import os
import subprocess

import pytest

from captures import files, small

CALL = "captures/call-be.pcap"
CASES = {
    "unknown flag": (2, ["sniff", "-r", CALL, "--no-such-flag"], "no-such-flag"),
    "unknown command": (2, ["snuff"], "snuff"),
    "no such file": (3, ["sniff", "-r", "captures/none.pcap"], "none.pcap"),
    "a directory": (3, ["sniff", "-r", "captures"], "captures"),
    "not a capture": (1, ["sniff", "-r", "README.md"], "README.md"),
    "bad filter": (2, ["sniff", "-r", CALL, "--filter", "udp port"], "udp port"),
    "unknown protocol": (2, ["sniff", "-r", CALL, "--protocol", "gopher"], "gopher"),
    "later protocol": (2, ["sniff", "-r", CALL, "--protocol", "dns"], "dns"),
    "bad number": (2, ["sniff", "-r", CALL, "--count", "many"], "many"),
    "negative count": (2, ["sniff", "-r", CALL, "--count", "-1"], "count"),
    "bad duration": (2, ["sniff", "-r", CALL, "--hold-time", "ten"], "hold"),
    "bad size": (2, ["sniff", "-r", CALL, "--hold-bytes", "64Foo"], "hold"),
    "bad speed": (2, ["sniff", "-r", CALL, "-V", "--vif-replay-timing", "--vif-replay-speed", "0"], "speed"),
    "bad device type": (2, ["sniff", "-r", CALL, "-V", "--vif-type", "tape"], "tape"),
    "bad device name": (2, ["sniff", "-r", CALL, "-V", "--vif-name", "a/b"], "a/b"),
    "device name too long": (2, ["sniff", "-r", CALL, "-V", "--vif-name", "x" * 16], "x" * 16),
    "bad namespace name": (2, ["sniff", "-r", CALL, "-V", "--vif-netns", "../x"], "../x"),
    "bad MTU": (2, ["sniff", "-r", CALL, "-V", "--vif-mtu", "70000"], "70000"),
    "later matcher": (2, ["sniff", "-r", CALL, "--gpu-backend", "cuda"], "cuda"),
    "later flag": (2, ["sniff", "-r", CALL, "--per-call-pcap", "/tmp"], "per-call-pcap"),
    "later command": (2, ["hunt"], "hunt"),
    "empty user": (2, ["sniff", "voip", "-r", CALL, "--sipuser", ""], "user"),
    "bad format": (2, ["sniff", "-r", CALL, "--format", "xml"], "xml"),
    "no such configuration": (2, ["--config", "none.yaml", "sniff", "-r", CALL], "none.yaml"),
    "no such output directory": (3, ["sniff", "-r", CALL, "-w", "/nonexistent/out.pcap"], "/nonexistent"),
    "no such unprivileged user": (2, ["sniff", "-r", CALL, "--user", "no-such-user"], "no-such-user"),
}


def clear(done, status, word):
    told = done.stderr.strip()
    assert done.returncode == status, told
    assert "Traceback" not in told
    assert "panicked" not in told
    assert word in told
    assert len([line for line in told.splitlines() if line.strip()]) <= 2, told


@pytest.mark.parametrize("name", CASES)
def test_one_clear_line(lippycat, root, name):
    status, arguments, word = CASES[name]
    if arguments[0] == "--config":
        arguments = [*arguments[2:], *arguments[:2]]
    clear(lippycat(*arguments, cwd=root), status, word)


def test_an_unknown_key_names_its_neighbour(lippycat, tmp_path, root):
    config = tmp_path / "lippycat.yaml"
    config.write_text("voip:\n  sip_user: alice\n")
    done = lippycat("sniff", "-r", root / CALL, "--config", config)
    clear(done, 2, "sip_users")
    assert "lippycat.yaml" in done.stderr
    assert "2" in done.stderr


def test_an_empty_file(lippycat, tmp_path):
    empty = tmp_path / "empty.pcap"
    empty.write_bytes(b"")
    clear(lippycat("sniff", "-r", empty), 1, "empty.pcap")


def test_a_file_without_packets_is_no_mistake(lippycat, tmp_path):
    none = tmp_path / "none.pcap"
    none.write_bytes(files.pcap([]))
    done = lippycat("sniff", "-r", none)
    assert done.returncode == 0, done.stderr


def test_an_output_that_is_a_symbolic_link(lippycat, tmp_path, root):
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / "out.pcap").symlink_to(target)
    done = lippycat("sniff", "-r", root / CALL, "-w", tmp_path / "out.pcap")
    clear(done, 3, "out.pcap")
    assert target.read_text() == "precious"


def test_an_output_that_is_the_input(lippycat, tmp_path):
    both = tmp_path / "both.pcap"
    data = files.pcap(small.call().packets())
    both.write_bytes(data)
    done = lippycat("sniff", "-r", both, "-w", both)
    assert done.returncode in (2, 3), done.stderr
    assert both.read_bytes() == data


def test_a_reader_of_standard_output_that_goes_away(root, lippycat):
    command = f"{root}/.venv/bin/lippycat sniff -r {root}/captures/demo.pcap | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert len(done.stdout.splitlines()) == 1
    assert "Traceback" not in done.stderr


@pytest.fixture
def full_disk(privileged, tmp_path):
    place = tmp_path / "full"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=0777", "lc-test", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk(lippycat, full_disk, root, tmp_path):
    out = full_disk / "out.pcap"
    other = tmp_path / "other.pcap"
    done = lippycat("sniff", "-r", root / "captures/demo.pcap", "-w", out, "--format", "json")
    assert done.returncode == 1, done.stderr
    assert "no space" in done.stderr.lower()
    assert not other.exists()
    kept = files.read_pcap(out.read_bytes())
    whole = files.read_pcap((root / "captures/demo.pcap").read_bytes())
    assert 0 < len(kept) < len(whole)
    assert kept == whole[: len(kept)]
    assert f'"no_space":{len(whole) - len(kept)}' in done.stdout.replace(" ", "")


def test_a_directory_nobody_may_write(privileged, lippycat, root, tmp_path):
    """Rotation opens files after the drop: the directory must be the user's, known before the first packet."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    done = lippycat("sniff", "-r", root / CALL, "-w", closed / "out.pcap", "-C", "1", "--user", "nobody")
    clear(done, 3, "closed")


def test_no_device_without_root(privileged, root):
    def drop():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    command = [root / ".venv/bin/lippycat", "sniff", "-r", root / CALL, "-V", "--vif-required"]
    try:
        done = subprocess.run(command, preexec_fn=drop, capture_output=True, text=True, timeout=30, check=False)
    except PermissionError:
        pytest.skip(f"{root} lies where an unprivileged user cannot read it")
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert "root" in done.stderr or "sudo" in done.stderr
