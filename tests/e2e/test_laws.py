"""The laws that a whole run shows (docs/architecture.md): accounting, files, original frames, determinism, bounds."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from pathlib import Path

import pytest

from captures import demo, files
from captures.large import write_large

CAPTURES = ("demo.pcap", "sections.pcapng", "qinq.pcap", "trunk.pcap", "names.pcap", "sll2.pcap")


def capinfos(path):
    told = subprocess.run(["capinfos", "-T", "-M", "-c", "-r", path], capture_output=True, text=True, check=True)
    return int(told.stdout.split()[-1])


def last_record(done):
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", CAPTURES)
def test_law_1_in_is_what_capinfos_counts_and_written_what_a_reader_finds(lippycat, root, tmp_path, name):
    out = tmp_path / "out.pcap"
    done = lippycat("sniff", "voip", "-r", root / "captures" / name, "-u", "alice", "-w", out, "--format", "json")
    summary = last_record(done)
    assert summary["in"] == capinfos(root / "captures" / name)
    (sink,) = summary["sinks"].values()
    assert sink["written"] == capinfos(out)
    assert summary["selected"] == sink["offered"]


def test_law_1_a_file_counts_once_per_loop(lippycat, root):
    done = lippycat("sniff", "-r", root / "captures/call-be.pcap", "--loop", "3", "--format", "json")
    assert last_record(done)["in"] == 3 * 218


@pytest.mark.parametrize("suffix", ["pcap", "pcapng"])
def test_law_3_times_and_bytes_are_kept(lippycat, root, tmp_path, suffix):
    out = tmp_path / f"out.{suffix}"
    done = lippycat("sniff", "-r", root / "captures/demo.pcap", "-w", out)
    assert done.returncode == 0, done.stderr
    assert out.stat().st_mode & 0o777 == 0o640
    plain = tmp_path / "plain.pcap"
    subprocess.run(["editcap", "-F", "nsecpcap", out, plain], check=True)
    assert files.read_pcap(plain.read_bytes()) == demo.build()[0].packets()


def test_law_3_standard_output(root, tmp_path):
    command = (
        f"{root}/.venv/bin/lippycat sniff -q -r {root}/captures/demo.pcap -w - | tcpdump -n -r - 2>/dev/null | wc -l"
    )
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 3187


def test_law_4_what_waits_too_long_is_counted_when_its_call_is_chosen_late(lippycat, root, tmp_path):
    """A pipe that may hold next to nothing: all packets are accounted for."""
    packets = demo.build()[0].packets()
    data = files.pcap(packets)
    out = tmp_path / "out.pcap"
    arguments = ["sniff", "voip", "-r", "-", "-u", "alice", "-w", out, "--format", "json", "--hold-bytes", "64KiB"]
    done = lippycat(*arguments, input=data, text=False)
    assert done.returncode in (0, 1), done.stderr
    summary = last_record(done)
    assert summary["in"] == len(packets)
    assert summary["in"] == summary["selected"] + summary["filtered"] + summary["held"] + sum(
        summary["dropped"].values()
    )


def test_law_5_memory_does_not_grow_with_the_file(measured, tmp_path):
    peaks = []
    for calls in (200, 2000):
        capture = tmp_path / f"{calls}.pcap"
        write_large(capture, calls, 2.0)
        run = measured("sniff", "voip", "-r", capture, "-u", "alice", "-w", tmp_path / "out.pcap")
        assert run.status == 0, run.told
        peaks.append(run.mib)
    assert peaks[1] - peaks[0] < 12, peaks


@pytest.mark.parametrize("arguments", [["-w"], ["--format", "json"], ["--format", "csv"]])
def test_law_8_the_same_input_gives_the_same_output(lippycat, root, tmp_path, arguments):
    found = set()
    for number in range(3):
        out = tmp_path / f"{number}.pcap"
        given = [*arguments, out] if arguments == ["-w"] else arguments
        done = lippycat("sniff", "voip", "-r", root / "captures/demo.pcap", "-u", "alice", *given)
        assert done.returncode == 0, done.stderr
        data = out.read_bytes() if arguments == ["-w"] else done.stdout.encode()
        found.add(hashlib.sha256(data).hexdigest())
    assert len(found) == 1


@pytest.fixture
def everybodys(tmp_path_factory):
    """A directory that every user may write; pytest's own are root's alone."""
    with tempfile.TemporaryDirectory(prefix="lippycat-test-") as name:
        path = Path(name)
        path.chmod(0o777)
        yield path


def test_rotation_by_count_of_files_and_size(lippycat, tmp_path, everybodys):
    """-C and -W as tcpdump has them: a ring of files, each of about so many million bytes."""
    capture = tmp_path / "big.pcap"
    write_large(capture, 60, 4.0)
    done = lippycat("sniff", "-r", capture, "-w", everybodys / "out.pcap", "-C", "1", "-W", "3")
    assert done.returncode == 0, done.stderr
    parts = sorted(everybodys.iterdir())
    assert len(parts) == 3
    assert all(part.stat().st_size <= 1_000_000 + 400 for part in parts)
    packets = {packet for part in parts for packet in files.read_pcap(part.read_bytes())}
    whole = files.read_pcap(capture.read_bytes())
    assert packets <= set(whole)
    assert whole[-1] in packets


def test_sip_records_equal_what_tshark_reads(lippycat, root):
    capture = root / "captures/demo.pcap"
    done = lippycat("sniff", "voip", "-r", capture, "--format", "json")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    ours = [(r["frame"], r.get("method") or str(r["status"]), r["call_id"]) for r in records if r["type"] == "sip"]
    names = ("frame.number", "sip.Status-Code", "sip.Method", "sip.Call-ID")
    command = ["tshark", "-n", "-r", capture, "-Y", "sip", "-T", "fields"]
    for name in names:
        command += ["-e", name]
    theirs = []
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    for line in told.stdout.splitlines():
        number, codes, methods, call_ids = line.split("\t")
        what = [word for word in (codes + "," + methods).split(",") if word]
        ids = call_ids.split(",") * (len(what) if "," not in call_ids else 1)
        theirs += [(int(number), word, call_id) for word, call_id in zip(what, ids, strict=True)]
    assert sorted(ours) == sorted(theirs)
