"""Reading the policy file: `read` looks at the file, `parse` is a pure function over its text."""

# System calls as the kernel has them: flags and errno are what counts here.
# ruff: noqa: PTH100, PTH116, PTH120, PTH123

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
import tomllib
from typing import TYPE_CHECKING

from lippycat_helper import filters, wire
from lippycat_helper.policy import EXCLUDED, Capture, Peer, Policy, Tap
from lippycat_helper.report import HelperError
from lippycat_helper.wire import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_SIZE_MAX = 64 * 1024
_COUNT_MAX = 64
_RING_MAX = 256 << 20  # bytes, unless the entry says otherwise


def read(path: str, netns: str = "") -> Policy:
    """Load the file. It, and its directory, must be root's and writable by nobody else.

    A directory of root's that is mounted read-only, as Kubernetes mounts a ConfigMap, is
    writable by nobody whatever its mode says, and its links are root's too.
    netns: the namespace to serve, instead of the one that the file names.
    """
    try:
        directory = os.path.dirname(os.path.abspath(path))
        sealed = bool(os.statvfs(directory).f_flag & os.ST_RDONLY)
        _check_owner(path, os.stat(directory), "its directory", modes=not sealed)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if sealed else os.O_NOFOLLOW))
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
        return parse(data.decode(), path, netns)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise HelperError(f"the policy {path} is not valid TOML: {error}") from None


def _check_owner(path: str, info: os.stat_result, what: str, *, modes: bool = True) -> None:
    if info.st_uid != 0 or (modes and info.st_mode & 0o022):
        raise HelperError(
            f"the policy {path} is refused: {what} must belong to root and be writable by "
            "nobody else (chown root, chmod go-w)"
        )


def parse(text: str, source: str, netns: str = "") -> Policy:
    """Read the policy's text; unknown keys, and values of another type, raise HelperError."""
    document = _Table(tomllib.loads(text), source)
    usual = document.text("namespace", "lc-ns")
    socket = document.text("socket", wire.SOCKET_PATH)
    group = document.optional("group", _group_id)
    peers = tuple(_peer(t) for t in document.tables("peer", text))
    taps = tuple(_tap(t, usual) for t in document.tables("tap", text))
    capture_socket = document.text("capture_socket", wire.CAPTURE_SOCKET_PATH)
    exclude = tuple(document.texts("exclude", EXCLUDED))
    captures = tuple(_capture(t) for t in document.tables("capture", text))
    document.end()
    for key, path in (("socket", socket), ("capture_socket", capture_socket)):
        if not path.startswith("/"):
            raise HelperError(f"{source}: {key} must be an absolute path, not {path!r}")
    for name in (usual, netns):
        _checked(source, wire.check_netns, name)
    return Policy(source, netns or usual, peers, taps, socket, group, captures, capture_socket, exclude)


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

    def truth(self, key: str, *, default: bool) -> bool:
        value = self._values.pop(key, default)
        if not isinstance(value, bool):
            raise HelperError(f"{self.where}: {key} must be true or false")
        return value

    def texts(self, key: str, default: tuple[str, ...]) -> list[str]:
        value = self._values.pop(key, list(default))
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise HelperError(f"{self.where}: {key} must be a list of texts in quotes")
        return value

    def program(self, key: str, *, required: bool) -> filters.Program:
        if key not in self._values and not required:
            return ()
        try:
            return filters.check(self._values.pop(key, None))
        except ValueError as error:
            raise HelperError(f"{self.where}: {key}: {error}") from None

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
        table.text("namespace", netns),
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
    _checked(table.where, wire.check_netns, tap.netns)
    _checked(table.where, wire.check_limits, tap.mtu, tap.txqueuelen)
    _pattern(table.where, tap.name)
    return tap


def _capture(table: _Table) -> Capture:
    entry = Capture(
        table.where,
        table.text("interface", ""),
        table.truth("any", default=False),
        table.truth("promiscuous", default=False),
        table.number("count", 1),
        table.number("ring_max", _RING_MAX),
        table.number("snaplen", wire.SNAPLEN_MAX),
        table.program("filter", required=True),
        table.program("filter_raw", required=False),
    )
    table.end()
    if not (entry.interface or entry.any):
        raise HelperError(f"{table.where}: give interface, a name or pattern, or any = true")
    if entry.interface:
        _pattern(table.where, entry.interface)
    for key, value, highest in (
        ("count", entry.count, 16 * wire.SOCKETS_MAX),
        ("snaplen", entry.snaplen, wire.SNAPLEN_MAX),
    ):
        if not 1 <= value <= highest:
            raise HelperError(f"{table.where}: {key} {value} is out of range: 1 to {highest}")
    if entry.ring_max < wire.BLOCK_MIN:
        raise HelperError(f"{table.where}: ring_max {entry.ring_max} is below {wire.BLOCK_MIN} bytes")
    return entry


def _pattern(where: str, name: str) -> None:
    """'*' and '?' stand for characters of a name; '[' is not offered."""
    if "[" in name:
        raise HelperError(f"{where}: the name {name!r} has '[': use '*' and '?' only")
    _checked(where, wire.check_name, name)


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
