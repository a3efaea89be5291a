"""SIP over TLS as Python's ssl makes it, read with its key log; tshark and editcap as the other opinion."""

from __future__ import annotations

import json
import ssl
import subprocess

import pytest
import tls_kit
import tunnel_kit as kit

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
KINDS = {
    "1.3": (V13, None),
    "1.2 AES-128-GCM": (V12, "ECDHE-RSA-AES128-GCM-SHA256"),
    "1.2 AES-256-GCM": (V12, "ECDHE-RSA-AES256-GCM-SHA384"),
    "1.2 ChaCha20": (V12, "ECDHE-RSA-CHACHA20-POLY1305"),
}


class Made:
    """Three connections: the target's alone, one of both, another's alone."""

    def __init__(self, folder, version, ciphers):
        *context, self.keys = tls_kit.contexts(folder, version, ciphers)
        self.path = folder / "in.pcap"
        mine, both, other = (tls_kit.Connection(context, port) for port in (40000, 40001, 40002))
        tls_kit.dialog(mine, "c1", "alice")
        tls_kit.dialog(both, "c2", "alice")
        tls_kit.dialog(both, "c3", "carol")
        tls_kit.dialog(other, "c4", "carol")
        for connection in (mine, both, other):
            connection.close()
        self.wanted = mine.packets + both.packets
        packets = mine.packets + both.packets + other.packets
        kit.write(self.path, [(1_700_000_000_000_000 + n * 1000, f) for n, f in enumerate(packets)])


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS)
def made(request, tmp_path_factory):
    return Made(tmp_path_factory.mktemp("tls"), *request.param)


def calls(text):
    return [
        (r["frame"], r["call_id"], r["transport"]) for r in map(json.loads, text.splitlines()) if r["type"] == "sip"
    ]


def ran(*command):
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout


def test_messages_as_tshark_reads_them(made, lippycat):
    told = ran("tshark", "-n", "-o", f"tls.keylog_file:{made.keys}", "-r", made.path, "-Y", "sip", "-T", "fields",
               "-e", "frame.number", "-e", "sip.Call-ID")  # fmt: skip
    rows = [line.split("\t") for line in told.splitlines()]
    theirs = sorted((int(n), call, "tls") for n, ids in rows for call in ids.split(","))
    done = lippycat("sniff", "voip", "-r", made.path, "--keylog", made.keys, "--format", "json")
    assert done.returncode == 0, done.stderr
    assert sorted(calls(done.stdout)) == theirs
    assert len(theirs) == 20


@pytest.mark.parametrize("piped", [False, True], ids=["file", "pipe"])
def test_a_connection_is_kept_whole_with_its_secrets(made, lippycat, tmp_path, piped):
    out = tmp_path / "out.pcapng"
    command = ["sniff", "voip", "--keylog", made.keys, "-u", "alice", "-w", out, "--format", "json"]
    if piped:
        with made.path.open("rb") as stdin:
            done = lippycat(*command, "-r", "-", stdin=stdin)
    else:
        done = lippycat(*command, "-r", made.path)
    assert done.returncode == 0, done.stderr
    assert tls_kit.frames(out) == made.wanted
    assert {call for _, call, _ in calls(done.stdout)} == {"c1", "c2"}
    named = ran("tshark", "-n", "-r", out, "-Y", "sip", "-T", "fields", "-e", "sip.Call-ID")  # by the secrets inside
    assert set(named.replace(",", "\n").split()) == {"c1", "c2", "c3"}
    again = lippycat("sniff", "voip", "-r", out, "--format", "json")
    assert {call for _, call, _ in calls(again.stdout)} == {"c1", "c2", "c3"}


def test_without_keys_nothing_is_kept_and_it_says_why(made, lippycat, tmp_path):
    empty, out = tmp_path / "keys.log", tmp_path / "out.pcap"
    empty.write_text("CLIENT_RANDOM " + "00" * 32 + " " + "00" * 48 + "\n")
    done = lippycat("sniff", "voip", "-r", made.path, "--keylog", empty, "-u", "alice", "-w", out)
    assert done.returncode == 0, done.stderr
    assert kit.frames(out) == []


def test_keys_that_come_late_in_the_file(made, lippycat, tmp_path):
    """The block that editcap puts first is moved behind all packets."""
    first, late, out = tmp_path / "first.pcapng", tmp_path / "late.pcapng", tmp_path / "out.pcap"
    ran("editcap", "-F", "pcapng", "--inject-secrets", f"tls,{made.keys}", made.path, first)
    blocks, secrets = [], []
    for kind, block in tls_kit.blocks(first):
        (secrets if kind == tls_kit.SECRETS else blocks).append(block)
    assert secrets
    late.write_bytes(b"".join(blocks + secrets))
    for capture in (first, late):
        done = lippycat("sniff", "voip", "-r", capture, "-u", "alice", "-w", out, "--format", "json")
        assert done.returncode == 0, done.stderr
        assert [frame for _, frame in kit.frames(out)] == made.wanted
        assert {call for _, call, _ in calls(done.stdout)} == {"c1", "c2"}
