"""Making a TAP or TUN device, and preparing it before it is up.

The device is silent (no IPv6, no address generation) and deaf: what is written to it
reaches every reader, and then a packet filter drops it before the host's stack, so
the host never answers. See Documentation/networking/tuntap.rst, linux/if_tun.h.
"""

# System calls as the kernel has them: flags and errno are what counts here.
# ruff: noqa: PTH112, PTH123

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lippycat_helper.report import HelperError, InUseError
from lippycat_helper.wire import Kind

if TYPE_CHECKING:
    from pyroute2.nftables.main import NFTables

    from lippycat_helper.policy import Tap

NODE = "/dev/net/tun"

# linux/if_tun.h
_TUNSETIFF, _TUNGETIFF, _TUNSETCARRIER = 0x400454CA, 0x800454D2, 0x400454E2
_IFF_NO_PI, _IFF_TUN_EXCL = 0x1000, 0x8000
_MODE = {Kind.TUN: 0x0001, Kind.TAP: 0x0002}
_IFREQ = struct.Struct("16sH22x")

# linux/netfilter.h, linux/netfilter/nf_tables.h, linux/if_link.h
_NFPROTO_NETDEV, _NF_DROP, _TABLE_OWNER = 5, 0, 2
_HOOKS = {"ingress": 0, "egress": 1}
_ADDR_GEN_NONE = 1
_CONF = "/proc/sys/net/ipv6/conf"


@dataclass(slots=True)
class Device:
    """An open device. The guard holds its packet filter: the filter ends with it."""

    entry: Tap
    name: str
    ifindex: int
    fd: int
    guard: int

    def close(self) -> None:
        """Let both go; the device ends when nobody else holds its descriptor."""
        os.close(self.fd)
        os.close(self.guard)

    def alive(self) -> bool:
        """Say whether the descriptor is still attached to the device of this name."""
        try:
            answer = fcntl.ioctl(self.fd, _TUNGETIFF, bytes(_IFREQ.size))
        except OSError:
            return False
        return bool(_IFREQ.unpack(answer)[0].rstrip(b"\0").decode("ascii") == self.name)


def create(entry: Tap, name: str) -> Device:
    """Make the device in the current namespace, prepare it, bring it up.

    Raises InUseError (its text says how, without the name) when the name is taken,
    HelperError for everything else.
    """
    fd = _attach(entry.kind, name)
    guard = -1
    try:
        ifindex = socket.if_nametoindex(name)
        guard = _deafen(name, ifindex)
        configure(entry, name, ifindex)
        fcntl.ioctl(fd, _TUNSETCARRIER, struct.pack("i", 1))
    except BaseException as error:
        os.close(fd)
        if guard >= 0:
            os.close(guard)
        if isinstance(error, OSError):
            raise HelperError(f"cannot prepare {name}: {error.strerror}") from None
        raise
    return Device(entry, name, ifindex, fd, guard)


def _attach(kind: Kind, name: str) -> int:
    fd = _open_node()
    flags = _MODE[kind] | _IFF_NO_PI | _IFF_TUN_EXCL
    try:
        fcntl.ioctl(fd, _TUNSETIFF, _IFREQ.pack(name.encode("ascii"), flags))
    except OSError as error:
        os.close(fd)
        if error.errno == errno.EBUSY:
            raise InUseError(_taken(name)) from None
        if error.errno == errno.EPERM:
            raise HelperError(f"CAP_NET_ADMIN does not reach the namespace of {name}") from None
        raise HelperError(f"cannot create {name}: {error.strerror}") from None
    return fd


def _taken(name: str) -> str:
    """Say how the name is taken: by another run, or by a device that nobody's run made."""
    from pyroute2 import IPRoute  # noqa: PLC0415  slow to import
    from pyroute2.netlink.exceptions import NetlinkError  # noqa: PLC0415

    kind, persistent = "tun", 0
    with contextlib.suppress(NetlinkError, OSError), IPRoute() as route:
        for link in route.get_links(ifname=name):
            kind = link.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") or "other"
            persistent = link.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA", "IFLA_TUN_PERSIST") or 0
    if kind == "tun" and not persistent:
        return "is in use"
    return f"exists already (a {'persistent tap or tun' if persistent else kind} device)"


def _open_node() -> int:
    try:
        fd = os.open(NODE, os.O_RDWR | os.O_CLOEXEC)
        if stat.S_ISCHR(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.ENODEV, errno.ENXIO}:
            raise HelperError(f"cannot open {NODE}: {error.strerror}") from None
    raise HelperError(
        f"{NODE} is missing: load the kernel module (modprobe tun), or give the container the device {NODE}"
    )


def _deafen(name: str, ifindex: int) -> int:
    """Drop what the device receives, and what the host would send on it.

    The table belongs to one netlink socket and ends with it (NFT_TABLE_F_OWNER, Linux
    5.12); the descriptor returned keeps it. The socket is of no other use to its holder:
    every change needs CAP_NET_ADMIN at that moment.
    """
    from pyroute2.netlink.exceptions import NetlinkError  # noqa: PLC0415  slow to import
    from pyroute2.nftables.main import NFTables  # noqa: PLC0415

    table = f"lippycat_{name}_{ifindex}"
    nft = NFTables(nfgen_family=_NFPROTO_NETDEV)
    try:
        nft.table("add", name=table, NFTA_TABLE_FLAGS=_TABLE_OWNER)
        _add_chain(nft, table, "ingress", name)
        # Egress needs Linux 5.16; without it IPv6 being off keeps the device as silent
        # as long as nobody gives it an address.
        try:
            _add_chain(nft, table, "egress", name)
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


def _add_chain(nft: NFTables, table: str, hook: str, name: str) -> None:
    # pyroute2 0.9.7 knows no netdev hook by name, so the hook goes in as attributes.
    attributes = [
        ["NFTA_HOOK_HOOKNUM", _HOOKS[hook]],
        ["NFTA_HOOK_PRIORITY", 0],
        ["NFTA_HOOK_DEV", name],
    ]
    nft.chain(
        "add", table=table, name=hook, type="filter", policy=_NF_DROP,
        NFTA_CHAIN_HOOK={"attrs": attributes},
    )  # fmt: skip


def configure(entry: Tap, name: str, ifindex: int) -> None:
    """No IPv6, no addresses, MTU and queue length, then up; may be repeated."""
    from pyroute2 import IPRoute  # noqa: PLC0415  slow to import
    from pyroute2.netlink.exceptions import NetlinkError  # noqa: PLC0415

    # Where /proc/sys is read-only (containers) the address generation mode and the
    # egress drop do the same.
    with contextlib.suppress(OSError), open(f"{_CONF}/{name}/disable_ipv6", "w") as file:
        file.write("1")
    ipv6 = {"attrs": [["IFLA_INET6_ADDR_GEN_MODE", _ADDR_GEN_NONE]]}
    try:
        with IPRoute() as route:
            if os.path.isdir(_CONF):
                route.link("set", index=ifindex, IFLA_AF_SPEC={"attrs": [["AF_INET6", ipv6]]})
            route.link("set", index=ifindex, mtu=entry.mtu, txqlen=entry.txqueuelen)
            route.link("set", index=ifindex, state="up")
    except NetlinkError as error:
        raise HelperError(f"cannot prepare {name}: {os.strerror(error.code)}") from None
