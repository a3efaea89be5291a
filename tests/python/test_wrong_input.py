"""Wrong input ends before anything happens: one line on standard error that says what and where, and the status."""

from __future__ import annotations

import os

import pytest

from lippycatd import cli, sandbox
from lippycatd.topology import graph

USAGE, NOT_HERE = 2, 3
FILE = "call.pcap"
CASES = [
    # what the command line says
    (USAGE, "sniff -r FILE --no-such-flag", "--no-such-flag"),
    (USAGE, "sniff -r FILE --vif-nam x", "--vif-name"),
    (USAGE, "snuff", "Did you mean 'sniff'"),
    (USAGE, "sniff -r FILE sideways", "sideways"),
    (USAGE, "sniff -r", "-r"),
    (USAGE, "sniff -r FILE --count many", "--count: 'many' must be a whole number"),
    (USAGE, "sniff -r FILE --count -1", "--count: '-1' must be greater than or equal to 0"),
    (USAGE, "sniff -r FILE --hold-time ten", "--hold-time: 'ten' is not a duration"),
    (USAGE, "sniff -r FILE --hold-bytes 64Foo", "--hold-bytes: '64Foo' is not a size"),
    (USAGE, "sniff -r FILE --hold-bytes 1", "--hold-bytes"),
    (USAGE, "sniff -r FILE --protocol gopher", "'gopher' is not one of voip, sip, rtp, rtcp"),
    (USAGE, "sniff -r FILE --protocol dns", "dns: this version does not have"),
    (USAGE, "sniff -r FILE --format xml", "'xml' is not one of text, json, csv"),
    (USAGE, "sniff -r FILE --gpu-backend cuda", "cuda: this version does not have"),
    (USAGE, "sniff -r FILE --gpu-backend cpu-simd --no-gpu-enable", "needs --gpu-enable"),
    (USAGE, "sniff -r FILE --gpu-enable=perhaps", "--gpu-enable"),
    (USAGE, "sniff -r FILE --log-level loud", "'loud' is not one of debug, info, warning, error"),
    (USAGE, "sniff -r FILE --vif-mtu 1500", "--vif-mtu does nothing without --virtual-interface"),
    (USAGE, "sniff -r FILE -V --vif-mtu 70000", "--vif-mtu: '70000' must be less than or equal to 65521"),
    (USAGE, "sniff -r FILE -V --vif-type tape", "'tape' is not one of tap, tun"),
    (USAGE, "sniff -r FILE -V --vif-name a/b", "'a/b' is not a name for an interface"),
    (USAGE, "sniff -r FILE -V --vif-name sixteen-letters-", "1 to 15 bytes"),
    (USAGE, "sniff -r FILE -V --vif-netns ../x", "'../x' is not a name for a network namespace"),
    (USAGE, "sniff -r FILE -V --vif-replay-timing --vif-replay-speed 0", "--vif-replay-speed: '0' must be greater"),
    (USAGE, "sniff -r FILE -V --vif-replay-speed 2", "does nothing without --vif-replay-timing"),
    (USAGE, "sniff -r FILE --metrics-listen nowhere", "'nowhere' is not ADDRESS:PORT"),
    (USAGE, "sniff -r FILE --metrics-listen ::1:99", "brackets"),
    (USAGE, "sniff -r FILE -C 5", "-C does nothing without --write-file"),
    (USAGE, "sniff -r FILE -w x -W 5", "-W does nothing without -C or -G"),
    (USAGE, "sniff -r FILE -w - -C 5", "standard output cannot be rotated"),
    (USAGE, "sniff -r FILE -w - --format json", "both want standard output"),
    (USAGE, "sniff -r - -r -", "standard input can be read only once"),
    (USAGE, "sniff -r FILE --filter udp&port", "filter 'udp&port': syntax error"),
    (USAGE, "sniff voip -r FILE --sipuser=", "--sipuser: holds an empty value"),
    (USAGE, "sniff voip -r FILE --user no-such-user", "no-such-user"),
    (USAGE, "sniff -r FILE --user root", "root"),
    # what a later version will have
    (USAGE, "sniff -p", "--promiscuous: needs an interface"),
    (USAGE, "sniff -i a/b", "'a/b' is not a name for an interface"),
    (USAGE, "sniff -r FILE -i eth0", "--interface does nothing with --read-file"),
    (USAGE, "sniff -r FILE --promiscuous", "--promiscuous does nothing with --read-file"),
    (USAGE, "sniff voip -r FILE --tcp-max-goroutines=4", "--tcp-max-workers does nothing with --read-file"),
    (USAGE, "sniff voip -r FILE --linked", "--linked: this version does not have"),
    (USAGE, "hunt --processor x:1", "hunt: this version does not have"),
    (USAGE, "debug sandbox --role root", "is not one of"),
    # names of files
    (NOT_HERE, "sniff -r none.pcap", "--read-file: none.pcap: no such file"),
    (NOT_HERE, "sniff -r FILE/none.pcap", "no such file"),
    (NOT_HERE, "sniff -r .", "is a directory, not a capture file"),
    (NOT_HERE, "sniff -r /dev/zero", "is a device, not a capture file"),
    (NOT_HERE, "sniff -r FILE -w none/out.pcap", "its directory does not exist"),
    (NOT_HERE, "sniff -r FILE -w .", "is a directory"),
    (NOT_HERE, "sniff -r FILE -w link.pcap", "is a symbolic link"),
    (USAGE, "sniff -r FILE -w FILE", "is also read"),
    (USAGE, "sniff -r FILE --config none.yaml", "--config: none.yaml: no such file"),
    (USAGE, "sniff -r FILE --config FILE", "call.pcap: not a text file"),
    (USAGE, "sniff --config wrong.yaml", "wrong.yaml:2: unknown key voip.sip_user; did you mean voip.sip_users?"),
    # what is not here
    (NOT_HERE, "sniff -r FILE --metrics-listen 192.0.2.1:9", "Cannot assign requested address"),
    (NOT_HERE, "debug metrics --socket none.sock", "none.sock"),
    (USAGE, "debug metrics --url ftp://x", "is not http://"),
    (USAGE, "policy compile nonsense", "filter 'nonsense': syntax error"),
    (USAGE, "policy compile udp --link-type 5", "link type 5"),
]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A directory with a capture, a link and a wrong configuration; nothing may get as far as the lock."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in list(os.environ):
        if name.startswith("LIPPYCAT_"):
            monkeypatch.delenv(name)
    (tmp_path / FILE).write_bytes(b"\xd4\xc3\xb2\xa1\xff")
    (tmp_path / "link.pcap").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "wrong.yaml").write_text("voip:\n  sip_user: alice\n")
    monkeypatch.setattr(sandbox, "enter", lambda *_, **__: pytest.fail("it got as far as the lock"))
    return tmp_path


@pytest.mark.parametrize(("status", "command", "line"), CASES, ids=[command for _, command, _ in CASES])
def test_one_line_and_the_status(place, capfd, status, command, line):
    assert cli.run([word.replace("FILE", FILE) for word in command.split()]) == status
    out, err = capfd.readouterr()
    assert line in err
    assert err.startswith("lippycat: ")
    assert err.count("\n") == 1
    assert out == ""
    assert (place / FILE).read_bytes() == b"\xd4\xc3\xb2\xa1\xff"


def test_an_environment_that_is_wrong(place, capfd, monkeypatch):
    monkeypatch.setenv("LIPPYCAT_VIRTUAL_INTERFACE_MTU", "small")
    assert cli.run(["sniff", "-r", FILE]) == USAGE
    assert "LIPPYCAT_VIRTUAL_INTERFACE_MTU: 'small' must be a whole number" in capfd.readouterr().err


def test_an_unforeseen_failure_is_one_line_too(place, capfd, monkeypatch):
    def fail(*_, **__):
        raise LookupError("of\na kind")

    monkeypatch.setattr(graph, "plan", fail)
    assert cli.run(["sniff", "-r", FILE]) == 1
    err = capfd.readouterr().err
    assert err == "lippycat: internal error: LookupError: of a kind; please report it\n"
