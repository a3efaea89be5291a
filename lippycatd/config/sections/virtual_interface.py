"""The virtual interface."""

from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Le
from pydantic import AfterValidator

from lippycatd.config import checks
from lippycatd.config.section import Duration, Option, Section

_VIF = "virtual_interface.enabled"


class VirtualInterface(Section):
    """The interface that shows the selected packets to any tool."""

    section: ClassVar[str] = "virtual_interface"
    title: ClassVar[str] = "Virtual interface"

    enabled: Annotated[
        bool, Option("show the selected packets on a virtual interface", ("--virtual-interface", "-V"), hot=True)
    ] = False
    name: Annotated[
        str,
        AfterValidator(checks.interface_name),
        Option("name of the interface", ("--vif-name",), unit="name", needs=_VIF),
    ] = "lc0"
    type: Annotated[
        Literal["tap", "tun"],
        Option("tap carries Ethernet frames, tun bare IP packets", ("--vif-type",), needs=_VIF),
    ] = "tap"
    netns: Annotated[
        str,
        AfterValidator(checks.namespace_name),
        Option(
            "network namespace of the interface, made if it is not there; empty for the current one",
            ("--vif-netns",),
            unit="name",
            needs=_VIF,
        ),
    ] = "lc-ns"
    buffer_size: Annotated[
        int,
        Ge(1),
        Le(1 << 24),
        Option("packets that wait for the interface at most", ("--vif-buffer-size",), unit="packets", needs=_VIF),
    ] = 4096
    startup_delay: Annotated[
        Duration | None,
        Option(
            "wait before the first packet, so that readers can start",
            ("--vif-startup-delay",),
            unit="duration",
            needs=_VIF,
            shown="3s when reading files",
        ),
    ] = None
    direct: Annotated[
        bool,
        Option(
            "live: the thread that reads also writes, without a queue; lower latency, and the device slows the reading",
            needs=_VIF,
        ),
    ] = False
    linger: Annotated[
        Duration,
        Ge(0),
        Option(
            "keep the interface so long after the last packet, so that readers fetch what they have buffered "
            "(tcpdump buffers for a second)",
            ("--vif-linger",),
            unit="duration",
            needs=_VIF,
        ),
    ] = 1500 * 10**6
    replay_timing: Annotated[
        bool, Option("keep the time between packets as captured", ("--vif-replay-timing",), needs=_VIF)
    ] = False
    replay_speed: Annotated[
        float,
        Gt(0),
        Le(1e6),
        Option(
            "replay so many times faster than captured",
            ("--vif-replay-speed",),
            unit="factor",
            needs="virtual_interface.replay_timing",
        ),
    ] = 1.0
    required: Annotated[
        bool, Option("end at once with status 3 when the interface cannot be had", ("--vif-required",), needs=_VIF)
    ] = False
    mtu: Annotated[
        int,
        Ge(68),
        Le(65521),
        Option("MTU of the interface", ("--vif-mtu",), unit="bytes", needs=_VIF),
    ] = 65521
    txqueuelen: Annotated[
        int,
        Ge(1),
        Le(1 << 20),
        Option("length of the interface's queue", ("--vif-txqueuelen",), unit="packets", needs=_VIF),
    ] = 1000
    rate_limit: Annotated[
        int,
        Ge(0),
        Le(10**9),
        Option(
            "packets a second at most; 0 for no limit", ("--vif-rate-limit",), unit="packets/s", needs=_VIF, hot=True
        ),
    ] = 0
    rate_burst: Annotated[
        int,
        Ge(0),
        Le(10**9),
        Option(
            "packets that may leave at once under the limit; 0 for a tenth of a second's worth",
            ("--vif-rate-burst",),
            unit="packets",
            needs="virtual_interface.rate_limit",
            hot=True,
        ),
    ] = 0
