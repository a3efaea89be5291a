"""The DaemonSet's pod through `podman kube play`: only the kind is rewritten, and the native sidecars move."""

from __future__ import annotations

import copy
import json
import subprocess

import yaml
from engine_kit import until

HOST, NETNS = "lc-host", "lc-ns"
PORT = 10469


def playable(documents):
    """What podman 4.3 plays: a Deployment, and init containers that restart among the containers."""
    made = []
    for document in copy.deepcopy(documents):
        if document["kind"] == "DaemonSet":
            document["kind"] = "Deployment"
            spec = document["spec"]["template"]["spec"]
            sidecars = [c for c in spec["initContainers"] if c.get("restartPolicy") == "Always"]
            spec["initContainers"] = [c for c in spec["initContainers"] if c not in sidecars]
            spec["containers"] = sidecars + spec["containers"]
            made.append(document)
        if document["kind"] == "ConfigMap":
            made.insert(0, document)
    return made


class Pod:
    """A pod that was played."""

    NAME = "lippycat-pod-0"

    def __init__(self, engine, documents, folder):
        self.engine = engine
        self.file, self.log = folder / "pod.yaml", folder / "play.log"
        self.file.write_text(yaml.safe_dump_all(playable(documents), sort_keys=False))

    def play(self, *options):
        """Play it. podman 4.3 starts an init container again and again, waits 20 s, and removes it if it is not running
        just then: so it is stopped after it has ended once by itself.
        """
        command = self.engine.podman_command("kube", "play", "--network", "slirp4netns", *options, self.file)
        with self.log.open("w") as log:
            player = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=self.engine.environment
            )
            until(lambda: self._ended_once("node") or player.poll() is not None, 60)
            self.engine.podman("stop", "--time", "5", f"{self.NAME}-node", check=False)
            player.wait(120)
        assert player.returncode == 0, self.log.read_text()

    def _ended_once(self, name):
        done = self.engine.podman("inspect", "--format", "{{.RestartCount}}", f"{self.NAME}-{name}", check=False)
        return done.returncode == 0 and int(done.stdout) > 0

    def down(self):
        """End and remove it, with the volumes that podman makes of ConfigMaps and emptyDirs."""
        self.engine.podman("kube", "down", self.file, check=False, timeout=120)
        volumes = self.engine.podman("volume", "ls", "--quiet", check=False).stdout.split()
        if volumes:
            self.engine.podman("volume", "rm", "--force", *volumes, check=False)

    def containers(self):
        """The pod's containers by the name of the manifest: what podman says of each."""
        done = self.engine.podman("ps", "--all", "--filter", f"pod={self.NAME}", "--format", "json")
        found = json.loads(done.stdout or "[]")
        names = ("node", "helper-tap", "helper-capture", "lippycatd")
        return {name: c for c in found for name in names if c["Names"][0].endswith(f"-{name}")}

    def pid(self, name):
        """The first process of a container, or 0."""
        found = self.containers().get(name)
        return found["Pid"] if found and found["State"] == "running" else 0

    def said(self, name):
        found = self.containers().get(name)
        done = self.engine.podman("logs", found["Id"], check=False) if found else None
        return done.stdout + done.stderr if done else ""

    def kill(self, name):
        """End its first process with -9, from outside; gives the process that takes its place."""
        old = self.pid(name)
        subprocess.run(["kill", "-9", str(old)], check=True)
        new = until(lambda: (pid := self.pid(name)) and pid != old and pid, 30)
        assert new, f"{name} did not come back: {self.said(name)[-2000:]}"
        return new

    def get(self, page):
        """A page of the daemon, from the pod's own network."""
        command = [
            "nsenter",
            "-t",
            str(self.pid("lippycatd")),
            "-n",
            "python3",
            "-c",
            GET,
            f"http://127.0.0.1:{PORT}{page}",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
        return done.stdout if done.returncode == 0 else ""

    def metrics(self):
        """The values of the metrics page by name with labels."""
        lines = [line for line in self.get("/metrics").splitlines() if line and not line.startswith("#")]
        return {key: float(value) for key, value in (line.rsplit(" ", 1) for line in lines)}


GET = "import sys, urllib.request; sys.stdout.write(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())"
