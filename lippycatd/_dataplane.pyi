"""Types of the native module (dataplane/py). Times are nanoseconds, sizes bytes, unless a name says otherwise."""

from collections.abc import Sequence
from typing import Any, Self, final

__all__ = [
    "CallFilesSink",
    "FileSink",
    "HepInput",
    "Line",
    "LiveInput",
    "VifSink",
    "check_name_pattern",
    "check_patterns",
    "drop_privileges",
    "lock",
    "sandbox_status",
]

@final
class CallFilesSink:
    """Files of calls below an open directory."""

    def __new__(
        cls,
        *,
        name: str,
        fd: int,
        pattern: str,
        max_open: int = 256,
        retain_bytes: int = 0,
        retain_seconds: int = 0,
        grace_ns: int = ...,
    ) -> Self: ...

@final
class FileSink:
    """A capture file to write: an open descriptor, or the path of a rotating set."""

    def __new__(
        cls,
        *,
        name: str,
        fd: int | None = None,
        path: str | None = None,
        format: str = "pcap",  # noqa: A002  the name of the setting
        rotate_size: int = 0,
        rotate_seconds: int = 0,
        rotate_count: int = 0,
        comment: str = ...,
    ) -> Self: ...

@final
class VifSink:
    """A TAP or TUN device with its queue and its writing thread; without a descriptor frames are dropped as `gone`."""

    def __new__(
        cls,
        *,
        name: str,
        kind: str,
        mtu: int,
        buffer_size: int,
        fd: int | None = None,
        replay_timing: bool = False,
        replay_speed: float = 1.0,
        rate_limit: int = 0,
        rate_burst: int = 0,
        blocking: bool = True,
        direct: bool = False,
    ) -> Self: ...
    def inject(
        self,
        frames: Sequence[bytes],
        timestamps_ns: Sequence[int] | None = None,
        link: int = 1,
    ) -> int: ...
    def stats(self) -> dict[str, Any]: ...
    def close(self, drain: bool = True) -> dict[str, Any]: ...

@final
class LiveInput:
    """The sockets of one interface, their rings made by the helper. `frame_size` 0 stands for TPACKET_V3."""

    def __new__(
        cls,
        *,
        name: str,
        fds: list[int],
        block_size: int,
        block_count: int,
        timeout_ms: int,
        frame_size: int = 0,
        snaplen: int = 0,
        mtu: int = 0,
        own: list[int] = ...,
    ) -> Self: ...

@final
class HepInput:
    """HEP from sockets into a capture on a pipe, which a line reads; the thread begins with `start`."""

    def __new__(cls, *, datagrams: list[int], listeners: list[int], pipe: int, key: bytes = ...) -> Self: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def stats(self) -> dict[str, Any]: ...

@final
class Line:
    """One pipeline, run by threads of the core; Python only polls."""

    def __new__(
        cls,
        *,
        inputs: list[tuple[str, int]] = ...,
        live: list[LiveInput] = ...,
        users: list[str] = ...,
        call_ids: list[str] = ...,
        protocols: list[str] = ...,
        voip: bool = False,
        filters: dict[int, list[tuple[int, int, int, int]]] | None = None,
        matcher: str = "auto",
        hold_time_ns: int = ...,
        hold_bytes: int = ...,
        loops: int = 1,
        count: int = 0,
        startup_delay_ns: int = 0,
        spin_ns: int = 0,
        batch: int = 32,
        backpressure: bool = True,
        tcp: tuple[int, int, int, int, int] | None = None,
        tcp_buffers: tuple[str, int, bool] | None = None,
        deduplicate: bool = False,
        files: list[FileSink] = ...,
        vif: VifSink | None = None,
        records: str | None = None,
        show_dtmf: bool = False,
        jitter_buffer_ns: int = 60_000_000,
        g711_plc: bool = True,
        rtp_heuristic: bool = False,
        metrics: bool = False,
        trunks: list[tuple[str, list[str]]] = ...,
        keylog: bytes | None = None,
        sip_bytes: bool = False,
        rtcp: bool = False,
        call_files: CallFilesSink | None = None,
        rtp_snap: int | None = None,
    ) -> Self: ...
    def start(self) -> None: ...
    def drain(self) -> None: ...
    def stop(self) -> None: ...
    def poll(self, max_records: int, timeout_ms: int) -> list[dict[str, Any]]: ...
    def finished(self) -> bool: ...
    def progress(self) -> tuple[int, int, int, int]: ...
    def stats(self) -> dict[str, Any]: ...
    def change(
        self,
        *,
        selection: tuple[list[str], list[str], list[str]] | None = None,
        filters: dict[int, list[tuple[int, int, int, int]]] | None = None,
        files: list[FileSink] = ...,
        vif: VifSink | None = None,
        remove: list[str] = ...,
    ) -> int: ...
    def deaf(self) -> list[int]: ...
    def replace_input(self, source: int, input: LiveInput) -> int: ...  # noqa: A002  the name of the argument
    def changed(self) -> int: ...
    def replace_vif(self, fd: int) -> None: ...
    def set_rate(self, rate_limit: int, rate_burst: int) -> None: ...
    def iterations(self) -> int: ...
    def messages(self) -> list[tuple[str, str]]: ...

def drop_privileges(uid: int, gid: int, groups: list[int]) -> None: ...
def lock(
    role: str, *, read: list[str], write: list[str], manage: list[str] = ..., connect: list[int] = ...
) -> dict[str, Any]: ...
def sandbox_status() -> dict[str, Any]: ...
def check_name_pattern(pattern: str) -> None: ...
def check_patterns(users: list[str]) -> None: ...
