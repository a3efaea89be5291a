"""Command line options derived from the sections: nothing about a flag is written here."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lippycatd.config import SETTINGS, Setting
from lippycatd.config.sections import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lippycatd.config.load import Value

_BOOLEAN = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
CONFIG_HELP = "configuration file"
CONFIG_DEFAULT = "~/.lippycat.yaml, then /etc/lippycat/lippycat.yaml"


def _declarations(setting: Setting) -> list[str]:
    """The names of a flag as Typer takes them; one that can be on and off also gets `--no-…`."""
    long, *short = setting.option.flags
    return [f"{long}/--no-{long[2:]}" if setting.kind == "bool" and setting.option.keyed else long, *short]


def default_text(setting: Setting) -> str:
    """The default as help and reference pages show it; empty where there is none worth showing."""
    if setting.option.shown:
        return setting.option.shown
    if setting.kind == "bool":
        return "on" if setting.default else ""
    return setting.show(setting.default) if setting.default not in ("", ()) else ""


def _help(setting: Setting) -> str:
    shown = default_text(setting)
    return setting.option.help + (f" (default: {shown})" if shown else "")


def _parameter(setting: Setting) -> inspect.Parameter:
    """One flag as a parameter; a value that was not given is None."""
    annotation: Any = {"bool": bool | None, "list": list[str] | None, "text": str | None}[setting.kind]
    metavar = "|".join(setting.choices) if setting.choices else (setting.option.unit or "value").upper()
    info = typer.Option(
        *_declarations(setting),
        help=_help(setting),
        metavar=None if setting.kind == "bool" else metavar,
        rich_help_panel=setting.section.title,
        show_default=False,
    )
    name = setting.key.replace(".", "__")
    return _keyword(name, annotation, info)


def _keyword(name: str, annotation: object, info: object) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=None, annotation=Annotated[annotation, info])


def used(arguments: Sequence[str]) -> list[Setting]:
    """The settings whose flags occur in the arguments; all of them where a flag is not plainly one of theirs.

    Preparing an option takes Typer about a millisecond, so only those are prepared that can be needed.
    """
    names = {flag: item for item in SETTINGS.values() for flag in item.option.flags}
    names |= {f"--no-{item.flag[2:]}": item for item in SETTINGS.values() if item.kind == "bool"}
    found: dict[str, Setting] = {}
    for argument in arguments:
        flag = argument.partition("=")[0]
        if flag in names:
            found[names[flag].key] = names[flag]
        elif argument.startswith("-") and argument != "-" and flag != "--config":
            return list(SETTINGS.values())
    return list(found.values())


def with_options(
    function: Callable[..., None],
    arguments: Sequence[str],
    *,
    only: Callable[[Setting], bool] | None = None,
    extra: Sequence[inspect.Parameter] = (),
) -> Callable[..., None]:
    """Gives `function(context, config, given)` the options of the sections that `arguments` can need.

    `given` maps the dotted key of every flag that was used to its value. `only` leaves settings out; `extra` are
    parameters of the command itself, passed on by name.
    """
    settings = [item for item in used(arguments) if item.option.flags and (only is None or only(item))]

    def command(context: typer.Context, **values: Any) -> None:  # noqa: ANN401  the derived parameters
        config: str | None = values.pop("config", None)
        given: dict[str, Value] = {}
        for item in settings:
            value = values.get(item.key.replace(".", "__"))
            if value not in (None, []):
                given[item.key] = value
        function(context, config, given, **{item.name: values.get(item.name) for item in extra})

    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    info = typer.Option(
        "--config", help=f"{CONFIG_HELP} (default: {CONFIG_DEFAULT})", metavar="FILE", rich_help_panel=Run.title
    )
    parameters = [context, _keyword("config", str | None, info), *(_parameter(item) for item in settings), *extra]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {item.name: item.annotation for item in parameters}
    command.__doc__ = function.__doc__
    return command


def files_per_call(arguments: Sequence[str]) -> list[str]:
    """`sniff voip … -w` without a value is a file per call in the current directory."""
    if list(arguments[:1]) != ["sniff"] or "voip" not in arguments:
        return list(arguments)
    rewritten: list[str] = []
    for position, argument in enumerate(arguments):
        following = arguments[position + 1] if position + 1 < len(arguments) else "--"
        bare = argument in {"-w", "--write-file"} and following.startswith("-") and following != "-"
        rewritten.append("--per-call-pcap=." if bare else argument)
    return rewritten


def plain_booleans(arguments: Sequence[str]) -> list[str]:
    """Rewrites `--flag=true` and `--flag=false` of flags that can be on and off into what the parser takes."""
    both = {item.flag for item in SETTINGS.values() if item.kind == "bool" and item.option.flags}
    rewritten: list[str] = []
    for position, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if argument == "--":
            return [*rewritten, *arguments[position:]]
        if equals and flag in both and value.lower() in _BOOLEAN:
            rewritten.append(flag if _BOOLEAN[value.lower()] else f"--no-{flag[2:]}")
        else:
            rewritten.append(argument)
    return rewritten
