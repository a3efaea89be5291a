"""A stand-in for the Kubernetes API: pods of a node over HTTPS, listed in pages and watched, with bookmarks and 410."""

from __future__ import annotations

import http.server
import json
import queue
import ssl
import subprocess
import threading
import urllib.parse


def pod(name, address, namespace="voip", node="node1", *, host_network=False, phase="Running"):
    """As the API has it."""
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"nodeName": node, "hostNetwork": host_network},
        "status": {"phase": phase, "podIP": address, "podIPs": [{"ip": address}] if address else []},
    }


def certificate(folder):
    """A certificate for localhost and its key."""
    cert, key = folder / "ca.crt", folder / "tls.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-out", cert, "-keyout", key],
        check=True, capture_output=True,
    )  # fmt: skip
    cert.chmod(0o644)
    return cert, key


class Api:
    """Serves `pods`; `change` makes an event, `compact` forgets the history, `end_watches` ends what is open."""

    def __init__(self, folder, pods, token="right", page=2):
        self.pods, self.token, self.page = {item["metadata"]["name"]: item for item in pods}, token, page
        self.version, self.oldest, self.asked = 100, 0, []
        self._watches, self._lock = [], threading.Lock()
        self.certificate, key = certificate(folder)
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                api.answer(self)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, request):
        url = urllib.parse.urlsplit(request.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        self.asked.append(query)
        right = request.headers.get("Authorization") == f"Bearer {self.token}"
        if url.path != "/api/v1/pods" or query.get("fieldSelector") != "spec.nodeName=node1":
            return self._status(request, 404)
        if not right:
            return self._status(request, 401)
        return self._watch(request, query) if query.get("watch") else self._list(request, query)

    def _status(self, request, code):
        self._json(request, {"kind": "Status", "code": code}, code)

    def _json(self, request, body, code=200):
        data = json.dumps(body).encode()
        request.send_response(code)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)

    def _list(self, request, query):
        begin = int(query.get("continue", 0))
        with self._lock:
            items, version = list(self.pods.values()), self.version
        meta = {"resourceVersion": str(version)}
        if begin + self.page < len(items):
            meta["continue"] = str(begin + self.page)
        self._json(request, {"metadata": meta, "items": items[begin : begin + self.page]})

    def _watch(self, request, query):
        events = queue.Queue()
        with self._lock:
            expired = int(query["resourceVersion"]) < self.oldest
            if not expired:
                self._watches.append(events)
        if expired:
            return self._status(request, 410)
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        while (event := events.get()) is not None:
            data = json.dumps(event).encode() + b"\n"
            request.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            request.wfile.flush()
        request.wfile.write(b"0\r\n\r\n")
        return None

    def change(self, kind, item):
        """ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."""
        with self._lock:
            self.version += 1
            item = json.loads(json.dumps(item))
            if kind != "ERROR":
                item.setdefault("metadata", {})["resourceVersion"] = str(self.version)
            if kind in {"ADDED", "MODIFIED"}:
                self.pods[item["metadata"]["name"]] = item
            elif kind == "DELETED":
                self.pods.pop(item["metadata"]["name"])
            for watch in self._watches:
                watch.put({"type": kind, "object": item})

    def end_watches(self):
        with self._lock:
            for watch in self._watches:
                watch.put(None)
            self._watches.clear()

    @property
    def watching(self):
        with self._lock:
            return len(self._watches)

    def close(self):
        self.end_watches()
        self._server.shutdown()
        self._server.server_close()
