"""Ask a helper whether it lives: `lippycat-probe SOCKET`, for a container's health checks.

Every connection is greeted, also one that is refused. 0: it answered; 1: it did not, and why.
"""

from __future__ import annotations

import argparse
import socket
import sys

from lippycat_helper import wire
from lippycat_helper.report import say

_PATIENCE = 2.0  # seconds


def main(arguments: list[str] | None = None) -> int:
    """Connect, and wait for the greeting."""
    parser = argparse.ArgumentParser(prog="lippycat-probe", description="Ask a helper whether it lives.")
    parser.add_argument("socket", nargs="?", default=wire.SOCKET_PATH, help="(default %(default)s)")
    path = parser.parse_args(arguments).socket
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.settimeout(_PATIENCE)
            sock.connect(path)
            message, _ = wire.receive(sock, wire.Reply.size(), 0)
            wire.Reply.unpack(message)
    except (OSError, wire.MalformedError) as error:
        say(f"no helper answers on {path}: {getattr(error, 'strerror', None) or error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
