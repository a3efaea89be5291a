"""Several pipelines of one file, every mistake of it, and what a reload changes."""

from __future__ import annotations

import dataclasses

import pytest

from lippycatd import config
from lippycatd.config import pipelines
from lippycatd.errors import ConfigError

FILE = """\
capture:
  hold_time: 2s
logging:
  level: debug
pipelines:
  - name: edge
    capture: {read_file: a.pcap}
    voip: {sip_users: alice}
  - name: core
    capture:
      read_file: b.pcap
      hold_time: 3s
"""


def read(text, *others):
    return pipelines.read(text, "x.yaml", *others)


def test_pipelines_share_flat_sections_and_what_wins_over_the_file():
    found = read(FILE, config.from_environment({"LIPPYCAT_CAPTURE_HOLD_BYTES": "1MiB"}))
    assert (list(found.configs), found.named) == (["edge", "core"], True)
    edge, core = found.configs.values()
    assert (edge.capture.hold_time, core.capture.hold_time) == (2 * 10**9, 3 * 10**9)
    assert (edge.voip.sip_users, core.voip.sip_users) == (("alice",), ())
    assert {edge.capture.hold_bytes, core.capture.hold_bytes} == {1 << 20}
    assert found.common.logging.level == "debug"
    assert str(core.origins["capture.read_file"]) == "x.yaml:11"


def test_flat_sections_are_one_pipeline():
    found = read("capture: {read_file: a.pcap}\n")
    assert (list(found.configs), found.named) == (["main"], False)
    assert config.from_file("pipelines: [{name: x, capture: {filter: udp}}]", "x.yaml")["capture.filter"][0] == "udp"
    with pytest.raises(ConfigError, match=r"x\.yaml:9: describes 2 pipelines"):
        config.from_file(FILE, "x.yaml")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("pipelines: 5\n", "x.yaml:1: pipelines takes a list"),
        ("pipelines: []\n", "x.yaml:1: pipelines takes a list"),
        ("voip:\n  sip_users: a\npipelines:\n - 5\n", "x.yaml:4: a pipeline must hold a name"),
        ("pipelines:\n - capture: {filter: udp}\n", "x.yaml:2: a pipeline needs a name"),
        ("pipelines:\n - name: a b\n", "x.yaml:2: a pipeline needs a name"),
        ("pipelines:\n - name: a\n - name: a\n", "x.yaml:3: two pipelines are called a"),
        ("pipelines:\n - name: a\n   logging:\n     level: info\n", "x.yaml:4: logging.level is shared by all"),
        ("pipelines:\n - name: a\n   voip:\n     sip_user: x\n", "x.yaml:4: unknown key voip.sip_user; did you mean"),
        ("pipelines: [{name: a}]\npipelines: [{name: b}]\n", "x.yaml:2: pipelines stands there twice"),
    ],
)
def test_mistakes_in_pipelines_have_their_place(text, line):
    with pytest.raises(ConfigError) as told:
        read(text)
    assert str(told.value).startswith(line)


def test_every_mistake_is_told():
    text = "voip:\n  sip_user: a\nlogging:\n  level: loud\n  stats_interval: often\nvirtual_interface:\n  mtu: 1\n"
    found = []
    pipelines.read(text, "x.yaml", complain=lambda error: found.append(str(error)))
    assert [line.partition(" ")[0] for line in found] == ["x.yaml:2:", "x.yaml:7:", "x.yaml:4:", "x.yaml:5:"]


def test_a_diff_names_what_is_hot_and_what_needs_a_restart():
    before = read(FILE)
    assert not config.diff(before, read(FILE))
    hot = config.diff(before, read(FILE.replace("alice", "bob").replace("debug", "info")))
    assert hot.refusal == ""
    assert hot.keys() == ["voip.sip_users", "logging.level"]
    change = hot.of("edge")["voip.sip_users"]
    assert (change.old, change.new, change.where, change.hot) == (("alice",), ("bob",), "x.yaml:8", True)
    assert list(hot.of("core")) == ["logging.level"]
    cold = config.diff(before, read(FILE.replace("alice", "bob").replace("b.pcap", "c.pcap")))
    assert cold.refusal == "x.yaml:11: capture.read_file needs a restart; nothing was changed"
    gone = config.diff(before, read(FILE.replace("capture:\n  hold_time: 2s\n", "")))
    assert gone.refusal == "x.yaml:2 (now gone): capture.hold_time needs a restart; nothing was changed"
    less = config.diff(before, read(FILE[: FILE.index("  - name: core")]))
    assert less.refusal == "pipeline core is gone: this needs a restart; nothing was changed"
    assert config.diff(read(FILE[: FILE.index("  - name: core")]), before).refusal.startswith("pipeline core is new")
    with pytest.raises(dataclasses.FrozenInstanceError):
        hot.changes = ()


def test_what_is_hot():
    """The contract's list: targets, filter, rate, level, and the sinks that come and go."""
    keys = {key for key, setting in config.SETTINGS.items() if setting.option.hot}
    assert {"voip.sip_users", "voip.call_ids", "capture.filter", "logging.level", "output.write_file"} <= keys
    assert {"virtual_interface.rate_limit", "virtual_interface.rate_burst", "virtual_interface.enabled"} <= keys
    assert not {"capture.read_file", "virtual_interface.name", "metrics.listen", "security.user"} & keys
