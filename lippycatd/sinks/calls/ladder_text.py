"""The ladder as text: a column a participant, an arrow a message, what it says below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len

if TYPE_CHECKING:
    from lippycatd.sinks.calls.ladder import Ladder, Step

_MARGIN = 29  # cells of the times on the left
_NARROW, _WIDE = 26, 64  # cells between two lifelines
_MILLION = 10**6


def draw(ladder: Ladder, *, messages: bool = False) -> str:
    """The whole ladder; with `messages` every message in full below its arrow."""
    gap = _gap(ladder)
    lines = [
        f"Call {ladder.call_id}",
        ladder.title,
        ", ".join(ladder.facts),
        "",
        _names(ladder, gap),
        _tops(ladder, gap),
    ]
    for place, step in enumerate(ladder.steps):
        lines += _step(ladder, place, step, gap)
        if messages and step.message:
            lines += [f"{'':>{_MARGIN}}  {line}" for line in step.message.rstrip("\n").split("\n")]
    if ladder.left_out:
        lines.append(f"{ladder.left_out} more messages and streams are left out")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _gap(ladder: Ladder) -> int:
    """Cells between two lifelines: what labels of neighbours need, and names."""
    need = [cell_len(name) + 2 for name in ladder.participants]
    need += [cell_len(step.label) + 8 for step in ladder.steps]
    return min(max(_NARROW, *need), _WIDE)


def _x(column: int, gap: int) -> int:
    return _MARGIN + gap // 2 + column * gap


def _names(ladder: Ladder, gap: int) -> str:
    line = ""
    for column, name in enumerate(ladder.participants):
        start = max(_x(column, gap) - cell_len(name) // 2, cell_len(line) + (1 if line.strip() else 0))
        line += " " * (start - cell_len(line)) + name
    return line


def _tops(ladder: Ladder, gap: int) -> str:
    cells = [" "] * (_x(len(ladder.participants) - 1, gap) + 6)
    for column in range(len(ladder.participants)):
        x = _x(column, gap)
        cells[x - 5 : x + 6] = "─────┬─────"
    return "".join(cells)


def _lifelines(ladder: Ladder, gap: int) -> list[str]:
    cells = [" "] * (_x(len(ladder.participants) - 1, gap) + 1)
    for column in range(len(ladder.participants)):
        cells[_x(column, gap)] = "│"
    return cells


def _step(ladder: Ladder, place: int, step: Step, gap: int) -> list[str]:
    """The arrow with its label in it, then notes beside the lifelines."""
    cells = _lifelines(ladder, gap)
    since = f"+{ladder.since(place) / (1000 * _MILLION):.6f}" if place else ""
    head = f"{ladder.clock(step)} {since:>12} "
    left, right = sorted((_x(step.source, gap), _x(step.target, gap)))
    if left == right:
        arrow = _put(cells, left + 2, f"⟲ {step.label}")
    else:
        arrow = _put(cells, left + 1, _shaft(step, right - left - 1))
    lines = [head.ljust(_MARGIN) + arrow[_MARGIN:]]
    return lines + [_put(_lifelines(ladder, gap), left + 2, note) for note in step.notes]


def _shaft(step: Step, width: int) -> str:
    """`── INVITE (SDP) ──>`; media have a double line."""
    line = "═" if step.kind == "media" else "─"
    label = f" {step.label} "
    while cell_len(label) > width - 4:
        label = label[:-2] + " "
    room = width - cell_len(label)
    shaft = line * (room // 2) + label + line * (room - room // 2)
    return shaft[:-1] + ">" if step.target > step.source else "<" + shaft[1:]


def _put(cells: list[str], start: int, text: str) -> str:
    """The cells with a text over them, whose letters may be wide."""
    before = "".join(cells[:start])
    after = cells[start + cell_len(text) :]
    return before + " " * (start - cell_len(before)) + text + "".join(after)
