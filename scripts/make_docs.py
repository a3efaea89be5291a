"""`make docs`: write the reference pages and the dashboard anew from the code; `--check` fails where one is stale."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    "docs/reference/configuration.md": "lippycatd.cli.reference",
    "docs/reference/metrics.md": "lippycatd.cli.reference_metrics",
    "docs/reference/records.md": "lippycatd.cli.reference_records",
    "monitoring/grafana/lippycat.json": "monitoring.dashboard",
}
"""page: the module that prints it"""


def main(arguments: list[str]) -> int:
    """Write the pages, or check them."""
    stale = 0
    for name, module in PAGES.items():
        command = [sys.executable, "-m", module]
        made = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        path = ROOT / name
        if "--check" not in arguments:
            path.write_text(made)
        elif not path.exists() or path.read_text() != made:
            print(f"{name} is stale: run make docs", file=sys.stderr)
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
