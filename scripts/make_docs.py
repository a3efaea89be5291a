"""`make docs`: write docs/reference/ anew from the code; with `--check`, fail where a page is stale."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"
PAGES = {
    "configuration.md": "lippycatd.cli.reference",
    "metrics.md": "lippycatd.cli.reference_metrics",
    "records.md": "lippycatd.cli.reference_records",
}
"""page: the module that prints it"""


def main(arguments: list[str]) -> int:
    """Write the pages, or check them."""
    stale = 0
    for name, module in PAGES.items():
        made = subprocess.run([sys.executable, "-m", module], check=True, capture_output=True, text=True).stdout
        path = REFERENCE / name
        if "--check" not in arguments:
            path.write_text(made)
        elif not path.exists() or path.read_text() != made:
            print(f"{path.relative_to(REFERENCE.parent.parent)} is stale: run make docs", file=sys.stderr)
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
