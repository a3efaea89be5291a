"""`make test`: run every test, show each runner's own output, and count.

Runs `cargo test` over the workspace and pytest over tests/ (lint among them), prints the closing line of each and at
the end one plain line: `N passed, N failed, N skipped`. Ends with 0 only if both did. Arguments go to pytest.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CARGO = ["cargo", "test", "--manifest-path", "dataplane/Cargo.toml", "--workspace", "--locked"]
PYTEST = [sys.executable, "-m", "pytest", "-ra", "--durations=15", "tests"]


@dataclass
class Count:
    """How the tests of one runner ended."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    lines: list[str] = field(default_factory=list)

    def add(self, other: Count) -> None:
        """Sum up with another runner's count."""
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.lines += other.lines


def count_cargo(output: list[str]) -> Count:
    """Add up the `test result:` lines of a `cargo test`."""
    total = Count()
    for line in output:
        found = re.match(r"test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", line)
        if found:
            passed, failed, ignored = map(int, found.groups())
            total.add(Count(passed, failed, ignored))
    word = "FAILED" if total.failed else "ok"
    total.lines = [f"test result: {word}. {total.passed} passed; {total.failed} failed; {total.skipped} ignored"]
    return total


def count_pytest(output: list[str]) -> Count:
    """Read the last summary line of a pytest run."""
    closing = next((line for line in reversed(output) if re.match(r"=+ .* in [\d.]+s.*=+$", line)), "")

    def number(*words: str) -> int:
        return sum(int(n) for word in words for n in re.findall(rf"(\d+) {word}\b", closing))

    return Count(
        number("passed", "xfailed"), number("failed", "error", "errors", "xpassed"), number("skipped"), [closing]
    )


def run(name: str, command: list[str]) -> tuple[int, list[str]]:
    """Run a command with its output shown as it comes; its exit status and its lines."""
    print(f"== {name}: {' '.join(command)}", flush=True)
    began = time.monotonic()
    output: list[str] = []
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            output.append(line.rstrip("\n"))
    print(f"== {name}: exit {process.returncode} after {time.monotonic() - began:.0f} s", flush=True)
    return process.returncode, output


def main(arguments: list[str]) -> int:
    """Run both runners and print the sums."""
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    total = Count()
    worst = 0
    for name, command, count in (
        ("cargo test", CARGO, count_cargo),
        ("pytest", PYTEST + arguments, count_pytest),
    ):
        status, output = run(name, command)
        result = count(output)
        if status and not result.failed:
            result.failed = 1  # it did not even come to its tests
        worst = worst or status
        total.add(result)
    print("\n".join(total.lines))
    print(f"{total.passed} passed, {total.failed} failed, {total.skipped} skipped", flush=True)
    return 1 if worst else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
