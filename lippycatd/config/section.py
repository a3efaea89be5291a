"""A configuration section: a frozen model whose fields declare flag, key, environment name, unit and help once."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import TYPE_CHECKING, Any, ClassVar, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from lippycatd.config import checks, units

if TYPE_CHECKING:
    from collections.abc import Sequence

ENV_PREFIX = "LIPPYCAT_"


@dataclasses.dataclass(frozen=True, slots=True)
class Option:
    """How one field meets people.

    `flags` are its long and short names on the command line (none: no flag); `unit` says what a number counts;
    `needs` is the dotted key that must be on or set for the flag to act; `env` are extra environment names;
    `keyed` is false for what describes one run of a command and so has no key and no environment name;
    `shown` replaces the default on help and reference pages; `later` are values that a later version will take;
    `hot` says that a running daemon takes another value at a reload, without a restart.
    """

    help: str
    flags: tuple[str, ...] = ()
    unit: str = ""
    needs: str = ""
    env: tuple[str, ...] = ()
    keyed: bool = True
    shown: str = ""
    later: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    hot: bool = False


class Section(BaseModel):
    """One section of the configuration: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    section: ClassVar[str]
    title: ClassVar[str]


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    """One field of one section, with everything that the command line, the environment and the pages derive."""

    section: type[Section]
    field: str
    kind: typing.Literal["bool", "list", "text"]
    choices: tuple[str, ...]
    default: Any
    option: Option

    @property
    def key(self) -> str:
        """The dotted name, `virtual_interface.name`."""
        return f"{self.section.section}.{self.field}"

    @property
    def env(self) -> tuple[str, ...]:
        """Environment names, the canonical one first; none for what has no key."""
        if not self.option.keyed:
            return ()
        return (f"{ENV_PREFIX}{self.section.section}_{self.field}".upper(), *self.option.env)

    @property
    def flag(self) -> str:
        """The first name on the command line, or nothing."""
        return self.option.flags[0] if self.option.flags else ""

    def show(self, value: object) -> str:
        """A value of this setting as a person would write it."""
        if value is None:
            return ""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, tuple):
            return ",".join(str(item) for item in value)
        if isinstance(value, int) and self.option.unit == "duration":
            return units.show_duration(value)
        if isinstance(value, int) and self.option.unit == "size":
            return units.show_size(value)
        return str(value)


def split(value: object) -> object:
    """Comma separated words as a tuple; given as a list, each item may hold several. ValueError for an empty word."""
    items = [value] if isinstance(value, str) and value else value or ()
    if not isinstance(items, (list, tuple)):
        return items
    return _filled([word.strip() for item in items for word in str(item).split(",")])


def words(value: object) -> object:
    """Words separated by white space as a tuple; a list is one already."""
    return tuple(value.split()) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def _items(value: object) -> object:
    """One or several values that are never split."""
    items = [value] if isinstance(value, str) and value else value or ()
    return _filled(items) if isinstance(items, (list, tuple)) else items


def _filled(items: Sequence[object]) -> tuple[object, ...]:
    if "" in items:
        msg = "holds an empty value"
        raise ValueError(msg)
    return tuple(items)


Text = typing.Annotated[str, AfterValidator(checks.no_nul)]
Duration = typing.Annotated[int, BeforeValidator(units.duration)]
Seconds = typing.Annotated[int, BeforeValidator(units.seconds)]
Size = typing.Annotated[int, BeforeValidator(units.size)]
RotateSize = typing.Annotated[int, BeforeValidator(units.rotate_size)]
Words = typing.Annotated[tuple[str, ...], BeforeValidator(split)]
Items = typing.Annotated[tuple[str, ...], BeforeValidator(_items)]


def _bare(annotation: object) -> object:
    """The annotation without `| None` and without metadata."""
    while True:
        origin = get_origin(annotation)
        if origin is typing.Annotated:
            annotation = get_args(annotation)[0]
        elif origin in (types.UnionType, typing.Union):
            annotation = next(arg for arg in get_args(annotation) if arg is not type(None))
        else:
            return annotation


def settings_of(section: type[Section]) -> list[Setting]:
    """Every setting of a section, in the order of declaration."""
    found = []
    for field, info in section.model_fields.items():
        option = next(item for item in info.metadata if isinstance(item, Option))
        bare = _bare(info.annotation)
        inner = get_args(bare)
        of_items = _bare(inner[0]) if get_origin(bare) is tuple else bare
        choices = get_args(of_items) if get_origin(of_items) is typing.Literal else ()
        kind: typing.Literal["bool", "list", "text"] = "text"
        if bare is bool:
            kind = "bool"
        elif get_origin(bare) is tuple:
            kind = "list"
        found.append(Setting(section, field, kind, tuple(choices), info.default, option))
    return found
