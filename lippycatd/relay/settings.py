"""The relay's configuration file: the same schema as lippycatd's, of which it has some sections."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from lippycatd import config
from lippycatd.config import pipelines
from lippycatd.errors import ConfigError, LippycatError, NotPossible, UsageError
from lippycatd.relay.pods import Api
from lippycatd.sandbox import identity
from lippycatd.topology import settings

if TYPE_CHECKING:
    from lippycatd.config import Config, Pipelines

DEFAULT_PATH = "/etc/lippycat/relay.yaml"
METRICS_LISTEN = "127.0.0.1:10470"
SECTIONS = frozenset({"relay", "logging", "metrics", "security"})
_OF_LIPPYCATD = frozenset({"logging.audit_file"})
_LONGEST_KEY = 256


def load(path: str, runs_as: identity.Identity) -> Config:
    """The configuration. Raises a LippycatError with one line."""
    text = settings.read(path, runs_as, must=True) or ""
    return _of_the_relay(pipelines.read(text, path, config.from_environment(os.environ)), path)


def _of_the_relay(found: Pipelines, path: str) -> Config:
    if found.named:
        raise ConfigError(f"{path}: pipelines are lippycatd's; write them into its file")
    for key, origin in found.common.origins.items():
        if origin.kind in {"file", "environment"} and (key.partition(".")[0] not in SECTIONS or key in _OF_LIPPYCATD):
            raise ConfigError(f"{origin}: {key} is lippycatd's; write it into its file, or remove it")
    return found.common


def who(path: str) -> tuple[Config, identity.Identity]:
    """The configuration, and whom to run as: the file says so, or the environment."""
    early = config.from_environment(os.environ).get("security.user")
    runs_as = identity.choose(str(early[0]) if early else "")
    found = load(path, runs_as)
    return found, identity.choose(found.security.user) if found.security.user else runs_as


def key(config: Config) -> bytes:
    """The authentication key, without the line's end. Raises NotPossible or ConfigError with one line."""
    file, where = config.relay.hep_key_file, config.origins["relay.hep_key_file"]
    if not file:
        return b""
    try:
        found = Path(file).read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise NotPossible(f"{where}: relay.hep_key_file: {file}: {error.strerror}") from None
    if not 0 < len(found) <= _LONGEST_KEY:
        raise ConfigError(f"{where}: relay.hep_key_file: {file}: must hold 1 to {_LONGEST_KEY} bytes")
    return found


def api(config: Config) -> Api | None:
    """The Kubernetes API, where one is configured. Raises ConfigError with one line."""
    section = config.relay
    if not section.kubernetes_api:
        return None
    if not section.node_name:
        where = config.origins["relay.kubernetes_api"]
        raise ConfigError(f"{where}: relay.kubernetes_api needs relay.node_name: only pods of this node are asked for")
    found = Api(config)
    with contextlib.suppress(OSError):
        socket.getaddrinfo(found.host, found.port)  # loads what looking names up needs
    return found


def check(path: str) -> list[str]:
    """Every mistake of a file, one line each; none for a file that the relay would start with."""
    lines: list[str] = []

    def complain(error: UsageError) -> None:
        lines.append(str(error))

    try:
        text = settings.read(path, identity.current(), must=True) or ""
        found = pipelines.read(text, path, config.from_environment(os.environ), complain=complain)
        _of_the_relay(found, path)
    except LippycatError as error:
        lines.append(str(error))
    return list(dict.fromkeys(lines))
