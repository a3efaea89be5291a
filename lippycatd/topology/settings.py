"""From the command line's flags to the effective configuration."""

from __future__ import annotations

import dataclasses
import os
import stat
from typing import TYPE_CHECKING

from lippycatd import config
from lippycatd.errors import ConfigError, NotPossible
from lippycatd.sandbox import identity

if TYPE_CHECKING:
    from lippycatd.config.load import Value

SYSTEM_FILE = "/etc/lippycat/lippycat.yaml"
HOME_FILE = "~/.lippycat.yaml"
_LIMIT = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class Loaded:
    """The effective configuration, and whom the process runs as once it is set up."""

    config: config.Config
    identity: identity.Identity


def load(path: str | None, given: dict[str, Value]) -> Loaded:
    """Defaults, file, environment and flags. `path` is --config; without it the usual places are tried.

    Raises ConfigError, NotInThisVersion or NotPossible, each with one line.
    """
    flags, environment = config.from_flags(given), config.from_environment(os.environ)
    early = config.build(environment, {key: value for key, value in flags.items() if key == "security.user"})
    runs_as = identity.choose(early.security.user)
    layer: config.Layer = {}
    for place in [path] if path is not None else [HOME_FILE, SYSTEM_FILE]:
        text = read(place, runs_as, must=path is not None)
        if text is not None:
            layer = config.from_file(text, place)
            break
    whole = config.build(layer, environment, flags)
    if whole.security.user != early.security.user:
        runs_as = identity.choose(whole.security.user)
    return Loaded(whole, runs_as)


def read(place: str, runs_as: identity.Identity, *, must: bool) -> str | None:
    """The text of a configuration file; `~` is the home of `runs_as`, read as that user. None: not there."""
    path = identity.expand(place, runs_as)
    try:
        with identity.opening(place, runs_as), open(path, "rb") as file:  # noqa: PTH123  a descriptor path too
            if stat.S_ISDIR(os.fstat(file.fileno()).st_mode):
                raise IsADirectoryError
            data = file.read(_LIMIT + 1)
        text = data.decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        if not must:
            return None
        msg = f"--config: {place}: no such file"
        raise ConfigError(msg) from None
    except PermissionError:
        if not must and not _exists(path):
            return None
        msg = f"{place}: not readable for {runs_as.name}; check its permissions"
        raise NotPossible(msg) from None
    except UnicodeDecodeError:
        msg = f"{place}: not a text file"
        raise ConfigError(msg) from None
    except OSError as error:
        msg = f"{place}: {error.strerror or 'is a directory'}"
        raise ConfigError(msg) from None
    if len(data) > _LIMIT:
        msg = f"{place}: larger than 1 MiB, so not a configuration file"
        raise ConfigError(msg)
    return text


def _exists(path: str) -> bool:
    """Whether a file can be seen there, though not read; below a directory that may not be searched nothing can."""
    try:
        os.stat(path)  # noqa: PTH116  an errno is what counts
    except OSError:
        return False
    return True
