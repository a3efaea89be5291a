"""Runs a command and tells what it used: `python -I -S launch.py FD COMMAND…` writes one line of JSON to FD.

A process starts with the peak memory of the one that made it, so a measurement needs a parent that is small: this one
imports next to nothing. CPU is user and system time of the command and of the children that it waited for.
"""

import os
import sys


def main() -> int:
    """Run it; its exit status (128 and more for a signal)."""
    out, command = int(sys.argv[1]), sys.argv[2:]
    os.set_inheritable(out, False)
    pid = os.posix_spawnp(command[0], command, os.environ)
    _, status, used = os.wait4(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    line = f'{{"status": {code}, "cpu": {used.ru_utime + used.ru_stime}, "mib": {used.ru_maxrss / 1024}}}\n'
    os.write(out, line.encode())
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
