"""`lippycat calls` and `lippycat call` over captures: what tshark sees of the same calls is there, and nothing else."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter

import pytest

FIVE = {
    "gof-g711u-nat.pcapng": 2,
    "gof-invite-retrans-cancel.pcap": 2,
    "gof-reinvite-unannounced-rtp.pcapng": 4,
    "gof-refer-notify-dtmf.pcap": 2,
    "gof-proxy-two-hops.pcap": 1,
}
"""capture: the dialogs that sngrep 1.6 lists of it with a request as their first message"""


def tshark(capture, *names, only="sip"):
    command = ["tshark", "-n", "-r", capture, "-Y", only, "-T", "fields", "-E", "occurrence=f"]
    for name in names:
        command += ["-e", name]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split("\t") for line in told.stdout.splitlines()]


def listed(lippycat, capture, *more):
    done = lippycat("calls", "-r", capture, "--format", "json", *more)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def ladder(lippycat, capture, call_id):
    done = lippycat("call", call_id, "-r", capture, "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check(lippycat, capture):
    """Every message that tshark finds is in the list and, at its time and between its ends, in a ladder."""
    names = (
        "sip.Call-ID",
        "frame.time_epoch",
        "sip.Method",
        "sip.Status-Code",
        "ip.src",
        "ip.dst",
        "ipv6.src",
        "ipv6.dst",
    )
    theirs = tshark(capture, *names)
    found = listed(lippycat, capture)
    assert {row["call_id"]: row["messages"] for row in found} == Counter(row[0] for row in theirs)
    for row in found:
        shown = ladder(lippycat, capture, row["call_id"])
        ours = [
            (s["record"]["ts"], s["label"].split()[0], s["record"]["src"], s["record"]["dst"])
            for s in shown["steps"]
            if s["kind"] == "sip"
        ]
        wanted = [(t[1], t[2] or t[3], t[4] or t[6], t[5] or t[7]) for t in theirs if t[0] == row["call_id"]]
        assert ours == wanted
    return found


@pytest.mark.parametrize("name", FIVE)
def test_ladders_hold_every_message_that_tshark_finds(lippycat, shared, name):
    found = check(lippycat, shared / "captures/voip-sip-udp" / name)
    assert len(found) >= FIVE[name]


def test_ladders_of_a_capture_of_our_own(lippycat, root):
    capture = root / "captures/names.pcap"
    assert len(check(lippycat, capture)) > 5


def test_media_between_the_arrows_equal_tsharks(lippycat, root):
    """Packets and losses of every stream, by SSRC."""
    capture = root / "captures/demo.pcap"
    told = subprocess.run(
        ["tshark", "-n", "-q", "-z", "rtp,streams", "-r", capture], capture_output=True, text=True, check=True
    )
    row = re.compile(r" +[\d.]+ +[\d.]+ +(\S+) +(\d+) +\S+ +\d+ +(0x[0-9A-Fa-f]+) .*? (\d+) +(-?\d+) \(")
    found = filter(None, map(row.match, told.stdout.splitlines()))
    theirs = {(m[1], int(m[2]), int(m[3], 16)): (int(m[4]), int(m[5])) for m in found}
    ours = {}
    for row in listed(lippycat, capture):
        for step in ladder(lippycat, capture, row["call_id"])["steps"]:
            if step["kind"] == "media":
                record = step["record"]
                key = (record["src"], record["sport"], int(record["ssrc"], 16))
                ours[key] = (record["packets"], record["lost"])
    assert len(ours) > 20
    differ = {key: (ours[key], theirs.get(key)) for key in ours if ours[key] != theirs.get(key)}
    # both streams of the call whose media come before their SDP: tshark leaves out the first five packets of each
    assert list(differ.values()) == [((105, 0), (100, 0))] * 2


def test_selectors_are_those_of_sniff(lippycat, root):
    capture = root / "captures/demo.pcap"
    users = {row["from"] for row in listed(lippycat, capture, "-u", "alice")} | {
        row["to"] for row in listed(lippycat, capture, "-u", "alice")
    }
    assert "alice@example.net" in users
    assert not users & {"malice@example.net", "alice2@example.net"}
    assert listed(lippycat, capture, "-f", "ip6")
    assert {row["src"] for row in listed(lippycat, capture, "-f", "ip6")} == {"2001:db8::10"}


def test_picture_and_page_are_written_for_the_user_dropped_to(lippycat, root, tmp_path):
    capture = root / "captures/demo.pcap"
    call_id = listed(lippycat, capture)[2]["call_id"]
    done = lippycat("call", call_id, "-r", capture, "--svg", tmp_path / "c.svg", "--html", tmp_path / "c.html")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert (tmp_path / "c.svg").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "c.svg").read_text().startswith("<?xml")
    assert call_id in (tmp_path / "c.html").read_text()
    again = lippycat("call", call_id, "-r", capture, "--messages")
    assert "INVITE sip:" in again.stdout
    assert "Via: SIP/2.0/UDP" in again.stdout
    assert "RTP PCMU" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (["calls"], 2, "nothing to read: name a capture file with --read-file"),
        (["calls", "-r", "{}", "--sort", "x"], 2, "--sort: x is none of index"),
        (["calls", "-r", "{}", "-w", "x"], 2, "No such option"),
        (["call", "-r", "{}"], 2, "CALL-ID"),
        (["call", "nobody", "-r", "{}"], 1, "no call has the Call-ID nobody"),
        (["call", "nobody", "-r", "{}", "--svg", ""], 2, "need the name of a file"),
        (["call", "nobody", "-r", "{}", "--svg", "/nonexistent/x.svg"], 3, "--svg: /nonexistent/x.svg: its directory"),
        (["call", "nobody", "-r", "{}", "--messages", "--format", "json"], 2, "--messages acts on the text"),
        (["calls", "-r", "/nonexistent.pcap"], 3, "/nonexistent.pcap"),
    ],
)
def test_wrong_use_is_one_line(lippycat, root, arguments, status, line):
    done = lippycat(*[word.format(root / "captures/demo.pcap") for word in arguments])
    assert line in done.stderr
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (status, 1, "")


def test_a_file_that_is_cut_is_listed_as_far_as_it_goes(lippycat, root, tmp_path):
    cut = tmp_path / "cut.pcap"
    cut.write_bytes((root / "captures/demo.pcap").read_bytes()[:-7])
    done = lippycat("calls", "-r", cut)
    assert done.returncode == 1
    assert done.stdout.count("\n") == 18
    assert "cut.pcap" in done.stderr


def test_the_configuration_files_outputs_are_those_of_sniff(lippycat, root, tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(f"output:\n  write_file: {tmp_path}/w.pcap\n  records: {tmp_path}/r.jsonl\n")
    done = lippycat("calls", "-r", root / "captures/demo.pcap", "--config", file)
    assert (done.returncode, done.stdout.count("\n")) == (0, 18), done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.yaml"]
