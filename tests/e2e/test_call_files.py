"""A file per call: the very frames of each call, whatever happens, and names that stay where they belong."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import call_files_kit as kit
import pytest

from captures.files import pcap, read_pcap
from captures.wire import Endpoint, Net
from demo.live import wait_for

ROOT = Path(__file__).resolve().parents[2]
LIPPYCAT = str(ROOT / ".venv" / "bin" / "lippycat")
NUMBER = "+4930555000777"
CALLS = "--calls 90 --rtp-packets 40 --start-window 3 --register 20 --options 5 --tcp 30 --frag 20 --reinvite 10"
ONE, TWO, LINK = Endpoint("192.0.2.1", 5060), Endpoint("192.0.2.2", 5060), Net()
FULL = "--calls 2000 --rtp-packets 400 --seed 11 --start-window 4 --target-calls 80 --reinvite 8 --rtp-first 5"


@pytest.fixture
def open_tmp():
    """A directory that every user may enter: pytest's own are for the user who runs it."""
    with tempfile.TemporaryDirectory(prefix="lippycat-calls-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def directory(open_tmp):
    """A directory that the user who is dropped to may write."""
    path = open_tmp / "calls"
    path.mkdir()
    path.chmod(0o777)
    return path


def arguments(directory, *more):
    return ["sniff", "voip", "--per-call-pcap", directory, "--pcap-pattern", kit.PATTERN, *more]


@pytest.fixture(scope="module")
def hard(shared, tmp_path_factory):
    """A capture of gen_hard.py."""
    path = tmp_path_factory.mktemp("hard") / "hard.pcap"
    command = [sys.executable, shared / "tools" / "gen_hard.py", "-o", path, "--seed", "3", "--rtp", "20", "--quiet"]
    subprocess.run(list(map(str, command)), check=True)
    return path


def summary(done):
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("way", ["file", "pipe"])
def test_each_call_has_its_frames_and_no_other(lippycat, make_calls, directory, way):
    capture = make_calls(*CALLS.split(), "--seed", "7")
    how = {"text": False, "input": capture.read_bytes()} if way == "pipe" else {}
    name = "-" if way == "pipe" else capture
    done = lippycat(*arguments(directory, "-r", name, "--hold-time", "60s", "--format", "json"), **how)
    assert done.returncode == 0, done.stderr
    assert kit.wrong_files(directory, capture) == []
    assert not list(directory.rglob("*.part"))
    records = [json.loads(line) for line in done.stdout.splitlines()]
    told = {r["call_id"]: r for r in records if r["type"] == "file"}
    assert {r["call_id"]: r["file"] for r in records if r["type"] == "call"} == {c: r["file"] for c, r in told.items()}
    for call, path in kit.per_call(directory).items():
        assert told[call]["file"] == path.name
        assert (told[call]["packets"], told[call]["bytes"]) == (len(kit.frames_of(path)), path.stat().st_size)
    sink = records[-1]["sinks"][f"calls:{directory}"]
    assert sink["offered"] == sink["written"] == sum(r["packets"] for r in told.values())


@pytest.mark.parametrize("way", ["file", "pipe"])
@pytest.mark.parametrize("users", [[], ["--sipuser", NUMBER]])
def test_hard_calls(lippycat, hard, directory, way, users):
    how = {"text": False, "input": hard.read_bytes()} if way == "pipe" else {}
    name = "-" if way == "pipe" else hard
    done = lippycat(*arguments(directory, "-q", "-r", name, "--hold-time", "60s", *users), **how)
    assert done.returncode == 0, done.stderr
    lines, without = kit.wrong_hard_files(directory, hard, lambda c: not users or c["verdict"] == "expected")
    assert lines == []
    truth = {call["call_id"]: call for call in json.loads(Path(f"{hard}.truth.json").read_text())["calls"]}
    assert not {call for call in without if truth[call]["variant"].startswith(("call", "named"))}
    assert {truth[call]["scenario"] for call in without} <= {"register", "own-tcp", "trunk-tcp"}


def test_the_default_names_and_format(lippycat, make_calls, directory, tmp_path):
    capture = make_calls(*CALLS.split(), "--seed", "7")
    done = lippycat("sniff", "voip", "-q", "-r", capture, "-w", cwd=directory)
    assert done.returncode == 0, done.stderr
    calls, _ = kit.truth_of_calls(capture)
    files = sorted(directory.rglob("*.pcapng"))
    assert len(files) == len(calls)
    truth = json.loads(Path(f"{capture}.truth.json").read_text())["calls"]
    day = time.strftime("%Y-%m-%d", time.gmtime(1750000000))
    named = {f"{day}/{c['from']}_{c['to']}_{c['call_id']}.pcapng" for c in truth}
    assert {str(path.relative_to(directory)) for path in files} == named
    told = subprocess.run(["capinfos", "-Tmc", *files], capture_output=True, text=True, check=True).stdout
    counts = {Path(line.split(",")[0]).stem.split("_")[-1]: int(line.split(",")[1]) for line in told.splitlines()[1:]}
    assert counts == {call: sum(kinds.values()) for call, kinds in calls.items()}
    assert {path.stat().st_mode & 0o777 for path in files} == {0o640}


def test_few_files_are_open_at_once(lippycat, make_calls, directory, tmp_path):
    """What the kernel shows, looked at while it runs; the files are the same."""
    capture = make_calls(*CALLS.split(), "--seed", "7")
    config = tmp_path / "c.yaml"
    config.write_text("output: {max_open_files: 4}\n")
    command = [LIPPYCAT, *map(str, arguments(directory, "-q", "-r", "-", "--hold-time", "60s", "--config", config))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        data, most = capture.read_bytes(), 0
        for at in range(0, len(data), 1 << 17):
            process.stdin.write(data[at : at + (1 << 17)])
            most = max(most, len(open_files(process.pid, directory)))
        process.stdin.close()
        assert process.wait(60) == 0, process.stderr.read()
    assert 1 <= most <= 4
    assert kit.wrong_files(directory, capture) == []


def open_files(pid, directory):
    """Names of regular files below the directory that a process has open."""
    links = []
    for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            links.append(str(descriptor.readlink()))
        except FileNotFoundError:
            continue
    return [link for link in links if link.startswith(f"{directory}/") and ".pcap" in link]


def test_kill_leaves_whole_files_and_named_parts(make_calls, directory):
    capture = make_calls(*CALLS.split(), "--seed", "7")
    data, (calls, _) = capture.read_bytes(), kit.truth_of_calls(capture)
    command = [LIPPYCAT, *map(str, arguments(directory, "-q", "-r", "-", "--hold-time", "60s"))]
    for share in (0.3, 0.6, 0.97):
        for path in directory.iterdir():
            path.unlink()
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            process.stdin.write(data[: int(len(data) * share)])
            process.stdin.flush()
            wait_for("a file", lambda: any(path.stat().st_size for path in directory.iterdir()), process)
            time.sleep(1.2)
            process.kill()
            process.wait()
        whole = kit.per_call(directory)
        for call, path in whole.items():
            assert kit.classes(kit.frames_of(path))[0] == calls[call]
        finished_again = len(whole)
        parts = list(directory.glob("*.pcap.part"))
        assert parts
        assert {path.suffix for path in directory.iterdir()} <= {".part", ".pcap"}
        for path in parts:
            assert path.read_bytes()[:4] in {b"", struct.pack("<I", 0xA1B23C4D)}
    again = subprocess.run(command, input=data, stderr=subprocess.DEVNULL, check=False)
    assert again.returncode == 0
    unnumbered = [path for path in directory.glob("*.pcap") if "~" not in path.name]
    parted = {path.name.removesuffix(".part") for path in directory.glob("*.part")}
    assert {path.name for path in unnumbered}.isdisjoint(parted)
    assert len(list(directory.glob("*.pcap"))) == len(calls) + finished_again


def test_a_full_disk_is_counted(privileged, make_calls, open_tmp):
    """A small file system: what is written is whole, what is not is counted, and nothing is neither."""
    capture = make_calls(*CALLS.split(), "--seed", "7")
    small, out = open_tmp / "small", open_tmp / "out"
    small.mkdir()
    out.mkdir()
    script = (
        'mount -t tmpfs -o size=700k,mode=777 none "$1" && shift 1 && "$0" "$@" --per-call-pcap '
        f"{small} > {out}/told 2> {out}/err; echo $? > {out}/rc; cp -r {small}/. {out}/files"
    )
    more = ["sniff", "voip", "-r", capture, "--pcap-pattern", kit.PATTERN, "--format", "json"]
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, LIPPYCAT, small, *more]
    subprocess.run(list(map(str, command)), check=True, timeout=120)
    assert (out / "rc").read_text().strip() == "1"
    records = [json.loads(line) for line in (out / "told").read_text().splitlines()]
    sink = records[-1]["sinks"][f"calls:{small}"]
    calls, _ = kit.truth_of_calls(capture)
    assert sink["offered"] == sum(sum(kinds.values()) for kinds in calls.values())
    assert sink["dropped"].keys() == {"no_space"}
    assert sink["queued"] == 0
    parts = [read_pcap(path.read_bytes()) for path in (out / "files").glob("*.part") if path.stat().st_size]
    whole = kit.per_call(out / "files")
    assert sink["written"] == sum(map(len, parts)) + sum(len(kit.frames_of(path)) for path in whole.values())
    assert sink["offered"] == sink["written"] + sink["dropped"]["no_space"]
    assert all(kit.classes(kit.frames_of(path))[0] == calls[call] for call, path in whole.items())
    err = (out / "err").read_text()
    assert err.count("what is not written is counted as no_space") == 1


PATTERNS = ("{from}/{to}/{callid}.pcap", "{from}.pcap", "{callid}.pcapng", "{from}{to}/{from}{to}{callid}.pcap")
ATTACKS = {
    "dots": "../../../../tmp/x",
    "two": "..",
    "nul": "a\0b",
    "long": "u" * 4096,
    "reserved": "CON:|<>*?\\\"'`$()&;!~",
    "bytes": "\xe4\xf6\u20ac",
    "empty": "",
    "part": ".part",
    "slash": "/etc/passwd",
}


def test_names_that_attack_end_inside_the_directory(lippycat, directory, open_tmp, tmp_path):
    frames = []
    for number, (kind, text) in enumerate(ATTACKS.items()):
        for again in range(2):  # two calls with the same users
            call = f"{text}{kind}{again if kind != 'slash' else ''}"
            lines = [
                f"INVITE sip:{text or 'x'}@h SIP/2.0",
                f"Via: SIP/2.0/UDP h;branch=z9hG4bK{kind}{again}",
                f"From: <sip:{text}@h>;tag=1",
                f"To: <sip:{text}@h>",
                f"Call-ID: {call}",
                "CSeq: 1 INVITE",
                "Content-Length: 0",
            ]
            data = "\r\n".join([*lines, "", ""]).encode()
            frames.append((10**18 + (number * 2 + again) * 10**9, LINK.udp(ONE, TWO, data)))
    capture, before = tmp_path / "attack.pcap", sorted(Path("/tmp").glob("x*"))
    capture.write_bytes(pcap(frames, nano=True))
    for pattern in (
        "{from}/{to}/{callid}.pcap",
        "{from}.pcap",
        "{callid}.pcapng",
        "{from}{to}/{from}{to}{callid}.pcap",
    ):
        done = lippycat("sniff", "voip", "-r", capture, "--per-call-pcap", directory, "--pcap-pattern", pattern)
        assert done.returncode == 0, done.stderr
    made = [path for path in directory.rglob("*") if path.is_file()]
    ids = len({(kind, again if kind != "slash" else 0) for kind in ATTACKS for again in range(2)})
    assert len(made) == 4 * ids
    inside = directory.resolve()
    assert all(path.resolve().is_relative_to(inside) and not path.is_symlink() for path in directory.rglob("*"))
    assert all(len(os.fsencode(path.name)) <= 255 and path.name.isascii() for path in directory.rglob("*"))
    assert sorted(Path("/tmp").glob("x*")) == before
    assert list(open_tmp.iterdir()) == [directory]


def test_a_link_in_the_way_is_not_followed(lippycat, make_calls, directory, open_tmp):
    capture = make_calls(*CALLS.split(), "--seed", "7")
    outside = open_tmp / "outside"
    outside.mkdir(mode=0o777)
    outside.chmod(0o777)
    (directory / "linked").symlink_to(outside)
    done = lippycat(
        "sniff", "voip", "-q", "-r", capture, "--per-call-pcap", directory, "--pcap-pattern", "linked/{callid}.pcap"
    )
    assert done.returncode == 1
    assert not list(outside.iterdir())
    assert "calls" in done.stderr


def test_headers_without_speech(lippycat, make_calls, directory, tmp_path):
    capture = make_calls(*CALLS.split(), "--seed", "7")
    whole, snapped = tmp_path / "whole.pcap", tmp_path / "snap.pcap"
    for out, more in ((whole, []), (snapped, ["--rtp-snap", "4"])):
        done = lippycat("sniff", "voip", "-r", capture, "--sipuser", "*", "-w", out, *more)
        assert done.returncode == 0, done.stderr
    fields = ["frame.len", "frame.cap_len", "rtp.ssrc", "rtp.seq", "sip.CSeq", "rtcp.pt"]

    def told(path):
        command = ["tshark", "-o", "rtp.heuristic_rtp:TRUE", "-r", path, "-T", "fields", *(f"-e{f}" for f in fields)]
        lines = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout.splitlines()
        return [dict(zip(fields, line.split("\t"), strict=True)) for line in lines]

    cut = 0
    for before, after in zip(told(whole), told(snapped), strict=True):
        assert before["frame.len"] == after["frame.len"]
        if before["rtp.ssrc"] and not before["sip.CSeq"]:
            assert (before["rtp.ssrc"], before["rtp.seq"]) == (after["rtp.ssrc"], after["rtp.seq"])
            cut += int(after["frame.cap_len"]) < int(after["frame.len"])
        elif before["sip.CSeq"] or before["rtcp.pt"]:
            assert after["frame.cap_len"] == after["frame.len"]
    assert cut > 1000


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["sniff", "--per-call-pcap", "d"], "--per-call-pcap: acts on calls: use sniff voip"),
        (["sniff", "voip", "--per-call-pcap", "d", "--loop", "2"], "--loop"),
        (["sniff", "voip", "--per-call-pcap", "d", "--pcap-pattern", "../{callid}.pcap"], "relative to the directory"),
        (["sniff", "voip", "--per-call-pcap", "d", "--pcap-pattern", "{call}.pcap"], "{call}"),
        (["sniff", "voip", "--pcap-pattern", "{callid}.pcap"], "--per-call-pcap"),
        (["sniff", "voip", "--virtual-interface", "--rtp-snap", "0"], "--rtp-snap: acts on files"),
        (["sniff", "voip", "--per-call-pcap", "none/d"], "the directory above it does not exist"),
    ],
)
def test_what_makes_no_sense_is_refused(lippycat, make_calls, tmp_path, flags, told):
    capture = make_calls(*CALLS.split(), "--seed", "7")
    done = lippycat(*flags, "-r", capture, cwd=tmp_path)
    assert done.returncode in {2, 3}
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_old_file_makes_room(lippycat, make_calls, directory, tmp_path):
    """By size: the oldest go; nothing that the pattern does not name does."""
    capture = make_calls(*CALLS.split(), "--seed", "7")
    old = directory / "old.pcap"
    old.write_bytes(b"x" * 100_000)
    other = directory / "notes.txt"
    other.write_bytes(b"y" * 1_000_000)
    for path in (old, other):
        os.utime(path, (1, 1))
    config = tmp_path / "c.yaml"
    config.write_text("output: {retain_size: 200000}\n")
    done = lippycat(*arguments(directory, "-q", "-r", capture, "--config", config))
    assert done.returncode == 0, done.stderr
    files = list(directory.glob("*.pcap"))
    assert old not in files
    assert other.exists()
    assert 100_000 < sum(path.stat().st_size for path in files) <= 200_000
    config.write_text("output: {retain_age: 1h}\n")
    aged = files[0].rename(directory / "aged.pcap")
    os.utime(aged, (1, 1))
    done = lippycat(*arguments(directory, "-q", "-r", capture, "--config", config))
    assert done.returncode == 0, done.stderr
    assert not aged.exists()
    assert len(list(directory.glob("*.pcap"))) > len(files)


def test_the_measured_file(make_calls, measured, directory):
    """2,000 calls, 1.39 M packets: each file as the truth has it, in 4 CPU s."""
    if not os.environ.get("LIPPYCAT_FULL"):
        pytest.skip("1.4 million packets in 2,000 files: set LIPPYCAT_FULL=1")
    capture = make_calls(*FULL.split())
    run = measured(*arguments(directory, "-q", "-r", capture))
    assert run.status == 0, run.told
    assert run.cpu <= 4, run.cpu
    assert kit.wrong_files(directory, capture) == []


def test_a_signal_finishes_files(make_calls, directory):
    capture = make_calls(*CALLS.split(), "--seed", "7")
    command = [LIPPYCAT, *map(str, arguments(directory, "-q", "-r", "-", "--hold-time", "60s"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        process.stdin.write(capture.read_bytes()[: 1 << 20])
        process.stdin.flush()
        wait_for("a file", lambda: any(directory.iterdir()), process)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    assert {path.suffix for path in directory.iterdir()} == {".pcap"}
    assert sum(len(kit.frames_of(path)) for path in directory.iterdir()) > 100
