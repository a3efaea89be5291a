"""Packet filter rules of the netdev family (nf_tables): deafening a device, holding injection.

A table with an owner belongs to one netlink socket and ends with it (NFT_TABLE_F_OWNER,
Linux 5.12). See linux/netfilter.h, linux/netfilter/nf_tables.h; pyroute2 is imported only
where a rule is made (it is slow to import).
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from typing import TYPE_CHECKING

from lippycat_helper.report import HelperError

if TYPE_CHECKING:
    from pyroute2.nftables.main import NFTables

_NFPROTO_NETDEV, _TABLE_OWNER = 5, 2
DROP, ACCEPT = 0, 1
_HOOKS = {"ingress": 0, "egress": 1}


def deafen(name: str) -> int:
    """Drop what a device receives, and what the host would send on it.

    The descriptor that is returned keeps the rules in force. It is of no other use to its
    holder: every change needs CAP_NET_ADMIN at that moment. May be done again for the same
    device while the rules of an earlier helper are still held. Raises HelperError.
    """
    from pyroute2.netlink.exceptions import NetlinkError  # noqa: PLC0415  slow to import

    nft = connect()
    try:
        table = f"lippycat_{name}_{_port(nft)}"
        nft.table("add", name=table, NFTA_TABLE_FLAGS=_TABLE_OWNER)
        add_chain(nft, table, "ingress", "ingress", name, policy=DROP)
        # Egress needs Linux 5.16; without it IPv6 being off keeps the device as silent
        # as long as nobody gives it an address.
        try:
            add_chain(nft, table, "egress", "egress", name, policy=DROP)
        except NetlinkError as error:
            if error.code not in {errno.EOPNOTSUPP, errno.EINVAL}:
                raise
        return fcntl.fcntl(nft.fileno(), fcntl.F_DUPFD_CLOEXEC, 3)
    except NetlinkError as error:
        raise HelperError(
            f"cannot drop what {name} receives: nftables says {os.strerror(error.code)}; "
            "Linux 5.14 with nf_tables and its netdev family is needed (modprobe nf_tables)"
        ) from None
    finally:
        nft.close()


def connect() -> NFTables:
    """Open a netlink socket for rules of the netdev family."""
    from pyroute2.nftables.main import NFTables  # noqa: PLC0415  slow to import

    return NFTables(nfgen_family=_NFPROTO_NETDEV)


def _port(nft: NFTables) -> int:
    """Read the socket's port: its own among those of the namespace, and so is a table named after it."""
    with socket.socket(fileno=os.dup(nft.fileno())) as same:
        same.bind((0, 0))  # the kernel chooses
        return int(same.getsockname()[0])


def add_chain(  # noqa: PLR0913  as nftables has them
    nft: NFTables, table: str, chain: str, hook: str, device: str, *, policy: int
) -> None:
    """Add a base chain for one device."""
    # pyroute2 0.9.7 knows no netdev hook by name, so the hook goes in as attributes.
    attributes = [
        ["NFTA_HOOK_HOOKNUM", _HOOKS[hook]],
        ["NFTA_HOOK_PRIORITY", 0],
        ["NFTA_HOOK_DEV", device],
    ]
    nft.chain(
        "add", table=table, name=chain, type="filter", policy=policy,
        NFTA_CHAIN_HOOK={"attrs": attributes},
    )  # fmt: skip
