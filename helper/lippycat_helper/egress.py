"""Refuse what capture sockets send: one packet filter rule on each interface.

    python -I -m lippycat_helper.egress [install|remove|check]

Who holds a capture socket needs no capability to send on it, on any interface. What it
sends carries `wire.CAPTURE_MARK`, which its holder cannot change, and this rule drops that
mark where frames leave (the netdev family's egress hook, Linux 5.16). It takes
CAP_NET_ADMIN, which the capture role does not have, so a unit runs this once before the
helper, and again when an interface has appeared: what is there stays, what is missing is
added. `check` names the interfaces without it.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, Any

from lippycat_helper import privileges, rules, wire
from lippycat_helper.report import HelperError, say

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLE = "lippycat_egress"
_PATIENCE, _NAP = 5.0, 0.02  # seconds
_NOT_POSSIBLE = 3
# linux/netfilter/nf_tables.h
_META_MARK, _REGISTER, _EQUAL = 3, 1, 0


def main(arguments: list[str] | None = None) -> int:
    """Install, remove or check the rule. 0: done; 1: missing somewhere; 2: wrong usage; 3: not possible here."""
    parser = argparse.ArgumentParser(prog="lippycat-egress", description="Refuse what capture sockets send.")
    parser.add_argument("what", nargs="?", choices=list(_WORK), default="install")
    what = parser.parse_args(arguments).what
    try:
        privileges.need(privileges.NET_ADMIN, "the egress rule")
        privileges.keep_only(privileges.NET_ADMIN)
        return _WORK[what]()
    except HelperError as error:
        say(str(error))
        return _NOT_POSSIBLE


def install() -> int:
    """Add the rule where it is missing; raises HelperError."""
    from pyroute2.netlink.exceptions import NetlinkError  # noqa: PLC0415  slow to import

    with _alone(), contextlib.closing(rules.connect()) as nft:
        try:
            nft.table("add", name=TABLE)
            chains = _names(nft.get_chains(), "CHAIN", "NAME")
            ruled = _names(nft.get_rules(), "RULE", "CHAIN")
            # The number, since a name can come to mean another interface.
            wanted = {f"interface_{index}": name for index, name in socket.if_nameindex()}
            for chain, name in wanted.items():
                if chain not in chains:
                    rules.add_chain(nft, TABLE, chain, "egress", name, policy=rules.ACCEPT)
                if chain not in ruled:
                    nft.rule("add", table=TABLE, chain=chain, expressions=(_mark_is_ours(), [_counter()], _drop()))
            # From Linux 6.16 on a chain outlives its interface.
            for chain in chains - set(wanted):
                nft.chain("del", table=TABLE, name=chain)
        except NetlinkError as error:
            raise HelperError(
                f"cannot refuse what capture sockets send: nftables says {os.strerror(error.code)}; "
                "Linux 5.16 with nf_tables and its netdev egress hook is needed (modprobe nf_tables)"
            ) from None
    return 0


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One at a time in this network namespace: of two at once each would add the rule that the other adds too."""
    with socket.socket(socket.AF_UNIX) as turn:
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                turn.bind(f"\0{TABLE}")
                break
            except OSError:
                if time.monotonic() >= until:
                    break  # a rule twice does no harm; one that is missing does
                time.sleep(_NAP)
        yield


def check() -> int:
    """Name the interfaces that have no rule; raises HelperError."""
    from pyroute2.netlink.exceptions import NetlinkError  # noqa: PLC0415  slow to import

    with contextlib.closing(rules.connect()) as nft:
        try:
            ruled = _names(nft.get_rules(), "RULE", "CHAIN")
        except NetlinkError as error:
            raise HelperError(f"cannot look at the egress rule: {os.strerror(error.code)}") from None
    lacks = [name for index, name in socket.if_nameindex() if f"interface_{index}" not in ruled]
    if lacks:
        say(f"no egress rule for capture sockets on {', '.join(lacks)}")
    return int(bool(lacks))


def remove() -> int:
    """Take the rule away everywhere; it may be missing. Raises HelperError."""
    from pyroute2.netlink.exceptions import NetlinkError  # noqa: PLC0415  slow to import

    with contextlib.closing(rules.connect()) as nft:
        try:
            nft.table("del", name=TABLE)
        except NetlinkError as error:
            if error.code != errno.ENOENT:
                raise HelperError(f"cannot remove the egress rule: {os.strerror(error.code)}") from None
    return 0


def _names(messages: list[Any], what: str, field: str) -> set[str]:
    """The chains of our table that a dump names."""
    return {each.get_attr(f"NFTA_{what}_{field}") for each in messages if each.get_attr(f"NFTA_{what}_TABLE") == TABLE}


def _mark_is_ours() -> list[Any]:
    from pyroute2.nftables.expressions import genex  # noqa: PLC0415  slow to import

    mark = struct.pack("=I", wire.CAPTURE_MARK)
    return [
        genex("meta", {"key": _META_MARK, "dreg": _REGISTER}),
        genex("cmp", {"sreg": _REGISTER, "op": _EQUAL, "data": {"attrs": [("NFTA_DATA_VALUE", mark)]}}),
    ]


_WORK = {"install": install, "remove": remove, "check": check}


def _counter() -> Any:  # noqa: ANN401  pyroute2 has no types
    from pyroute2.nftables.expressions import genex  # noqa: PLC0415  slow to import

    return genex("counter", {"bytes": 0, "packets": 0})


def _drop() -> Any:  # noqa: ANN401  pyroute2 has no types
    from pyroute2.nftables.expressions import verdict  # noqa: PLC0415  slow to import

    return verdict(code=rules.DROP)


if __name__ == "__main__":
    sys.exit(main())
