"""Runs every folder of tests/cases/: case.yaml says what to run and what must come out.

Keys of case.yaml: `about`; `captures` (one run each) or `merge` (one run with all); `through` (how the capture reaches
the command: `file`, `pipe`, `gzip`, `zstd`); `runs` (list of argument lists; each is a run); `exit`; `frames` (the file
with the numbers of the frames that must be written) or `frames_by` (a program that writes the expected capture: its
arguments, with {capture}, {root} and {out}; `ties: any` where packets of the same time may change places); `free`
(frames that may or may not be kept); `order: any` (a pipe keeps the order within a call only); `stderr` (patterns that
must be found); `summary` (items of the last record). Law 1 is checked in each run.
"""

from __future__ import annotations

import gzip
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from captures import files

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
KEYS = {"about", "captures", "merge", "through", "runs", "exit", "stderr", "summary"}
KEYS |= {"frames", "free", "order", "frames_by", "ties"}


def load(folder):
    case = yaml.safe_load((folder / "case.yaml").read_text())
    assert set(case) <= KEYS, f"{folder.name}: unknown keys {set(case) - KEYS}"
    assert (folder / "README.md").exists(), f"{folder.name}: README.md says where the capture comes from"
    return case


def runs():
    for folder in sorted(path.parent for path in HERE.glob("*/case.yaml")):
        case = load(folder)
        inputs = [case["merge"]] if "merge" in case else [[name] for name in case["captures"]]
        for names in inputs:
            for number, arguments in enumerate(case["runs"]):
                label = "+".join(Path(name).name for name in names)
                yield pytest.param(folder, case, names, arguments, id=f"{folder.name}-{label}-{number}")


def numbers(path):
    """The numbers of a file of ranges; # begins a remark."""
    found = set()
    for line in path.read_text().splitlines():
        text = line.partition("#")[0].strip()
        if text:
            first, _, last = text.partition("-")
            found.update(range(int(first), int(last or first) + 1))
    return found


def packed(path, through, scratch):
    """The capture as the command gets it: a path, or bytes for its standard input."""
    if through == "file":
        return path, None
    if through == "gzip":
        packed_file = scratch / "input.gz"
        packed_file.write_bytes(gzip.compress(path.read_bytes()))
        return packed_file, None
    if through == "zstd":
        packed_file = scratch / "input.zst"
        subprocess.run(["zstd", "-q", "-f", path, "-o", packed_file], check=True)
        return packed_file, None
    assert through == "pipe", f"through: {through}"
    return "-", path.read_bytes()


def frames_of(path, scratch):
    """All frames of a capture in any format, as (time in ns, bytes), up to where it is damaged; editcap reads it."""
    plain = scratch / "plain.pcap"
    subprocess.run(["editcap", "-F", "nsecpcap", path, plain], capture_output=True, check=False)
    return files.read_pcap(plain.read_bytes())


def check_law_one(summary):
    out = summary["selected"] + summary["filtered"] + summary["held"] + sum(summary["dropped"].values())
    assert summary["in"] == out, summary
    for name, sink in summary["sinks"].items():
        assert sink["offered"] == sink["written"] + sink["queued"] + sum(sink["dropped"].values()), (name, sink)


@pytest.mark.parametrize(("folder", "case", "names", "arguments"), list(runs()))
def test_case(folder, case, names, arguments, lippycat, tmp_path):
    out = tmp_path / "out.pcap"
    sources, data = [], None
    for name in names:
        source, data = packed(ROOT / name, case.get("through", "file"), tmp_path)
        sources += ["-r", source]
    done = lippycat(*arguments, *sources, "-w", out, "--format", "json", text=False, input=data or b"")
    told = done.stderr.decode(errors="replace")
    assert done.returncode == case.get("exit", 0), told
    assert "Traceback" not in told, told
    for pattern in case.get("stderr", []):
        assert re.search(pattern, told), f"{pattern!r} is not in: {told}"
    records = [json.loads(line) for line in done.stdout.splitlines()]
    summary = records[-1]
    assert summary["type"] == "summary"
    check_law_one(summary)
    for key, value in case.get("summary", {}).items():
        assert summary[key] == value, summary
    if "frames" in case:
        check_numbers(folder, case, frames_of(ROOT / names[0], tmp_path), frames_of(out, tmp_path))
    if "frames_by" in case:
        wanted = tmp_path / "wanted.pcap"
        places = {"capture": ROOT / names[0], "out": wanted, "root": ROOT}
        command = [part.format(**places) for part in case["frames_by"]]
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
        check_same(case, frames_of(out, tmp_path), frames_of(wanted, tmp_path))


def check_same(case, kept, wanted):
    """The same packets in the same order; with `ties: any` those of the same time may change places."""
    if case.get("ties") == "any":
        assert [ts for ts, _ in kept] == [ts for ts, _ in wanted]
        kept, wanted = sorted(kept), sorted(wanted)
    assert kept == wanted


def check_numbers(folder, case, original, kept):
    """The frames that were kept are those of the list, in the capture's order unless `order: any`."""
    free = numbers(folder / case["free"]) if "free" in case else set()
    wanted = sorted(numbers(folder / case["frames"]) - free)
    by_packet = {packet: number for number, packet in enumerate(original, 1)}
    assert len(by_packet) == len(original)
    found = [by_packet[packet] for packet in kept]
    if case.get("order") == "any":
        found.sort()
    assert [number for number in found if number not in free] == wanted
