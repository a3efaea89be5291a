"""The end of the package in the booted Debian, after all that ran in it (modules run in the order of their names)."""

from __future__ import annotations


def test_it_is_removed_without_a_trace(installed):
    installed.run("dpkg", "-P", "lippycat")
    for path in ("usr/lib/lippycat", "etc/lippycat", "var/lib/lippycat", "var/log/lippycat"):
        assert not (installed.root / path).exists(), path
    shown = installed.run("systemctl", "list-units", "--plain", "--no-legend", "--type=service,socket").stdout
    assert "lippycat" not in shown
