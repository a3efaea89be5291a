"""Generated calls inside each tunnel, two of them with the same addresses at once, by the generator's truth; Call-IDs
by frame as tshark finds them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict

import pytest
import tunnel_kit as kit

TARGET, OTHER = "+4930555000777", "alice"
FULL = bool(os.environ.get("LIPPYCAT_FULL"))
NULL = ("-o", "esp.enable_null_encryption_decode_heuristic:TRUE")
OPTIONS = {"vxlan_flannel": ("-d", "udp.port==8472,vxlan"), "esp_tunnel": NULL, "esp_udp": NULL, "esp_transport": NULL}
"""what tshark must be told to see inside"""
COMPARED = [e for e in kit.BOTH + kit.ALONE if e is not kit.l2tp3_cookie]  # tshark 4.0 finds no cookie, told or not
if not FULL:
    COMPARED = [kit.gre_full, kit.erspan3, kit.gtp, kit.l2tp2, kit.nested, kit.esp_transport]


@pytest.fixture(scope="module")
def make(shared, tmp_path_factory):
    """Make a capture with tools/gen_hard.py, as short as it can be, once for the same arguments; its path."""
    made = {}

    def run(seed, target, *options):
        key = (seed, target, *options)
        if key not in made:
            path = tmp_path_factory.mktemp("hard") / "hard.pcap"
            command = [sys.executable, shared / "tools" / "gen_hard.py", "-o", path, "--quiet", "--seed", seed]
            command += ["--target", target, "--rtp", "20", *options]
            subprocess.run(list(map(str, command)), check=True, capture_output=True)
            made[key] = path
        return made[key]

    return run


@pytest.fixture(scope="module")
def merged(make, tmp_path_factory):
    """Frames of one or two captures, and the text of their truth."""
    folder, made = tmp_path_factory.mktemp("merged"), {}

    def run(two):
        if two not in made:
            path = folder / f"{two}.pcap"
            packets = kit.merge(path, make(1, TARGET), make(2, OTHER) if two else None)
            made[two] = packets, (folder / f"{two}.pcap.truth.json").read_text()
        return made[two]

    return run


@pytest.mark.parametrize("encapsulation", kit.BOTH + kit.ALONE, ids=lambda e: e.__name__)
def test_whole_calls_inside(shared, merged, lippycat, tmp_path, encapsulation):
    packets, truth = merged(encapsulation in kit.BOTH)
    capture, out = tmp_path / "in.pcap", tmp_path / "out.pcap"
    kit.wrapped(capture, packets, encapsulation)
    (tmp_path / "in.pcap.truth.json").write_text(truth)
    done = lippycat("sniff", "voip", "-r", capture, "--sipuser", TARGET, "-w", out)
    assert done.returncode == 0, done.stderr
    command = [
        sys.executable,
        shared / "tools" / "score_frames.py",
        out,
        capture,
        f"{capture}.truth.json",
        "--show",
        "10",
    ]
    scored = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert scored.returncode == 0, scored.stdout + scored.stderr


@pytest.mark.parametrize("encapsulation", COMPARED, ids=lambda e: e.__name__)
def test_call_ids_by_frame_as_tshark_finds_them(make, lippycat, tmp_path, encapsulation):
    capture = tmp_path / "in.pcap"
    packets = kit.merge(
        tmp_path / "merged.pcap", make(3, TARGET, "--only", "plain,register,vlan,fragments,pattern"), None
    )
    kit.wrapped(capture, packets, encapsulation)
    command = ["tshark", "-n", "-r", capture, "-Y", "sip", "-T", "fields", "-e", "frame.number", "-e", "sip.Call-ID"]
    command += OPTIONS.get(encapsulation.__name__, ())
    told = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout
    theirs = {int(n): set(ids.split(",")) for n, ids in (line.split("\t") for line in told.splitlines())}
    ours = defaultdict(set)
    for line in lippycat("sniff", "voip", "-r", capture, "--format", "json").stdout.splitlines():
        record = json.loads(line)
        if record["type"] == "sip":
            ours[record["frame"]].add(record["call_id"])
    assert len(theirs) > 300
    assert theirs.keys() <= ours.keys()
    for n in ours.keys() - theirs.keys():  # the last fragment never came: we tell what the first ones say
        ip = kit.taken_apart(packets[n - 1][1], 0, n).ip
        assert ip[6] & 0x20
    named = {n: ids for n, ids in theirs.items() if ids != {""}}  # tshark names none where the header is folded
    assert len(named) > 0.9 * len(theirs)
    assert {n: ours[n] for n in named} == named
