"""The sections of the configuration. Each field is declared in one of these files and nowhere else."""

from lippycatd.config.section import Section
from lippycatd.config.sections.capture import Capture
from lippycatd.config.sections.output import Output
from lippycatd.config.sections.relay import Hep, Relay
from lippycatd.config.sections.run import Run
from lippycatd.config.sections.service import Daemon, Logging, Metrics, Security
from lippycatd.config.sections.virtual_interface import VirtualInterface
from lippycatd.config.sections.voip import Voip

__all__ = [
    "SECTIONS",
    "Capture",
    "Daemon",
    "Hep",
    "Logging",
    "Metrics",
    "Output",
    "Relay",
    "Run",
    "Security",
    "VirtualInterface",
    "Voip",
]

SECTIONS: tuple[type[Section], ...] = (
    Capture,
    Voip,
    VirtualInterface,
    Output,
    Hep,
    Logging,
    Metrics,
    Security,
    Daemon,
    Relay,
    Run,
)
