"""The two images, really built: from a Debian of debootstrap under the name that the Containerfile begins with."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from engine_kit import PREFIX, ROOT, Engine, missing

VERSION = re.search(r'^version = "(.+)"', (ROOT / "dataplane/Cargo.toml").read_text(), re.MULTILINE)[1]


@pytest.fixture(scope="session")
def engine(privileged):
    if missing():
        pytest.skip(f"needs {missing()} (apt-get install podman buildah crun debootstrap)")
    work = Path(tempfile.mkdtemp(prefix="lippycat-engine-"))
    yield Engine(work)
    # What a build or a container left mounted below.
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((m for m in mounts if m.startswith(str(work))), reverse=True):
        subprocess.run(["umount", "-l", mount], check=False)
    shutil.rmtree(work, ignore_errors=True)


@pytest.fixture(scope="session")
def debian(engine, base):
    """The image that the Containerfile's FROM names, made of a root file system."""
    containerfile = (ROOT / "container/Containerfile").read_text()
    name = re.search(r"^ARG DEBIAN=(\S+)", containerfile, re.MULTILINE)[1]
    if not engine.buildah("images", "--quiet", "--filter", f"reference={name}"):
        container = engine.buildah("from", "scratch")
        engine.buildah("add", "--quiet", container, base, "/")
        engine.buildah("commit", "--quiet", "--rm", "--timestamp", "0", container, name)
    return name


@pytest.fixture(scope="session")
def images(engine, debian):
    """Both images of this checkout, by name; layers that have not changed are taken from the cache."""
    if not os.environ.get("LIPPYCAT_IMAGES_BUILT"):  # by an earlier run, of the same sources
        engine.build(ROOT)
    return {name: f"{PREFIX}{name}:{VERSION}" for name in ("lippycat-helper", "lippycatd")}


@pytest.fixture(scope="session")
def trees(engine, images):
    """The root file system of each image, mounted."""
    mounted = {}
    containers = []
    for name, image in images.items():
        containers.append(engine.buildah("from", "--pull-never", image))
        mounted[name] = Path(engine.buildah("mount", containers[-1]))
    yield mounted
    for container in containers:
        engine.buildah("umount", container)
        engine.buildah("rm", container)
