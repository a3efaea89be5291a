"""The pods of this node, by the Kubernetes API: listed, then watched; lippycatd is told what changes.

One thread speaks to the API with http.client. A watch that the server ends goes on from where it was; where its history
is gone (410) the pods are listed anew; everything else waits and tries again.
"""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
import urllib.parse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lippycatd.errors import ConfigError
from lippycatd.model import handover
from lippycatd.model.handover import Pod

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from structlog.typing import FilteringBoundLogger

    from lippycatd.config import Config

    Tell = Callable[[list[bytes]], None]

_FIRST, _LONGEST = 0.5, 30.0  # seconds of the backoff
_PATIENCE = 15.0  # seconds that an answer may take
_WATCH = 240  # seconds that a watch is asked to last; the server ends it then
_PAGE = 500  # pods of one answer
_LINE = 4 << 20  # bytes of one event
_LIST = 64 << 20  # bytes of one answer
_MOST = 10_000  # pods
_OK, _UNAUTHORIZED, _FORBIDDEN, _GONE = 200, 401, 403, 410
_ENDED = frozenset({"Succeeded", "Failed"})


class Refused(Exception):
    """The API's answer is none: the reason as it is counted, and one line."""

    def __init__(self, reason: str, line: str) -> None:
        super().__init__(line)
        self.reason = reason


class Api:
    """Where the API is, and how to speak to it."""

    def __init__(self, config: Config) -> None:
        section = config.relay
        url = urllib.parse.urlsplit(section.kubernetes_api)
        self.host, self.port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
        self.node = section.node_name
        self._token = Path(section.kubernetes_token)
        self._tls = _context(config) if url.scheme == "https" else None

    @property
    def files(self) -> list[str]:
        """What is read again after the lock: the token's directory, since rotation replaces links in it."""
        return [str(self._token.parent)]

    def get(self, query: dict[str, str], timeout: float) -> http.client.HTTPResponse:
        """The answer to a request for pods of this node. Raises Refused or OSError."""
        query = {"fieldSelector": f"spec.nodeName={self.node}", **query}
        connection: http.client.HTTPConnection
        if self._tls is not None:
            connection = http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=self._tls)
        else:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            token = self._token.read_bytes().decode().strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not a token"
            raise Refused("token", f"{self._token}: {reason}; mount the ServiceAccount's token") from None
        try:
            path = f"/api/v1/pods?{urllib.parse.urlencode(query)}"
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}", "Accept": "application/json"})
            answer = connection.getresponse()
        except BaseException:
            connection.close()
            raise
        if answer.status != _OK:
            answer.close()
            raise _refusal(answer.status, self._token)
        return answer


def _context(config: Config) -> ssl.SSLContext:
    """Checks the API by the cluster's certificates. Raises ConfigError."""
    file, where = config.relay.kubernetes_ca, config.origins["relay.kubernetes_ca"]
    try:
        return ssl.create_default_context(cafile=file or None)
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{where}: relay.kubernetes_ca: {file}: {reason}; it must hold certificates") from None


def _refusal(status: int, token: Path) -> Refused:
    if status == _UNAUTHORIZED:
        return Refused("unauthorized", f"the Kubernetes API does not accept the token in {token} (401)")
    if status == _FORBIDDEN:
        return Refused("forbidden", "the ServiceAccount may not list and watch pods (403); see docs/relay.md")
    if status == _GONE:
        return Refused("gone", "the history is gone (410)")
    return Refused("status", f"the Kubernetes API answers {status}")


def pod_of(item: dict[str, Any]) -> Pod | None:
    """What an object tells of a pod (pure); None where it has no name.

    A pod on the host's network has the node's address, which is no pod's; one that has ended has none any more.
    """
    meta, spec, status = (item.get(part) or {} for part in ("metadata", "spec", "status"))
    namespace, name = meta.get("namespace"), meta.get("name")
    if not isinstance(namespace, str) or not isinstance(name, str):
        return None
    found = [each.get("ip") for each in status.get("podIPs") or [] if isinstance(each, dict)] or [status.get("podIP")]
    if spec.get("hostNetwork") or status.get("phase") in _ENDED:
        found = []
    return Pod(
        namespace, name, str(spec.get("nodeName") or ""), tuple(ip for ip in found if isinstance(ip, str) and ip)
    )


class Watcher:
    """Keeps the table; `tell` gets messages for lippycatd, `snapshot` gives all of them."""

    def __init__(self, api: Api, tell: Tell, log: FilteringBoundLogger) -> None:
        self._api, self._tell, self._log = api, tell, log
        self._lock = threading.Lock()
        self._pods: dict[tuple[str, str], Pod] = {}
        self._counts: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._stop = threading.Event()
        self._wait = _FIRST
        self._thread = threading.Thread(target=self._run, name="pods", daemon=True)
        self.trouble = "the pods were not listed yet"

    def start(self) -> None:
        """Begins to list and to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Ends with the process; the thread is not waited for."""
        self._stop.set()

    def snapshot(self) -> list[bytes]:
        """Every pod, and that these are all."""
        with self._lock:
            pods = list(self._pods.values())
        return [*map(handover.pod, pods), handover.header(handover.Kind.SYNCED)]

    def stats(self) -> dict[str, Any]:
        """For the page."""
        with self._lock:
            pods = len(self._pods)
        return {
            "pods": pods,
            "synced": int(not self.trouble),
            "events": dict(self._counts),
            "errors": dict(self._errors),
        }

    def _run(self) -> None:
        version = ""
        while not self._stop.is_set():
            try:
                if not version:
                    version = self._list()
                version = self._watch(version)
            except Refused as error:
                if error.reason == "gone":
                    self._errors["gone"] += 1
                    version = ""
                    continue
                version = ""
                self._failed(error.reason, str(error))
            except (OSError, http.client.HTTPException, ValueError) as error:
                self._failed("connection", f"{self._api.host}:{self._api.port}: {error}")

    def _failed(self, reason: str, line: str) -> None:
        self._errors[reason] += 1
        if line != self.trouble:
            self._log.warning(line)
        self.trouble = line
        self._stop.wait(self._wait)
        self._wait = min(2 * self._wait, _LONGEST)

    def _list(self) -> str:
        """All pods, page by page; gives the version to watch from."""
        found: dict[tuple[str, str], Pod] = {}
        query = {"limit": str(_PAGE)}
        while True:
            with self._api.get(query, _PATIENCE) as answer:
                body = json.loads(answer.read(_LIST))
            for item in body.get("items") or []:
                pod = pod_of(item)
                if pod is not None and len(found) < _MOST:
                    found[pod.namespace, pod.name] = pod
            meta = body.get("metadata") or {}
            if not meta.get("continue"):
                break
            query["continue"] = meta["continue"]
        self._counts["list"] += 1
        with self._lock:
            left = [key for key in self._pods if key not in found]
            changed = [pod for key, pod in found.items() if self._pods.get(key) != pod]
            self._pods = found
        self._tell([*(handover.gone(*key) for key in left), *map(handover.pod, changed)])
        self._tell([handover.header(handover.Kind.SYNCED)])
        if self.trouble:
            self._log.info("the pods of this node are known", pods=len(found), node=self._api.node)
        self.trouble, self._wait = "", _FIRST
        return str(meta.get("resourceVersion") or "0")

    def _watch(self, version: str) -> str:
        """Events until the server ends the watch; gives the version to go on from."""
        query = {"watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": str(_WATCH), "resourceVersion": version}
        begun = time.monotonic()
        with self._api.get(query, _WATCH + _PATIENCE) as answer:
            for event in _lines(answer):
                version = self._event(event, version)
                if self._stop.is_set():
                    break
        if time.monotonic() - begun < _FIRST:
            self._stop.wait(_FIRST)  # a server that ends each watch at once is not asked without a pause
        return version

    def _event(self, event: dict[str, Any], version: str) -> str:
        kind, item = str(event.get("type")), event.get("object") or {}
        self._counts[kind.lower()] += 1
        if kind == "ERROR":
            code = item.get("code")
            raise _refusal(code if isinstance(code, int) else 0, Path("token"))
        pod = pod_of(item)
        if kind in {"ADDED", "MODIFIED"} and pod is not None:
            with self._lock:
                new = self._pods.get((pod.namespace, pod.name)) != pod and len(self._pods) < _MOST
                if new:
                    self._pods[pod.namespace, pod.name] = pod
            if new:
                self._tell([handover.pod(pod)])
        elif kind == "DELETED" and pod is not None:
            with self._lock:
                self._pods.pop((pod.namespace, pod.name), None)
            self._tell([handover.gone(pod.namespace, pod.name)])
        return str((item.get("metadata") or {}).get("resourceVersion") or version)


def _lines(answer: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    """One event a line. Raises ValueError for what is none."""
    while line := answer.readline(_LINE):
        if line.strip():
            event = json.loads(line)
            if not isinstance(event, dict):
                raise ValueError("an event that is no object")
            yield event
