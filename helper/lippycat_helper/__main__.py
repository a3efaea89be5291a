"""The helper's two ways of starting: `--policy FILE` (service), `--fd N` (command line)."""

from __future__ import annotations

import argparse
import contextlib
import resource
import signal
import socket
import sys
from typing import TYPE_CHECKING

from lippycat_helper import wire
from lippycat_helper.boot import boot, boot_capture
from lippycat_helper.capturing import Capturing
from lippycat_helper.devices import Devices
from lippycat_helper.manager import Manager
from lippycat_helper.policy import one_device, these_interfaces
from lippycat_helper.policy_file import read
from lippycat_helper.report import HelperError, PlaceGoneError, say
from lippycat_helper.server import Service, greet, listening, refuse, serve_one
from lippycat_helper.wire import Kind

if TYPE_CHECKING:
    from lippycat_helper.boot import Lease
    from lippycat_helper.policy import Policy
    from lippycat_helper.server import Role

_NOT_POSSIBLE, _PLACE_GONE = 3, 4
_DESCRIPTORS = 4096


def main(arguments: list[str] | None = None) -> int:
    """Serve until the end.

    0: ended as told; 2: wrong usage; 3: not possible here; 4: the namespace's name leads
    elsewhere, so a new helper must serve the new one.
    """
    options = _options().parse_args(arguments)
    try:
        if options.check:
            read(options.policy, options.netns)
        elif options.fd is None:
            _service(options)
        else:
            _command_line(options)
    except PlaceGoneError as error:
        say(str(error))
        return _PLACE_GONE
    except HelperError as error:
        say(str(error))
        return _NOT_POSSIBLE
    return 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lippycat-helper",
        description="Makes the TAP and TUN devices and the capture sockets that a policy permits, and passes them on.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--policy", default=wire.POLICY_PATH, metavar="FILE",
        help="serve what FILE permits (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--role", choices=["tap", "capture"], default="tap",
        help="make devices, or open sockets for live capture (default %(default)s)",
    )  # fmt: skip
    parser.add_argument("--check", action="store_true", help="read the policy, say what is wrong with it, and end")
    parser.add_argument("--netns", default="", help="the namespace to serve instead of the policy's, or to capture in")
    run = parser.add_argument_group("as lippycat executes it")
    run.add_argument("--fd", type=int, help="the inherited socket to serve")
    tap = parser.add_argument_group("for one device (role tap)")
    tap.add_argument("--name", default="", help="the device's name")
    tap.add_argument("--type", choices=["tap", "tun"], default="tap")
    tap.add_argument("--mtu", type=int, default=wire.MTU_MAX, help="bytes")
    tap.add_argument("--txqueuelen", type=int, default=1000, help="frames")
    capture = parser.add_argument_group("for these interfaces (role capture)")
    capture.add_argument("--interface", action="append", default=[], help="a name, or any; repeat it")
    capture.add_argument("--snaplen", type=int, default=wire.SNAPLEN_MAX, help="bytes at most of a frame")
    capture.add_argument("--sockets", type=int, default=1, help="at most, of each interface")
    capture.add_argument("--ring-max", type=int, default=0, help="bytes of the rings of each interface")
    return parser


def _command_line(options: argparse.Namespace) -> None:
    """Serve the parent. The end of its socket, not a signal, ends this process."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=options.fd) as sock:
        sock.set_inheritable(False)
        try:
            role, lease = _for_the_parent(options)
        except HelperError as error:
            refuse(sock, error)
            raise
        with contextlib.suppress(OSError):
            greet(sock, lease)
            serve_one(role, sock)


def _for_the_parent(options: argparse.Namespace) -> tuple[Role, Lease | None]:
    if options.role == "capture":
        policy = these_interfaces(options.interface, options.ring_max, options.sockets, options.snaplen)
        return Capturing(policy, boot_capture()), None
    policy = one_device(
        options.netns, options.name, Kind[options.type.upper()],
        options.mtu, options.txqueuelen,
    )  # fmt: skip
    devices = Devices(policy, boot(options.netns, temporary=True), keeps=False)
    return devices, devices.place.lease


def _service(options: argparse.Namespace) -> None:
    path, capture = options.policy, options.role == "capture"

    policy = read(path, options.netns)

    def reread() -> Policy:
        new = read(path, options.netns)
        for key in ("capture_socket", "group") if capture else ("netns", "socket", "group"):
            if getattr(new, key) != getattr(policy, key):
                name = "namespace" if key == "netns" else key
                raise HelperError(f"{path}: another {name} takes a restart of this helper")
        return new

    _room_for_descriptors()
    manager = Manager.found()
    where = policy.capture_socket if capture else policy.socket
    with listening(manager.listener(), where, policy.group) as listener:
        role = _role(policy, manager, options)
        say(f"serving {path} in {role.place.netns or 'the current namespace'} (role {options.role})")
        try:
            Service(role, listener, reread, manager).run()
        finally:
            role.close()


def _room_for_descriptors() -> None:
    """Two for each capture socket: the usual soft limit (1024) is less than a policy may permit."""
    with contextlib.suppress(OSError, ValueError):  # a unit's filter may forbid it, and has its own limit
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, _DESCRIPTORS), hard))


def _role(policy: Policy, manager: Manager, options: argparse.Namespace) -> Devices | Capturing:
    if options.role == "capture":
        return Capturing(policy, boot_capture(options.netns))
    devices = Devices(policy, boot(policy.netns, temporary=False), keeps=True, manager=manager)
    devices.restore()
    return devices


if __name__ == "__main__":
    sys.exit(main())
