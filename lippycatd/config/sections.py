"""The sections of the configuration. Each field is declared here and nowhere else."""

from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Le
from pydantic import AfterValidator, BeforeValidator

from lippycatd.config import checks
from lippycatd.config.section import Duration, Items, Option, RotateSize, Seconds, Section, Size, Words, split, words

Protocol = Literal["voip", "sip", "rtp", "rtcp"]
RecordType = Literal["call", "stream", "transaction", "sip"]
Text = Annotated[str, AfterValidator(checks.no_nul)]
_VIF = "virtual_interface.enabled"


class Capture(Section):
    """Where packets come from, and which of them count."""

    section: ClassVar[str] = "capture"
    title: ClassVar[str] = "Input and selection"

    read_file: Annotated[
        Items,
        Option(
            "capture file to read; repeatable, merged by time; - is standard input (pcap or pcapng, gzip and zstd too)",
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


class Voip(Section):
    """Which calls are kept."""

    section: ClassVar[str] = "voip"
    title: ClassVar[str] = "Calls"

    sip_users: Annotated[
        Words,
        Option(
            "keep the calls of these users: alice, alice@example.com, +49*, *456789; comma separated, repeatable",
            ("--sipuser", "-u"),
            unit="pattern",
            hot=True,
        ),
    ] = ()
    call_ids: Annotated[
        Items,
        Option("keep the call with this Call-ID; repeatable", ("--call-id",), unit="Call-ID", hot=True),
    ] = ()
    tcp_performance_mode: Annotated[
        Literal["balanced", "throughput", "latency", "memory"],
        Option(
            "a named set of values for rings, queues and limits; each can be set by itself (docs/modes.md)",
            ("--tcp-performance-mode",),
        ),
    ] = "balanced"
    max_workers: Annotated[
        int,
        Ge(1),
        Le(64),
        Option(
            "threads that read each interface, by flow; as many as there are processors at most",
            ("--tcp-max-workers", "--tcp-max-goroutines"),
            unit="threads",
            env=("LIPPYCAT_VOIP_MAX_GOROUTINES",),
            aliases=("voip.max_goroutines",),
        ),
    ] = 1
    tcp_batch_size: Annotated[
        int,
        Ge(1),
        Le(2048),
        Option(
            "packets of the smallest batch between two looks at everything else; while more wait it doubles, to 2048",
            ("--tcp-batch-size",),
            unit="packets",
        ),
    ] = 32
    max_tcp_buffers: Annotated[
        int,
        Ge(1),
        Le(10**7),
        Option(
            "TCP connections that hold bytes of unfinished messages at once",
            ("--max-tcp-buffers",),
            unit="connections",
        ),
    ] = 10000
    tcp_memory_limit: Annotated[
        Size, Ge(1 << 16), Le(1 << 40), Option("bytes that all TCP connections hold together", unit="size")
    ] = 100 << 20
    tcp_stream_timeout: Annotated[
        Duration,
        Ge(10**9),
        Option(
            "an open TCP connection that is quiet for so long is forgotten", ("--tcp-stream-timeout",), unit="duration"
        ),
    ] = 600 * 10**9
    tcp_buffer_max_age: Annotated[
        Duration,
        Ge(10**9),
        Option("the rest of a message over TCP is waited for so long", ("--tcp-buffer-max-age",), unit="duration"),
    ] = 300 * 10**9
    tcp_cleanup_interval: Annotated[
        Duration,
        Ge(10**9),
        Option("how often quiet TCP connections are looked for", ("--tcp-cleanup-interval",), unit="duration"),
    ] = 60 * 10**9
    enable_backpressure: Annotated[
        bool,
        Option(
            "live: as the rings fill, stop measuring streams, then remembering media without a call, then media at all",
            ("--enable-backpressure",),
        ),
    ] = True
    show_dtmf: Annotated[bool, Option("show DTMF digits in stream records instead of masking them")] = False
    rtp_heuristic: Annotated[
        bool,
        Option(
            "find RTP that no signalling names, too; its packets are kept where no user or Call-ID is asked for",
            ("--rtp-heuristic",),
        ),
    ] = False
    jitter_buffer: Annotated[
        Duration,
        Ge(0),
        Le(10 * 10**9),
        Option(
            "depth of the jitter buffer that streams are rated with: what comes later counts as lost", unit="duration"
        ),
    ] = 60 * 10**6
    g711_plc: Annotated[
        bool, Option("rate G.711 as with packet loss concealment, which no packet shows (G.113: Bpl 25.1, else 4.3)")
    ] = True
    trunks: Annotated[
        tuple[str, ...],
        BeforeValidator(words),
        AfterValidator(checks.trunks),
        Option(
            "count calls by trunk or peer: NAME=203.0.113.0/24,sip.carrier.example (networks, addresses, hosts of "
            "Request-URI, From or To); the first that fits, else `other`; 64 at most, in the environment separated by "
            "spaces",
            unit="trunk",
        ),
    ] = ()
    gpu_enable: Annotated[
        bool,
        Option("look for users with the accelerated matcher; off is --gpu-backend disabled", ("--gpu-enable",)),
    ] = True
    gpu_backend: Annotated[
        Literal["auto", "cpu-simd", "disabled"],
        Option("the matcher that looks for users", ("--gpu-backend",), later=("cuda", "opencl")),
    ] = "auto"

    @property
    def tcp_limits(self) -> tuple[int, int, int, int, int]:
        """What the core takes: connections that hold bytes, bytes in all, and quiet, unfinished and cleaning in ns."""
        return (
            self.max_tcp_buffers,
            self.tcp_memory_limit,
            self.tcp_stream_timeout,
            self.tcp_buffer_max_age,
            self.tcp_cleanup_interval,
        )


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


class Output(Section):
    """Where the selected packets and the records go."""

    section: ClassVar[str] = "output"
    title: ClassVar[str] = "Output"

    write_file: Annotated[
        Text,
        Option(
            "write the selected packets to this file, or - for standard output; .pcapng gives pcapng, else pcap (ns)",
            ("--write-file", "-w"),
            unit="file",
            hot=True,
        ),
    ] = ""
    rotate_size: Annotated[
        RotateSize,
        Le(1 << 50),
        Option(
            "start a new file at this size: a bare number is millions of bytes, as with tcpdump",
            ("-C",),
            unit="size",
            needs="output.write_file",
        ),
    ] = 0
    rotate_seconds: Annotated[
        Seconds,
        Le(10**9),
        Option(
            "start a new file every so many seconds; the name may hold strftime's % fields",
            ("-G",),
            unit="seconds",
            needs="output.write_file",
        ),
    ] = 0
    rotate_count: Annotated[
        int,
        Ge(0),
        Le(10**6),
        Option(
            "with -C a ring of so many files, with -G end after so many files",
            ("-W",),
            unit="files",
            needs="output.write_file",
        ),
    ] = 0
    format: Annotated[
        Literal["text", "json", "csv"], Option("how records are printed on standard output", ("--format",))
    ] = "text"
    records: Annotated[
        Text,
        Option(
            "write records to this file: .jsonl or .json, .csv (one file a type), .sqlite or .db",
            ("--records",),
            unit="file",
        ),
    ] = ""
    record_types: Annotated[
        tuple[RecordType, ...],
        BeforeValidator(split),
        Option(
            "the types of records that --records writes, comma separated; sip is one record a message",
            ("--record-types",),
            needs="output.records",
        ),
    ] = ("call", "stream", "transaction")
    pseudonymise: Annotated[
        bool,
        Option("replace users, numbers and Call-IDs in all records by tokens that a key makes", ("--pseudonymise",)),
    ] = False
    pseudonym_key: Annotated[
        Text,
        Option(
            "file with the key of the tokens, 16 bytes or more; without it every run has its own",
            ("--pseudonym-key",),
            unit="file",
            needs="output.pseudonymise",
        ),
    ] = ""


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


class Run(Section):
    """What describes one run of a command, and so has no key."""

    section: ClassVar[str] = "run"
    title: ClassVar[str] = "This run"

    count: Annotated[
        int, Ge(0), Option("end after so many packets", ("--count", "-c"), unit="packets", keyed=False, shown="all")
    ] = 0
    loop: Annotated[
        int, Ge(0), Option("read the files so many times; 0 for ever", ("--loop",), unit="times", keyed=False)
    ] = 1
    quiet: Annotated[bool, Option("print no records, hints or accounting", ("--quiet", "-q"), keyed=False)] = False


SECTIONS: tuple[type[Section], ...] = (Capture, Voip, VirtualInterface, Output, Logging, Metrics, Security, Daemon, Run)
