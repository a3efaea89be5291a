"""A configuration file as flat raw values: dotted key → text or list of texts, with the line of each.

Scalars stay the text that was written, so `+49123` and `0049123` are never read as numbers; the section gives the type.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import yaml

from lippycatd.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

_NULL = "tag:yaml.org,2002:null"
_DEPTH = 8


@dataclasses.dataclass(frozen=True, slots=True)
class RawValue:
    """What stands behind a key, and where."""

    value: str | list[str]
    line: int


@dataclasses.dataclass(frozen=True, slots=True)
class RawFile:
    """A file: what stands in its sections, and for each entry of `pipelines` the same and the line it begins on."""

    keys: dict[str, RawValue]
    pipelines: list[tuple[int, dict[str, RawValue]]] | None


PIPELINES = "pipelines"


def parse(text: str, name: str) -> RawFile:
    """Every key of a file of sections; ConfigError names file and line of what is wrong."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        msg = f"{name}:{line}: not YAML: {error.problem}"
        raise ConfigError(msg) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        msg = f"{name}: not YAML: {str(error).splitlines()[0]}"
        raise ConfigError(msg) from None
    if root is None or root.tag == _NULL:
        return RawFile({}, None)
    entries = None
    if isinstance(root, yaml.MappingNode):
        several = [pair for pair in root.value if pair[0].value == PIPELINES]
        if len(several) > 1:
            msg = f"{name}:{several[1][0].start_mark.line + 1}: {PIPELINES} stands there twice"
            raise ConfigError(msg)
        root.value = [pair for pair in root.value if pair[0].value != PIPELINES]
        entries = _entries(several[0][0], several[0][1], name) if several else None
    return RawFile(_leaves(root, name), entries)


def _entries(key: yaml.Node, node: yaml.Node, name: str) -> list[tuple[int, dict[str, RawValue]]]:
    """The entries of `pipelines`."""
    if not isinstance(node, yaml.SequenceNode) or not node.value:
        msg = f"{name}:{key.start_mark.line + 1}: {PIPELINES} takes a list, each entry with a name and sections"
        raise ConfigError(msg)
    found = []
    for item in node.value:
        line = item.start_mark.line + 1
        if not isinstance(item, yaml.MappingNode):
            msg = f"{name}:{line}: a pipeline must hold a name and sections such as capture: and voip:"
            raise ConfigError(msg)
        found.append((line, _leaves(item, name)))
    return found


def _leaves(root: yaml.Node, name: str) -> dict[str, RawValue]:
    found: dict[str, RawValue] = {}
    for key, raw in _walk(root, "", name, 0):
        if key in found:
            msg = f"{name}:{raw.line}: {key} stands there twice, first on line {found[key].line}"
            raise ConfigError(msg)
        found[key] = raw
    return found


def _walk(node: yaml.Node, prefix: str, name: str, depth: int) -> Iterator[tuple[str, RawValue]]:
    """The leaves under a node; sections are mappings, everything else is a leaf."""
    line = node.start_mark.line + 1
    if depth > _DEPTH:
        msg = f"{name}:{line}: nested too deeply"
        raise ConfigError(msg)
    if not isinstance(node, yaml.MappingNode):
        if not prefix:
            msg = f"{name}:{line}: must hold sections such as capture: and voip:"
            raise ConfigError(msg)
        yield prefix, RawValue(_leaf(node, prefix, name), line)
        return
    if prefix and not node.value:
        yield prefix, RawValue([], line)
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            msg = f"{name}:{key.start_mark.line + 1}: a key must be a word"
            raise ConfigError(msg)
        dotted = f"{prefix}.{key.value}" if prefix else key.value
        for below, raw in _walk(value, dotted, name, depth + 1):
            yield below, dataclasses.replace(raw, line=key.start_mark.line + 1) if below == dotted else raw


def _leaf(node: yaml.Node, key: str, name: str) -> str | list[str]:
    """The text of a scalar, or the texts of a sequence of scalars; empty values and mappings in lists are refused."""
    if isinstance(node, yaml.SequenceNode):
        return [_text(item, key, name) for item in node.value]
    return _text(node, key, name)


def _text(node: yaml.Node, key: str, name: str) -> str:
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.ScalarNode):
        msg = f"{name}:{line}: {key} takes plain values only"
        raise ConfigError(msg)
    if node.tag == _NULL:
        msg = f'{name}:{line}: {key} has no value; remove the key, or write "" for an empty one'
        raise ConfigError(msg)
    return str(node.value)
