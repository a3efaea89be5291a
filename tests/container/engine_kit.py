"""buildah and podman with a storage of their own, as they run on a machine without a container service."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Layers, and the Debian that they begin with, are kept outside the checkout.
CACHE = Path(os.environ.get("LIPPYCAT_CACHE", "/var/cache/lippycat"))
PREFIX = "registry.example/lippycat/"  # as k8s/base names the images
CONFIGURATION = """
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]
[engine]
runtime = "crun"
"""
# Where cgroups are hybrid podman must see the first version only; where they are not, nothing is changed.
VIEW = (
    "mount --make-private /sys/fs/cgroup; if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; "
    'fi; exec "$@"'
)


class Engine:
    """Runs buildah and podman."""

    def __init__(self, work):
        self.work = work
        (work / "containers.conf").write_text(CONFIGURATION)
        # podman's database insists on the same places each time.
        run = Path("/run/lippycat-engine")
        self.options = ["--root", CACHE / "containers", "--runroot", run, "--storage-driver", "overlay"]
        # No systemd runs timers here, and healthchecks are run by the tests.
        self.environment = os.environ | {"CONTAINERS_CONF": str(work / "containers.conf"), "DISABLE_HC_SYSTEMD": "true"}

    def run(self, *command, check=True, timeout=600, **options):
        done = subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, check=False, timeout=timeout,
            stdin=subprocess.DEVNULL, env=self.environment, **options,
        )  # fmt: skip
        assert done.returncode == 0 or not check, f"{command}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done

    def buildah(self, *arguments, **options):
        return self.run("buildah", *self.options, *arguments, **options).stdout.strip()

    def podman_command(self, *arguments):
        view = ["unshare", "-m", "--propagation", "unchanged", "sh", "-c", VIEW, "sh"]
        podman = ["podman", *self.options, "--cgroup-manager", "cgroupfs", "--events-backend", "file"]
        return [str(word) for word in (*view, *podman, *arguments)]

    def podman(self, *arguments, **options):
        return self.run(*self.podman_command(*arguments), **options)

    def inspect(self, what, kind="container"):
        return json.loads(self.podman(kind, "inspect", what).stdout)[0]

    def build(self, checkout, *options, **more):
        """Both images of a checkout, by its own script."""
        builder = " ".join(map(str, ["buildah", *self.options]))
        secret = Path("/etc/ssl/certs/ca-certificates.crt")
        command = [checkout / "container/build.sh", "--isolation", "chroot", *options]
        if secret.exists():
            command += ["--secret", f"id=ca,src={secret}"]
        environment = {"BUILDER": builder, "IMAGE_PREFIX": PREFIX}
        saved = self.environment
        self.environment = saved | environment
        try:
            self.run(*command, cwd=checkout, timeout=3600, **more)
        finally:
            self.environment = saved

    def digest(self, name):
        return self.buildah("images", "--format", "{{.Digest}}", name).splitlines()[0]


def missing():
    """The program that is not here, or nothing."""
    return next((name for name in ("buildah", "podman", "crun", "debootstrap") if shutil.which(name) is None), None)


def until(true, seconds=20.0):
    """Wait until `true()` holds, and give its value."""
    end = time.monotonic() + seconds
    while not (value := true()) and time.monotonic() < end:
        time.sleep(0.05)
    return value


def status(pid):
    """The fields of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
