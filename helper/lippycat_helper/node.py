"""A container's first step on a node: give the host's namespace a name, make lippycat's, refuse injection.

    lippycat-node [--host NAME --host-from PATH] [--netns NAME]

Run once, before the helpers, by a short container that may do all this (privileged, with
/run/netns shared in both directions, since Kubernetes allows that to no other): the
helpers then enter by name, and need neither the host's network nor its processes. What is
there already stays, so it may run again at any time.
"""

# System calls as the kernel has them: flags and errno are what counts here.
# ruff: noqa: PTH108, PTH121

from __future__ import annotations

import argparse
import ctypes
import os
import sys

from lippycat_helper import egress, namespace, privileges, wire
from lippycat_helper.report import HelperError, say

_NOT_POSSIBLE = 3
_MS_BIND = 4096  # sys/mount.h
_SELF = "/proc/self/ns/net"

_libc = ctypes.CDLL(None, use_errno=True)


def main(arguments: list[str] | None = None) -> int:
    """Prepare the node. 0: done; 2: wrong usage; 3: not possible here."""
    options = _options().parse_args(arguments)
    try:
        for name in (options.netns, options.host):
            wire.check_netns(name)
        privileges.need(privileges.SYS_ADMIN, "naming and creating a network namespace")
        if options.host:
            pin(options.host, options.host_from)
        make(options.netns)
        if options.host:
            namespace.enter(options.host)
            _refuse_injection(options.host)
    except (HelperError, ValueError) as error:
        say(str(error))
        return _NOT_POSSIBLE
    except OSError as error:
        say(f"cannot prepare the node: {error.strerror}")
        return _NOT_POSSIBLE
    return 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lippycat-node", allow_abbrev=False,
        description="Names the host's network namespace and makes the one for lippycat's interfaces.",
    )  # fmt: skip
    parser.add_argument("--netns", default="lc-ns", help="made where it is missing (default %(default)s)")
    parser.add_argument("--host", default="", help="the name that the host's namespace gets where none has it")
    parser.add_argument(
        "--host-from", default="/proc/1/ns/net", metavar="PATH",
        help="where the host's namespace is found (default %(default)s)",
    )  # fmt: skip
    return parser


def pin(name: str, source: str) -> None:
    """Bind the namespace at `source` to /run/netns/NAME, unless a namespace has that name."""
    if namespace.exists(name):
        say(f"{namespace.path(name)} is there and stays")
        return
    try:
        if os.path.samefile(source, _SELF):
            raise HelperError(f"{source} is this container's own network, not the host's: mount the host's /proc")
    except OSError as error:
        raise HelperError(
            f"cannot read {source}: {error.strerror}; or name the host's network on the node: ip netns attach {name} 1"
        ) from None
    target = namespace.path(name)
    if not os.path.lexists(target):
        os.close(os.open(target, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0))
    if _libc.mount(source.encode(), target.encode(), b"none", _MS_BIND, None) != 0:
        reason = os.strerror(ctypes.get_errno())
        os.unlink(target)
        raise HelperError(f"cannot bind {source} to {target}: {reason} (is the container privileged?)")
    say(f"{target} is the host's network now")


def make(name: str) -> None:
    """Make the namespace where it is missing; this process may be in it afterwards."""
    if namespace.exists(name):
        return
    if os.path.lexists(namespace.path(name)):
        # A file without a mount: a node where the mount was not kept. Nobody can be using it.
        os.unlink(namespace.path(name))
    namespace.unshare()
    namespace.publish(name)
    say(f"{namespace.path(name)} was made")


def _refuse_injection(name: str) -> None:
    """The egress rule, on every interface there is; without it captures work all the same, and it is said."""
    try:
        privileges.need(privileges.NET_ADMIN, "the egress rule")
        egress.install()
    except HelperError as error:
        say(f"{name}: {error}")


if __name__ == "__main__":
    sys.exit(main())
