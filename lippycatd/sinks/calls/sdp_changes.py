"""What an offer or answer says, and what it changes against the last one of the same author."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lippycatd.model.records import Record

# RFC 3551, tables 4 and 5
_STATIC = {
    0: "PCMU",
    3: "GSM",
    4: "G723",
    5: "DVI4",
    6: "DVI4",
    7: "LPC",
    8: "PCMA",
    9: "G722",
    10: "L16",
    11: "L16",
    12: "QCELP",
    13: "CN",
    14: "MPA",
    15: "G728",
    16: "DVI4",
    17: "DVI4",
    18: "G729",
    25: "CelB",
    26: "JPEG",
    28: "nv",
    31: "H261",
    32: "MPV",
    33: "MP2T",
    34: "H263",
}
_MAP = re.compile(rb"^a=rtpmap:(\d{1,3})[ \t]+([^/\s]{1,64})", re.MULTILINE)
_HELD = frozenset({"sendonly", "inactive"})
_NOWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104  how RFC 2543 puts a call on hold


def codecs(formats: list[str], raw: bytes) -> str:
    """The names of formats: by the message's own map, else the static types."""
    names = {int(number): name.decode("utf-8", "replace") for number, name in _MAP.findall(raw)}
    return ",".join(_codec(word, names) for word in formats)


def _codec(word: str, names: dict[int, str]) -> str:
    if not (word.isascii() and word.isdigit()) or len(word) > 3:  # noqa: PLR2004  a payload type
        return word
    return names.get(int(word)) or _STATIC.get(int(word)) or word


def media(record: Record) -> list[dict[str, Any]]:
    """The media lines of a message with codecs by name."""
    raw = record.get("raw") or b""
    return [{**item, "codecs": codecs(item.get("formats") or [], raw)} for item in record.get("sdp") or ()]


def _where(item: dict[str, Any]) -> str:
    address = item.get("ip") or "?"
    return f"[{address}]:{item['port']}" if ":" in address else f"{address}:{item['port']}"


def describe(item: dict[str, Any]) -> str:
    """`audio 10.0.0.1:4000 PCMU,PCMA sendonly`."""
    if not item.get("port"):
        return f"{item['media']} refused"
    direction = item.get("direction") or "sendrecv"
    return f"{item['media']} {_where(item)} {item['codecs']}" + (f" {direction}" if direction != "sendrecv" else "")


def _held(item: dict[str, Any]) -> bool:
    return item.get("direction") in _HELD or item.get("ip") in _NOWHERE


class Sessions:
    """The last description of every author (a tag of the dialog)."""

    def __init__(self) -> None:
        self._last: dict[str, list[dict[str, Any]]] = {}

    def told(self, record: Record, found: list[dict[str, Any]]) -> list[str]:
        """What a description says and what is new in it, marked by `!`; one that changes nothing says that."""
        if not found:
            return []
        author = record.get("from_tag" if record.get("method") else "to_tag") or ""
        before = self._last.get(author)
        self._last[author] = found
        described = [describe(item) for item in found]
        if before is None:
            return described
        if before == found:
            return ["SDP as before"]
        lines = [
            f"{new['media']} {change}"
            for old, new in zip(before, found, strict=False)
            for change in _differences(old, new)
        ]
        lines += [f"{item['media']} added" for item in found[len(before) :]]
        lines += [f"{item['media']} removed" for item in before[len(found) :]]
        return described + [f"! {line}" for line in lines]


def _differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    changes = []
    if _held(new) and not _held(old):
        changes.append(f"on hold ({new.get('direction') if new.get('direction') in _HELD else new.get('ip')})")
    elif _held(old) and not _held(new):
        changes.append("resumed")
    elif old.get("direction") != new.get("direction"):
        changes.append(f"{old.get('direction')} → {new.get('direction')}")
    if bool(old.get("port")) != bool(new.get("port")):
        changes.append("refused" if old.get("port") else "accepted")
    elif _where(old) != _where(new) and new.get("ip") not in _NOWHERE:
        changes.append(f"moves {_where(old)} → {_where(new)}")
    if old["codecs"] != new["codecs"]:
        changes.append(f"codecs {old['codecs']} → {new['codecs']}")
    return changes
