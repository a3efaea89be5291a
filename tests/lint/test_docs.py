"""The documents say what is true: links lead somewhere, every dependency has its reason, no page is stale."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path for path in ROOT.rglob("*.md") if not {".venv", "target", ".git", ".pytest_cache"} & set(path.parts)
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{target} does not exist"


def names(requirements):
    return {re.match(r"[A-Za-z0-9_-]+", line).group().lower() for line in requirements}


def crates():
    """Of the workspace, and of the fuzz targets beside it."""
    workspace = tomllib.loads((ROOT / "dataplane" / "Cargo.toml").read_text())["workspace"]["dependencies"]
    fuzz = tomllib.loads((ROOT / "dataplane" / "fuzz" / "Cargo.toml").read_text())["dependencies"]
    return {name for name in workspace | fuzz if not name.startswith("lc-")}


def dependencies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    helper = tomllib.loads((ROOT / "helper" / "pyproject.toml").read_text())["project"]
    found = names(project["dependencies"]) | names(helper["dependencies"])
    for path in ("build.in", "dev.in"):
        lines = (ROOT / "requirements" / path).read_text().splitlines()
        found |= names(line for line in lines if line and not line.startswith("#"))
    return (found | crates()) - {"lippycat-helper"}


def test_every_dependency_has_its_reason():
    text = (ROOT / "docs" / "dependencies.md").read_text()
    listed = {
        name.strip().lower() for row in re.findall(r"^\| ([^|]+) \| \S", text, re.MULTILINE) for name in row.split(",")
    }
    assert dependencies() - listed == set()
    assert listed - dependencies() == set()


def test_the_reference_is_not_stale():
    command = [sys.executable, "scripts/make_docs.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_lock_files_answer_the_declarations():
    """Each declared dependency is locked; `make lock` resolves them anew."""
    locked = "".join((ROOT / "requirements" / f"{name}.txt").read_text() for name in ("build", "run", "dev"))
    pinned = {name.lower() for name in re.findall(r"^([A-Za-z0-9_.-]+)==", locked, re.MULTILINE)}
    assert dependencies() - crates() - pinned == set()


def test_nothing_of_one_machine_is_in_the_repository():
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in files:
        path = ROOT / name
        if path.suffix in {".md", ".txt", ".py", ".toml", ".sh", ".in", ".rs", ".yaml"} and path.exists():
            found = re.search(re.escape(f"{ROOT}/") + r"|https?://(?:pypi|index|static)\.", path.read_text())
            assert not found, f"{name}: {found.group()}"
