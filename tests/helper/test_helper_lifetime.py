"""What is left when things end or die: nothing, or the name and its marker, and never less than was there."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from helper_kit import alive, children, keepers, links, marker, named, start_daemon, status, until

ADMIN, SYS_ADMIN = 1 << 12, 1 << 21
MORTAL = ("daemon", "helper", "keeper")


def gone(netns):
    return not named(netns) and not marker(netns).exists() and not keepers(netns)


def inode(netns):
    return Path("/run/netns", netns).stat().st_ino


def add(netns):
    subprocess.run(["ip", "netns", "add", netns], check=True)


def delete(netns):
    subprocess.run(["ip", "netns", "delete", netns], check=True)


def test_each_process_holds_what_it_needs_and_no_more(run, netns):
    made = run(netns=netns)
    for pid, capability in ((made.helper, ADMIN), (made.keeper, SYS_ADMIN)):
        fields = status(pid)
        assert int(fields["CapPrm"], 16) == int(fields["CapEff"], 16) == capability
        assert [int(fields[key], 16) for key in ("CapInh", "CapBnd", "CapAmb")] == [0, 0, 0]
        assert fields["NoNewPrivs"] == "1"
        assert fields["Threads"] == "1"
    assert made.keeper != made.helper
    made.end()


def test_only_the_daemon_has_the_device(run, netns):
    made = run(netns=netns)

    def holders():
        open_files = {pid: [str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()] for pid in processes}
        return [pid for pid, files in open_files.items() if "/dev/net/tun" in files]

    processes = (made.daemon, made.helper, made.keeper)
    time.sleep(0.2)  # the helper closes its own once it is sent
    assert holders() == [made.daemon]
    made.end()


def test_a_run_that_ends_leaves_nothing(run, netns):
    made = run(netns=netns)
    assert named(netns)
    assert "lc0" in links(netns)
    made.end()
    # It was waited for: nothing is left at the moment the daemon is gone.
    assert gone(netns)
    assert not alive(made.helper)


def test_ctrl_c_does_not_reach_helper_or_keeper(run, netns):
    made = run(netns=netns)
    groups = {pid: os.getpgid(pid) for pid in (made.daemon, made.helper, made.keeper)}
    assert len(set(groups.values())) == 3
    assert len({os.getsid(pid) for pid in groups}) == 3
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        for pid in (made.helper, made.keeper):
            os.kill(pid, number)
    made.end()
    assert gone(netns)


@pytest.mark.parametrize("dead", [c for n in (1, 2, 3) for c in itertools.combinations(MORTAL, n)], ids="+".join)
def test_kill_9_of_any_of_them(run, swept, dead):
    netns = swept
    made = run(netns=netns)
    number = inode(netns)
    made.kill(*dead)
    if "daemon" not in dead:
        # The device lives as long as the daemon does.
        assert until(lambda: not any(alive(getattr(made, name)) for name in dead))
        assert "lc0" in links(netns)
        made.kill("daemon")
    assert until(lambda: not alive(made.daemon) and not alive(made.helper))
    if "keeper" not in dead:
        assert until(lambda: gone(netns))
        return
    # At most the name and its marker are left, and the device is not.
    assert until(lambda: "lc0" not in links(netns))
    assert named(netns)
    assert marker(netns).exists()
    again = run(netns=netns)
    assert inode(netns) == number
    again.end()
    assert gone(netns)


def test_an_administrators_namespace_is_used_and_left(run, swept):
    add(swept)
    number = inode(swept)
    for kill in (False, True):
        made = run(netns=swept)
        assert "lc0" in links(swept)
        assert not keepers(swept)
        assert not marker(swept).exists()
        if kill:
            made.kill("daemon", "helper")
            assert until(lambda made=made: not alive(made.daemon))
        else:
            made.end()
        assert inode(swept) == number
        assert until(lambda: links(swept) == {"lo"})


def test_a_leftover_that_an_administrator_replaced_is_his(run, swept):
    made = run(netns=swept)
    made.kill(*MORTAL)
    assert until(lambda: not alive(made.daemon))
    assert marker(swept).exists()
    delete(swept)
    add(swept)
    run(netns=swept).end()
    assert named(swept)
    assert not marker(swept).exists()


def test_a_name_made_anew_during_the_run_is_not_removed(run, swept):
    made = run(netns=swept)
    delete(swept)
    add(swept)
    made.end()
    assert named(swept)
    assert not marker(swept).exists()


@pytest.mark.parametrize("dead", [(), MORTAL], ids=["ended", "killed"])
def test_a_name_deleted_during_the_run_stays_deleted(run, swept, dead):
    made = run(netns=swept)
    delete(swept)
    if dead:
        made.kill(*dead)
        assert until(lambda: not alive(made.daemon))
        run(netns=swept).end()
    else:
        made.end()
    assert gone(swept)


def test_a_second_run_with_the_same_name_is_told_who_has_it(run, netns):
    first = run(netns=netns)
    second = run(netns=netns)
    # Other runs on this machine may have an lc0 in a namespace of their own.
    said = f"lc0 in {netns} is in use by pid ((\\d+) or )*{first.daemon}( or (\\d+))*: choose another --vif-name or end"
    assert re.match(said, second.said["error"])
    assert second.said["exit"] == 3
    assert second.process.wait(10) == 3
    assert until(lambda: len(keepers(netns)) == 1)
    assert "lc0" in links(netns)
    assert named(netns)
    first.end()
    assert gone(netns)


@pytest.mark.parametrize("dead", [("daemon",), ("daemon", "helper"), MORTAL], ids="+".join)
def test_the_last_of_several_runs_removes_the_namespace(run, netns, dead):
    first, second, third = (run(netns=netns, name=f"lc{n}") for n in range(3))
    assert links(netns) == {"lo", "lc0", "lc1", "lc2"}
    first.end()
    second.kill(*dead)
    assert until(lambda: links(netns) == {"lo", "lc2"})
    assert until(lambda: len(keepers(netns)) == 1)
    assert named(netns)
    third.end()
    assert gone(netns)


def test_a_daemon_alone_keeps_its_namespace_from_other_runs(run, swept):
    first = run(netns=swept)
    first.kill("helper", "keeper")
    run(netns=swept, name="lc1").end()
    assert named(swept)
    assert links(swept) == {"lo", "lc0"}
    first.kill("daemon")
    assert until(lambda: links(swept) == {"lo"})
    run(netns=swept).end()
    assert gone(swept)


@pytest.mark.parametrize("dead", ["daemon", "helper", "both"])
def test_kill_9_at_any_moment_of_the_start(privileged, swept, dead):
    chance = random.Random(3)
    for _ in range(5):
        daemon = start_daemon(netns=swept)
        helper = until(lambda daemon=daemon: children(daemon.pid))
        time.sleep(chance.uniform(0, 0.35))
        for pid in {"daemon": [daemon.pid], "helper": helper, "both": [daemon.pid, *helper]}[dead]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with daemon:
            daemon.stdin.close()
        assert until(lambda helper=helper: not any(map(alive, helper)))
        assert until(lambda: not named(swept) and not keepers(swept))
        # A marker, if at all: of no namespace, and in nobody's way.
        marker(swept).unlink(missing_ok=True)


def test_runs_that_start_and_end_at_once_do_not_trip_each_other(run, netns):
    for _ in range(5):
        made = [run(netns=netns, name=f"lc{n}") for n in range(2)]
        for each in made:
            each.process.stdin.close()
        made.append(run(netns=netns, name="lc9"))
        assert "error" not in made[-1].said
        assert "lc9" in links(netns)
        made[-1].end()
        for each in made:
            assert each.process.wait(20) == 0
    assert until(lambda: gone(netns))


def test_the_current_namespace_needs_no_name_and_no_keeper(run, swept):
    add(swept)
    before = set(Path("/run/netns").iterdir())
    made = run("ip", "netns", "exec", swept, netns="")
    assert "lc0" in links(swept)
    assert made.said["inode"] == inode(swept)
    assert made.keeper is None
    made.kill("daemon")
    assert until(lambda: links(swept) == {"lo"})
    assert set(Path("/run/netns").iterdir()) == before


def test_a_plain_file_in_the_way_is_named_and_left(run, swept):
    Path("/run/netns").mkdir(exist_ok=True)
    path = Path("/run/netns", swept)
    path.touch()
    made = run(netns=swept)
    assert "exists but is no network namespace" in made.said["error"]
    assert path.exists()
    assert not marker(swept).exists()


def test_a_plain_file_that_a_killed_run_left_is_swept(run, swept):
    Path("/run/netns").mkdir(exist_ok=True)
    Path("/run/netns", swept).touch()
    marker(swept).parent.mkdir(exist_ok=True)
    marker(swept).write_text("4 4026532000 77 a-boot\n")
    run(netns=swept).end()
    assert gone(swept)


def test_no_table_of_ours_is_left_where_an_administrator_looks(run, swept):
    add(swept)
    made = run(netns=swept)
    show = ["ip", "netns", "exec", swept, "nft", "-j", "list", "tables"]

    def tables():
        return [t for t in json.loads(subprocess.check_output(show))["nftables"] if "table" in t]

    assert len(tables()) == 1
    made.kill("daemon", "helper")
    assert until(lambda: not tables())
