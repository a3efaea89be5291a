"""make demo: it agrees with tshark, and it fails when one frame is suppressed."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.usefixtures("privileged")


def demo(root, netns, *arguments):
    command = [sys.executable, "-m", "demo", "--netns", netns, *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=180, check=False)


def test_demo_agrees_with_tshark(root, netns):
    done = demo(root, netns)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The same 1711 frames" in done.stdout
    assert 'lippycat_vif_injected_packets_total{vif="lc0"} 1711' in done.stdout


@pytest.mark.parametrize("frame", [1, 900])
def test_demo_fails_when_one_frame_is_suppressed(root, netns, frame):
    done = demo(root, netns, "--suppress", str(frame))
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"tcpdump saw 1710 frames, tshark names 1711; they part at frame {frame}" in done.stderr
