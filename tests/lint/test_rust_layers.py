"""The crates' one-way line: py -> engine -> proto -> wire, py -> io -> wire; and what each may not contain."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

DATAPLANE = Path(__file__).resolve().parents[2] / "dataplane"
ALLOWED = {
    "wire": set(),
    "proto": {"lc-wire"},
    "engine": {"lc-wire", "lc-proto"},
    "io": {"lc-wire"},
    "py": {"lc-wire", "lc-proto", "lc-engine", "lc-io"},
}
PURE = ("wire", "proto", "engine")
MAY_BE_UNSAFE = ("io", "py")


def manifest(crate):
    return tomllib.loads((DATAPLANE / crate / "Cargo.toml").read_text())


def dependencies(crate):
    read = manifest(crate)
    tables = [read, *read.get("target", {}).values()]
    return {name for table in tables for name in table.get("dependencies", {})}


def code(crate):
    for path in sorted((DATAPLANE / crate).rglob("*.rs")):
        if "target" not in path.parts:
            yield path, re.sub(r"//[^\n]*", "", path.read_text())


def test_every_crate_is_listed():
    members = tomllib.loads((DATAPLANE / "Cargo.toml").read_text())["workspace"]["members"]
    assert set(members) == set(ALLOWED)


@pytest.mark.parametrize("crate", ALLOWED)
def test_crates_import_one_way(crate):
    own = {name for name in dependencies(crate) if name.startswith("lc-")}
    assert own <= ALLOWED[crate], f"dataplane/{crate} must not depend on {own - ALLOWED[crate]}"


@pytest.mark.parametrize("crate", [crate for crate in ALLOWED if crate != "py"])
def test_only_py_knows_python(crate):
    assert "pyo3" not in dependencies(crate)


@pytest.mark.parametrize("crate", PURE)
def test_pure_crates_forbid_unsafe_code(crate):
    assert "#![forbid(unsafe_code)]" in (DATAPLANE / crate / "src" / "lib.rs").read_text()


@pytest.mark.parametrize("crate", PURE)
def test_pure_crates_do_no_input_and_no_output(crate):
    for path, text in code(crate):
        if "/src/" in str(path):
            found = re.findall(r"\bstd::(?:fs|process|thread|env|net::(?:Tcp|Udp))\b", text)
            assert not found, f"{path.relative_to(DATAPLANE)} uses {found}"


@pytest.mark.parametrize("crate", MAY_BE_UNSAFE)
def test_unsafe_code_says_why(crate):
    for path in sorted((DATAPLANE / crate / "src").rglob("*.rs")):
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            if re.search(r"\bunsafe\s*(\{|impl)", line.split("//")[0]):
                above = "\n".join(lines[max(0, number - 8) : number + 1])
                assert "SAFETY:" in above, f"{path.relative_to(DATAPLANE)}:{number + 1}: unsafe without a reason"
