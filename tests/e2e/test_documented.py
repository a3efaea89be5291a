"""The pages say what is true: commands marked runnable run as written, and every flag that prose names exists."""

from __future__ import annotations

import functools
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted((ROOT / "examples").rglob("*.md"))
MARK = re.compile(r"^<!-- (runnable|not run: .+) -->\n$")
FOREIGN = {
    "--daq": "snort",
    "--device": "podman",
    "--immediate-mode": "tcpdump",
    "--secret": "buildah bud",
    "--strict": "mypy",
    "--value": "systemctl show",
}
"""flags of other programs"""


def blocks():
    """(page, its place, mark or nothing, text) of every block of commands."""
    for page in PAGES:
        lines = page.read_text().splitlines(keepends=True)
        starts = [number for number, line in enumerate(lines) if line == "```sh\n"]
        for start in starts:
            end = lines.index("```\n", start)
            mark = MARK.match(lines[start - 1])
            yield pytest.param(
                mark and mark.group(1), "".join(lines[start + 1 : end]), id=f"{page.relative_to(ROOT)}:{start + 1}"
            )


@pytest.mark.parametrize(("mark", "text"), list(blocks()))
def test_a_block_of_commands_runs_or_says_why_not(mark, text, tmp_path):
    assert mark, "put <!-- runnable --> above it, or <!-- not run: why -->"
    if mark != "runnable":
        return
    place = os.environ | {"PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"}
    script = text.replace("/tmp/", f"{tmp_path}/")
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=ROOT, env=place, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


SOURCES = {
    "lippycatd": "*.py",
    "helper": "*.py",
    "scripts": "*",
    "benchmarks": "*.py",
    "captures": "*.py",
    "demo": "*.py",
    "packaging": "*",
    "container": "*",
    "k8s": "*",
}


@functools.cache
def declared():
    """Every flag that the programs of this checkout name in their source."""
    paths = (path for top, names in SOURCES.items() for path in (ROOT / top).rglob(names) if path.is_file())
    texts = (path.read_text(errors="replace") for path in paths if "__pycache__" not in path.parts)
    return {flag for text in texts for flag in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", text)} | FOREIGN.keys()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_flag_in_prose_exists(page):
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9]", page.read_text()))
    assert named - declared() == set()
