"""Loading: precedence, origins, and what is refused, with its place and the nearest known name."""

from __future__ import annotations

import pytest

from lippycatd import config
from lippycatd.config import later
from lippycatd.errors import ConfigError, NotInThisVersion

FILE = """\
capture:
  read_file: [one.pcap, two.pcap]
  hold_time: 500ms
voip:
  sip_users: [+49123, 0049123, alice]
virtual_interface:
  netns: ""
  mtu: 1500
"""


def load(text="", environ=None, **flags):
    named = {key.replace("__", "."): value for key, value in flags.items()}
    layers = [config.from_file(text, "x.yaml")] if text else []
    return config.build(*layers, config.from_environment(environ or {}), config.from_flags(named))


def test_later_layers_win_and_keep_their_origin():
    environ = {"LIPPYCAT_VIRTUAL_INTERFACE_MTU": "1400", "LIPPYCAT_LOG_LEVEL": "debug"}
    found = load(FILE, environ, capture__hold_time="2s")
    assert found.virtual_interface.mtu == 1400
    assert str(found.origins["virtual_interface.mtu"]) == "LIPPYCAT_VIRTUAL_INTERFACE_MTU"
    assert found.logging.level == "debug"
    assert found.capture.hold_time == 2 * 10**9
    assert str(found.origins["capture.hold_time"]) == "--hold-time"
    assert str(found.origins["capture.read_file"]) == "x.yaml:2"
    assert str(found.origins["virtual_interface.name"]) == "default"
    assert found.virtual_interface.netns == ""


def test_the_canonical_environment_name_wins_over_the_short_one():
    environ = {"LIPPYCAT_LOG_LEVEL": "debug", "LIPPYCAT_LOGGING_LEVEL": "error"}
    assert load(environ=environ).logging.level == "error"


def test_users_are_text_whatever_yaml_makes_of_them():
    assert load(FILE).voip.sip_users == ("+49123", "0049123", "alice")


def test_lists_are_split_at_commas_and_collected():
    assert load(voip__sip_users=["a,b", "c"]).voip.sip_users == ("a", "b", "c")
    assert load(environ={"LIPPYCAT_VOIP_SIP_USERS": "a,b"}).voip.sip_users == ("a", "b")
    assert load(voip__call_ids=["a,b@x"]).voip.call_ids == ("a,b@x",)


def test_the_defaults_of_the_interface():
    found = load()
    assert (found.virtual_interface.name, found.virtual_interface.netns) == ("lc0", "lc-ns")
    assert (found.virtual_interface.mtu, found.virtual_interface.txqueuelen) == (65521, 1000)
    assert found.virtual_interface.buffer_size == 4096
    assert (found.capture.hold_time, found.capture.hold_bytes) == (10 * 10**9, 64 << 20)
    assert (found.run.loop, found.run.count) == (1, 0)
    assert found.logging.stats_interval == 60 * 10**9


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("capture:\n  read_fil: x\n", "x.yaml:2: unknown key capture.read_fil; did you mean capture.read_file?"),
        ("captur:\n  filter: x\n", "x.yaml:2: unknown key captur.filter; did you mean capture.filter?"),
        ("capture: 5\n", "x.yaml:1: capture is a section"),
        ("voip:\n  sip_users: a\n  sip_users: b\n", "x.yaml:3: voip.sip_users stands there twice, first on line 2"),
        ("virtual_interface:\n  netns:\n", "x.yaml:2: virtual_interface.netns has no value"),
        ("virtual_interface:\n  mtu: many\n", "x.yaml:2: virtual_interface.mtu: 'many' must be a whole number"),
        ("virtual_interface:\n  mtu: 70000\n", "x.yaml:2: virtual_interface.mtu: '70000' must be less than or equal"),
        ("virtual_interface:\n  enabled: perhaps\n", "'perhaps' must be true or false"),
        ("output:\n  format: jsn\n", "did you mean json?"),
        ("capture: [\n", "x.yaml:2: not YAML"),
        ("- a\n", "x.yaml:1: must hold sections"),
        ("voip:\n  sip_users: [{a: b}]\n", "x.yaml:2: voip.sip_users takes plain values only"),
        ("run:\n  count: 5\n", "x.yaml:2: unknown key run.count"),
        ("capture:\n  filter: \x07\n", "not YAML"),
        ("a: &a [*a]\n", "x.yaml:1"),
        ("capture: {filter: [a, b]}\n", "x.yaml:1: capture.filter"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(text, line):
    with pytest.raises(ConfigError) as error:
        load(text)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_nothing_in_a_file_is_no_mistake():
    assert load("# only a comment\n") == load("{}\n") == load("---\n")
    assert load("capture: {}\n").capture.filter == ""


@pytest.mark.parametrize("key", [key for item in later.SETTINGS for key in item.keys])
def test_keys_of_later_versions_are_refused_by_name(key):
    section, _, field = key.partition(".")
    text = f"{section}:\n  {field or 'anything'}: x\n"
    with pytest.raises(NotInThisVersion, match=r"x\.yaml:2.*does not have"):
        load(text)
    if field:
        name = f"LIPPYCAT_{section}_{field}".upper()
        with pytest.raises(NotInThisVersion, match=name):
            load(environ={name: "x"})


def test_unknown_names_in_the_environment():
    with pytest.raises(ConfigError, match="did you mean LIPPYCAT_CAPTURE_FILTER"):
        load(environ={"LIPPYCAT_CAPTURE_FILTR": "udp"})
    load(environ={"LIPPYCAT_METRICS_SERVICE_HOST": "10.0.0.1", "LIPPYCAT_METRICS_PORT_80_TCP": "x", "LIPPYCAT_X": "y"})


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("virtual_interface.name", "a/b", "not a name for an interface"),
        ("virtual_interface.name", "x" * 16, "1 to 15 bytes"),
        ("virtual_interface.name", "", "1 to 15 bytes"),
        ("virtual_interface.netns", "../x", "not a name for a network namespace"),
        ("virtual_interface.replay_speed", "nan", "must be"),
        ("metrics.listen", "::1:10469", "brackets"),
        ("metrics.listen", "localhost", "not ADDRESS:PORT"),
        ("metrics.listen", "localhost:70000", "not ADDRESS:PORT"),
        ("capture.protocols", "sip,gopher", "'gopher' is not one of voip, sip, rtp, rtcp"),
        ("capture.protocols", "dns", "this version does not have this value"),
        ("voip.gpu_backend", "cuda", "this version does not have this value"),
        ("voip.sip_users", ["a,,b"], "empty"),
        ("capture.filter", "a\0b", "NUL"),
        ("run.loop", "-1", "greater than or equal to 0"),
    ],
)
def test_a_wrong_value_is_refused(key, value, line):
    on = {"virtual_interface.enabled": True, "virtual_interface.replay_timing": True}
    with pytest.raises(ConfigError) if "version" not in line else pytest.raises(NotInThisVersion) as error:
        config.build(config.from_flags({**on, key: value}))
    assert line in str(error.value)
    assert config.SETTINGS[key].flag in str(error.value)


def test_a_flag_that_could_not_act_is_refused():
    with pytest.raises(ConfigError, match="--vif-mtu does nothing without --virtual-interface"):
        load(virtual_interface__mtu="1500")
    with pytest.raises(ConfigError, match="--metrics-linger does nothing without --metrics-listen"):
        load(metrics__linger="5s")
    assert load("virtual_interface:\n  mtu: 1500\n").virtual_interface.mtu == 1500


def test_sections_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        load().capture.filter = "udp"  # type: ignore[misc]


# The names of the interface's contract: flag, key, default as shown.
CONTRACT = [
    ("--read-file -r", "capture.read_file"),
    ("--filter -f", "capture.filter"),
    ("--protocol", "capture.protocols"),
    ("--hold-time", "capture.hold_time"),
    ("--hold-bytes", "capture.hold_bytes"),
    ("--sipuser -u", "voip.sip_users"),
    ("--call-id", "voip.call_ids"),
    ("--gpu-enable", "voip.gpu_enable"),
    ("--gpu-backend", "voip.gpu_backend"),
    ("--virtual-interface -V", "virtual_interface.enabled"),
    ("--vif-name", "virtual_interface.name"),
    ("--vif-type", "virtual_interface.type"),
    ("--vif-netns", "virtual_interface.netns"),
    ("--vif-buffer-size", "virtual_interface.buffer_size"),
    ("--vif-startup-delay", "virtual_interface.startup_delay"),
    ("--vif-replay-timing", "virtual_interface.replay_timing"),
    ("--vif-replay-speed", "virtual_interface.replay_speed"),
    ("--vif-required", "virtual_interface.required"),
    ("--vif-mtu", "virtual_interface.mtu"),
    ("--vif-txqueuelen", "virtual_interface.txqueuelen"),
    ("--vif-rate-limit", "virtual_interface.rate_limit"),
    ("--vif-rate-burst", "virtual_interface.rate_burst"),
    ("--write-file -w", "output.write_file"),
    ("-C", "output.rotate_size"),
    ("-G", "output.rotate_seconds"),
    ("-W", "output.rotate_count"),
    ("--format", "output.format"),
    ("--log-level", "logging.level"),
    ("--log-format", "logging.format"),
    ("--metrics-listen", "metrics.listen"),
    ("--metrics-linger", "metrics.linger"),
    ("--user", "security.user"),
    ("--count -c", "run.count"),
    ("--loop", "run.loop"),
    ("--quiet -q", "run.quiet"),
]


@pytest.mark.parametrize(("flags", "key"), CONTRACT)
def test_the_contract_of_names(flags, key):
    setting = config.SETTINGS[key]
    assert list(setting.option.flags) == flags.split()
    if setting.option.keyed:
        assert setting.env[0] == "LIPPYCAT_" + key.replace(".", "_").upper()


def test_every_setting_is_described():
    for setting in config.SETTINGS.values():
        assert setting.option.help
        needs = setting.option.needs
        assert not needs or needs in config.SETTINGS


def test_no_name_is_both_here_and_to_come():
    coming = {flag for item in later.SETTINGS for flag in item.flags}
    assert not coming & {flag for item in config.SETTINGS.values() for flag in item.option.flags}
    assert not {key for item in later.SETTINGS for key in item.keys} & set(config.SETTINGS)
