"""A booted system, from outside."""

from __future__ import annotations

import subprocess
import time


class Machine:
    """A booted system."""

    def __init__(self, root, leader):
        self.root, self._enter = root, ["nsenter", "-t", str(leader), "-m", "-u", "-i", "-n", "-p", "-C", "--"]

    def start(self, *command, **options):
        """A process inside."""
        return subprocess.Popen([*self._enter, *map(str, command)], stdin=subprocess.DEVNULL, **options)

    def run(self, *command, check=True, timeout=120):
        """Run a command inside to its end."""
        done = subprocess.run(
            [*self._enter, *map(str, command)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=timeout, check=False,
        )  # fmt: skip
        assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}\n{self.journal()}"
        return done

    def journal(self):
        done = self.run("journalctl", "--no-pager", "-n", "60", check=False)
        return done.stdout

    def property(self, unit, name):
        return self.run("systemctl", "show", "-p", name, "--value", unit).stdout.strip()

    def python(self, program, *arguments):
        """Start a Python program inside."""
        return self.start("python3", "-c", program, *arguments, stdout=subprocess.PIPE, text=True)


def settle(condition, seconds=20):
    until = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < until:
        time.sleep(0.1)
    return found
