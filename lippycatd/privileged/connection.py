"""One connection to a helper: greeting, one request in flight, descriptors, and its end."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
from dataclasses import replace
from typing import Self

from lippycat_helper import wire
from lippycat_helper.wire import Descriptor, MalformedError, Operation, Reply, Request, Status
from lippycatd.errors import PrivilegeError

_HELPER = (sys.executable, "-I", "-m", "lippycat_helper")
_BOOT_SECONDS = 20.0
_REPLY_SECONDS = 10.0
_END_SECONDS = 5.0
_STDERR_MAX = 64 * 1024


class Connection:
    """A connection to a helper. One request is in flight; not for several threads at once."""

    def __init__(
        self,
        sock: socket.socket,
        unit: str,
        process: subprocess.Popen[bytes] | None = None,
        stderr: int = -1,
    ) -> None:
        self.executed = process is not None
        self._sock = sock
        self._unit = unit
        self._process = process
        self._stderr = stderr
        self._sequence = 0
        self._lease: dict[Descriptor, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """Give the socket: it becomes readable when the helper ends or ends the connection."""
        return self._sock.fileno()

    def greeted(self) -> Self:
        """Wait for the helper's first message; raises PrivilegeError with its reason."""
        try:
            reply, fds = self._receive(_BOOT_SECONDS if self.executed else _REPLY_SECONDS)
        except BaseException:
            self.close()
            raise
        self._lease = named(reply, fds)
        if (reply.operation, reply.status) != (Operation.GREETING, Status.OK):
            self.close()
            raise PrivilegeError(reply.text or "the helper did not greet: update lippycat and its helper")
        return self

    def ping(self) -> Reply:
        """Ask whether the helper is alive; raises PrivilegeError when it is not.

        netns_dev and netns_inode of the reply identify the namespace that it serves.
        """
        return self.ask(Request(Operation.PING))[0]

    def ask(self, request: Request, fds: tuple[int, ...] = ()) -> tuple[Reply, list[int]]:
        """Send a request and give its answer; raises PrivilegeError with the helper's one line.

        The descriptors that come with the answer are the caller's to close.
        """
        self._sequence += 1
        numbered = replace(request, sequence=self._sequence)
        with contextlib.suppress(BrokenPipeError, ConnectionError):
            # What it said before it went is read below.
            wire.send(self._sock, numbered.pack(), fds)
        reply, got = self._receive(_REPLY_SECONDS)
        if reply.status is Status.OK and (reply.operation, reply.sequence) == (
            request.operation,
            self._sequence,
        ):
            return reply, got
        close_all(got)
        text = reply.text or "the helper answered something else than was asked"
        raise PrivilegeError(self._in_use(text) if reply.status is Status.IN_USE else text)

    def _in_use(self, text: str) -> str:
        """Add to the helper's text what a person can do."""
        return text

    def close(self) -> None:
        """End the connection; a helper that we executed ends with it, which is waited for."""
        self._sock.close()
        if self._process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_SECONDS)
            self._process = None
        self._close_lease()
        if self._stderr >= 0:
            os.close(self._stderr)
            self._stderr = -1

    def _close_lease(self) -> None:
        """Let the keeper see the end of the run, and wait until it has cleaned up."""
        lease, self._lease = self._lease, {}
        if Descriptor.ALIVE in lease:
            os.close(lease.pop(Descriptor.ALIVE))
        if Descriptor.DONE in lease:
            poll = select.poll()
            poll.register(lease[Descriptor.DONE], select.POLLIN)
            poll.poll(_END_SECONDS * 1000)
        close_all(list(lease.values()))

    def _receive(self, timeout: float) -> tuple[Reply, list[int]]:
        self._sock.settimeout(timeout)
        try:
            message, fds = wire.receive(self._sock, Reply.size(), wire.REPLY_FDS_MAX)
            if not message:
                raise ConnectionResetError
        except TimeoutError:
            raise PrivilegeError(f"the helper does not answer ({timeout:g} s)") from None
        except OSError:
            raise PrivilegeError(f"the helper has ended: {self._last_words()}") from None
        except MalformedError as error:
            raise PrivilegeError(f"the helper's answer is malformed: {error}") from None
        try:
            return Reply.unpack(message), fds
        except MalformedError as error:
            close_all(fds)
            raise PrivilegeError(f"the helper's answer is malformed: {error}") from None

    def _last_words(self) -> str:
        if self._stderr < 0:
            return f"see its log (journalctl -u {self._unit})"
        if self._process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1)
        text = os.pread(self._stderr, _STDERR_MAX, 0).decode("utf-8", "replace")
        lines = [line for line in text.splitlines() if line.strip()]
        status = f"exit status {self._process.returncode}" if self._process else "no reason"
        return lines[-1].removeprefix("lippycat-helper: ") if lines else status


def reach(path: str) -> socket.socket:
    """Connect to a helper service's socket; raises PrivilegeError when it is not there."""
    try:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError as error:
        raise PrivilegeError(f"cannot reach the helper service at {path}: {error.strerror}") from None
    try:
        sock.settimeout(_REPLY_SECONDS)
        sock.connect(path)
    except OSError as error:
        sock.close()
        reason = error.strerror or str(error)
        raise PrivilegeError(f"cannot reach the helper service at {path}: {reason}") from None
    return sock


def start(arguments: list[str]) -> tuple[socket.socket, subprocess.Popen[bytes], int]:
    """Execute a helper; gives our end of its socket, the process, and what it says (a memfd).

    It runs in a session of its own (Ctrl-C does not reach it) and ends with the socket,
    however this process dies.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    stderr = os.memfd_create("lippycat-helper", os.MFD_CLOEXEC)
    try:
        process = subprocess.Popen(  # noqa: S603  our own module, checked arguments
            [*_HELPER, f"--fd={theirs.fileno()}", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
            cwd="/",
            env={},
        )
    except OSError as error:
        ours.close()
        os.close(stderr)
        raise PrivilegeError(f"cannot execute the helper: {error.strerror}") from None
    finally:
        theirs.close()
    return ours, process, stderr


def named(reply: Reply, fds: list[int]) -> dict[Descriptor, int]:
    """Say which descriptor is which; none is kept when their number is not as announced."""
    names = [each for each in Descriptor if each in reply.descriptors]
    if len(names) != len(fds):
        close_all(fds)
        return {}
    return dict(zip(names, fds, strict=True))


def close_all(fds: list[int]) -> None:
    """Close descriptors."""
    for fd in fds:
        os.close(fd)
