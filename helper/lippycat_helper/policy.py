"""Who may have which device. What no entry permits is refused.

`read` looks at the file, `parse` is a pure function over its text, and `Policy` answers
the two questions there are: may this peer speak, and may it have this device.
"""

# System calls as the kernel has them: flags and errno are what counts here.
# ruff: noqa: PTH100, PTH116, PTH120, PTH123

from __future__ import annotations

import fnmatch
import grp
import os
import pwd
import re
import stat
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lippycat_helper import wire
from lippycat_helper.report import HelperError, RefusedError
from lippycat_helper.wire import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

_SIZE_MAX = 64 * 1024
_COUNT_MAX = 64


@dataclass(frozen=True, slots=True)
class Peer:
    """One [[peer]]: a user, or the members of a group."""

    where: str
    uid: int | None
    gid: int | None


@dataclass(frozen=True, slots=True)
class Tap:
    """One [[tap]]: up to `count` devices whose name matches `name`."""

    where: str
    netns: str
    name: str
    kind: Kind
    count: int
    mtu: int
    txqueuelen: int


@dataclass(frozen=True, slots=True)
class Policy:
    """The whole policy; `source` is the file's path or "the command line"."""

    source: str
    netns: str
    peers: tuple[Peer, ...]
    taps: tuple[Tap, ...]
    socket: str = wire.SOCKET_PATH
    group: int | None = None

    def admit(self, uid: int, groups: Collection[int]) -> None:
        """Raise RefusedError unless a [[peer]] names this user or one of its groups."""
        if any(p.uid == uid if p.uid is not None else p.gid in groups for p in self.peers):
            return
        raise RefusedError(f"user {uid} is no peer: {self.source} has no [[peer]] for it")

    def permit(self, kind: Kind, name: str, netns: str) -> Tap:
        """Find the entry that permits this device; raises RefusedError, naming each entry's reason."""
        reasons = []
        for tap in self.taps:
            if tap.kind is not kind:
                reasons.append(f"{tap.where} is for {tap.kind.name.lower()}")
            elif tap.netns != netns:
                reasons.append(f"{tap.where} is for {_place(tap.netns)}")
            elif not fnmatch.fnmatchcase(name, tap.name):
                reasons.append(f"{tap.where} is for the name {tap.name!r}")
            else:
                return tap
        wanted = f"{kind.name.lower()} {name} in {_place(netns)}"
        why = "; ".join(reasons) if reasons else "it has no [[tap]]"
        raise RefusedError(f"{wanted} is not permitted by {self.source}: {why}")


def _place(netns: str) -> str:
    return f"namespace {netns}" if netns else "the current namespace"


def one_device(netns: str, name: str, kind: Kind, mtu: int, txqueuelen: int) -> Policy:
    """Make the policy that the command line gives as arguments: exactly one device."""
    try:
        wire.check_name(name)
        wire.check_netns(netns)
        wire.check_limits(mtu, txqueuelen)
    except ValueError as error:
        raise HelperError(str(error)) from None
    tap = Tap("the command line", netns, name, kind, 1, mtu, txqueuelen)
    return Policy("the command line", netns, (), (tap,))


def read(path: str) -> Policy:
    """Load the file. It, and its directory, must be root's and writable by nobody else."""
    try:
        _check_owner(path, os.stat(os.path.dirname(os.path.abspath(path))), "its directory")
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(fd, "rb") as file:
            info = os.fstat(fd)
            _check_owner(path, info, "it")
            if not stat.S_ISREG(info.st_mode):
                raise HelperError(f"the policy {path} is not a regular file")
            data = file.read(_SIZE_MAX + 1)
    except OSError as error:
        raise HelperError(f"cannot read the policy {path}: {error.strerror}") from None
    if len(data) > _SIZE_MAX:
        raise HelperError(f"the policy {path} is larger than {_SIZE_MAX} bytes")
    try:
        return parse(data.decode(), path)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise HelperError(f"the policy {path} is not valid TOML: {error}") from None


def _check_owner(path: str, info: os.stat_result, what: str) -> None:
    if info.st_uid != 0 or info.st_mode & 0o022:
        raise HelperError(
            f"the policy {path} is refused: {what} must belong to root and be writable by "
            "nobody else (chown root, chmod go-w)"
        )


def parse(text: str, source: str) -> Policy:
    """Read the policy's text; unknown keys, and values of another type, raise HelperError."""
    document = _Table(tomllib.loads(text), source)
    netns = document.text("namespace", "lc-ns")
    socket = document.text("socket", wire.SOCKET_PATH)
    group = document.optional("group", _group_id)
    peers = tuple(_peer(t) for t in document.tables("peer", text))
    taps = tuple(_tap(t, netns) for t in document.tables("tap", text))
    document.end()
    if not socket.startswith("/"):
        raise HelperError(f"{source}: socket must be an absolute path, not {socket!r}")
    _checked(source, wire.check_netns, netns)
    return Policy(source, netns, peers, taps, socket, group)


class _Table:
    """One table of the file: each key is taken once, what remains is unknown."""

    def __init__(self, values: Mapping[str, object], where: str) -> None:
        self._values = dict(values)
        self.where = where

    def text(self, key: str, default: str | None = None) -> str:
        value = self._values.pop(key, default)
        if not isinstance(value, str):
            raise HelperError(f"{self.where}: {key} must be a text in quotes")
        return value

    def number(self, key: str, default: int) -> int:
        value = self._values.pop(key, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise HelperError(f"{self.where}: {key} must be a whole number")
        return value

    def optional(self, key: str, convert: Callable[[object, str], int]) -> int | None:
        return convert(self._values.pop(key), self.where) if key in self._values else None

    def tables(self, key: str, text: str) -> Iterator[_Table]:
        values = self._values.pop(key, [])
        if not isinstance(values, list) or not all(isinstance(v, dict) for v in values):
            raise HelperError(f"{self.where}: write [[{key}]], it can be repeated")
        heads = re.compile(rf"[ \t]*\[\[[ \t]*{key}[ \t]*\]\]")
        lines = [n for n, line in enumerate(text.splitlines(), 1) if heads.match(line)]
        for index, value in enumerate(values):
            line = f" (line {lines[index]})" if len(lines) == len(values) else ""
            yield _Table(value, f"{self.where} [[{key}]] {index + 1}{line}")

    def end(self) -> None:
        if self._values:
            raise HelperError(f"{self.where}: unknown key {min(self._values)!r}")


def _peer(table: _Table) -> Peer:
    uid = table.optional("user", _user_id)
    gid = table.optional("group", _group_id)
    table.end()
    if (uid is None) == (gid is None):
        raise HelperError(f"{table.where}: give user or group, one of them")
    return Peer(table.where, uid, gid)


def _tap(table: _Table, netns: str) -> Tap:
    kind = table.text("kind", "tap")
    tap = Tap(
        table.where,
        netns,
        table.text("name"),
        Kind[kind.upper()] if kind in {"tap", "tun"} else Kind.NONE,
        table.number("count", 1),
        table.number("mtu", wire.MTU_MAX),
        table.number("txqueuelen", 1000),
    )
    table.end()
    if tap.kind is Kind.NONE:
        raise HelperError(f"{table.where}: kind {kind!r} is unknown: choose tap or tun")
    if not 1 <= tap.count <= _COUNT_MAX:
        raise HelperError(f"{table.where}: count {tap.count} is out of range: 1 to {_COUNT_MAX}")
    _checked(table.where, wire.check_limits, tap.mtu, tap.txqueuelen)
    # '*' and '?' stand for characters of a name; '[' is not offered.
    if "[" in tap.name:
        raise HelperError(f"{table.where}: the name {tap.name!r} has '[': use '*' and '?' only")
    _checked(table.where, wire.check_name, tap.name)
    return tap


def _checked(where: str, check: Callable[..., None], *values: object) -> None:
    try:
        check(*values)
    except ValueError as error:
        raise HelperError(f"{where}: {error}") from None


def _user_id(value: object, where: str) -> int:
    return _identity(value, where, "user", lambda name: pwd.getpwnam(name).pw_uid)


def _group_id(value: object, where: str) -> int:
    return _identity(value, where, "group", lambda name: grp.getgrnam(name).gr_gid)


def _identity(value: object, where: str, what: str, find: Callable[[str], int]) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if not isinstance(value, str):
        raise HelperError(f"{where}: {what} must be a name or a number")
    try:
        return find(value)
    except KeyError:
        raise HelperError(f"{where}: there is no {what} {value!r} on this machine") from None
