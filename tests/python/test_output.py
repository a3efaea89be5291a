"""Output files: how they are created, for whom, and what is refused."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from lippycatd import config
from lippycatd.errors import NotPossible, UsageError
from lippycatd.sandbox.identity import Identity
from lippycatd.sinks import pcap

SELF = Identity("me", os.getuid(), os.getgid(), "/nonexistent", drop=False)
NOBODY = Identity("nobody", 65534, 65534, "/nonexistent", drop=True)


def target(name, **flags):
    named = {f"output.{key}": value for key, value in flags.items()}
    return pcap.target(config.build(config.from_flags({"output.write_file": str(name), **named})))


def opened(name, runs_as=SELF, inputs=()):
    found = pcap.open_target(target(name), runs_as, inputs)
    os.close(found.fd)
    return found


@pytest.mark.parametrize(("name", "style"), [("a.pcap", "pcap"), ("a.pcapng", "pcapng"), ("a", "pcap"), ("-", "pcap")])
def test_the_name_tells_the_format(name, style):
    assert target(name).format == style


def test_a_new_file_has_mode_0640_whatever_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        opened(tmp_path / "new.pcap")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new.pcap").stat().st_mode) == 0o640


def test_an_old_file_is_emptied_and_keeps_its_mode(tmp_path):
    old = tmp_path / "old.pcap"
    old.write_text("x" * 100)
    old.chmod(0o600)
    opened(old)
    assert old.stat().st_size == 0
    assert stat.S_IMODE(old.stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it gives a file away")
def test_a_file_belongs_to_the_user_dropped_to(tmp_path):
    opened(tmp_path / "new.pcap", NOBODY)
    state = (tmp_path / "new.pcap").stat()
    assert (state.st_uid, state.st_gid) == (65534, 65534)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it would give a device away")
def test_a_device_is_never_given_away():
    before = Path("/dev/null").stat()
    opened("/dev/null", NOBODY)
    assert Path("/dev/null").stat().st_uid == before.st_uid


def test_a_symbolic_link_is_not_followed(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("text")
    (tmp_path / "link.pcap").symlink_to(precious)
    (tmp_path / "dangling.pcap").symlink_to(tmp_path / "made")
    for name in ("link.pcap", "dangling.pcap"):
        with pytest.raises(NotPossible, match="symbolic link"):
            opened(tmp_path / name)
    assert precious.read_text() == "text"
    assert not (tmp_path / "made").exists()


def test_an_input_is_not_overwritten(tmp_path):
    both = tmp_path / "both.pcap"
    both.write_text("text")
    os.link(both, tmp_path / "other-name.pcap")
    with both.open() as reading, pytest.raises(UsageError, match="also read"):
        opened(tmp_path / "other-name.pcap", inputs=[reading.fileno()])
    assert both.read_text() == "text"


@pytest.mark.parametrize(("name", "line"), [("none/x.pcap", "directory does not exist"), (".", "is a directory")])
def test_a_name_that_cannot_be(tmp_path, name, line):
    with pytest.raises(NotPossible, match=line):
        opened(tmp_path / name)


def test_rotation_is_checked_before_anything_runs(tmp_path):
    for flags, line in (
        ({"rotate_count": "3"}, "-W does nothing"),
        ({"rotate_size": "1", "write_file": "-"}, "cannot be rotated"),
    ):
        with pytest.raises(UsageError, match=line):
            target(flags.pop("write_file", tmp_path / "x"), **flags)
    found = target(tmp_path / "x.pcap", rotate_size="2", rotate_count="3", rotate_seconds="60")
    assert (found.rotate_size, found.rotate_seconds, found.rotate_count) == (2_000_000, 60, 3)
    ready = pcap.open_target(found, SELF, ())
    assert ready.fd is None
    assert ready.directory == str(tmp_path)
    pcap.check_directory(ready, SELF)
    assert not list(tmp_path.iterdir())
    with pytest.raises(NotPossible, match="no such directory"):
        pcap.check_directory(pcap.open_target(target(tmp_path / "none/x", rotate_size="1"), SELF, ()), SELF)


def test_an_empty_name():
    with pytest.raises(UsageError, match="empty"):
        target("")
