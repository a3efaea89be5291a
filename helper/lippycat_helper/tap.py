"""Making a TAP or TUN device, and preparing it before it is up.

The device is silent (no IPv6, no address generation) and deaf: what is written to it
reaches every reader, and then a packet filter drops it before the host's stack, so
the host never answers. See Documentation/networking/tuntap.rst, linux/if_tun.h.
"""

# System calls as the kernel has them: flags and errno are what counts here.
# ruff: noqa: PTH123

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

from lippycat_helper import rules
from lippycat_helper.report import HelperError, InUseError, RefusedError
from lippycat_helper.wire import Kind

if TYPE_CHECKING:
    from lippycat_helper.policy import Tap

NODE = "/dev/net/tun"

# linux/if_tun.h
_TUNSETIFF, _TUNGETIFF, _TUNSETCARRIER = 0x400454CA, 0x800454D2, 0x400454E2
_TUNSETPERSIST, _TUNSETOWNER, _TUNSETGROUP = 0x400454CB, 0x400454CC, 0x400454CE
_TUNGETDEVNETNS, _SIOCGSKNS = 0x54E3, 0x894C  # the device's namespace, its descriptor's
_IFF_NO_PI, _IFF_TUN_EXCL, _IFF_PERSIST = 0x1000, 0x8000, 0x0800
_MODE = {Kind.TUN: 0x0001, Kind.TAP: 0x0002}
_IFREQ = struct.Struct("16sH22x")
_DEVICE_NUMBER = (10, 200)  # Documentation/admin-guide/devices.txt

_ADDR_GEN_NONE = 1  # linux/if_link.h
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
        if self.guard >= 0:
            os.close(self.guard)
        self.fd = self.guard = -1

    def own(self) -> None:
        """Make it root's, and not persistent: its holder needs no capability to change that."""
        fcntl.ioctl(self.fd, _TUNSETPERSIST, 0)
        fcntl.ioctl(self.fd, _TUNSETOWNER, 0)
        fcntl.ioctl(self.fd, _TUNSETGROUP, 0)

    def alive(self) -> bool:
        """Say whether the descriptor is still attached to the device of this name."""
        try:
            return _attached(self.fd)[0] == self.name
        except OSError:
            return False


def create(entry: Tap, name: str) -> Device:
    """Make the device in the current namespace, prepare it, bring it up.

    Raises InUseError (its text says how, without the name) when the name is taken,
    HelperError for everything else.
    """
    device = Device(entry, name, 0, _attach(entry.kind, name), -1)
    try:
        device.ifindex = socket.if_nametoindex(name)
        device.own()
        device.guard = rules.deafen(name)
        configure(entry, name, device.ifindex)
        fcntl.ioctl(device.fd, _TUNSETCARRIER, struct.pack("i", 1))
    except BaseException as error:
        device.close()
        if isinstance(error, OSError):
            raise HelperError(f"cannot prepare {name}: {error.strerror}") from None
        raise
    return device


def kind_of(fd: int) -> Kind:
    """Say what a descriptor is; raises RefusedError when it is no TAP or TUN device."""
    try:
        info = os.fstat(fd)
        if not stat.S_ISCHR(info.st_mode) or info.st_rdev != os.makedev(*_DEVICE_NUMBER):
            raise RefusedError("the descriptor is no TAP or TUN device")
        flags = _attached(fd)[1]
    except OSError as error:
        raise RefusedError(f"the descriptor has no TAP or TUN device: {error.strerror}") from None
    return next(kind for kind, mode in _MODE.items() if flags & mode)


def recognise(entry: Tap, name: str, fd: int, namespace: tuple[int, int]) -> Device:
    """Take a descriptor for the device that it must be: its kind, its name, its namespace.

    namespace is the device and inode number of the namespace. Raises RefusedError. The
    guard of what is returned is missing yet.
    """
    if kind_of(fd) is not entry.kind:
        raise RefusedError(f"the descriptor's device is no {entry.kind.name.lower()}")
    found, flags = _attached(fd)
    if found != name:
        raise RefusedError(f"the descriptor's device is {found}, not {name}")
    if flags & ~(_MODE[entry.kind] | _IFF_NO_PI | _IFF_PERSIST | _IFF_TUN_EXCL):
        raise RefusedError(f"{name} was made otherwise than this helper makes it (flags {flags:#x})")
    try:
        for request in (_TUNGETDEVNETNS, _SIOCGSKNS):
            netns = fcntl.ioctl(fd, request)
            info = os.fstat(netns)
            os.close(netns)
            if (info.st_dev, info.st_ino) != namespace:
                raise RefusedError(f"{name} of the descriptor is in another namespace")
        device = Device(entry, name, socket.if_nametoindex(name), fd, -1)
        device.own()
    except OSError as error:
        raise RefusedError(f"{name} cannot be recognised: {error.strerror}") from None
    return device


def _attached(fd: int) -> tuple[str, int]:
    """Read a descriptor's device: its name and its flags (TUNGETIFF); raises OSError."""
    name, flags = _IFREQ.unpack(fcntl.ioctl(fd, _TUNGETIFF, bytes(_IFREQ.size)))
    return name.rstrip(b"\0").decode("ascii"), flags


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


def configure(entry: Tap, name: str, ifindex: int) -> None:
    """No IPv6, no addresses, MTU and queue length, then up; may be repeated."""
    from pyroute2 import IPRoute  # noqa: PLC0415  slow to import
    from pyroute2.netlink.exceptions import NetlinkError  # noqa: PLC0415

    # Where /proc/sys is read-only or hidden (containers, units) the address generation mode
    # and the egress drop do the same.
    with contextlib.suppress(OSError), open(f"{_CONF}/{name}/disable_ipv6", "w") as file:
        file.write("1")
    ipv6 = {"attrs": [["IFLA_INET6_ADDR_GEN_MODE", _ADDR_GEN_NONE]]}
    try:
        with IPRoute() as route:
            # Refused where the kernel has no IPv6.
            with contextlib.suppress(NetlinkError):
                route.link("set", index=ifindex, IFLA_AF_SPEC={"attrs": [["AF_INET6", ipv6]]})
            route.link("set", index=ifindex, mtu=entry.mtu, txqlen=entry.txqueuelen)
            route.link("set", index=ifindex, state="up")
    except NetlinkError as error:
        raise HelperError(f"cannot prepare {name}: {os.strerror(error.code)}") from None


def remove(name: str, ifindex: int) -> None:
    """Delete the device, whoever holds its descriptor; raises HelperError."""
    from pyroute2 import IPRoute  # noqa: PLC0415  slow to import
    from pyroute2.netlink.exceptions import NetlinkError  # noqa: PLC0415

    try:
        with IPRoute() as route:
            route.link("del", index=ifindex)
    except NetlinkError as error:
        raise HelperError(f"cannot remove {name}: {os.strerror(error.code)}") from None
