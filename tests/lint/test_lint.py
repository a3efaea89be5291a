"""Formatting, types, stubs and import contracts of both languages: each is a test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
MANIFEST = ["--manifest-path", "dataplane/Cargo.toml"]
PYTHON = ["captures", "demo", "helper", "lippycatd", "monitoring", "scripts", "benchmarks", "tests", "examples"]
TYPED = ["captures", "demo", "benchmarks", "monitoring", "scripts/run_tests.py"]

CHECKS = {
    "ruff": [BIN / "ruff", "check", *PYTHON],
    "ruff-format": [BIN / "ruff", "format", "--check", *PYTHON],
    "mypy": [BIN / "mypy"],
    "mypy-helper": [BIN / "mypy", "--config-file", "helper/pyproject.toml", "helper/lippycat_helper"],
    "mypy-programs": [BIN / "mypy", *TYPED],
    "stubtest": [BIN / "stubtest", "lippycatd._dataplane"],
    "imports": [BIN / "lint-imports", "--no-cache"],
    "rustfmt": ["cargo", "fmt", *MANIFEST, "--all", "--check"],
    "clippy": ["cargo", "clippy", *MANIFEST, "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
    "captures": [sys.executable, "-m", "captures.make", "--check"],
}


@pytest.mark.parametrize("name", CHECKS)
def test_lint(name):
    command = [str(part) for part in CHECKS[name]]
    assert shutil.which(command[0]), f"{command[0]} is missing: make setup installs it"
    environment = {**os.environ, "MYPYPATH": str(ROOT / "helper")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
