"""What is reported, served and held: logging, metrics, security, the daemon."""

from typing import Annotated, ClassVar, Literal

from annotated_types import Ge
from pydantic import AfterValidator

from lippycatd.config import checks
from lippycatd.config.section import Duration, Items, Option, Section, Text


class Logging(Section):
    """What is reported on standard error."""

    section: ClassVar[str] = "logging"
    title: ClassVar[str] = "Reports"

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Option("report this and what is graver", ("--log-level",), env=("LIPPYCAT_LOG_LEVEL",), hot=True),
    ] = "info"
    format: Annotated[
        Literal["auto", "console", "json"],
        Option("auto is console on a terminal and json elsewhere", ("--log-format",)),
    ] = "auto"
    stats_interval: Annotated[
        Duration, Ge(0), Option("report the totals so often; 0 for never", unit="duration", hot=True)
    ] = 60 * 10**9

    pseudonymise: Annotated[
        bool,
        Option("replace users, numbers and Call-IDs in reports by tokens; the key is that of output.pseudonym_key"),
    ] = False
    audit_file: Annotated[
        Text,
        Option(
            "append to this file who set which user and Call-ID to be followed, and when (lippycatd); "
            "without it that is reported with the rest",
            unit="file",
        ),
    ] = ""


class Metrics(Section):
    """The page that Prometheus reads."""

    section: ClassVar[str] = "metrics"
    title: ClassVar[str] = "Metrics"

    listen: Annotated[
        str,
        AfterValidator(checks.listen_address),
        Option("serve metrics at ADDRESS:PORT", ("--metrics-listen",), unit="ADDRESS:PORT", shown="off"),
    ] = ""
    linger: Annotated[
        Duration,
        Ge(0),
        Option(
            "keep the page up so long after the end",
            ("--metrics-linger",),
            unit="duration",
            needs="metrics.listen",
        ),
    ] = 0
    tls_cert: Annotated[
        Text, Option("serve the pages over TLS with this certificate (PEM, with its chain)", unit="file")
    ] = ""
    tls_key: Annotated[Text, Option("the key of that certificate (PEM)", unit="file")] = ""
    users: Annotated[
        Items,
        Option(
            "who may read the pages, each NAME:HASH as `lippycat debug hash-password` prints it; none for everybody",
            unit="user",
        ),
    ] = ()


class Security(Section):
    """As whom it runs."""

    section: ClassVar[str] = "security"
    title: ClassVar[str] = "Security"

    user: Annotated[
        Text,
        Option(
            "the unprivileged user to become when started as root",
            ("--user",),
            unit="user",
            shown="the user behind sudo, else lippycat, else nobody",
        ),
    ] = ""


class Daemon(Section):
    """What only lippycatd has."""

    section: ClassVar[str] = "daemon"
    title: ClassVar[str] = "Daemon"

    control_socket: Annotated[
        Text,
        Option(
            "Unix socket for reload, status and metrics, mode 0660, group lippycat; a socket that systemd passes as "
            "`control` wins; empty for none",
            unit="file",
        ),
    ] = "/run/lippycat/control.sock"
