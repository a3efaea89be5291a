"""The overlays, built once by the real kustomize."""

from __future__ import annotations

import subprocess

import pytest
from manifest_kit import OVERLAYS, ROOT, documents, kustomize


@pytest.fixture(scope="session")
def binary():
    """kustomize 5; it is built where it is missing."""
    done = subprocess.run([ROOT / "scripts/kustomize.sh"], capture_output=True, text=True, check=False, timeout=900)
    if done.returncode:
        pytest.skip(f"kustomize cannot be built here: {done.stderr[-300:]}")
    return done.stdout.strip()


@pytest.fixture(scope="session")
def texts(binary):
    """What each overlay gives."""
    return {name: kustomize(ROOT / "k8s/overlays" / name, binary) for name in OVERLAYS}


@pytest.fixture(params=OVERLAYS)
def overlay(request, texts):
    """The documents of each overlay in turn."""
    return documents(texts[request.param])
