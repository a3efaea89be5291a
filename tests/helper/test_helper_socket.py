"""Which socket a namespace's helper listens on."""

from __future__ import annotations

from lippycat_helper import wire
from lippycatd.privileged.vif import service


def test_a_namespace_may_have_a_socket_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(wire, "SOCKET_PATH", str(tmp_path / "helper.sock"))
    assert service("lc-ns") == str(tmp_path / "helper.sock")
    (tmp_path / "helper-lc-ns.sock").touch()
    assert service("lc-ns") == str(tmp_path / "helper-lc-ns.sock")
    assert service("other") == service("") == str(tmp_path / "helper.sock")
