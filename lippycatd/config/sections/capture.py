"""Where packets come from."""

from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Le
from pydantic import AfterValidator, BeforeValidator

from lippycatd.config import checks
from lippycatd.config.section import Duration, Items, Option, Section, Size, Text, split

Protocol = Literal["voip", "sip", "rtp", "rtcp"]


class Capture(Section):
    """Where packets come from, and which of them count."""

    section: ClassVar[str] = "capture"
    title: ClassVar[str] = "Input and selection"

    read_file: Annotated[
        Items,
        Option(
            "capture file to read; repeatable, merged by time; - is standard input (pcap, pcapng, snoop; gzip, "
            "zstd too)",
            ("--read-file", "-r"),
            unit="file",
        ),
    ] = ()
    default_interface: Annotated[
        tuple[Annotated[str, AfterValidator(checks.interface_name)], ...],
        BeforeValidator(split),
        Option(
            "interface to capture from, comma separated, repeatable; any stands for all of them",
            ("--interface", "-i"),
            unit="name",
            shown="any, where no file is read",
        ),
    ] = ()
    backend: Annotated[
        Literal["auto", "af_packet", "libpcap"],
        Option(
            "what captures: auto takes AF_PACKET's rings on Linux and libpcap elsewhere; the other one of the two is "
            "refused"
        ),
    ] = "auto"
    pods: Annotated[
        tuple[str, ...],
        BeforeValidator(split),
        AfterValidator(checks.pods),
        Option(
            "capture only the addresses that this pod of the node has as the capture begins, by lippycat-relay; comma "
            "separated, repeatable",
            ("--pod",),
            unit="NAMESPACE/NAME",
        ),
    ] = ()
    promiscuous: Annotated[bool, Option("switch the interface to promiscuous mode", ("--promiscuous", "-p"))] = False
    snaplen: Annotated[
        int,
        Ge(0),
        Le(262144),
        Option("bytes captured of a packet at most; 0 for the most there can be", ("--snaplen", "-s"), unit="bytes"),
    ] = 262144
    buffer_size: Annotated[
        Size,
        Ge(1 << 16),
        Le(1 << 34),
        Option("ring of each interface, shared out among its workers in whole blocks", unit="size"),
    ] = 64 << 20
    block_size: Annotated[
        Size,
        AfterValidator(checks.block_size),
        Option("block of a ring: the kernel hands packets over by blocks, and a packet must fit into one", unit="size"),
    ] = 256 << 10
    block_timeout: Annotated[
        Duration,
        Ge(10**6),
        Le(10**10),
        Option("after how long a block that is not full is handed over, in whole milliseconds", unit="duration"),
    ] = 10**6
    ring: Annotated[
        Literal["blocks", "frames"],
        Option(
            "how the kernel hands packets over: in blocks (TPACKET_V3), or one by one (TPACKET_V2: lowest latency, "
            "more work; named interfaces only, any has blocks)"
        ),
    ] = "blocks"
    busy_poll: Annotated[
        Duration,
        Ge(0),
        Le(10**9),
        Option(
            "how long to look for the next packet before the thread sleeps: latency for a processor", unit="duration"
        ),
    ] = 0
    deduplicate: Annotated[
        bool,
        Option(
            "leave out what another captured interface showed within 20 ms: bonds, bridges, veth pairs under any",
            ("--deduplicate",),
        ),
    ] = False
    filter: Annotated[
        Text,
        Option(
            "BPF expression as tcpdump takes it; acts before decoding", ("--filter", "-f"), unit="expression", hot=True
        ),
    ] = ""
    protocols: Annotated[
        tuple[Protocol, ...],
        BeforeValidator(split),
        Option(
            "keep only these protocols, comma separated; voip stands for the three others",
            ("--protocol",),
            shown="all; voip under sniff voip",
            later=("dns", "http", "tls", "email", "mysql", "postgresql"),
            hot=True,
        ),
    ] = ()
    hold_time: Annotated[
        Duration,
        Ge(0),
        Option(
            "how long an undecided frame waits on a pipe or a wire, in capture time",
            ("--hold-time",),
            unit="duration",
        ),
    ] = 10 * 10**9
    hold_bytes: Annotated[
        Size,
        Ge(1 << 16),
        Option("how many bytes of undecided frames wait at most", ("--hold-bytes",), unit="size"),
    ] = 64 << 20
