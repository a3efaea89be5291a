"""The namespace keeper: removes the name that a run made, when the run has ended.

Executed by the helper's boot phase, in a session of its own. It is uid 0 with
CAP_SYS_ADMIN alone and has no input but the end of a pipe, whose other end the daemon
and the helper hold: that end comes however they die. It then unmounts and unlinks
/run/netns/NAME, if no other run uses it and it is still the namespace this run used,
removes the marker, and exits.

    python -I -m lippycat_helper.keeper NAME ALIVE-FD DONE-FD LEASE-FD
"""

# System calls as the kernel has them: flags and errno are what counts here.
# ruff: noqa: PTH108

from __future__ import annotations

import os
import signal
import sys

from lippycat_helper import marker, namespace, privileges
from lippycat_helper.report import HelperError, say


def main() -> int:
    """Wait for the end, then clean up once."""
    # What ends the run's process group or unit must not end its cleaning.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    name = sys.argv[1]
    alive, done, lease = (int(argument) for argument in sys.argv[2:5])
    try:
        privileges.keep_only(privileges.SYS_ADMIN)
        os.write(done, b"\n")  # ready
        while os.read(alive, 4096):
            pass
        with marker.alone(wait=None):
            clean(marker.Marker(name, lease))
    except (HelperError, OSError) as error:
        say(f"keeper of {name}: {error}")
        return 1
    return 0


def clean(mark: marker.Marker) -> None:
    """Remove the name and its marker, unless another run holds them or they changed."""
    if not mark.current() or not mark.last():
        return
    identity, name = mark.identity(), mark.name
    if namespace.exists(name):
        namespace.enter(name)
        if namespace.own() == identity:
            namespace.remove(name)
    elif identity is not None and os.path.lexists(namespace.path(name)):
        os.unlink(namespace.path(name))  # killed between the file and the mount
    mark.remove()


if __name__ == "__main__":
    sys.exit(main())
