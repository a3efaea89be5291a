"""What leaves the machine: the relay, which alone may use the network."""

from typing import Annotated, ClassVar

from lippycatd.config.section import Option, Section, Text
from lippycatd.model.handover import SOCKET_PATH


class Relay(Section):
    """What lippycat-relay does, in a file of its own; lippycatd takes `relay.socket` of this section."""

    section: ClassVar[str] = "relay"
    title: ClassVar[str] = "Relay"

    socket: Annotated[
        Text,
        Option(
            "Unix socket where lippycatd hands over what is to be sent, mode 0660, group lippycat; a socket that "
            "systemd passes as `relay` wins",
            unit="file",
        ),
    ] = SOCKET_PATH
