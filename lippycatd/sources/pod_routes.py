"""Where a pod's packets are: its host-side interface where a route of its own leads there, and its addresses.

Network plugins that give each pod a pair of interfaces without a bridge (Calico, ptp) have a route for its address
alone; with any other plugin every interface is captured, and the filter alone chooses.
"""

from __future__ import annotations

import contextlib
import sys
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lippycatd.config.sections import Capture

_ROUTES, _ROUTES_6 = Path("/proc/net/route"), Path("/proc/net/ipv6_route")
_WHOLE = "FFFFFFFF"


def narrowed(section: Capture, addresses: Sequence[str]) -> tuple[Capture, str]:
    """The section with the interfaces that routes name, where none was asked for and all have one; and the filter."""
    filter_ = " or ".join(f"host {address}" for address in addresses)
    if section.default_interface:
        return section, filter_
    four = six = ""
    with contextlib.suppress(OSError):
        four = _ROUTES.read_text(encoding="utf-8")
    with contextlib.suppress(OSError):
        six = _ROUTES_6.read_text(encoding="utf-8")
    found = [interface(address, four, six) for address in addresses]
    if not all(found):
        return section, filter_
    return section.model_copy(update={"default_interface": tuple(dict.fromkeys(found))}), filter_


def interface(address: str, four: str, six: str) -> str:
    """The interface of a route for this address alone, from the texts of both tables (pure); empty for none."""
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        rows = [line.split() for line in six.splitlines()]
        wanted = ip.packed.hex()
        return next((row[9] for row in rows if row[:2] == [wanted, "80"] and row[9] != "lo"), "")
    wanted = f"{int.from_bytes(ip.packed, sys.byteorder):08X}"
    rows = [line.split() for line in four.splitlines()[1:]]
    return next((row[0] for row in rows if row[1] == wanted and row[7] == _WHOLE), "")
