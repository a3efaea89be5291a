"""Every capture of the shared collection: no crash, no hang, all packets counted, SIP messages equal to the truth."""

from __future__ import annotations

import subprocess
import sys

MAY_DIFFER = 10
NOT_ASKED_FOR = {
    # capture: the format or tunnel that is not decoded yet
}


def test_every_capture(shared, root):
    command = [sys.executable, shared / "tools" / "check_records.py", "captures", root / ".venv" / "bin" / "lippycat"]
    command += [shared / "captures", shared / "captures" / "truth"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=900, check=False)
    *lines, figure = done.stdout.splitlines()
    assert figure.endswith("captures equal"), done.stdout + done.stderr
    for line in lines:
        for word in ("hang", "traceback", "not json", "accounting open", "exit -", "no summary"):
            assert word not in line, line
    differing = [line for line in lines if line.split()[0] not in NOT_ASKED_FOR]
    assert len(differing) <= MAY_DIFFER, done.stdout
