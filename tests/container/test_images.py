"""The images: what is in them and what is not."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from engine_kit import ROOT

UID = 10469
LIMIT = {"lippycatd": 180_000_000, "lippycat-helper": 100_000_000}  # bytes
NAMES = tuple(LIMIT)
DOCUMENTS = "usr/share/doc/lippycat"
FORBIDDEN = re.compile(
    r"^(sh|bash|dash|ash|busybox|zsh|gcc|g\+\+|cc|ld|as|cargo|rustc|make|pip[0-9.]*|apt(-.*)?|dpkg(-.*)?|perl[0-9.]*|curl|wget|su|sudo|mount|ip)$"
)
SECRET = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----|AKIA[0-9A-Z]{16}|ghp_[A-Za-z0-9]{36}")


def everything(tree):
    for path in tree.rglob("*"):
        yield path, path.lstat()


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def tree(trees, name):
    return trees[name]


def test_no_shell_no_compiler_no_installer(tree):
    found = [path.name for path, info in everything(tree) if stat.S_ISREG(info.st_mode) or stat.S_ISLNK(info.st_mode)]
    assert [each for each in found if FORBIDDEN.match(each)] == []
    assert not list(tree.rglob("site-packages/pip"))
    assert not list(tree.rglob("ensurepip"))
    programs = {path.name for path in (tree / "usr/bin").iterdir()}
    own = {"lippycatd", "lippycat", "lc", "lippycat-relay"} if (tree / "usr/bin/lippycatd").exists() else {
        "lippycat-helper", "lippycat-reader", "lippycat-egress", "lippycat-node", "lippycat-probe",
    }  # fmt: skip
    assert programs == {"python3.11"} | own


def test_no_file_is_setuid_or_carries_capabilities(tree):
    assert [path for path, info in everything(tree) if info.st_mode & (stat.S_ISUID | stat.S_ISGID)] == []
    carrying = [path for path, _ in everything(tree) if os.listxattr(path, follow_symlinks=False)]
    assert [path for path in carrying if "security.capability" in os.listxattr(path, follow_symlinks=False)] == []
    assert {stat.S_IFMT(info.st_mode) for _, info in everything(tree)} <= {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}


def test_nothing_is_writable_but_the_state(tree, name):
    """For the daemon's user; the root is mounted read-only besides."""
    writable = {
        str(path.relative_to(tree)) for path, info in everything(tree)
        if not stat.S_ISLNK(info.st_mode) and (info.st_mode & 0o022 or info.st_uid != 0 or info.st_gid != 0)
    }  # fmt: skip
    assert writable == ({"var/lib/lippycat"} if name == "lippycatd" else set())


def test_the_size_is_within_its_budget(tree, name):
    size = sum(info.st_size for _, info in everything(tree) if stat.S_ISREG(info.st_mode))
    assert size <= LIMIT[name], f"{size / 1e6:.1f} MB"


def test_no_secret_and_no_path_of_the_build(tree):
    needles = [b"/run/secrets/ca.crt", str(ROOT).encode(), b"/crates/metadata"]
    for path, info in everything(tree):
        if stat.S_ISREG(info.st_mode):
            content = path.read_bytes()
            # Modules that read keys know how such a file begins.
            if path.suffix not in {".py", ".pyc"} and "libcrypto" not in path.name and "libssl" not in path.name:
                assert not SECRET.search(content), path
            assert not [needle for needle in needles if needle in content], path


def test_the_configuration_says_who_runs_and_what_it_is(engine, images, name):
    config = engine.inspect(images[name], "image")
    said = config["Config"]
    assert said["User"] == {"lippycatd": f"{UID}:{UID}", "lippycat-helper": f"0:{UID}"}[name]
    assert said["Entrypoint"] == [f"/usr/bin/{name}"]
    labels = said["Labels"]
    revision = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert labels["org.opencontainers.image.revision"] == revision.stdout.strip()
    assert labels["org.opencontainers.image.version"] == images[name].rpartition(":")[2]
    assert labels["org.opencontainers.image.licenses"] == "MIT"
    assert labels["org.opencontainers.image.title"] == name
    assert not [entry for entry in said.get("Env") or [] if not entry.startswith("PATH=")]


def bill(tree):
    return json.loads((tree / DOCUMENTS / "sbom.cdx.json").read_text())


def parts(tree, kind):
    return {c["name"]: c["version"] for c in bill(tree)["components"] if c["purl"].startswith(f"pkg:{kind}/")}


def test_the_bill_of_materials_is_cyclonedx(tree):
    text = (tree / DOCUMENTS / "sbom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(text) is None


def test_the_bill_names_what_is_in_the_image(tree, name):
    """Python from the installed metadata, with the versions of the lock file; Debian by dpkg; crates by Cargo.lock."""
    locked = dict(
        re.findall(r"^([A-Za-z0-9_.-]+)==([^ ;\\]+)", (ROOT / "requirements/run.txt").read_text(), re.MULTILINE)
    )
    installed = {
        path.name.split("-")[0].lower().replace("_", "-")
        for path in tree.glob("usr/lib/lippycat/lib/*/site-packages/*.dist-info")
    }
    python = parts(tree, "pypi")
    assert set(python) == installed
    for each, version in python.items():
        if not each.startswith("lippycat"):
            assert locked[each] == version
    if name == "lippycat-helper":
        assert set(python) == {"lippycat-helper", "pyroute2", "python-prctl"}
        assert not parts(tree, "cargo")
    else:
        lock = (ROOT / "dataplane/Cargo.lock").read_text()
        known = set(re.findall(r'name = "(.+)"\nversion = "(.+)"', lock))
        crates = parts(tree, "cargo")
        assert set(crates.items()) <= known
        assert {"pyo3", "landlock", "seccompiler", "zstd", "lc-engine"} <= set(crates)
        assert "libfuzzer-sys" not in crates
    debian = parts(tree, "deb")
    assert {"libc6", "python3.11-minimal", "libpython3.11-stdlib", "zlib1g"} <= set(debian)
    assert "libcap2" in debian


def test_every_library_belongs_to_a_package_of_the_bill(tree, debian_files):
    """What dpkg of the same Debian says of each shared library in the image."""
    debian = parts(tree, "deb")
    libraries = [p for p in (tree / "usr/lib").glob("*-linux-gnu/*.so*") if p.is_file()]
    assert libraries
    for path in libraries:
        owner = debian_files.get(path.name)
        assert owner is None or owner in debian, (path, owner)


@pytest.fixture(scope="session")
def debian_files(base):
    """The package of each library of the base."""
    owners = {}
    for listing in (base / "var/lib/dpkg/info").glob("*.list"):
        for line in listing.read_text().splitlines():
            if ".so" in line:
                owners[Path(line).name] = listing.name.removesuffix(".list").split(":")[0]
    return owners


def test_every_part_has_its_licence_and_text(tree):
    lines = (tree / DOCUMENTS / "licences.txt").read_text().splitlines()
    assert len(lines) == len(bill(tree)["components"])
    assert not [line for line in lines if line.endswith("unknown")]
    texts = {path.name for path in (tree / DOCUMENTS / "licences").iterdir()}
    for each in parts(tree, "deb"):
        assert f"deb-{each}-copyright" in texts
    # What is linked into our own processes and asks for more than a notice is left to the libraries of the system.
    ours = [line for line in lines if line.startswith(("pypi", "cargo"))]
    asking = re.compile(r"\bA?GPL", re.IGNORECASE)
    allowed = {"pyroute2", "python-prctl"}  # GPL-2.0-or-later OR Apache-2.0; GPL-3.0-or-later, in the helper
    assert [line for line in ours if asking.search(line) and line.split()[1] not in allowed] == []


def test_it_needs_nothing_that_is_not_in_it(engine, images, name):
    """Every module is imported in the image itself, without a network and with a read-only root."""
    program = (
        "import importlib, pkgutil, sys\n"
        "for top in sys.argv[1:]:\n"
        "    package = importlib.import_module(top)\n"
        "    for found in pkgutil.walk_packages(package.__path__, top + '.'):\n"
        "        if not found.name.endswith('__main__'):\n"
        "            importlib.import_module(found.name)\n"
        "print('all')\n"
    )
    packages = ["lippycat_helper"] if name == "lippycat-helper" else ["lippycat_helper", "lippycatd"]
    done = engine.podman(
        "run", "--rm", "--network", "none", "--read-only", "--read-only-tmpfs=false", "--cap-drop", "all",
        "--entrypoint", "/usr/lib/lippycat/bin/python", images[name], "-I", "-c", program, *packages,
    )  # fmt: skip
    assert done.stdout == "all\n"


def test_the_commands_answer(engine, images):
    for image, program in (
        ("lippycatd", "lippycat"),
        ("lippycatd", "lippycat-relay"),
        ("lippycat-helper", "lippycat-node"),
    ):
        done = engine.podman(
            "run", "--rm", "--network", "none", "--entrypoint", f"/usr/bin/{program}", images[image], "--help"
        )
        assert "usage" in done.stdout.lower()


@pytest.mark.skipif(not os.environ.get("LIPPYCAT_FULL"), reason="two builds without a cache; LIPPYCAT_FULL=1")
def test_two_clones_in_two_places_give_the_same_digest(engine, images, tmp_path):
    digests = []
    for place in ("one", "another/place"):
        clone = tmp_path / place
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        engine.build(clone, "--no-cache")
        digests.append([engine.digest(image) for image in images.values()])
    assert digests[0] == digests[1]
