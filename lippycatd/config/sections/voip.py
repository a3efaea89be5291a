"""Which calls are kept."""

from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Le
from pydantic import AfterValidator, BeforeValidator

from lippycatd.config import checks
from lippycatd.config.section import Duration, Items, Option, Section, Size, Words, words


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
    keylog: Annotated[
        str,
        Option(
            "read SIP over TLS 1.2 and 1.3 with the secrets of this file, as SSLKEYLOGFILE has them; those of a pcapng "
            "input are used without it",
            ("--keylog",),
            unit="file",
        ),
    ] = ""
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
    tcp_buffer_strategy: Annotated[
        Literal["adaptive", "fixed", "ring"],
        Option(
            "memory of TCP segments that come too early: as much as they need; the buffers of the pool alone, the rest "
            "is refused; or the latest 32 KiB of each direction",
            ("--tcp-buffer-strategy",),
        ),
    ] = "adaptive"
    tcp_buffer_pool_size: Annotated[
        int,
        Ge(1),
        Le(10**6),
        Option(
            "buffers of 2 KiB for TCP segments that come too early, kept for their next use; a fixed pool has all of "
            "them from the start",
            unit="buffers",
        ),
    ] = 1000
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
    memory_optimization: Annotated[
        bool,
        Option(
            "give memory back after bursts, at each voip.tcp_cleanup_interval: some milliseconds of a processor",
            ("--memory-optimization",),
        ),
    ] = False
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
    def tcp_buffers(self) -> tuple[str, int, bool]:
        """What the core takes: how early segments get memory, buffers of the pool, whether memory is given back."""
        return self.tcp_buffer_strategy, self.tcp_buffer_pool_size, self.memory_optimization

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
