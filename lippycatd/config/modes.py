"""The performance modes: named sets of values for keys that nobody set.

Their order of precedence is between the defaults and the file: a mode only fills in what is not given. `balanced` is
the defaults. What each value does is said by its key; docs/modes.md tells when to take which mode.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lippycatd.config.load import Value

KEY = "voip.tcp_performance_mode"
BALANCED = "balanced"

MODES: Mapping[str, Mapping[str, Value]] = {
    BALANCED: {},
    # many packets for little CPU: the kernel hands over large blocks, seldom
    "throughput": {
        "capture.block_size": "1MiB",
        "capture.block_timeout": "20ms",
        "virtual_interface.buffer_size": "65536",
        "voip.tcp_batch_size": "128",
        "voip.tcp_buffer_pool_size": "4000",
    },
    # single frames at once; the thread that reads also writes, and looks for a while before it sleeps
    "latency": {
        "capture.ring": "frames",
        "capture.busy_poll": "200us",
        "virtual_interface.direct": "true",
        "voip.tcp_batch_size": "8",
        "voip.tcp_buffer_strategy": "fixed",
    },
    # small tables and rings: bursts are dropped sooner, and counted
    "memory": {
        "capture.buffer_size": "4MiB",
        "capture.block_size": "128KiB",
        "capture.block_timeout": "10ms",
        "capture.hold_bytes": "8MiB",
        "virtual_interface.buffer_size": "512",
        "voip.max_tcp_buffers": "1000",
        "voip.tcp_memory_limit": "8MiB",
        "voip.tcp_stream_timeout": "2m",
        "voip.tcp_cleanup_interval": "10s",
        "voip.tcp_buffer_strategy": "ring",
        "voip.tcp_buffer_pool_size": "100",
        "voip.memory_optimization": "true",
    },
}
