"""Capture files and pipes as a source: opened here, read by the core through their descriptors."""

from __future__ import annotations

import dataclasses
import os
import stat
import sys
from typing import TYPE_CHECKING

from lippycatd.errors import NotPossible, UsageError
from lippycatd.sandbox import identity

if TYPE_CHECKING:
    from collections.abc import Iterable

STANDARD_INPUT = "-"


@dataclasses.dataclass(frozen=True, slots=True)
class Input:
    """An open input: its name as shown, its descriptor, and whether it can be read twice."""

    name: str
    fd: int
    regular: bool


def open_inputs(names: Iterable[str], runs_as: identity.Identity) -> list[Input]:
    """Opens every input, in order. Raises NotPossible for what cannot be had."""
    opened: list[Input] = []
    try:
        for name in names:
            fd = _standard_input(opened) if name == STANDARD_INPUT else _open(name, runs_as)
            opened.append(Input(name, fd, stat.S_ISREG(os.fstat(fd).st_mode)))
    except BaseException:
        close_inputs(opened)
        raise
    return opened


def close_inputs(inputs: Iterable[Input]) -> None:
    """Closes the descriptors; the core works on them only while the line runs."""
    for item in inputs:
        os.close(item.fd)


def check_loops(inputs: Iterable[Input], loops: int) -> None:
    """Only what can be read again can be looped."""
    for item in inputs:
        if loops != 1 and not item.regular:
            raise UsageError(f"--loop: {item.name} is a pipe and cannot be read again; save it to a file first")


def _standard_input(opened: list[Input]) -> int:
    if any(item.name == STANDARD_INPUT for item in opened):
        raise UsageError("--read-file -: standard input can be read only once")
    try:
        fd = os.dup(0)
    except OSError:
        raise UsageError("--read-file -: standard input is closed") from None
    if os.isatty(fd):
        os.close(fd)
        raise UsageError("--read-file -: standard input is a terminal; pipe a capture into it")
    return fd


def _open(name: str, runs_as: identity.Identity) -> int:
    """A descriptor for reading; a directory, a device or a socket is no capture."""
    if not name or "\0" in name:
        raise UsageError(f"--read-file: {name!r} is not a file name")
    try:
        with identity.opening(name, runs_as):
            fd = os.open(identity.expand(name, runs_as), os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise NotPossible(f"--read-file: {name}: no such file") from None
    except PermissionError:
        raise NotPossible(f"--read-file: {name}: not readable; check its permissions") from None
    except OSError as error:
        raise NotPossible(f"--read-file: {name}: {error.strerror}") from None
    mode = os.fstat(fd).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode) or _is_socket(mode)):
        os.close(fd)
        what = "a directory" if stat.S_ISDIR(mode) else "a device"
        raise NotPossible(f"--read-file: {name}: is {what}, not a capture file")
    return fd


def _is_socket(mode: int) -> bool:
    """Process substitution and ssh hand sockets over as /dev/fd/N."""
    return stat.S_ISSOCK(mode) and sys.platform == "linux"
