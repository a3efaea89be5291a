"""The classic BPF program that is locked onto a capture socket.

It begins with what no policy can leave out: which interface, and whether frames for other
hosts. The policy's own program follows; its jumps are relative and its rejections stand,
only what it accepts is cut to the snap length. See linux/filter.h and
Documentation/networking/filter.rst; pure functions over instructions (code, jt, jf, k).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

Instruction = tuple[int, int, int, int]
Program = tuple[Instruction, ...]

_LD_ABS, _LD_IMM, _JEQ, _JA, _RET_K, _RET_A = 0x20, 0x00, 0x15, 0x05, 0x06, 0x16
_JUMPS, _CLASS = 0x05, 0x07
_AD_OFF = 0xFFFF_F000  # SKF_AD_OFF: what follows is about the frame, not in it
_PKTTYPE, _IFINDEX, _HATYPE = _AD_OFF + 4, _AD_OFF + 8, _AD_OFF + 28
_OTHERHOST = 3  # PACKET_OTHERHOST: sent to another host's address
_DROP: Instruction = (_RET_K, 0, 0, 0)
_LENGTH_MAX = 2048  # instructions; two programs and their beginning fit the kernel's 4096
_FIELDS = ((0xFFFF, "code"), (0xFF, "jt"), (0xFF, "jf"), (0xFFFF_FFFF, "k"))

# linux/if_arp.h: interfaces whose frames begin with an Ethernet header, or with an IP one
ETHERNET = frozenset({1, 772})  # Ethernet, loopback
RAW_IP = frozenset({519, 768, 769, 776, 0xFFFE})  # raw IP, IP in IP, sit, none (tun, WireGuard)


def accept(snaplen: int) -> Program:
    """Everything, up to this many bytes of a frame."""
    return ((_RET_K, 0, 0, snaplen),)


def check(values: object) -> Program:
    """Read a program as `lippycat policy compile` writes it; raises ValueError, one line."""
    if not isinstance(values, list) or not 1 <= len(values) <= _LENGTH_MAX:
        raise ValueError(
            f"must be a list of 1 to {_LENGTH_MAX} instructions [code, jt, jf, k]: lippycat policy compile writes one"
        )
    program = tuple(_instruction(number, value) for number, value in enumerate(values))
    for number, (code, jt, jf, k) in enumerate(program):
        if code == _RET_A:
            raise ValueError(f"instruction {number} accepts as many bytes as it computes: constants only")
        if code & _CLASS == _JUMPS:
            longest = k if code == _JA else max(jt, jf)
            if number + 1 + longest >= len(program):
                raise ValueError(f"instruction {number} jumps out of the program")
    if program[-1][0] != _RET_K:
        raise ValueError("the last instruction must return")
    return program


def _instruction(number: int, value: object) -> Instruction:
    if not isinstance(value, list) or len(value) != len(_FIELDS):
        raise ValueError(f"instruction {number} is not [code, jt, jf, k]")
    for each, (highest, name) in zip(value, _FIELDS, strict=True):
        if not isinstance(each, int) or isinstance(each, bool) or not 0 <= each <= highest:
            raise ValueError(f"instruction {number}: {name} must be a number, 0 to {highest}")
    code, jt, jf, k = value
    return code, jt, jf, k


def one_interface(ifindex: int, policy: Program, snaplen: int, *, promiscuous: bool) -> Program:
    """Frames of this interface that the policy's program accepts, cut to snaplen bytes."""
    return (
        (_LD_ABS, 0, 0, _IFINDEX),
        (_JEQ, 1, 0, ifindex),
        _DROP,
        *_own_host(promiscuous=promiscuous),
        *_cut(policy, snaplen),
    )


def every_interface(
    excluded: Collection[int], ethernet: Program, raw: Program, snaplen: int, *, promiscuous: bool
) -> Program:
    """Frames of all interfaces but the excluded ones, each by the program of its link type.

    Frames of interfaces of another link type, or without a program for theirs, are dropped.
    """
    first = _cut(ethernet, snaplen)
    second = _cut(raw, snaplen) if raw else ()
    starts = dict.fromkeys(sorted(ETHERNET), 0) | (dict.fromkeys(sorted(RAW_IP), len(first)) if raw else {})
    types: list[Instruction] = [(_LD_ABS, 0, 0, _HATYPE)]
    for number, (arphrd, start) in enumerate(starts.items(), 1):
        # Over the rest of this table and its _DROP, into the program.
        types += [(_JEQ, 0, 1, arphrd), (_JA, 0, 0, 2 * (len(starts) - number) + 1 + start)]
    types.append(_DROP)
    skip = [each for ifindex in sorted(excluded) for each in ((_JEQ, 0, 1, ifindex), _DROP)]
    head = ((_LD_ABS, 0, 0, _IFINDEX), *skip) if skip else ()
    return (*head, *_own_host(promiscuous=promiscuous), *types, *first, *second)


def _own_host(*, promiscuous: bool) -> Program:
    """Where promiscuous capture is not permitted the holder of the socket could still switch it on."""
    if promiscuous:
        return ()
    return (_LD_ABS, 0, 0, _PKTTYPE), (_JEQ, 0, 1, _OTHERHOST), _DROP


def _cut(policy: Program, snaplen: int) -> Program:
    """The policy's program with its registers as it expects them, accepting `snaplen` bytes."""
    cut = tuple((code, jt, jf, snaplen if code == _RET_K and k else k) for code, jt, jf, k in policy)
    return ((_LD_IMM, 0, 0, 0), *cut)
