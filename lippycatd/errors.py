"""The one exception tree. Every leaf carries one line for the user and the exit status that goes with it.

::

    LippycatError                exit 1   anything this program reports by itself
    ├── Damaged                  exit 1   ran, but something was damaged, lost or left out
    ├── UsageError               exit 2   wrong use of a command
    │   ├── ConfigError          exit 2   wrong value or key in a file, the environment or a flag
    │   └── NotInThisVersion     exit 2   a known name that a later version will have
    └── NotPossible              exit 3   this machine does not allow or have it
        └── PrivilegeError       exit 3   a permission, the helper or its policy stands in the way
"""

from __future__ import annotations

from typing import ClassVar


class LippycatError(Exception):
    """A failure with one line that says what, where and what to do."""

    exit_code: ClassVar[int] = 1


class Damaged(LippycatError):
    """It ran, but something was damaged, lost or left out."""

    exit_code = 1


class UsageError(LippycatError):
    """A command was used in a way that has no meaning."""

    exit_code = 2


class ConfigError(UsageError):
    """A value or key in a file, the environment or a flag is wrong."""

    exit_code = 2


class NotInThisVersion(UsageError):
    """A known flag, key or command that this version does not have."""

    exit_code = 2


class NotPossible(LippycatError):
    """This machine does not allow it or does not have it."""

    exit_code = 3


class PrivilegeError(NotPossible):
    """A permission is missing, or the helper or its policy refused."""

    exit_code = 3
