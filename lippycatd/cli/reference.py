"""The reference page of the configuration, from the sections. `python -m lippycatd.cli.reference` prints it."""

from __future__ import annotations

import sys

from lippycatd.cli.options import CONFIG_DEFAULT, CONFIG_HELP, default_text
from lippycatd.config import SECTIONS, SETTINGS, Setting, later

_HEAD = """# Configuration reference

Written by `make docs` from the code; do not edit it. Every setting is declared once, in `lippycatd/config/sections/`.

A value comes from the default, the configuration file, the environment, or a flag, and the last one that is given
wins; `lippycat show config` prints each value with its origin. Durations are written `10s`, `500ms` or `2m`, sizes
`64MiB` or in bytes. A flag of a setting that is on or off also exists as `--no-…`, and takes `=true` and `=false`.
Unknown keys are refused with file, line and the nearest known key.
"""


def page() -> str:
    """The whole page, in Markdown."""
    parts = [_HEAD, f"`--config FILE`: {CONFIG_HELP} (default: {CONFIG_DEFAULT}).\n"]
    for section in SECTIONS:
        settings = [item for item in SETTINGS.values() if item.section is section]
        parts.append(f"## {section.title}: `{section.section}`\n\n{section.__doc__}\n")
        parts.extend(_entry(item) for item in settings)
    parts.append(_later())
    return "\n".join(parts)


def _entry(item: Setting) -> str:
    """One setting."""
    flags = ", ".join(f"`{flag}`" for flag in item.option.flags)
    title = f"`{item.key}`" if item.option.keyed else flags
    lines = [f"### {title}\n", f"{item.option.help[0].upper()}{item.option.help[1:]}.\n"]
    if flags and item.option.keyed:
        lines.append(f"- flag: {flags}")
    if item.env:
        lines.append(f"- environment: {', '.join(f'`{name}`' for name in item.env)}")
    lines.append(f"- default: {_code(default_text(item)) or ('off' if item.kind == 'bool' else 'none')}")
    if item.choices:
        lines.append(f"- one of: {', '.join(f'`{choice}`' for choice in item.choices)}")
    elif item.option.unit:
        lines.append(f"- unit: {item.option.unit}")
    if item.option.hot:
        lines.append("- a reload of lippycatd takes it up while it runs")
    if item.option.needs:
        lines.append(f"- the flag acts only with `{SETTINGS[item.option.needs].flag}`")
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    """Values as code, words as they are."""
    return text if not text or " " in text else f"`{text}`"


def _later() -> str:
    """What this version refuses by name."""
    lines = ["## Not in this version\n", "These names are refused, not ignored.\n", "| flag | key | |", "|---|---|---|"]
    for item in later.SETTINGS:
        flags = " ".join(f"`{flag}`" for flag in item.flags)
        keys = " ".join(f"`{key}`" for key in item.keys)
        lines.append(f"| {flags} | {keys} | {item.what} |")
    lines.extend(f"| `lippycat {name}` | | {what} |" for name, what in later.COMMANDS.items())
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
