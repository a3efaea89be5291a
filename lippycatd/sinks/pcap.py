"""Capture files as a sink: one file, a rotating set, or standard output. The core writes, this opens."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

from lippycatd.errors import NotPossible, UsageError
from lippycatd.sandbox import identity
from lippycatd.sinks import created

if TYPE_CHECKING:
    from collections.abc import Collection

    from lippycatd._dataplane import FileSink
    from lippycatd.config import Config

FLAG = "--write-file"
STANDARD_OUTPUT = "-"


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """What to write: name as given, format, and rotation (bytes, seconds, files; 0 for none)."""

    name: str
    format: str
    rotate_size: int
    rotate_seconds: int
    rotate_count: int

    @property
    def rotates(self) -> bool:
        """Whether the name stands for a set of files."""
        return bool(self.rotate_size or self.rotate_seconds)

    @property
    def standard_output(self) -> bool:
        """Whether the capture goes to standard output."""
        return self.name == STANDARD_OUTPUT


@dataclasses.dataclass(frozen=True, slots=True)
class Opened:
    """A target that is ready: a descriptor, or the path and directory of a rotating set."""

    target: Target
    fd: int | None
    path: str
    directory: str

    def sink(self) -> FileSink:
        """The core's sink; it works on a duplicate of the descriptor."""
        from lippycatd import _dataplane  # noqa: PLC0415  loaded once the command is known to run

        rotation = {
            "rotate_size": self.target.rotate_size,
            "rotate_seconds": self.target.rotate_seconds,
            "rotate_count": self.target.rotate_count,
        }
        return _dataplane.FileSink(
            name=self.target.name,
            fd=self.fd,
            path=self.path if self.target.rotates else None,
            format=self.target.format,
            comment="written by lippycat",
            **rotation,
        )


def target(config: Config) -> Target | None:
    """The target that the configuration asks for; UsageError where its parts contradict each other."""
    output = config.output
    if not output.write_file:
        if config.given("output.write_file"):
            raise UsageError("--write-file: the name is empty")
        return None
    pcapng = output.write_file.endswith((".pcapng", ".ntar"))
    found = Target(
        output.write_file,
        "pcapng" if pcapng else "pcap",
        output.rotate_size,
        output.rotate_seconds,
        output.rotate_count,
    )
    if found.standard_output and (found.rotates or found.rotate_count):
        raise UsageError("--write-file -: standard output cannot be rotated; -C, -G and -W need a file name")
    if found.rotate_count and not found.rotates:
        raise UsageError("-W does nothing without -C or -G")
    return found


def open_target(target: Target, runs_as: identity.Identity, inputs: Collection[int]) -> Opened:
    """Opens the target with the rights the process has now, and gives a new file to the user it will run as.

    `inputs` are the descriptors of what is read: none of them may be what is written.
    Raises NotPossible where the file cannot be had, UsageError where the name cannot be meant.
    """
    if target.standard_output:
        return Opened(target, _standard_output(), "", "")
    path = os.path.abspath(identity.expand(target.name, runs_as))  # noqa: PTH100  the name stays text for strftime
    directory = os.path.dirname(path)  # noqa: PTH120
    if target.rotates:
        return Opened(target, None, path, directory)
    with identity.opening(target.name, runs_as):
        fd = created.create(FLAG, target.name, path)
    try:
        created.prepare(FLAG, target.name, fd, runs_as, inputs)
    except BaseException:
        os.close(fd)
        raise
    return Opened(target, fd, "", "")


def check_directory(opened: Opened, runs_as: identity.Identity) -> None:
    """After the drop: a rotating set needs a directory that the user may write. Raises NotPossible."""
    if not opened.target.rotates:
        return
    if not os.path.isdir(opened.directory):  # noqa: PTH112
        raise NotPossible(f"--write-file: {opened.directory}: no such directory, or not visible for {runs_as.name}")
    if not os.access(opened.directory, os.W_OK | os.X_OK):
        raise NotPossible(
            f"--write-file: {opened.directory}: must be writable for {runs_as.name}, because -C and -G make files in "
            "it while it runs; change its owner, or name another user with --user"
        )


def _standard_output() -> int:
    try:
        fd = os.dup(1)
    except OSError:
        raise UsageError("--write-file -: standard output is closed") from None
    if os.isatty(fd):
        os.close(fd)
        raise UsageError("--write-file -: standard output is a terminal; pipe it into a program, or name a file")
    return fd
