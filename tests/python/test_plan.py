"""What the settings mean together: the plan of a pipeline, and the identity it runs as."""

from __future__ import annotations

import os
import pwd

import pytest

from lippycatd import config
from lippycatd.cli import options, reference, reference_metrics, reference_records, show
from lippycatd.errors import ConfigError, NotPossible, UsageError
from lippycatd.model import records
from lippycatd.sandbox import identity
from lippycatd.topology import graph

READ = {"capture.read_file": ["a.pcap"]}
VIF = {**READ, "virtual_interface.enabled": True}


def plan(flags, *, voip=False, text=""):
    return graph.plan(config.build(config.from_file(text, "x"), config.from_flags(flags)), voip=voip)


@pytest.mark.parametrize(
    ("flags", "records"),
    [
        (READ, "packet"),
        (VIF, None),
        ({**READ, "output.write_file": "x"}, None),
        ({**READ, "run.quiet": True}, None),
        ({**VIF, "output.format": "text"}, "packet"),
        ({**READ, "output.write_file": "x", "output.format": "json"}, "packet"),
        ({**READ, "run.quiet": True, "output.format": "json"}, "packet"),
    ],
)
def test_which_records_are_printed(flags, records):
    assert plan(flags).records == records
    assert plan(flags, voip=True).records == (records and "voip")


def test_a_format_in_the_file_counts_as_given():
    assert plan(VIF, text="output:\n  format: json\n").records == "packet"


def test_the_startup_delay():
    assert plan(READ).startup_delay == 0
    assert plan(VIF).startup_delay == 3 * 10**9
    assert plan({**VIF, "virtual_interface.startup_delay": "0"}).startup_delay == 0


def test_when_the_interface_is_the_only_output():
    assert plan(VIF).only_vif
    assert not plan({**VIF, "output.write_file": "x"}).only_vif
    assert not plan({**VIF, "output.format": "json"}).only_vif
    assert not plan(READ).only_vif


@pytest.mark.parametrize(
    ("flags", "matcher"),
    [
        ({}, "auto"),
        ({"voip.gpu_backend": "cpu-simd"}, "cpu-simd"),
        ({"voip.gpu_backend": "disabled"}, "disabled"),
        ({"voip.gpu_enable": False}, "disabled"),
    ],
)
def test_the_matcher(flags, matcher):
    assert plan({**READ, **flags}).matcher == matcher


def test_what_cannot_be_meant():
    with pytest.raises(UsageError, match="--interface does nothing with --read-file"):
        plan({**READ, "capture.default_interface": "eth0"})
    with pytest.raises(UsageError, match="named twice"):
        plan({"capture.default_interface": "eth0,eth1,eth0"})
    with pytest.raises(UsageError, match="any stands for every interface"):
        plan({"capture.default_interface": "any,eth1"})
    with pytest.raises(UsageError, match="--loop: acts on files"):
        plan({"run.loop": "2"})
    with pytest.raises(UsageError, match="lc0: is the virtual interface of this run"):
        plan({"capture.default_interface": "lc0", "virtual_interface.enabled": True, "virtual_interface.netns": ""})
    with pytest.raises(UsageError, match="standard output"):
        plan({**READ, "output.write_file": "-", "output.format": "json"})


@pytest.fixture
def as_root(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.delenv("SUDO_UID", raising=False)
    users = {"nobody": (65534, "/nonexistent"), "alice": (1000, "/home/alice"), "root": (0, "/root")}

    def entry(name):
        uid, home = users[name]
        return pwd.struct_passwd((name, "x", uid, uid, "", home, "/bin/sh"))

    def by_number(uid):
        return entry(next((name for name, (number, _) in users.items() if number == uid), ""))

    monkeypatch.setattr(pwd, "getpwnam", entry)
    monkeypatch.setattr(pwd, "getpwuid", by_number)
    return users


def test_root_becomes_the_user_behind_sudo_else_lippycat_else_nobody(as_root, monkeypatch):
    assert identity.choose("").name == "nobody"
    as_root["lippycat"] = (990, "/var/lib/lippycat")
    assert identity.choose("").name == "lippycat"
    monkeypatch.setenv("SUDO_UID", "1000")
    found = identity.choose("")
    assert (found.name, found.uid, found.home, found.drop) == ("alice", 1000, "/home/alice", True)
    assert identity.expand("~/x.pcap", found) == "/home/alice/x.pcap"
    assert identity.expand("/x/~", found) == "/x/~"
    monkeypatch.setenv("SUDO_UID", "0")
    assert identity.choose("").name == "lippycat"
    assert identity.choose("nobody").name == "nobody"
    assert identity.choose("1000").name == "alice"


def test_root_never_stays_root(as_root):
    for name in ("root", "0", "none"):
        with pytest.raises(ConfigError, match=f"--user {name}"):
            identity.choose(name)
    del as_root["nobody"]
    with pytest.raises(NotPossible, match="name one with --user"):
        identity.choose("")


def test_without_root_there_is_no_choice(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    assert identity.choose("").drop is False
    with pytest.raises(NotPossible, match="only root"):
        identity.choose("nobody")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it opens a file as another user")
def test_files_below_a_home_are_opened_as_that_user(tmp_path):
    tmp_path.chmod(0o755)
    secret = tmp_path / "secret"
    secret.write_text("text")
    secret.chmod(0o600)
    nobody = identity.Identity("nobody", 65534, 65534, str(tmp_path), drop=True)
    with identity.opening("~/secret", nobody):
        assert (os.geteuid(), os.getgroups()) == (65534, [65534])
        with pytest.raises(PermissionError):
            secret.read_text()
    assert os.geteuid() == 0
    with identity.opening(str(secret), nobody):
        assert secret.read_text() == "text"


def test_flags_that_are_on_or_off_take_true_and_false():
    given = ["sniff", "--gpu-enable=false", "--virtual-interface=true", "--vif-name=true", "--", "--gpu-enable=no"]
    wanted = ["sniff", "--no-gpu-enable", "--virtual-interface", "--vif-name=true", "--", "--gpu-enable=no"]
    assert options.plain_booleans(given) == wanted


def test_only_options_that_can_be_needed_are_prepared():
    some = options.used(["sniff", "-r", "x", "--sipuser=a", "--config", "y", "-w", "-"])
    assert {item.key for item in some} == {"capture.read_file", "voip.sip_users", "output.write_file"}
    assert len(options.used(["sniff", "--help"])) == len(options.used(["-qV"])) == len(config.SETTINGS)


def test_show_config_has_every_key_with_its_origin():
    found = config.build(
        config.from_file("voip:\n  sip_users: alice\n", "x"), config.from_flags({"output.format": "csv"})
    )
    rows = {key: (value, origin) for key, value, origin in show.effective(found)}
    assert set(rows) == {key for key, item in config.SETTINGS.items() if item.option.keyed}
    assert rows["voip.sip_users"] == ("alice", "x:2")
    assert rows["output.format"] == ("csv", "--format")
    assert rows["capture.hold_time"] == ("10s", "default")
    assert rows["capture.hold_bytes"] == ("64MiB", "default")


def test_the_reference_page_names_everything():
    page = reference.page()
    for setting in config.SETTINGS.values():
        for name in (*setting.option.flags, *setting.env):
            assert f"`{name}`" in page


def test_the_pages_of_records_and_metrics_name_everything():
    page = reference_records.page()
    for fields in records.FIELDS.values():
        assert all(f"| `{field}` |" in page for field in fields)
    page = reference_metrics.page()
    for name in ("packets_in_total", "vif_injection_latency_seconds", "calls_active", "build_info", "vif_up"):
        assert f"`lippycat_{name}`" in page
