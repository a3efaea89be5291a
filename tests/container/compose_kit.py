"""container/compose.yaml with the semantics of compose, on podman: order, conditions, health checks by the engine."""

from __future__ import annotations

import json

import yaml
from engine_kit import ROOT, until

FILE = ROOT / "container/compose.yaml"


def services():
    return yaml.safe_load(FILE.read_text())["services"]


class Stack:
    """The services of the file, started in the order of their conditions."""

    def __init__(self, engine, images, networks, config):
        self.engine, self.images, self.networks, self.config = engine, images, networks, config

    def name(self, service):
        return f"lippycat-compose-{service}"

    def up(self):
        """Start each when those that it depends on are as it asks."""
        waiting = services()
        while waiting:
            ready = [n for n, s in waiting.items() if not set(s.get("depends_on", {})) & set(waiting)]
            assert ready, waiting
            for name in ready:
                service = waiting.pop(name)
                for needed, how in service.get("depends_on", {}).items():
                    assert until(lambda n=needed, c=how["condition"]: self._is(n, c), 30), (needed, self.said(needed))
                self.engine.podman("run", "--detach", *self._options(name, service))

    def _is(self, service, condition):
        state = self.engine.inspect(self.name(service))["State"]
        if condition == "service_completed_successfully":
            return state["Status"] == "exited" and state["ExitCode"] == 0
        return self.healthy(service)

    def healthy(self, service):
        """What the engine says when it runs the service's health check."""
        return self.engine.podman("healthcheck", "run", self.name(service), check=False).returncode == 0

    def _options(self, name, service):
        """The options of `podman run` that say what the service says."""
        network = service.get("network_mode", "default")
        yield from ("--name", self.name(name), "--read-only", "--read-only-tmpfs=false")
        yield from ("--network", self.networks.get(network, network))
        yield from (f"--cap-drop={capability.lower()}" for capability in service.get("cap_drop", []))
        yield from (f"--cap-add={capability}" for capability in service.get("cap_add", []))
        yield "--privileged" if service.get("privileged") else "--security-opt=no-new-privileges"
        yield from (f"--user={service[key]}" for key in ("user",) if key in service)
        yield from (f"--memory={service[key]}" for key in ("mem_limit",) if key in service)
        yield from (f"--device={device}" for device in service.get("devices", []))
        yield from (f"--volume={self._volume(volume)}" for volume in service.get("volumes", []))
        yield from (f"--health-cmd={list_of(service[key]['test'])}" for key in ("healthcheck",) if key in service)
        yield from (f"--entrypoint={word}" for word in service.get("entrypoint", []))
        yield self.images[service["image"].split("/")[1].split(":")[0]]
        yield from service.get("command", [])

    def _volume(self, volume):
        source, rest = volume.split(":", 1)
        if source == "./lippycatd.yaml":
            source = self.config
        elif source.startswith("."):
            source = (FILE.parent / source).resolve()
        elif not source.startswith("/"):
            source = self.name(source)
        return f"{source}:{rest}"

    def said(self, service):
        done = self.engine.podman("logs", self.name(service), check=False)
        return done.stdout + done.stderr

    def down(self):
        for service in reversed(list(services())):
            self.engine.podman("rm", "--force", "--time", "3", self.name(service), check=False)
        for volume in ("sockets", "state"):
            self.engine.podman("volume", "rm", "--force", self.name(volume), check=False)


def list_of(test):
    """A command without a shell, as podman takes it."""
    return json.dumps(test[1:])
