"""The effective configuration: defaults < file < environment < flags, each value with its origin."""

from __future__ import annotations

import dataclasses
import difflib
import re
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from lippycatd.config import later, modes
from lippycatd.config.section import ENV_PREFIX, Section, Setting, settings_of
from lippycatd.config.sections import (
    SECTIONS,
    Capture,
    Daemon,
    Hep,
    Logging,
    Metrics,
    Output,
    Relay,
    Run,
    Security,
    VirtualInterface,
    Voip,
)
from lippycatd.errors import ConfigError, NotInThisVersion, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lippycatd.config.yaml_file import RawValue

    Complain = Callable[[UsageError], None]

SETTINGS: dict[str, Setting] = {item.key: item for section in SECTIONS for item in settings_of(section)}
_ALIASES: dict[str, Setting] = {alias: item for item in SETTINGS.values() for alias in item.option.aliases}
_ENV: dict[str, str] = {env: item.key for item in SETTINGS.values() for env in item.env}
# What Kubernetes sets in every container for a Service of that name.
_KUBERNETES = re.compile(r"_(SERVICE_HOST|SERVICE_PORT\w*|PORT|PORT_\d+_(TCP|UDP|SCTP)\w*)$")

# pydantic's types of error in words of our own.
_MUST = {
    "int_parsing": "be a whole number",
    "int_from_float": "be a whole number",
    "float_parsing": "be a number",
    "bool_parsing": "be true or false",
    "string_type": "be a single value",
}

Value = str | bool | list[str]


@dataclasses.dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from: the kind of layer, and the place (`file.yaml:3`, an environment name, a flag)."""

    kind: Literal["default", "mode", "file", "environment", "flag"]
    where: str = ""

    def __str__(self) -> str:
        return self.where or self.kind


@dataclasses.dataclass(frozen=True, slots=True)
class Config:
    """The effective configuration. `origins` has one entry for every dotted key."""

    capture: Capture
    voip: Voip
    virtual_interface: VirtualInterface
    output: Output
    logging: Logging
    metrics: Metrics
    security: Security
    daemon: Daemon
    hep: Hep
    relay: Relay
    run: Run
    origins: Mapping[str, Origin]

    def given(self, key: str) -> bool:
        """Whether somebody chose this value, and not the default."""
        return self.origins[key].kind not in {"default", "mode"}

    def value(self, key: str) -> Any:  # noqa: ANN401  the type is the field's
        """The value behind a dotted key."""
        section, _, field = key.partition(".")
        return getattr(getattr(self, section), field)


Layer = dict[str, tuple[Value, Origin]]


def raising(error: UsageError) -> None:
    """The first mistake ends the loading; who wants all of them collects instead."""
    raise error


def from_file(text: str, name: str) -> Layer:
    """The layer of a configuration file for one pipeline; a list of one pipeline is the same as flat sections.

    Unknown keys are refused with file, line and the nearest known key.
    """
    from lippycatd.config import yaml_file  # noqa: PLC0415  only when there is a file
    from lippycatd.config.pipelines import entries  # noqa: PLC0415

    raw = yaml_file.parse(text, name)
    layer = layer_of(raw.keys, name)
    named = entries(raw, name)
    if len(named) > 1:
        msg = f"{name}:{named[1].line}: describes {len(named)} pipelines, and this command runs one; run lippycatd"
        raise ConfigError(msg)
    for entry in named:
        layer |= entry.layer
    return layer


def layer_of(keys: Mapping[str, RawValue], name: str, complain: Complain = raising) -> Layer:
    """The layer of the keys of a file."""
    layer: Layer = {}
    for key, raw in keys.items():
        where = f"{name}:{raw.line}"
        known = SETTINGS.get(key) or _ALIASES.get(key)
        if known is not None and known.option.keyed:
            layer[known.key] = (raw.value, Origin("file", where))
        elif (error := _unknown(key, where, raw.value)) is not None:
            complain(error)
    return layer


def _unknown(key: str, where: str, value: object) -> UsageError | None:
    """What is wrong with a key that is not known here; nothing, where it is an empty section."""
    names = {section.section for section in SECTIONS if section is not Run}
    if key in names:
        return None if value in ("", []) else ConfigError(f"{where}: {key} is a section and needs keys below it")
    coming = later.by_key(key)
    if coming is not None:
        return NotInThisVersion(later.refusal(f"{where}: {key}", coming.what))
    known = [item.key for item in SETTINGS.values() if item.option.keyed]
    near = difflib.get_close_matches(key, [*known, *names], 1, 0.5)
    hint = f"; did you mean {near[0]}?" if near else f"; the sections are {', '.join(sorted(names))}"
    return ConfigError(f"{where}: unknown key {key}{hint}")


def from_environment(environ: Mapping[str, str]) -> Layer:
    """The layer of LIPPYCAT_SECTION_KEY; a name that belongs to a section and is not known is refused."""
    layer: Layer = {}
    prefixes = tuple(f"{ENV_PREFIX}{section.section}_".upper() for section in SECTIONS if section is not Run)
    coming = {f"{ENV_PREFIX}{key.replace('.', '_')}".upper(): item for item in later.SETTINGS for key in item.keys}
    for name in sorted(environ):
        if not name.startswith(ENV_PREFIX):
            continue
        key = _ENV.get(name)
        if key is not None:
            canonical = SETTINGS[key].env[0]
            if name == canonical or canonical not in environ:
                layer[key] = (environ[name], Origin("environment", name))
        elif name in coming:
            raise NotInThisVersion(later.refusal(name, coming[name].what))
        elif name.startswith(prefixes) and not _KUBERNETES.search(name):
            near = difflib.get_close_matches(name, _ENV, 1, 0.5)
            msg = f"environment: unknown name {name}" + (f"; did you mean {near[0]}?" if near else "")
            raise ConfigError(msg)
    return layer


def from_flags(given: Mapping[str, Value]) -> Layer:
    """The layer of the command line: dotted key → value."""
    return {key: (value, Origin("flag", _flag(key, value))) for key, value in given.items()}


def _flag(key: str, value: Value) -> str:
    flag = SETTINGS[key].flag
    return f"--no-{flag[2:]}" if value is False else flag


def build(*layers: Layer, complain: Complain = raising) -> Config:
    """Merges the layers, later ones win, and validates what won; ConfigError names the value's origin."""
    merged: Layer = {}
    for layer in layers:
        merged.update(layer)
    mode = str(merged[modes.KEY][0]) if modes.KEY in merged else modes.BALANCED
    filled = {key: (value, Origin("mode", f"mode {mode}")) for key, value in modes.MODES.get(mode, {}).items()}
    merged = {**filled, **merged}
    origins = {key: merged[key][1] if key in merged else Origin("default") for key in SETTINGS}
    sections = {section.section: _section(section, merged, complain) for section in SECTIONS}
    config = Config(**sections, origins=origins)  # type: ignore[arg-type]  # names and classes agree by SECTIONS
    _check_needs(config)
    return config


def _section(section: type[Section], merged: Layer, complain: Complain) -> Section:
    """One validated section."""
    prefix = f"{section.section}."
    raw = {key[len(prefix) :]: value for key, (value, _) in merged.items() if key.startswith(prefix)}
    if not raw:
        return section.model_construct()  # the defaults need no validation, and its preparation takes time
    try:
        return section.model_validate(raw)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=True)
    for detail in reversed({entry["loc"][0]: entry for entry in reversed(found)}.values()):
        key = prefix + str(detail["loc"][0])
        complain(_refusal(SETTINGS[key], *merged[key], dict(detail)))
    return section.model_construct()


def _refusal(setting: Setting, value: Value, origin: Origin, detail: dict[str, Any]) -> UsageError:
    """One line from pydantic's description of what is wrong."""
    what = f"{setting.key}" if origin.kind == "file" else ""
    place = ": ".join(part for part in (str(origin), what) if part)
    wrong = detail["input"] if isinstance(detail["input"], str) else setting.show(value)
    if wrong in setting.option.later:
        return NotInThisVersion(later.refusal(f"{place}: {wrong}", f"this value; it has {', '.join(setting.choices)}"))
    if detail["type"] == "literal_error":
        near = difflib.get_close_matches(wrong, setting.choices, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return ConfigError(f"{place}: {wrong!r} is not one of {', '.join(setting.choices)}{hint}")
    if detail["type"] == "value_error":
        return ConfigError(f"{place}: {detail['ctx']['error']}")
    must = _MUST.get(detail["type"]) or detail["msg"].removeprefix("Input should ")
    return ConfigError(f"{place}: {wrong!r} must {must}")


def _check_needs(config: Config) -> None:
    """A flag that could not act without another one is refused."""
    for key, origin in config.origins.items():
        needs = SETTINGS[key].option.needs
        if origin.kind == "flag" and needs and not config.value(needs):
            msg = f"{origin} does nothing without {SETTINGS[needs].flag}"
            raise ConfigError(msg)
