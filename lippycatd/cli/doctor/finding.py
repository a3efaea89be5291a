"""One thing that was looked at."""

from __future__ import annotations

import dataclasses
from typing import Literal

State = Literal["ok", "limited", "missing"]


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, what was seen, and what to do where it is not ok.

    `limited`: everything works, but slower, less confined or less convenient. `missing`: something will not work.
    """

    area: str
    name: str
    state: State
    seen: str
    fix: str = ""
