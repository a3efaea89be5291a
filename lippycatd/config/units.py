"""Durations (`10s`, `500ms`, `2m`) and sizes (`64MiB`) as people write them, and back."""

from __future__ import annotations

import re

_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}
_BYTES = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "k": 1 << 10,
    "kib": 1 << 10,
    "m": 1 << 20,
    "mib": 1 << 20,
    "g": 1 << 30,
    "gib": 1 << 30,
}
_PART = re.compile(r"(\d{1,19}(?:\.\d{1,9})?)\s*(ns|us|ms|s|m|h|d)", re.ASCII)
_SIZE = re.compile(r"(\d{1,19}(?:\.\d{1,9})?)\s*([a-zA-Z]*)", re.ASCII)
_LIMIT = 1 << 62
_ROTATE_UNIT = 1_000_000


def _scaled(number: str, factor: int) -> int:
    """A decimal number times an integer factor, rounded to an integer, without passing through a float."""
    whole, _, fraction = number.partition(".")
    value = int(whole) * factor
    if fraction:
        value += round(int(fraction) * factor / 10 ** len(fraction))
    return value


def duration(text: object) -> int:
    """Nanoseconds in a duration such as `10s`, `500ms`, `1m30s` or `0`; ValueError with one line otherwise."""
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    plain = str(text).strip()
    if plain == "0":
        return 0
    total, at = 0, 0
    for part in _PART.finditer(plain):
        if part.start() != at:
            break
        total += _scaled(part[1], _NS[part[2]])
        at = part.end()
    if not plain or at != len(plain):
        msg = f"{plain!r} is not a duration; write it like 10s, 500ms or 2m"
        raise ValueError(msg)
    if total > _LIMIT:
        msg = f"{plain!r} is too long"
        raise ValueError(msg)
    return total


def seconds(text: object) -> int:
    """Whole seconds, at least one, from a bare number or a duration; ValueError with one line otherwise."""
    plain = str(text).strip()
    value = int(plain) * 10**9 if plain.isascii() and plain.isdigit() else duration(plain)
    if value % 10**9:
        msg = f"{plain!r} is not a whole number of seconds"
        raise ValueError(msg)
    if value > _LIMIT:
        msg = f"{plain!r} is too long"
        raise ValueError(msg)
    return value // 10**9


def size(text: object) -> int:
    """Bytes in a size such as `64MiB`, `10MB` or `4096`; ValueError with one line otherwise."""
    plain = str(text).strip()
    found = _SIZE.fullmatch(plain)
    if found is None or found[2].lower() not in _BYTES:
        msg = f"{plain!r} is not a size; write it like 64MiB, or in bytes"
        raise ValueError(msg)
    value = _scaled(found[1], _BYTES[found[2].lower()])
    if value > _LIMIT:
        msg = f"{plain!r} is too large"
        raise ValueError(msg)
    return value


def rotate_size(text: object) -> int:
    """Bytes of one file of a rotation: a bare number counts millions of bytes, as tcpdump's -C does."""
    plain = str(text).strip()
    if plain.isascii() and plain.isdigit():
        value = int(plain) * _ROTATE_UNIT
        return size(str(value))
    return size(plain)


def show_duration(ns: int) -> str:
    """The shortest exact way to write a duration of `ns` nanoseconds."""
    for unit in ("h", "m", "s", "ms", "us"):
        if ns and ns % _NS[unit] == 0:
            return f"{ns // _NS[unit]}{unit}"
    return f"{ns}ns" if ns else "0s"


def show_size(count: int) -> str:
    """The shortest exact way to write a size of `count` bytes."""
    for unit, name in (("gib", "GiB"), ("mib", "MiB"), ("kib", "KiB")):
        if count and count % _BYTES[unit] == 0:
            return f"{count // _BYTES[unit]}{name}"
    return str(count)
