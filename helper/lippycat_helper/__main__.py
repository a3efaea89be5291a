"""The helper's two ways of starting: `--policy FILE` (service), `--fd N` (command line)."""

from __future__ import annotations

import argparse
import contextlib
import signal
import socket
import sys

from lippycat_helper import wire
from lippycat_helper.boot import boot
from lippycat_helper.operations import Helper
from lippycat_helper.policy import one_device, read
from lippycat_helper.report import HelperError, say
from lippycat_helper.server import Service, greet, listening, refuse, serve_one
from lippycat_helper.wire import Kind

_NOT_POSSIBLE = 3


def main(arguments: list[str] | None = None) -> int:
    """Serve until the end. 0: ended as told; 2: wrong usage; 3: not possible here."""
    options = _options().parse_args(arguments)
    try:
        if options.fd is None:
            _service(options.policy)
        else:
            _command_line(options)
    except HelperError as error:
        say(str(error))
        return _NOT_POSSIBLE
    return 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lippycat-helper",
        description="Makes the TAP and TUN devices that a policy permits, and passes them on.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--policy", default=wire.POLICY_PATH, metavar="FILE",
        help="serve what FILE permits (default %(default)s)",
    )  # fmt: skip
    run = parser.add_argument_group("as lippycat executes it, for one device")
    run.add_argument("--fd", type=int, help="the inherited socket to serve")
    run.add_argument("--netns", default="", help="namespace, empty: the current one")
    run.add_argument("--name", default="", help="the device's name")
    run.add_argument("--type", choices=["tap", "tun"], default="tap")
    run.add_argument("--mtu", type=int, default=wire.MTU_MAX, help="bytes")
    run.add_argument("--txqueuelen", type=int, default=1000, help="frames")
    return parser


def _command_line(options: argparse.Namespace) -> None:
    """One device for the parent. The end of its socket, not a signal, ends this process."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=options.fd) as sock:
        sock.set_inheritable(False)
        try:
            policy = one_device(
                options.netns, options.name, Kind[options.type.upper()],
                options.mtu, options.txqueuelen,
            )  # fmt: skip
            helper = Helper(policy, boot(options.netns, temporary=True), keeps=False)
        except HelperError as error:
            refuse(sock, error)
            raise
        with contextlib.suppress(OSError):
            greet(sock, helper.place.lease)
            serve_one(helper, sock)


def _service(path: str) -> None:
    policy = read(path)
    with listening(policy) as listener:
        helper = Helper(policy, boot(policy.netns, temporary=False), keeps=True)
        say(f"serving {path} in {policy.netns or 'the current namespace'}")
        Service(helper, listener).run()
        helper.close()


if __name__ == "__main__":
    sys.exit(main())
