"""The policy: nothing is permitted that no entry names, and refusals name the entry."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lippycat_helper import policy, policy_file, wire
from lippycat_helper.report import HelperError, RefusedError
from lippycat_helper.wire import Kind

FILE = """\
namespace = "lc-ns"

[[peer]]
user = 1000

[[peer]]
group = 2000

[[tap]]
name = "lc*"
count = 2

[[tap]]
name = "lt?"
kind = "tun"
mtu = 1500
txqueuelen = 10
"""


@pytest.fixture
def rules():
    return policy_file.parse(FILE, "helper.toml")


@pytest.mark.parametrize(("uid", "groups"), [(1000, {5}), (7, {5, 2000})])
def test_peers_are_named(rules, uid, groups):
    rules.admit(uid, groups)


@pytest.mark.parametrize(("uid", "groups"), [(0, {0}), (2000, {1000})])
def test_root_too_is_no_peer_unless_named(rules, uid, groups):
    with pytest.raises(RefusedError, match=f"user {uid} is no peer"):
        rules.admit(uid, groups)


def test_an_entry_gives_the_limits(rules):
    assert rules.permit(Kind.TAP, "lc77", "lc-ns").count == 2
    entry = rules.permit(Kind.TUN, "lt1", "lc-ns")
    assert (entry.mtu, entry.txqueuelen, entry.count) == (1500, 10, 1)


@pytest.mark.parametrize(
    ("kind", "name", "netns", "reason"),
    [
        (Kind.TAP, "eth0", "lc-ns", r"\[\[tap\]\] 1 \(line 9\) is for the name 'lc\*'"),
        (Kind.TUN, "lt10", "lc-ns", r"\[\[tap\]\] 2 \(line 13\) is for the name 'lt\?'"),
        (Kind.TUN, "lc0", "lc-ns", r"line 9\) is for tap"),
        (Kind.TAP, "lc0", "other", "^namespace other is another helper's: this one serves namespace lc-ns$"),
        (Kind.TAP, "lc0", "", "^the current namespace is another helper's"),
    ],
)
def test_a_refusal_names_the_line(rules, kind, name, netns, reason):
    with pytest.raises(RefusedError, match=reason):
        rules.permit(kind, name, netns)


def test_an_entry_may_be_for_another_namespace():
    text = FILE + "[[tap]]\nname = 'lc9'\nnamespace = 'other'\n"
    other = policy_file.parse(text, "helper.toml", "other")
    assert other.permit(Kind.TAP, "lc9", "other").where == "helper.toml [[tap]] 3 (line 18)"
    with pytest.raises(RefusedError, match=r"tap lc9 in namespace lc-ns .* \(line 18\) is for namespace other$"):
        policy_file.parse(text.replace('"lc*"', '"lc?x"'), "helper.toml").permit(Kind.TAP, "lc9", "lc-ns")


CAPTURES = (
    FILE
    + """
[[capture]]
interface = "eth*"
filter = [[0x06, 0, 0, 0x40000]]

[[capture]]
interface = "wan?"
any = true
promiscuous = true
filter = [[0x06, 0, 0, 0x40000]]
"""
)


def test_a_capture_is_permitted_by_its_entry():
    rules = policy_file.parse(CAPTURES, "helper.toml")
    assert rules.permit_capture("eth0", promiscuous=False).interface == "eth*"
    assert rules.permit_capture("wan1", promiscuous=True).interface == "wan?"
    assert rules.permit_capture("any", promiscuous=False).any


@pytest.mark.parametrize(
    ("interface", "promiscuous", "reason"),
    [
        (
            "eth0",
            True,
            r"eth0 \(promiscuous\) is not permitted by helper.toml: .*1 \(line 19\) has promiscuous = false",
        ),
        ("wlan0", False, r"2 \(line 23\) is for 'wan\?' and any"),
        ("lc0", False, r"exclude has 'lc\*'"),
    ],
)
def test_a_capture_that_no_entry_permits_is_refused(interface, promiscuous, reason):
    rules = policy_file.parse(CAPTURES, "helper.toml")
    with pytest.raises(RefusedError, match=reason):
        rules.permit_capture(interface, promiscuous=promiscuous)
    with pytest.raises(RefusedError, match=r"it has no \[\[capture\]\]"):
        policy_file.parse(FILE, "helper.toml").permit_capture("eth0", promiscuous=False)


def test_an_empty_policy_permits_nothing():
    empty = policy_file.parse("", "helper.toml")
    with pytest.raises(RefusedError, match=r"has no \[\[tap\]\]"):
        empty.permit(Kind.TAP, "lc0", "lc-ns")
    with pytest.raises(RefusedError):
        empty.admit(0, {0})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("netns = 'x'", "unknown key 'netns'"),
        ("namespace = 'a/b'", "namespace name"),
        ("namespace = 1", "must be a text"),
        ("socket = 'helper.sock'", "absolute path"),
        ("group = 'no-such-group'", "there is no group"),
        ("peer = 'root'", r"write \[\[peer\]\]"),
        ("[[peer]]", "give user or group"),
        ("[[peer]]\nuser = 1\ngroup = 1", "give user or group"),
        ("[[peer]]\nuser = 'no-such-user'", "there is no user"),
        ("[[peer]]\nuser = true", "a name or a number"),
        ("[[peer]]\nuid = 1", "unknown key 'uid'"),
        ("[[tap]]", "name must be a text"),
        ("[[tap]]\nname = 'lc0'\nkind = 'veth'", "kind 'veth' is unknown"),
        ("[[tap]]\nname = 'lc0'\nkind = 'none'", "kind 'none' is unknown"),
        ("[[tap]]\nname = 'lc[01]'", "use '\\*' and '\\?' only"),
        ("[[tap]]\nname = 'a name'", "interface name"),
        ("[[tap]]\nname = 'lc0'\ncount = 0", "count 0"),
        ("[[tap]]\nname = 'lc0'\nmtu = 65522", "MTU 65522"),
        ("[[tap]]\nname = 'lc0'\nmtu = 'big'", "a whole number"),
        ("exclude = 'lc*'", "a list of texts"),
        ("capture_socket = 'x'", "capture_socket must be an absolute path"),
        ("[[capture]]\nfilter = [[6,0,0,1]]", "give interface, a name or pattern, or any = true"),
        ("[[capture]]\ninterface = 'e'", "filter: must be a list of 1 to 2048 instructions"),
        ("[[capture]]\ninterface = 'e'\nfilter = []", "must be a list of 1 to"),
        ("[[capture]]\ninterface = 'e'\nfilter = [[6,0,0]]", "instruction 0 is not"),
        ("[[capture]]\ninterface = 'e'\nfilter = [[6,0,0,-1]]", "instruction 0: k must be a number"),
        ("[[capture]]\ninterface = 'e'\nfilter = [[6,256,0,1]]", "instruction 0: jt must be"),
        ("[[capture]]\ninterface = 'e'\nfilter = [[0x16,0,0,1]]", "constants only"),
        ("[[capture]]\ninterface = 'e'\nfilter = [[0x15,0,1,1],[6,0,0,1]]", "instruction 0 jumps out"),
        ("[[capture]]\ninterface = 'e'\nfilter = [[5,0,0,1],[6,0,0,1]]", "instruction 0 jumps out"),
        ("[[capture]]\ninterface = 'e'\nfilter = [[0x28,0,0,12]]", "the last instruction must return"),
        ("[[capture]]\ninterface = 'e[01]'\nfilter = [[6,0,0,1]]", "use '\\*' and '\\?' only"),
        ("[[capture]]\ninterface = 'e'\nany = 1\nfilter = [[6,0,0,1]]", "any must be true or false"),
        ("[[capture]]\ninterface = 'e'\ncount = 0\nfilter = [[6,0,0,1]]", "count 0"),
        ("[[capture]]\ninterface = 'e'\nsnaplen = 262145\nfilter = [[6,0,0,1]]", "snaplen 262145"),
        ("[[capture]]\ninterface = 'e'\nring_max = 1\nfilter = [[6,0,0,1]]", "ring_max 1"),
        ("[[capture]]\ninterface = 'e'\nsnap = 1\nfilter = [[6,0,0,1]]", r"\[\[capture\]\] 1 \(line 1\): unknown key"),
        ("[[tap]]\nname = 'lc0'\nowner = 1", r"\[\[tap\]\] 1 \(line 1\): unknown key 'owner'"),
    ],
)
def test_what_is_wrong_in_a_policy_is_named(text, reason):
    with pytest.raises(HelperError, match=reason):
        policy_file.parse(text, "helper.toml")


def test_the_example_is_a_policy(root, monkeypatch):
    monkeypatch.setattr("pwd.getpwnam", lambda _: type("user", (), {"pw_uid": 900}))
    monkeypatch.setattr("grp.getgrnam", lambda _: type("group", (), {"gr_gid": 900}))
    rules = policy_file.parse((root / "helper" / "helper.toml.example").read_text(), "example")
    rules.admit(900, set())
    assert rules.permit(Kind.TAP, "lc0", "lc-ns").mtu == wire.MTU_MAX
    assert rules.permit(Kind.TUN, "lt0", "lc-ns").count == 1
    for interface in ("eth0", "any"):
        entry = rules.permit_capture(interface, promiscuous=interface != "any")
        assert (entry.snaplen, len(entry.filter), len(entry.filter_raw)) == (wire.SNAPLEN_MAX, 10, 1)
    with pytest.raises(RefusedError, match=r"capture from lc0 is not permitted by example: exclude has 'lc\*'"):
        rules.permit_capture("lc0", promiscuous=False)


@pytest.fixture
def file(folder):
    if os.geteuid():
        pytest.skip("needs root: the policy must belong to it")
    path = folder / "helper.toml"
    path.write_text(FILE)
    path.chmod(0o644)
    return path


def test_a_file_of_roots_is_read(file):
    assert policy_file.read(str(file)).source == str(file)


def test_a_directory_that_is_mounted_read_only_needs_no_mode(folder, privileged):
    """As Kubernetes mounts a ConfigMap: links in a directory of mode 0777, in a file system that nobody writes."""
    volume, place = folder / "volume", folder / "place"
    (volume / "..data").mkdir(parents=True)
    place.mkdir()
    (volume / "..data/helper.toml").write_text('namespace = "lc-x"\n')
    (volume / "..data/helper.toml").chmod(0o440)
    (volume / "helper.toml").symlink_to("..data/helper.toml")
    volume.chmod(0o777)
    subprocess.run(["mount", "--bind", volume, place], check=True)
    try:
        with pytest.raises(HelperError, match="its directory must belong to root"):
            policy_file.read(str(place / "helper.toml"))
        subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
        assert policy_file.read(str(place / "helper.toml")).netns == "lc-x"
        (volume / "..data/helper.toml").chmod(0o666)
        with pytest.raises(HelperError, match="it must belong to root"):
            policy_file.read(str(place / "helper.toml"))
    finally:
        subprocess.run(["umount", place], check=True)


def change(what, path):
    match what:
        case "group may write":
            path.chmod(0o664)
        case "not root's":
            os.chown(path, 65534, 0)
        case "its directory":
            path.parent.chmod(0o777)
        case "Too many levels":
            path.rename(path.with_suffix(".real"))
            path.symlink_to(path.with_suffix(".real"))
        case "not a regular file":
            path.unlink()
            os.mkfifo(path, 0o644)
        case "No such file":
            path.unlink()
        case "larger than":
            path.write_text("# " + "x" * 70_000)
        case "not valid TOML":
            path.write_bytes(b"\xff = 1")


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("group may write", "it must belong to root and be writable by nobody else"),
        ("not root's", "it must belong to root"),
        ("its directory", "its directory must belong to root"),
        *((same, same) for same in ("Too many levels", "not a regular file", "No such file", "larger than")),
        ("not valid TOML", "not valid TOML"),
    ],
)
def test_a_file_that_others_could_write_is_refused(file, what, reason):
    change(what, Path(file))
    with pytest.raises(HelperError, match=reason):
        policy_file.read(str(file))


def test_the_command_line_permits_one_device():
    rules = policy.one_device("lc-ns", "lc0", Kind.TAP, 1500, 5)
    assert rules.permit(Kind.TAP, "lc0", "lc-ns").mtu == 1500
    with pytest.raises(RefusedError, match="the command line is for the name 'lc0'"):
        rules.permit(Kind.TAP, "lc1", "lc-ns")
