"""Configuration: sections that declare each setting once, and loading them with the origin of every value."""

from lippycatd.config.diff import Change, Diff, diff
from lippycatd.config.load import SETTINGS, Config, Layer, Origin, build, from_environment, from_file, from_flags
from lippycatd.config.pipelines import Pipelines
from lippycatd.config.section import Section, Setting
from lippycatd.config.sections import SECTIONS

__all__ = [
    "SECTIONS",
    "SETTINGS",
    "Change",
    "Config",
    "Diff",
    "Layer",
    "Origin",
    "Pipelines",
    "Section",
    "Setting",
    "build",
    "diff",
    "from_environment",
    "from_file",
    "from_flags",
]
