"""Checks of single values that a type alone does not express. Each raises ValueError with one line."""

from __future__ import annotations

import ipaddress
import re

_NAME_LIMIT = 15  # IFNAMSIZ, linux/if.h, without its final NUL
_FILE_LIMIT = 255
_PORT_LIMIT = 65535
_MOST_TRUNKS = 64  # trunks.rs, MAX_TRUNKS
_TRUNK_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_HOST = re.compile(r"[A-Za-z0-9._:%-]{1,253}", re.ASCII)
_HOST_NAME = re.compile(r"[A-Za-z0-9.-]{1,253}")
NAME_FIELDS = frozenset({"date", "time", "from", "to", "callid"})
_NAME_DEPTH, _NAME_PART = 8, 200
_BLOCK_MIN, _BLOCK_MAX = 4096, 16 << 20


def interface_name(value: str) -> str:
    """A name the kernel accepts for an interface (dev_valid_name, net/core/dev.c)."""
    if not 0 < len(value.encode()) <= _NAME_LIMIT:
        msg = f"{value!r} must have 1 to {_NAME_LIMIT} bytes"
        raise ValueError(msg)
    if value in {".", ".."} or any(letter in "/:%" or letter.isspace() or not letter.isprintable() for letter in value):
        msg = f"{value!r} is not a name for an interface; use letters, digits, . - _"
        raise ValueError(msg)
    return value


def block_size(value: int) -> int:
    """A size that a ring's block can have: a power of two, 4 KiB to 16 MiB (lippycat_helper.wire)."""
    if value & (value - 1) or not _BLOCK_MIN <= value <= _BLOCK_MAX:
        msg = f"{value} is no size of a block; choose a power of two from 4KiB to 16MiB"
        raise ValueError(msg)
    return value


def namespace_name(value: str) -> str:
    """A name of a network namespace as `ip netns` has it, or empty for the current one."""
    bad = value in {".", ".."} or any(letter == "/" or letter.isspace() or not letter.isprintable() for letter in value)
    if bad or len(value.encode()) > _FILE_LIMIT:
        msg = f"{value!r} is not a name for a network namespace; use letters, digits, . - _"
        raise ValueError(msg)
    return value


def listen_address(value: str) -> str:
    """ADDRESS:PORT with the address optional, IPv6 in brackets; empty for none."""
    if value:
        split_listen(value)
    return value


def split_listen(value: str) -> tuple[str, int]:
    """The address (empty: all) and the port of ADDRESS:PORT."""
    host, colon, port = value.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port[:6]) > _PORT_LIMIT:
        msg = f"{value!r} is not ADDRESS:PORT, such as 127.0.0.1:10469"
        raise ValueError(msg)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        msg = f"{value!r} holds a bare IPv6 address; write it in brackets, [::1]:10469"
        raise ValueError(msg)
    return host, int(port)


_POD = re.compile(r"[a-z0-9-]{1,63}/[a-z0-9.-]{1,253}", re.ASCII)
_API = re.compile(r"https?://[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?/?", re.ASCII)
_SERVER_KINDS = ("udp", "tcp", "tls")


def servers(values: tuple[str, ...]) -> tuple[str, ...]:
    """Each one KIND://HOST:PORT. Raises ValueError for what is none."""
    for value in values:
        split_server(value)
    if len(set(values)) < len(values):
        msg = "names a server twice"
        raise ValueError(msg)
    return values


def split_server(value: str) -> tuple[str, str, int]:
    """Kind, host and port of KIND://HOST:PORT."""
    kind, slashes, place = value.partition("://")
    try:
        host, port = split_listen(place)
    except ValueError:
        host, port = "", 0
    if kind not in _SERVER_KINDS or not slashes or not port or not _HOST.fullmatch(host):
        msg = f"{value!r} is not {'|'.join(_SERVER_KINDS)}://HOST:PORT, such as udp://homer.example.net:9060"
        raise ValueError(msg)
    return kind, host, port


def api_url(value: str) -> str:
    """http(s)://HOST[:PORT] without a path; empty for none."""
    if value and not _API.fullmatch(value):
        msg = f"{value!r} is not https://HOST:PORT, such as https://kubernetes.default.svc"
        raise ValueError(msg)
    return value


def pods(values: tuple[str, ...]) -> tuple[str, ...]:
    """Each one NAMESPACE/NAME as Kubernetes has names. Raises ValueError for what is none."""
    for value in values:
        if not _POD.fullmatch(value):
            msg = f"{value!r} is not NAMESPACE/NAME"
            raise ValueError(msg)
    return values


def name_pattern(value: str) -> str:
    """A pattern of names below a directory; call_files/name.rs reads it."""
    parts = value.split("/")
    fields = set(re.findall(r"\{([^{}]*)\}", value))
    rest = re.sub(r"\{[^{}]*\}", "x", value)
    if not value.endswith((".pcap", ".pcapng")):
        msg = f"{value!r} must end with .pcap or .pcapng"
    elif unknown := fields - NAME_FIELDS:
        known = ", ".join(f"{{{name}}}" for name in sorted(NAME_FIELDS))
        msg = f"{value!r} holds {{{min(unknown)}}}; known are {known}"
    elif any(part in {"", ".", ".."} for part in (*parts[:-1], parts[-1].rpartition(".")[0])):
        msg = f"{value!r} has a part that is empty, . or ..; it is relative to the directory"
    elif len(parts) > _NAME_DEPTH or any(len(part.encode()) > _NAME_PART for part in parts):
        msg = f"{value!r} has more than {_NAME_DEPTH} parts, or one of more than {_NAME_PART} bytes"
    elif any(letter in "{}\\" or not letter.isprintable() for letter in rest):
        msg = f"{value!r} holds a control character, a backslash or a single brace"
    else:
        return value
    raise ValueError(msg)


def no_nul(value: str) -> str:
    """Text without a NUL byte."""
    if "\0" in value:
        msg = "holds a NUL byte"
        raise ValueError(msg)
    return value


def trunks(values: tuple[str, ...]) -> tuple[str, ...]:
    """Each one NAME=MEMBER,MEMBER: networks, addresses or host names. Raises ValueError for what is none."""
    for value in values:
        split_trunk(value)
    names = [split_trunk(value)[0] for value in values]
    if len(set(names)) < len(names) or "other" in names:
        msg = "needs a name of its own for each trunk, and not the name other"
        raise ValueError(msg)
    if len(values) > _MOST_TRUNKS:
        msg = f"takes {_MOST_TRUNKS} trunks at most"
        raise ValueError(msg)
    return values


def split_trunk(value: str) -> tuple[str, list[str]]:
    """Name and members of NAME=MEMBER,MEMBER."""
    name, equals, members = value.partition("=")
    found = [member.strip() for member in members.split(",")]
    if not equals or not _TRUNK_NAME.fullmatch(name.strip()) or not all(map(_is_member, found)):
        msg = f"{value!r} is not NAME=NETWORK,HOST, such as carrier=203.0.113.0/24,sip.carrier.example"
        raise ValueError(msg)
    return name.strip(), found


def _is_member(member: str) -> bool:
    try:
        ipaddress.ip_network(member)
    except ValueError:
        return bool(_HOST_NAME.fullmatch(member)) and not member.replace(".", "").isdigit()
    return True
