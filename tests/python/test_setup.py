"""make setup: one run at a time in a checkout."""

from __future__ import annotations

import fcntl
import subprocess
import time


def test_a_second_run_waits_for_the_first(root, tmp_path):
    said = tmp_path / "said"
    with (root / ".setup" / "lock").open("w") as lock, said.open("w") as out:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = subprocess.Popen([root / "scripts" / "setup.sh"], stdout=out, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 30
        while "waiting for it" not in said.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)
        assert second.poll() is None, said.read_text()
        fcntl.flock(lock, fcntl.LOCK_UN)
        assert second.wait(timeout=300) == 0, said.read_text()
    assert [line.split(":")[1].strip() for line in said.read_text().splitlines()] == [
        "another run is at work here",
        "ready",
    ]
