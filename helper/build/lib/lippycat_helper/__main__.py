"""The helper's two ways of starting: `--policy FILE` (service), `--fd N` (command line)."""

from __future__ import annotations

import argparse
import contextlib
import signal
import socket
import sys
from typing import TYPE_CHECKING

from lippycat_helper import wire
from lippycat_helper.boot import boot, boot_capture
from lippycat_helper.capturing import Capturing
from lippycat_helper.operations import Helper
from lippycat_helper.policy import one_device, read, these_interfaces
from lippycat_helper.report import HelperError, say
from lippycat_helper.server import Service, greet, listening, refuse, serve_one
from lippycat_helper.wire import Kind

if TYPE_CHECKING:
    from lippycat_helper.boot import Lease
    from lippycat_helper.server import Role

_NOT_POSSIBLE = 3


def main(arguments: list[str] | None = None) -> int:
    """Serve until the end. 0: ended as told; 2: wrong usage; 3: not possible here."""
    options = _options().parse_args(arguments)
    try:
        if options.fd is None:
            _service(options.policy, options.role)
        else:
            _command_line(options)
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
    run = parser.add_argument_group("as lippycat executes it")
    run.add_argument("--fd", type=int, help="the inherited socket to serve")
    tap = parser.add_argument_group("for one device (role tap)")
    tap.add_argument("--netns", default="", help="namespace, empty: the current one")
    tap.add_argument("--name", default="", help="the device's name")
    tap.add_argument("--type", choices=["tap", "tun"], default="tap")
    tap.add_argument("--mtu", type=int, default=wire.MTU_MAX, help="bytes")
    tap.add_argument("--txqueuelen", type=int, default=1000, help="frames")
    capture = parser.add_argument_group("for these interfaces (role capture)")
    capture.add_argument("--interface", action="append", default=[], help="a name, or any; repeat it")
    capture.add_argument("--promiscuous", action="store_true", help="permit it")
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
        policy = these_interfaces(
            options.interface, options.ring_max, options.sockets, options.snaplen,
            promiscuous=options.promiscuous,
        )  # fmt: skip
        return Capturing(policy, boot_capture()), None
    policy = one_device(
        options.netns, options.name, Kind[options.type.upper()],
        options.mtu, options.txqueuelen,
    )  # fmt: skip
    helper = Helper(policy, boot(options.netns, temporary=True), keeps=False)
    return helper, helper.place.lease


def _service(path: str, role: str) -> None:
    policy = read(path)
    capture = role == "capture"
    with listening(policy.capture_socket if capture else policy.socket, policy.group) as listener:
        served: Role
        if capture:
            served, place = Capturing(policy, boot_capture()), "the current namespace"
        else:
            served = Helper(policy, boot(policy.netns, temporary=False), keeps=True)
            place = policy.netns or "the current namespace"
        say(f"serving {path} in {place} (role {role})")
        Service(served, listener).run()
        served.close()


if __name__ == "__main__":
    sys.exit(main())
