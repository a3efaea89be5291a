"""Names that users know and that later versions will have: refused by name instead of being accepted and ignored."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Later:
    """A setting to come: what it will do, its flags, and its dotted keys."""

    what: str
    flags: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


SETTINGS: tuple[Later, ...] = (
    Later("linked calls", ("--linked",), ("voip.linked",)),
    Later("batches of a graphics processor", ("--gpu-batch-size",), ("voip.gpu_batch_size",)),
    Later("memory of a graphics processor", ("--gpu-max-memory",), ("voip.gpu_max_memory",)),
    Later("processors and hunters", ("--processor",), ("hunter", "processor")),
    Later("processors and hunters", ("--hunter-id",)),
    Later("HTTP", keys=("http",)),
    Later("DNS", keys=("dns",)),
)

COMMANDS: dict[str, str] = {
    "hunt": "captures at the edge",
    "process": "aggregates what hunters send",
    "watch": "shows calls on the terminal",
}


def by_key(key: str) -> Later | None:
    """The entry whose key, or whose whole section, `key` is."""
    section = key.partition(".")[0]
    return next((item for item in SETTINGS if key in item.keys or section in item.keys), None)


def by_flag(flag: str) -> Later | None:
    """The entry that has this flag."""
    return next((item for item in SETTINGS if flag in item.flags), None)


def refusal(name: str, what: str) -> str:
    """The one line for a known name that this version does not have."""
    return f"{name}: this version does not have {what}"
