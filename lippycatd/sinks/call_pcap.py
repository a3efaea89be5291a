"""A capture file for each call, below one directory. The core writes; this opens the directory."""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import TYPE_CHECKING

from lippycatd.errors import NotPossible, UsageError
from lippycatd.sandbox import identity

if TYPE_CHECKING:
    from lippycatd._dataplane import CallFilesSink
    from lippycatd.config import Config

FLAG = "--per-call-pcap"
_MODE = 0o750
_OTHERS = 128  # descriptors that everything else may need
_SECOND = 10**9  # ns


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """Where files go, and how many stay. Times in nanoseconds, sizes in bytes, 0 for no limit."""

    name: str
    pattern: str
    max_open: int
    grace: int
    retain_size: int
    retain_age: int


@dataclasses.dataclass(frozen=True, slots=True)
class Opened:
    """A target whose directory is open."""

    target: Target
    fd: int
    directory: str

    def sink(self) -> CallFilesSink:
        """The core's sink; it works on a duplicate of the descriptor."""
        from lippycatd import _dataplane  # noqa: PLC0415  loaded once the command is known to run

        return _dataplane.CallFilesSink(
            name=self.target.name,
            fd=self.fd,
            pattern=self.target.pattern,
            max_open=self.target.max_open,
            retain_bytes=self.target.retain_size,
            retain_seconds=-(-self.target.retain_age // _SECOND),
            grace_ns=self.target.grace,
        )


def target(config: Config, *, voip: bool) -> Target | None:
    """The target that the configuration asks for; UsageError where its parts contradict each other."""
    output = config.output
    if not output.per_call_dir:
        for key in ("output.per_call_dir", "output.retain_size", "output.retain_age"):
            if config.given(key) and (key == "output.per_call_dir" or config.value(key)):
                what = "the name is empty" if key == "output.per_call_dir" else f"does nothing without {FLAG}"
                raise UsageError(f"{config.origins[key]}: {what}")
        return None
    if not voip:
        raise UsageError(f"{config.origins['output.per_call_dir']}: acts on calls: use sniff voip")
    if sys.platform != "linux":
        raise UsageError(f"{FLAG}: files per call are written on Linux only")
    if config.run.loop != 1:
        raise UsageError(f"{FLAG}: with --loop every round would write the same calls again; leave one of them out")
    return Target(
        output.per_call_dir,
        output.pcap_pattern,
        output.max_open_files,
        output.call_grace,
        output.retain_size,
        output.retain_age,
    )


def open_target(target: Target, runs_as: identity.Identity) -> Opened:
    """Opens the directory, or makes it for the user the process will run as. Raises NotPossible."""
    _allow(target.max_open)
    path = os.path.abspath(identity.expand(target.name, runs_as))  # noqa: PTH100
    with identity.opening(target.name, runs_as):
        made = _make(target.name, path)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise NotPossible(f"{FLAG}: {target.name}: {error.strerror}") from None
    if made and runs_as.drop and os.geteuid() == 0:
        os.fchown(fd, runs_as.uid, runs_as.gid)
    return Opened(target, fd, path)


def _make(name: str, path: str) -> bool:
    """Makes the directory, not those above it; whether it was not there."""
    try:
        os.mkdir(path, _MODE)  # noqa: PTH102
    except FileExistsError:
        return False
    except FileNotFoundError:
        raise NotPossible(f"{FLAG}: {name}: the directory above it does not exist; make it first") from None
    except OSError as error:
        raise NotPossible(f"{FLAG}: {name}: cannot be made: {error.strerror}") from None
    return True


def _allow(files: int) -> None:
    """Lets the process have so many files open. Raises NotPossible."""
    import resource  # noqa: PLC0415  not on every system

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = files + _OTHERS
    if resource.RLIM_INFINITY != soft < wanted:
        if resource.RLIM_INFINITY != hard < wanted:
            raise NotPossible(
                f"output.max_open_files: {files} needs {wanted} descriptors, and this process may have {hard}; "
                "choose fewer, or raise the limit (ulimit -n, LimitNOFILE=)"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def check(opened: Opened, runs_as: identity.Identity) -> None:
    """After the drop: the user may write there. Raises NotPossible."""
    if not os.access(opened.directory, os.R_OK | os.W_OK | os.X_OK):
        raise NotPossible(
            f"{FLAG}: {opened.directory}: must be writable for {runs_as.name}, because a file is made in it for each "
            "call; change its owner, or name another user with --user"
        )
