"""The fuzz targets, a few seconds each; LIPPYCAT_FUZZ_SECONDS gives more. `scripts/fuzz.sh` runs them alone."""

from __future__ import annotations

import os
import re
import subprocess


def test_no_target_fails(root):
    seconds = os.environ.get("LIPPYCAT_FUZZ_SECONDS", "3")
    targets = {path.stem for path in (root / "dataplane/fuzz/targets").glob("*.rs")}
    limit = 900 + 2 * len(targets) * int(seconds)
    done = subprocess.run(
        [root / "scripts/fuzz.sh", seconds], capture_output=True, text=True, timeout=limit, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    ran = re.findall(r"^\S+ (\w+) +\d+ s +(\d+) runs", done.stdout, re.MULTILINE)
    assert {name for name, _ in ran} == targets
    assert all(int(runs) > 0 for _, runs in ran), ran
