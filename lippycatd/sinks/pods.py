"""Which pod is it? The table that lippycat-relay keeps of the Kubernetes API, and the names that records get of it."""

from __future__ import annotations

import time
from ipaddress import ip_address
from typing import TYPE_CHECKING

from lippycatd.errors import NotPossible
from lippycatd.model import handover
from lippycatd.model.handover import Kind, Pod, Wants
from lippycatd.sinks.relay_link import Link

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lippycatd.model.records import Record

_NAMED = frozenset({"call", "stream"})
_PATIENCE = 10.0  # seconds until the first table must be there
_NAP = 0.02  # seconds


def look_up(path: str, names: Iterable[str]) -> list[str]:
    """The addresses of pods, each NAMESPACE/NAME. Raises NotPossible with one line."""
    table = Pods(path, "pod")
    try:
        return [address for name in names for address in table.find(name)]
    finally:
        table.close()


class Pods:
    """The pods of this node by their addresses; a table that the relay no longer feeds is used on."""

    def __init__(self, path: str, name: str) -> None:
        self._link = Link(path, Wants.PODS, name, self._hear)
        self._pods: dict[tuple[str, str], Pod] = {}
        self._by_address: dict[str, Pod] = {}
        self._fresh: set[tuple[str, str]] | None = None  # of a list that is under way
        self.synced = False

    @property
    def trouble(self) -> str:
        """Why there is no table that is kept up; empty when all is well."""
        return self._link.trouble or ("" if self.synced else "the pods of this node are not known yet")

    def write(self, batch: list[Record]) -> None:
        """Puts pod, namespace and node of both ends into calls and streams."""
        self._link.tend()
        for record in batch:
            if record["type"] in _NAMED:
                for end in ("src", "dst"):
                    pod = self._by_address.get(record[end])
                    if pod is not None:
                        record[f"{end}_pod"], record[f"{end}_namespace"] = pod.name, pod.namespace
                        record[f"{end}_node"] = pod.node

    def _hear(self, kind: Kind, body: bytes) -> None:
        if kind is Kind.POD:
            pod = handover.read_pod(body)
            self._take(pod)
        elif kind is Kind.GONE:
            self._forget(handover.read_gone(body))
        elif kind is Kind.SYNCED:
            self.synced = True

    def _take(self, pod: Pod) -> None:
        key = pod.namespace, pod.name
        self._forget(key)
        self._pods[key] = pod
        for address in pod.addresses:
            try:
                self._by_address[str(ip_address(address))] = pod
            except ValueError:
                continue

    def _forget(self, key: tuple[str, str]) -> None:
        pod = self._pods.pop(key, None)
        if pod is not None:
            self._by_address = {address: other for address, other in self._by_address.items() if other is not pod}

    def find(self, name: str) -> tuple[str, ...]:
        """The addresses of NAMESPACE/NAME. Waits for the table; NotPossible with one line for what is not there."""
        due = time.monotonic() + _PATIENCE
        while not self.synced and time.monotonic() < due:
            self._link.tend(now=True)
            time.sleep(_NAP)
        if not self.synced:
            raise NotPossible(f"--pod {name}: {self.trouble}; see docs/relay.md")
        namespace, _, pod = name.partition("/")
        found = self._pods.get((namespace, pod))
        if found is None:
            raise NotPossible(f"--pod {name}: there is no such pod on this node")
        if not found.addresses:
            raise NotPossible(f"--pod {name}: has no address of its own (not running, or on the host's network)")
        return found.addresses

    def close(self) -> None:
        """Ends the connection."""
        self._link.close()
