"""BSD loopback (NULL, LOOP): the address families of a file's origin instead of this machine's.

Compiled without a file, libpcap compares the family with this machine's AF_INET6; reading a file, tcpdump compares it
with those of the BSDs, in the byte order of the file (gencode.c, gen_linktype). A NULL header holds a family below 256
in either byte order, so both orders are compared, and a file need not say which it has.
"""

from __future__ import annotations

import socket

Program = list[tuple[int, int, int, int]]

_LOAD_FAMILY = (0x20, 0, 0, 0)  # ld [0]
_EQUAL = 0x15
_JUMP_CLASS, _JUMP_ALWAYS, _RETURN_CLASS = 0x05, 0x05, 0x06
_LOAD_CLASSES = (0x00, 0x04, 0x07)  # ld, alu and misc (txa) change the accumulator
_IPV4 = 2
_IPV6 = (30, 24, 28)  # Darwin, NetBSD and OpenBSD, FreeBSD
_JUMP_LIMIT = 255


def _orders(family: int, *, both: bool) -> tuple[int, ...]:
    """A family as `ld [0]` gives it: in network order, and for NULL in the other order too."""
    return (family, int.from_bytes(family.to_bytes(4, "little"))) if both else (family,)


def families(program: Program, *, both: bool) -> Program:
    """The program with every comparison of the family widened to what files hold; `both`: in both byte orders (NULL).

    Raises ValueError where a jump gets too long.
    """
    wanted: dict[int, tuple[int, ...]] = {}
    for order in _orders(_IPV4, both=both):
        wanted[order] = _orders(_IPV4, both=both)
    for order in _orders(int(socket.AF_INET6), both=both):
        wanted[order] = tuple(value for family in _IPV6 for value in _orders(family, both=both))
    tests = _family_tests(program)
    values = [wanted.get(k, (k,)) if at in tests else (k,) for at, (_, _, _, k) in enumerate(program)]
    start = [0]
    for several in values:
        start.append(start[-1] + len(several))
    out: Program = []
    for at, (code, jt, jf, _) in enumerate(program):
        for number, value in enumerate(values[at]):
            here = start[at] + number + 1  # jumps count from the next instruction
            last = number + 1 == len(values[at])
            if code == _JUMP_ALWAYS:
                out.append((code, jt, jf, start[at + 1 + value] - here))
            elif code & 0x07 == _JUMP_CLASS:
                other = _near(start[at + 1 + jf] - here) if last else 0
                out.append((code, _near(start[at + 1 + jt] - here), other, value))
            else:
                out.append((code, jt, jf, value))
    return out


def _near(distance: int) -> int:
    if distance > _JUMP_LIMIT:
        msg = "too long for this link type"
        raise ValueError(msg)
    return distance


def _family_tests(program: Program) -> set[int]:
    """The instructions `jeq` that surely compare the family: on every way to them `ld [0]` came last."""
    holds: list[bool | None] = [None] * (len(program) + 1)  # at its start: family, something else, not reached
    holds[0] = False
    found = set()
    for at, instruction in enumerate(program):
        code, jt, jf, k = instruction
        now = bool(holds[at])
        if code == _EQUAL and now:
            found.add(at)
        if instruction == _LOAD_FAMILY:
            now = True
        elif code & 0x07 in _LOAD_CLASSES:
            now = False
        if code & 0x07 == _RETURN_CLASS:
            continue
        if code == _JUMP_ALWAYS:
            ways = {at + 1 + k}
        else:
            ways = {at + 1 + jt, at + 1 + jf} if code & 0x07 == _JUMP_CLASS else {at + 1}
        for way in ways:
            holds[way] = now if holds[way] is None else bool(holds[way]) and now
    return found
