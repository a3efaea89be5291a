"""The bill of materials (CycloneDX 1.5) and the licences: Python distributions, Rust crates, Debian packages."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import uuid
from dataclasses import dataclass, field
from email.parser import HeaderParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

_LICENCE_FILES = re.compile(r"(?i)^(licen[cs]e|copying|notice|authors|copyright|unlicense)")
# What a Debian copyright file of format 1.0 says, and how SPDX calls the same.
_DEBIAN_DISTRIBUTION = "deb/debian"


@dataclass(frozen=True)
class Part:
    """One component."""

    kind: str  # pypi, cargo, deb/debian
    name: str
    version: str
    licence: str  # as the component itself says
    texts: tuple[Path, ...] = ()
    hashes: tuple[str, ...] = field(default=())  # SHA-256 of what the lock file admits

    @property
    def purl(self) -> str:
        """The package URL."""
        tail = "?distro=debian-12" if self.kind == _DEBIAN_DISTRIBUTION else ""
        return f"pkg:{self.kind}/{quote(self.name)}@{quote(self.version, safe='')}{tail}"


def distributions(site: Path, lock: Path) -> list[Part]:
    """The installed Python distributions, with the hashes of the lock file."""
    hashes = _locked(lock.read_text(encoding="utf-8"))
    parts = []
    for info in sorted(site.glob("*.dist-info")):
        text = (info / "METADATA").read_text(encoding="utf-8")
        meta = HeaderParser().parsestr(text)
        name = meta["Name"].lower().replace("_", "-")
        texts = tuple(sorted(p for p in info.rglob("*") if p.is_file() and _LICENCE_FILES.match(p.name)))
        parts.append(Part("pypi", name, meta["Version"], _python_licence(meta), texts, hashes.get(name, ())))
    return parts


def _locked(text: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        head = re.match(r"([A-Za-z0-9_.-]+)==", line)
        if head:
            name = head[1].lower().replace("_", "-")
        for value in re.findall(r"--hash=sha256:([0-9a-f]{64})", line):
            found.setdefault(name, []).append(value)
    return {key: tuple(values) for key, values in found.items()}


def _python_licence(meta: Any) -> str:  # noqa: ANN401  an e-mail's header
    if meta["License-Expression"]:
        return str(meta["License-Expression"])
    named = [line.rsplit(" :: ", 1)[1] for line in meta.get_all("Classifier", []) if line.startswith("License :: ")]
    said = str(meta["License"] or "").strip().split("\n")[0]
    return " or ".join(named) or said or "unknown"


def crates(metadata: Path) -> list[Part]:
    """The crates that are linked into the module: what cargo resolved, without what only builds."""
    document = json.loads(metadata.read_text(encoding="utf-8"))
    packages = {package["id"]: package for package in document["packages"]}
    nodes = {node["id"]: node for node in document["resolve"]["nodes"]}
    todo = [package["id"] for package in document["packages"] if package["name"] == "lc-py"]
    seen: set[str] = set()
    while todo:
        each = todo.pop()
        if each not in seen:
            seen.add(each)
            todo += [
                dependency["pkg"] for dependency in nodes[each]["deps"]
                if any(kind["kind"] is None for kind in dependency["dep_kinds"])
            ]  # fmt: skip
    parts = []
    for package in sorted((packages[each] for each in seen), key=lambda p: (p["name"], p["version"])):
        folder = Path(package["manifest_path"]).parent
        texts = tuple(sorted(p for p in folder.iterdir() if p.is_file() and _LICENCE_FILES.match(p.name)))
        parts.append(Part("cargo", package["name"], package["version"], package["license"] or "unknown", texts))
    return parts


def debian(packages: dict[str, str]) -> list[Part]:
    """The Debian packages that files come from."""
    parts = []
    for name, version in sorted(packages.items()):
        text = Path("/usr/share/doc", name, "copyright")
        parts.append(Part(_DEBIAN_DISTRIBUTION, name, version, _debian_licence(text), (text,)))
    return parts


def _debian_licence(text: Path) -> str:
    found = re.findall(r"^License:[ \t]*(\S.*)$", text.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    return " and ".join(sorted(set(found))) or "see the text"


def write(folder: Path, name: str, parts: list[Part]) -> None:
    """Write sbom.cdx.json, licences.txt and the texts."""
    folder.mkdir(parents=True)
    (folder / "sbom.cdx.json").write_text(json.dumps(_document(name, parts), indent=1) + "\n", encoding="utf-8")
    lines = [f"{part.kind} {part.name} {part.version}: {part.licence}" for part in parts]
    (folder / "licences.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for part in parts:
        for text in part.texts:
            target = folder / "licences" / f"{part.kind.split('/')[0]}-{part.name}-{text.name}"
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(text, target)


def _document(name: str, parts: list[Part]) -> dict[str, Any]:
    version = next(part.version for part in parts if part.name.startswith("lippycat"))
    components = [_component(part) for part in parts]
    digest = hashlib.sha256(json.dumps(components, sort_keys=True).encode()).hexdigest()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        # The same parts have the same number.
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, digest)}",
        "version": 1,
        "metadata": {"component": {"type": "container", "bom-ref": name, "name": name, "version": version}},
        "components": components,
    }


def _component(part: Part) -> dict[str, Any]:
    properties = [{"name": "lippycat:locked-sha256", "value": value} for value in part.hashes]
    return {
        "type": "library",
        "bom-ref": part.purl,
        "name": part.name,
        "version": part.version,
        "licenses": [{"license": {"name": part.licence}}],
        "purl": part.purl,
    } | ({"properties": properties} if properties else {})
