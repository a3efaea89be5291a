"""The units as they are shipped, and the pages and completions that are generated."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNITS = ROOT / "systemd"
# The exposure level of systemd-analyze security, times ten.
THRESHOLDS = {
    "lippycatd.service": 10,
    "lippycat-relay.service": 14,
    "lippycat-helper-tap@.service": 20,
    "lippycat-helper-capture.service": 20,
    "lippycat-reader@.service": 20,
    "lippycat-egress@.service": 20,
}


@pytest.mark.parametrize("unit", THRESHOLDS)
def test_the_exposure_of_a_unit(unit):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze (apt-get install systemd)")
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={THRESHOLDS[unit]}"]
    done = subprocess.run([*command, UNITS / unit], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr
    assert "Overall exposure level" in done.stdout


def test_every_unit_with_a_sandbox_is_measured():
    serving = {path.name for path in UNITS.glob("*.service") if "ProtectSystem" in path.read_text()}
    assert serving == set(THRESHOLDS)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The generated pages."""
    directory = tmp_path_factory.mktemp("pages")
    command = [sys.executable, ROOT / "scripts" / "make_pages.py", directory]
    subprocess.run(command, check=True, timeout=120)
    return directory


def test_man_pages_have_no_warnings(pages):
    if shutil.which("man") is None:
        pytest.skip("needs man (apt-get install man-db)")
    made = {path.name for path in pages.glob("*.[158]")}
    assert {
        "lippycat.1",
        "lippycat-sniff.1",
        "lippycat-doctor.1",
        "lippycatd.8",
        "lippycat-relay.8",
        "lippycatd.yaml.5",
    } <= made
    for page in sorted(pages.glob("*.[158]")):
        if page.read_text().startswith(".so "):
            continue
        done = subprocess.run(
            ["man", "--warnings", "-l", page], capture_output=True, text=True, timeout=60, check=False,
            env={"MANWIDTH": "100", "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), page.name
        assert "EXIT STATUS" in done.stdout or page.suffix == ".5"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("lippycat ", {"sniff", "doctor", "debug"}),
        ("lippycat debug ", {"metrics", "sandbox"}),
        ("lippycat debug sandbox --role ", {"capture", "daemon", "relay"}),
        ("lippycat sniff voip --virt", {"--virtual-interface"}),
        ("lippycat sniff --vif-type ", {"tap", "tun"}),
    ],
)
def test_bash_completes(pages, line, expected):
    script = (
        'source "$1"; COMP_WORDS=($2); [[ "$2" == *" " ]] && COMP_WORDS+=(""); '
        'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _lippycat; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", pages / "lippycat.bash", line],
        capture_output=True, text=True, timeout=20, check=True,
    )  # fmt: skip
    assert expected <= set(done.stdout.split())
    assert done.stderr == ""
