"""BPF expressions compiled by libpcap into the instructions that the core runs, one program for each link type."""

from __future__ import annotations

from lippycatd.errors import ConfigError
from lippycatd.sources import loopback

Program = loopback.Program
NOTHING: Program = [(6, 0, 0, 0)]  # ret #0

# LINKTYPE_ number → the DLT that libpcap compiles for. Raw IP is 101 in files, DLT_RAW (12) inside libpcap on Linux.
_COMPILED_AS = {0: 0, 1: 1, 9: 9, 12: 12, 14: 12, 50: 50, 101: 12, 108: 108, 113: 113, 228: 228, 229: 229, 276: 276}
LINK_TYPES = tuple(_COMPILED_AS)
ETHERNET = 1
_NULL, _LOOPBACK = 0, (0, 108)
SNAPLEN = 262144
_NETMASK_UNKNOWN = 0xFFFFFFFF  # PCAP_NETMASK_UNKNOWN, pcap/pcap.h
# The order in which a refusal is looked for: what is usual comes first.
_ORDER = (1, 113, 276, 101, 0, 9, 50, 108, 12, 14, 228, 229)


def compile_filter(expression: str) -> dict[int, Program] | None:
    """The programs of an expression by link type; None for an empty expression.

    A link type for which the expression has no meaning (`vlan` on raw IP) gets a program that takes nothing.
    Raises ConfigError with libpcap's words when that is so for all of them. Names are looked up here, so this comes
    before the sandbox.
    """
    if not expression.strip():
        return None
    programs: dict[int, Program] = dict.fromkeys(_ORDER, NOTHING)
    first: ConfigError | None = None
    for link in _ORDER:
        try:
            programs[link] = compile_one(expression, link)
        except ConfigError as error:
            first = first or error
    if first is not None and all(program == NOTHING for program in programs.values()):
        raise first
    return programs


def compile_one(expression: str, link: int = ETHERNET, snaplen: int = SNAPLEN) -> Program:
    """The program for one link type, instructions as (code, jt, jf, k); ConfigError with libpcap's words."""
    import pcapy  # noqa: PLC0415  only when there is an expression

    if link not in _COMPILED_AS:
        known = ", ".join(str(item) for item in LINK_TYPES)
        raise ConfigError(f"link type {link}: no filter can be compiled for it; known are {known}")
    try:
        compiled = pcapy.compile(_COMPILED_AS[link], snaplen, expression, 1, _NETMASK_UNKNOWN)
    except (pcapy.PcapError, ValueError) as error:
        reason = " ".join(str(error).split()).removeprefix("can't parse filter expression: ")
        raise ConfigError(f"filter {expression!r}: {reason}") from None
    program = [(int(code), int(jt), int(jf), int(k)) for code, jt, jf, k in compiled.get_bpf()]
    if link not in _LOOPBACK:
        return program
    try:
        return loopback.families(program, both=link == _NULL)
    except ValueError as error:
        raise ConfigError(f"filter {expression!r}: {error}") from None
