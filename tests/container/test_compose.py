"""container/compose.yaml: one host, started in the order and on the conditions that it names."""

from __future__ import annotations

import re
import subprocess
from collections import Counter

import pytest
import yaml
from compose_kit import FILE, Stack, services
from engine_kit import ROOT, status, until
from test_pod import HOST, NETNS, Reader, place, send, wanted

__all__ = ["place", "wanted"]  # fixtures


def test_it_says_what_each_may_do():
    held = {name: set(s.get("cap_add", [])) for name, s in services().items()}
    assert held == {
        "node": set(), "egress": {"NET_ADMIN"}, "helper-tap": {"SYS_ADMIN", "NET_ADMIN"},
        "helper-capture": {"NET_RAW"}, "lippycatd": set(),
    }  # fmt: skip
    version = re.search(r'^version = "(.+)"', (ROOT / "dataplane/Cargo.toml").read_text(), re.MULTILINE)[1]
    for name, service in services().items():
        assert service["read_only"] is True
        assert service["image"].endswith(f":{version}")
        assert service.get("privileged", False) == (name == "node")
        if name != "node":
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]
        if name in {"helper-tap", "helper-capture", "lippycatd"}:
            assert service["healthcheck"]["test"][0] == "CMD"
            assert "mem_limit" in service


@pytest.fixture
def stack(engine, images, place, tmp_path):
    config = yaml.safe_load((FILE.parent / "lippycatd.yaml").read_text())
    config["capture"]["default_interface"] = "a0"
    config["voip"] = {"sip_users": ["alice"]}
    path = tmp_path / "lippycatd.yaml"
    path.write_text(yaml.safe_dump(config))
    path.chmod(0o644)
    made = Stack(engine, images, {"host": f"ns:/run/netns/{HOST}", "default": "none"}, path)
    made.down()
    try:
        made.up()
        yield made
    finally:
        made.down()
        subprocess.run(["ip", "netns", "delete", NETNS], check=False, capture_output=True)


def test_it_comes_up_and_shows_the_selected_frames(stack, engine, wanted, tmp_path):
    assert until(lambda: stack.healthy("lippycatd"), 30), stack.said("lippycatd")
    pid = engine.inspect(stack.name("lippycatd"))["State"]["Pid"]
    said = status(pid)
    assert (said["CapPrm"], said["CapBnd"], said["Seccomp"], said["NoNewPrivs"]) == ("0" * 16, "0" * 16, "2", "1")
    reader = Reader(tmp_path)
    send()
    assert Counter(reader.settled(len(wanted))) == Counter(wanted)
    reader.stop()
    engine.podman("kill", "--signal", "STOP", stack.name("helper-tap"))
    assert not stack.healthy("helper-tap")
    engine.podman("kill", "--signal", "CONT", stack.name("helper-tap"))
    assert stack.healthy("helper-tap")
