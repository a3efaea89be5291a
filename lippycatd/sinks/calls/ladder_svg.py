"""The ladder as a picture (SVG), alone or inside a page that needs nothing else (HTML).

Every text of the call is escaped for XML and cut to a length; the page has no script, and its policy allows none.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from rich.cells import cell_len

from lippycatd.sinks.calls.ladder import quality
from lippycatd.sinks.calls.listing import end
from lippycatd.sinks.text import printable

if TYPE_CHECKING:
    from lippycatd.sinks.calls.ladder import Ladder, Step

_LEFT, _TOP = 230, 130  # px before the first lifeline's space, and above the first arrow
_LETTER, _LINE = 7.3, 16  # px of a letter at 12 px, and of a line of notes
_ROW = 40  # px of an arrow
_NARROW, _WIDE = 220, 460  # px between two lifelines
_LONGEST = 110  # letters of a note
_STYLE = """
svg { background: #fff; font: 12px ui-monospace, 'DejaVu Sans Mono', monospace; }
.line { stroke: #9aa4b1; stroke-width: 1.2; }
.box { fill: #eef2f7; stroke: #9aa4b1; }
.name, .title { font-weight: bold; fill: #16202c; }
.title { font-size: 15px; }
.label, .note, .change { paint-order: stroke; stroke: #fff; stroke-width: 4px; stroke-linejoin: round; }
.time { fill: #5a6675; }
.label { fill: #16202c; font-weight: bold; }
.note { fill: #47535f; }
.change { fill: #9a3b00; font-weight: bold; }
.request { stroke: #1d5fbf; fill: #1d5fbf; }
.good { stroke: #1b7a3d; fill: #1b7a3d; }
.bad { stroke: #b3261e; fill: #b3261e; }
.early { stroke: #6b5bb5; fill: #6b5bb5; }
.media { stroke: #0b7f8a; fill: #0b7f8a; stroke-dasharray: 7 3; }
.again { stroke-dasharray: 3 3; }
.arrow { stroke-width: 1.6; }
"""
_PAGE_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #16202c; margin: 2rem; background: #fff; }
h1 { font-size: 1.3rem; overflow-wrap: anywhere; } h2 { font-size: 1.05rem; margin-top: 2rem; }
.facts { color: #47535f; } .scroll { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { text-align: left; padding: .25rem .8rem; border-bottom: 1px solid #d7dde4; }
details { border-bottom: 1px solid #e3e8ee; padding: .2rem 0; } summary { cursor: pointer; font-family: monospace; }
pre { background: #f5f7fa; padding: .8rem; overflow-x: auto; }
"""


def svg(ladder: Ladder) -> str:
    """The picture as a file of its own."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{_picture(ladder, alone=True)}\n'


def _picture(ladder: Ladder, *, alone: bool) -> str:
    gap = _gap(ladder)
    above = 0 if alone else 70  # px of the title, which a page has in its own words
    rows, height = [], float(_TOP)
    for place, step in enumerate(ladder.steps):
        rows.append(_step(ladder, place, step, height, gap))
        height += _ROW + (_LINE * len(step.notes) - 8 if step.notes else 0)
    width = _LEFT + gap * len(ladder.participants) + _overhang(ladder, gap)
    lines = [_participant(name, _x(column, gap), height) for column, name in enumerate(ladder.participants)]
    title = [
        _text(16, 26, f"Call {ladder.call_id}", "title"),
        _text(16, 46, ladder.title, "name"),
        _text(16, 66, ", ".join(ladder.facts), "note"),
    ]
    tall = height + 20 - above
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{tall:.0f}" '
        f'viewBox="0 {above} {width:.0f} {tall:.0f}" role="img"><style>{_STYLE}</style>'
        f'<rect y="{above}" width="100%" height="100%" fill="#fff"/>'
    )
    return head + "".join([*(title if alone else ()), *lines, *rows]) + "</svg>"


def _gap(ladder: Ladder) -> float:
    need = [_LETTER * (cell_len(step.label) + 8) for step in ladder.steps]
    need += [_LETTER * (cell_len(name) + 4) for name in ladder.participants]
    return min(max(_NARROW, *need), _WIDE)


def _overhang(ladder: Ladder, gap: float) -> float:
    """What notes need to the right of the last lifeline's space."""
    right = _x(len(ladder.participants) - 1, gap) + gap / 2
    ends = [
        _x(min(s.source, s.target), gap) + 12 + _LETTER * min(cell_len(n), _LONGEST)
        for s in ladder.steps
        for n in s.notes
    ]
    return max(0.0, max(ends, default=0.0) - right) + 16


def _x(column: int, gap: float) -> float:
    return _LEFT + gap * (column + 0.5)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(printable(_cut(text)))}</text>'


def _participant(name: str, x: float, height: float) -> str:
    half = _LETTER * (min(cell_len(name), _LONGEST) + 2) / 2
    return (
        f'<line class="line" x1="{x:.0f}" y1="104" x2="{x:.0f}" y2="{height:.0f}"/>'
        f'<rect class="box" x="{x - half:.0f}" y="82" width="{2 * half:.0f}" height="24" rx="4"/>'
        + _text(x, 98, name, "name", "middle")
    )


def _kind(step: Step) -> str:
    """The colour of an arrow."""
    if step.kind == "media":
        return "media"
    status = step.record.get("status")
    kind = (
        "request"
        if status is None
        else ("early", "good", "bad", "bad", "bad", "bad")[min(max(status // 100, 1), 6) - 1]
    )
    return f"{kind} again" if step.retransmission else kind


def _step(ladder: Ladder, place: int, step: Step, y: float, gap: float) -> str:
    source, target = _x(step.source, gap), _x(step.target, gap)
    left = min(source, target)
    since = f"+{ladder.since(place) / 1e9:.6f}" if place else ""
    parts = [_text(16, y + 4, ladder.clock(step), "time"), _text(222, y + 4, since, "time", "end")]
    if step.source == step.target:
        shaft = f"M{source:.0f} {y - 6:.0f} h26 v12 h-20"
        tip = (source, y + 6, 1)
        parts.append(_text(source + 34, y + 4, step.label, "label"))
    else:
        way = 1 if target > source else -1
        shaft = f"M{source:.0f} {y:.0f} H{target - 3 * way:.0f}"
        tip = (target, y, -way)
        parts.append(_text((source + target) / 2, y - 5, step.label, "label", "middle"))
    x, at, back = tip
    kind = _kind(step)
    parts.append(f'<path class="arrow {kind}" fill="none" style="fill:none" d="{shaft}"/>')
    parts.append(f'<path class="{kind.split()[0]}" style="stroke:none" d="M{x:.0f} {at:.0f} l{9 * back} -4.5 v9 z"/>')
    for number, note in enumerate(step.notes, 1):
        change = note.startswith(("! ", "problems"))
        parts.append(_text(left + 10, y + 2 + _LINE * number, note, "change" if change else "note"))
    return "".join(parts)


def html(ladder: Ladder) -> str:
    """A page with the picture, the streams as a table and every message in full."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Call {escape(ladder.call_id)}</title><style>{_PAGE_STYLE}</style></head><body>"
        f"<h1>Call {escape(ladder.call_id)}</h1><p>{escape(ladder.title)}</p>"
        f'<p class="facts">{escape(", ".join(ladder.facts))}</p>'
        f'<div class="scroll">{_picture(ladder, alone=False)}</div>'
        f"{_streams(ladder)}{_messages(ladder)}</body></html>\n"
    )


def _streams(ladder: Ladder) -> str:
    rows = []
    for step in ladder.steps:
        if step.kind == "media":
            record = step.record
            ends = [end(record["src"], record["sport"]), end(record["dst"], record["dport"])]
            cells = [*ends, str(record.get("ssrc")), step.label, quality(record)]
            rows.append("<tr>" + "".join(f"<td>{escape(printable(cell))}</td>" for cell in cells) + "</tr>")
    if not rows:
        return ""
    names = "".join(f"<th>{name}</th>" for name in ("From", "To", "SSRC", "Stream", "Quality"))
    return f'<h2>Media</h2><div class="scroll"><table><tr>{names}</tr>{"".join(rows)}</table></div>'


def _messages(ladder: Ladder) -> str:
    parts = []
    for place, step in enumerate(ladder.steps):
        if step.kind == "sip":
            ends = f"{ladder.participants[step.source]} → {ladder.participants[step.target]}"
            head = f"{ladder.clock(step)}  +{ladder.since(place) / 1e9:.6f}  {ends}  {step.label}"
            parts.append(f"<details><summary>{escape(head)}</summary><pre>{escape(step.message)}</pre></details>")
    return f"<h2>Messages</h2>{''.join(parts)}"
