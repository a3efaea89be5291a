"""`make bench`: measure everything side by side, and write a dated result into benchmarks/results/.

The captures come from ../shared/tools/gen_mix.py where it is present (LIPPYCAT_SHARED names another folder), else from
captures/make.py. Each row runs in turns with all others; figures are medians; a control loop runs in each turn.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import rows
from benchmarks.measure import Result, measure
from captures import files
from captures.large import write_large

RESULTS = Path(__file__).resolve().parent / "results"
EXAMPLES: tuple[tuple[str, str, list[str]], ...] = (
    ("lc-io", "bench_read", ["{capture}"]),
    ("lc-io", "bench_write", ["{capture}", "{scratch}"]),
    ("lc-io", "bench_tap", ["{capture}"]),
    ("lc-io", "bench_replay", []),
    ("lc-engine", "bench_follow", ["{capture}", "nobody-is-called-so"]),
    ("lc-proto", "bench_sip", []),
)
"""the loops of the core alone: crate, example, arguments"""
TOOLS = Path(os.environ.get("LIPPYCAT_SHARED", rows.ROOT.parent / "shared")) / "tools"
CALLS = "--calls 2000 --rtp-packets 400 --seed 11 --start-window 4 --target-calls 80 --reinvite 8 --rtp-first 5"


def packets_of(path: Path) -> int:
    """How many packets capinfos counts."""
    told = subprocess.run(["capinfos", "-T", "-M", "-c", "-r", str(path)], check=True, capture_output=True, text=True)
    return int(told.stdout.split()[-1])


def make_calls(scratch: Path) -> rows.Capture:
    """The file of overlapping calls with known truth, by tools/gen_calls.py."""
    path = scratch / "calls.pcap"
    command = [sys.executable, str(TOOLS / "gen_calls.py"), "-o", str(path), "--quiet", *CALLS.split()]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return rows.Capture(path, packets_of(path), "+4930555000777")


def make_capture(scratch: Path, calls: int, seconds: float) -> tuple[rows.Capture, str]:
    """The capture, and how it was made."""
    path = scratch / "bench.pcap"
    if TOOLS.exists():
        arguments = [str(calls), f"{seconds:g}", str(calls * 10)]
        command = [sys.executable, str(TOOLS / "gen_mix.py"), str(path), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return rows.Capture(path, packets_of(path), "*5"), "gen_mix.py " + " ".join(arguments)
    write_large(path, calls, seconds)
    return rows.Capture(path, packets_of(path), "alice"), f"captures.make --big {calls} --seconds {seconds:g}"


def core(scratch: Path, capture: rows.Capture) -> str:
    """What the loops of the core alone print."""
    out = []
    for crate, example, arguments in EXAMPLES:
        command = ["cargo", "run", "-q", "--release", "--locked", "--manifest-path", "dataplane/Cargo.toml"]
        command += ["-p", crate, "--example", example, "--"]
        given = [part.format(capture=capture.path, scratch=scratch) for part in arguments]
        done = subprocess.run([*command, *given], cwd=rows.ROOT, capture_output=True, text=True, check=False)
        shown = [Path(part).name for part in given]
        out.append(f"$ {' '.join([example, *shown])}\n{done.stdout}{done.stderr if done.returncode else ''}")
    return "\n".join(out)


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "kernel": platform.release(),
        "cpus": f"{os.cpu_count()} x {model.group(1) if model else platform.machine()}",
        "python": platform.python_version(),
        "commit": commit.stdout.strip(),
    }


def table(results: list[Result]) -> str:
    """The figures as Markdown."""
    lines = [
        "| | CPU ns/packet | kpps | net CPU ns/packet | net kpps | CPU s | peak MiB |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for result in results:
        if result.error:
            lines.append(f"| {result.name} | could not be measured: {result.error} | | | | | |")
            continue
        found = result.figures()
        net = [f"{found[name]:,.0f}" if name in found else "" for name in ("net_cpu_ns_per_packet", "net_kpps")]
        whole = [f"{found['cpu_ns_per_packet']:,.0f}", f"{found['kpps']:,.0f}"]
        lines.append(f"| {result.name} | {' | '.join(whole + net)} | {found['cpu_s']:.2f} | {found['mib']:.0f} |")
    return "\n".join(lines)


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--times", type=int, default=5, help="runs of each row; figures are medians (%(default)s)")
    parser.add_argument("--only", default="", help="only rows whose name contains this")
    parser.add_argument("--label", default="side-by-side", help="a word for the result's file name")
    given = parser.parse_args()
    root = not os.geteuid()
    with tempfile.TemporaryDirectory(prefix="lippycat-bench-") as name:
        scratch = Path(name)
        scratch.chmod(0o755)
        capture, made = make_capture(scratch, given.calls, given.seconds)
        empty = scratch / "empty.pcap"
        empty.write_bytes(files.pcap([]))
        every = rows.lippycat_rows(capture, empty, scratch, root=root)
        if TOOLS.exists():
            every += rows.whole_call_rows(make_calls(scratch), empty, scratch, root=root)
        every += rows.peer_rows(capture, empty, scratch, root=root)
        chosen = [row for row in every if given.only in row.name]
        results, loop = measure(chosen, given.times)
        alone = "" if given.only else core(scratch, capture)
    today = dt.datetime.now(tz=dt.UTC).date().isoformat()
    about = {**machine(), "capture": f"{made}: {capture.packets} packets", "runs": str(given.times)}
    about["control loop"] = f"{min(loop):.3f} to {max(loop):.3f} CPU s"
    text = [f"# {today}: {given.label}", "", "".join(f"- {key}: {value}\n" for key, value in about.items())]
    text += [
        "Net figures are without the price of starting (the same command on an empty capture).",
        "",
        table(results),
    ]
    if alone:
        text += ["", "## The core alone", "", "```", alone.strip(), "```"]
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{today}-{given.label}"
    path.with_suffix(".md").write_text("\n".join(text) + "\n")
    raw = {
        "about": about,
        "rows": [{"name": r.name, "error": r.error, **(r.figures() if r.runs else {})} for r in results],
    }
    path.with_suffix(".json").write_text(json.dumps(raw, indent=1) + "\n")
    print("\n".join(text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
