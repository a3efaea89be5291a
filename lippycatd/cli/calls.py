"""`lippycat calls` and `lippycat call`."""

from __future__ import annotations

import dataclasses
import inspect
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lippycatd.cli.options import with_options
from lippycatd.errors import UsageError
from lippycatd.topology import settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lippycatd.config import Config, Setting
    from lippycatd.config.load import Value

# The settings that act here: what is read, what is chosen of it, how it is shown.
_KEYS = frozenset(
    {
        *("capture.read_file", "capture.filter", "output.format", "output.pseudonymise", "output.pseudonym_key"),
        *("logging.level", "logging.format", "security.user", "run.quiet"),
    }
)


def _acts(item: Setting) -> bool:
    return item.key in _KEYS or item.section.section == "voip"


def _keyword(name: str, kind: object, info: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, info])


_SORT = _keyword(
    "sort", str | None, typer.Option("--sort", metavar="FIELD,…", help="sort by these fields; -FIELD from high to low")
)
_CALL_ID = inspect.Parameter(
    "call_id",
    inspect.Parameter.KEYWORD_ONLY,
    annotation=Annotated[str, typer.Argument(metavar="CALL-ID", help="the call to show; lippycat calls lists them")],
)
_SVG = _keyword("svg", str | None, typer.Option("--svg", metavar="FILE", help="draw it as a picture into this file"))
_HTML = _keyword(
    "html", str | None, typer.Option("--html", metavar="FILE", help="write a page with picture, media and messages")
)
_MESSAGES = _keyword("messages", bool | None, typer.Option("--messages", help="print every message in full"))


def register(app: typer.Typer, arguments: Sequence[str]) -> None:
    """Adds the commands."""
    app.command("calls")(with_options(_calls, arguments, only=_acts, extra=[_SORT]))
    extra = [_CALL_ID, _SVG, _HTML, _MESSAGES]
    app.command("call")(with_options(_call, arguments, only=_acts, extra=extra))


def _loaded(config: str | None, given: dict[str, Value]) -> settings.Loaded:
    loaded = settings.load(config, given)
    if not loaded.config.capture.read_file:
        raise UsageError("nothing to read: name a capture file with --read-file")
    return loaded


def _calls(_: typer.Context, config: str | None, given: dict[str, Value], *, sort: str | None) -> None:
    """List the calls of capture files, one line each, with their state, times and media quality."""
    from lippycatd.sinks.calls import listing, views  # noqa: PLC0415  only when something runs
    from lippycatd.topology import look  # noqa: PLC0415

    loaded = _loaded(config, given)
    view = views.List(loaded.config.output.format, listing.sort_keys(sort or ""))
    raise typer.Exit(look.run(loaded.config, loaded.identity, view))


def _call(_: typer.Context, config: str | None, given: dict[str, Value], **asked: Any) -> None:  # noqa: ANN401
    """Draw the ladder of one call: its messages, what their SDP changes, times, and the media between them."""
    from lippycatd.sinks.calls import views  # noqa: PLC0415  only when something runs
    from lippycatd.topology import look  # noqa: PLC0415

    loaded = _loaded(config, given)
    files = {f"--{name}": asked[name] for name in ("svg", "html") if asked[name] is not None}
    if "" in files.values() or "-" in files.values():
        raise UsageError("--svg and --html need the name of a file")
    style = loaded.config.output.format if not files or loaded.config.given("output.format") else None
    if asked["messages"] and style != "text":
        raise UsageError("--messages acts on the text on standard output: use it with --format text")
    view = views.Ladder(asked["call_id"], style, messages=bool(asked["messages"]), files=files)
    raise typer.Exit(look.run(_only_call(loaded.config, asked["call_id"]), loaded.identity, view))


def _only_call(config: Config, call_id: str) -> Config:
    """The configuration with this call as the only selector."""
    voip = config.voip.model_copy(update={"call_ids": (call_id,), "sip_users": ()})
    return dataclasses.replace(config, voip=voip)
