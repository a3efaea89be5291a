"""Interfaces as a source where there is no AF_PACKET: libpcap (pcapy-ng) reads, and the core gets a pcap stream.

On Linux the daemon and `sniff` refuse it: rings lose less, keep nanoseconds, and need no privilege while they run. One
thread for each interface copies packets into a pipe; when the core does not keep up, the pipe is full, libpcap's buffer
fills, and the kernel's count of drops grows, which is a part of `in`.
"""

from __future__ import annotations

import contextlib
import os
import select
import struct
import sys
import threading
from typing import TYPE_CHECKING, Any

from lippycatd.errors import NotPossible
from lippycatd.sources.pcap_file import Input

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping

    from lippycatd.config.sections import Capture as Section

_DLT_RAW = (12, 14)  # on Linux and others, on OpenBSD
_LINKTYPE_RAW = 101
_LINK_TYPES = (0, 1, 9, 50, 105, 108, 113, 127, 276)  # where DLT_ and LINKTYPE_ are the same
_BATCH = 256  # packets between two looks at what was asked for
_LOOK_MS = 50  # how long an end may go unnoticed
_HEADER = struct.Struct("=IHHiIII")
_RECORD = struct.Struct("=IIII")
_MAGIC = 0xA1B2C3D4  # microseconds: libpcap's own resolution through pcapy-ng


def check(section: Section, platform: str = sys.platform) -> None:
    """Refuses a backend that is not for this system. Raises NotPossible with one line."""
    linux = platform == "linux"
    if section.backend == "libpcap" and linux:
        raise NotPossible("capture.backend: libpcap is for systems without AF_PACKET, and this is Linux; leave it out")
    if section.backend == "af_packet" and not linux:
        raise NotPossible(f"capture.backend: af_packet needs Linux, and this is {platform}; leave it out")


class Capture:
    """One interface read by libpcap. Its thread starts with `start`; `input` is what the core reads.

    Raises NotPossible with libpcap's words for what cannot be opened.
    """

    def __init__(self, section: Section, name: str) -> None:
        import pcapy  # noqa: PLC0415  only where there is no AF_PACKET

        self._snaplen = section.snaplen or 262144
        try:
            self._reader = pcapy.create(name)
            self._reader.set_snaplen(self._snaplen)
            self._reader.set_promisc(int(section.promiscuous))
            self._reader.set_timeout(max(1, section.block_timeout // 10**6))
            self._reader.set_buffer_size(min(section.buffer_size, 2**31 - 1))
            failed = self._reader.activate()
            if failed < 0:
                raise NotPossible(f"--interface: {name}: libpcap cannot capture there (its error {failed})")
            self._reader.setnonblock(1)
            self._link = link_type(self._reader.datalink())
        except pcapy.PcapError as error:
            raise NotPossible(f"--interface: {name}: {' '.join(str(error).split())}") from None
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self.input = Input(name, self._read, regular=False)
        self.taken = 0
        self._dropped = 0
        self._closed = False
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._pump, name=f"libpcap-{name}", daemon=True)

    def start(self) -> None:
        """Starts the thread that reads."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the stream: the core reads what is in the pipe, and then its end."""
        self._ends.set()
        if self._thread.is_alive():
            self._thread.join()

    def close(self) -> None:
        """Ends the thread and gives the interface and the pipe up."""
        if self._closed:
            return
        self._closed = True
        self.dropped()
        self.stop()
        self._reader.close()
        os.close(self._read)
        if not self._thread.ident:  # else it has closed its side
            os.close(self._write)

    def dropped(self) -> int:
        """Packets for which libpcap's buffer had no room."""
        if not self._closed:
            self._dropped = int(self._reader.stats()[1])
        return self._dropped

    def account(self, source: MutableMapping[str, Any], *, over: bool) -> int:
        """Adds to a source's part of law 1 what the core cannot know; gives the packets added to `in`.

        What is in the pipe is held, and at the end left out.
        """
        dropped = self.dropped()
        waiting = max(0, self.taken - int(source["in"]))
        source["in"] += dropped + waiting
        if over:
            _add(source["dropped"], "capture.unread", waiting)
        else:
            source["held"] += waiting
        _add(source["dropped"], "kernel.buffer_full", dropped)
        return dropped + waiting

    def _pump(self) -> None:
        waits = select.poll()
        waits.register(self._reader.getfd(), select.POLLIN)
        out = bytearray(_HEADER.pack(_MAGIC, 2, 4, 0, 0, self._snaplen, self._link))
        count = 0

        def packet(header: Any, data: bytes) -> None:  # noqa: ANN401  pcapy-ng has no types
            nonlocal count
            seconds, micros = header.getts()
            out.extend(_RECORD.pack(seconds, micros, len(data), header.getlen()))
            out.extend(data)
            count += 1

        try:
            self._hand_over(out)
            while not self._ends.is_set():
                if waits.poll(_LOOK_MS):
                    out.clear()
                    count = 0
                    self._reader.dispatch(_BATCH, packet)
                    self.taken += count
                    self._hand_over(out)
        except BrokenPipeError:
            pass  # the line has ended
        finally:
            os.close(self._write)

    def _hand_over(self, data: bytearray) -> None:
        """Writes all of it, waiting for room; an end that is asked for ends the waiting too."""
        room = select.poll()
        room.register(self._write, select.POLLOUT)
        view = memoryview(data)
        try:
            while view and not self._ends.is_set():
                if room.poll(_LOOK_MS):
                    with contextlib.suppress(BlockingIOError):
                        view = view[os.write(self._write, view) :]
        finally:
            view.release()


def open_captures(section: Section, names: Iterable[str]) -> list[Capture]:
    """A capture of each interface. Raises NotPossible with one line, and nothing stays open."""
    made: list[Capture] = []
    try:
        for name in names:
            made.append(Capture(section, name))  # noqa: PERF401  what was opened is closed below
    except BaseException:
        for each in made:
            each.close()
        raise
    return made


def account(captures: Iterable[Capture], stats: MutableMapping[str, Any], *, over: bool) -> None:
    """Adds what the captures count to a snapshot of the core."""
    for capture in captures:
        source = stats["sources"][capture.input.name]
        before = dict(source["dropped"])
        held = source["held"]
        stats["in"] += capture.account(source, over=over)
        stats["held"] += source["held"] - held
        for reason, count in source["dropped"].items():
            _add(stats["dropped"], reason, count - before.get(reason, 0))


def link_type(datalink: int) -> int:
    """The LINKTYPE_ of a file for what libpcap says of an interface; NotPossible for one that has none here."""
    if datalink in _DLT_RAW:
        return _LINKTYPE_RAW
    if datalink not in _LINK_TYPES:
        raise NotPossible(f"--interface: libpcap's link type {datalink} is not decoded")
    return datalink


def _add(counts: MutableMapping[str, int], reason: str, count: int) -> None:
    if count:
        counts[reason] = counts.get(reason, 0) + count
