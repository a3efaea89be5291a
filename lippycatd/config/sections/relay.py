"""What leaves the machine: what lippycatd hands over, and the relay, which alone may use the network."""

from typing import Annotated, ClassVar

from annotated_types import Ge, Le
from pydantic import AfterValidator, BeforeValidator

from lippycatd.config import checks
from lippycatd.config.section import Option, Section, Size, Text, split
from lippycatd.model.handover import SOCKET_PATH

_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


class Hep(Section):
    """HEP, the protocol of Homer: what a pipeline receives, and what it hands to lippycat-relay."""

    section: ClassVar[str] = "hep"
    title: ClassVar[str] = "HEP"

    listen: Annotated[
        str,
        AfterValidator(checks.listen_address),
        Option(
            "receive HEP of other agents at ADDRESS:PORT over UDP and TCP, instead of files and interfaces; sockets "
            "that systemd passes as `hep` with this port win",
            ("--hep-listen",),
            unit="ADDRESS:PORT",
            shown="off",
        ),
    ] = ""
    listen_key_file: Annotated[
        Text, Option("file with the key that received HEP packets must carry; empty for any or none", unit="file")
    ] = ""
    send: Annotated[
        bool,
        Option(
            "hand the SIP messages and RTCP reports of the selected calls to lippycat-relay, which sends them as HEP "
            "version 3 (lippycatd)"
        ),
    ] = False
    buffer: Annotated[
        Size,
        Ge(1 << 17),
        Le(1 << 32),
        Option("what waits for lippycat-relay at most; what finds no room is counted", unit="size"),
    ] = 8 << 20


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
    kubernetes_api: Annotated[
        str,
        AfterValidator(checks.api_url),
        Option(
            "the Kubernetes API whose pods of this node are watched (https://kubernetes.default.svc); empty for none",
            unit="URL",
        ),
    ] = ""
    kubernetes_token: Annotated[
        Text, Option("file with the ServiceAccount's token; read anew for each request", unit="file")
    ] = f"{_ACCOUNT}/token"
    kubernetes_ca: Annotated[Text, Option("certificates that the API is checked by (PEM)", unit="file")] = (
        f"{_ACCOUNT}/ca.crt"
    )
    node_name: Annotated[
        Text, Option("name of this node, whose pods are asked for (spec.nodeName, by the downward API)", unit="name")
    ] = ""
    hep_servers: Annotated[
        tuple[str, ...],
        BeforeValidator(split),
        AfterValidator(checks.servers),
        Option(
            "where what is handed over is sent as HEP: udp://HOST:PORT, tcp://HOST:PORT or tls://HOST:PORT, comma "
            "separated; each gets everything",
            unit="server",
        ),
    ] = ()
    hep_capture_id: Annotated[
        int, Ge(0), Le(0xFFFFFFFF), Option("number of this agent in HEP packets", unit="number")
    ] = 1
    hep_node: Annotated[Text, Option("name of this agent in HEP packets; empty for none")] = ""
    hep_key_file: Annotated[
        Text, Option("file with the authentication key of HEP packets; empty for none", unit="file")
    ] = ""
    hep_ca: Annotated[
        Text, Option("certificates that tls:// servers are checked by (PEM); empty for the system's", unit="file")
    ] = ""
    hep_buffer: Annotated[
        Size,
        Ge(1 << 17),
        Le(1 << 34),
        Option("what waits for each server that is away, or slow, at most; what finds no room is counted", unit="size"),
    ] = 16 << 20
