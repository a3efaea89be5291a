"""Lay out the root file system of an image: `assemble.py helper|daemon DIRECTORY`, run by container/Containerfile.

An interpreter, its standard library without what needs a terminal or a compiler, the wheels, the shared libraries that
all of these load, a few files of /etc, the bill of materials. The same input gives the same bytes: byte code is checked
by no clock, modes do not depend on the umask.
"""

from __future__ import annotations

import compileall
import py_compile
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from dataclasses import dataclass
from pathlib import Path

import bill
import closure

UID = 10469  # of the daemon, and its group; the same number as the port of the metrics
HOME = "usr/lib/lippycat"
DOCUMENTS = "usr/share/doc/lippycat"
WHEELS, OWN, CRATES = Path("/wheels"), Path("/own"), Path("/crates/metadata.json")
SOURCE = Path(__file__).resolve().parent.parent
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"

# Of the standard library: what a service has no use for, and what would bring libraries of terminals and databases.
_UNUSED = """
EXTERNALLY-MANAGED config-* distutils ensurepip idlelib lib2to3 pydoc_data sitecustomize.py test tkinter turtledemo
turtle.py venv __pycache__ lib-dynload/_curses* lib-dynload/_dbm* lib-dynload/_gdbm* lib-dynload/_test*
lib-dynload/_tkinter* lib-dynload/_xx* lib-dynload/nis* lib-dynload/ossaudiodev* lib-dynload/readline* lib-dynload/xx*
"""
# No installer looks at these again, and some carry paths of the build.
TRACES = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
LOOKED_UP = ("protocols", "services")  # of /etc, read when a filter with names is compiled


@dataclass(frozen=True)
class Image:
    """What an image holds besides the interpreter."""

    locked: tuple[str, ...] | None  # distributions of requirements/run.txt; None is all
    own: tuple[str, ...]
    programs: tuple[str, ...]  # of the projects' entry points


IMAGES = {
    "helper": Image(
        ("pyroute2", "python-prctl"),
        ("lippycat-helper",),
        ("lippycat-helper", "lippycat-reader", "lippycat-egress", "lippycat-node", "lippycat-probe"),
    ),
    "daemon": Image(None, ("lippycatd", "lippycat-helper"), ("lippycatd", "lippycat", "lc", "lippycat-relay")),
}
# Programs of the helper that are modules, without an entry point of their own.
MODULES = {
    "lippycat-egress": "lippycat_helper.egress:main",
    "lippycat-node": "lippycat_helper.node:main",
    "lippycat-probe": "lippycat_helper.probe:main",
}


def main(name: str, out: Path) -> None:
    """Make one image's root."""
    image = IMAGES[name]
    shutil.rmtree(out, ignore_errors=True)
    for link, target in (("lib", "usr/lib"), ("lib64", "usr/lib64")):
        (out / target).mkdir(parents=True)
        (out / link).symlink_to(target)
    interpreter(out)
    site = out / HOME / "lib" / PYTHON / "site-packages"
    install(image, site)
    programs(image, out)
    settings(name, out)
    clean(out)
    packages = closure.bring(out)
    lay_bill(name, out, site, packages)
    for tree in (out / "usr/lib" / PYTHON, site):
        compileall.compile_dir(
            str(tree), quiet=1, stripdir=str(out), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
        )
    modes(out)
    (out.parent / "state").mkdir(exist_ok=True)


def interpreter(out: Path) -> None:
    """Python as Debian builds it, and an environment of ours."""
    library = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(library, out / "usr/lib" / PYTHON, symlinks=False, ignore_dangling_symlinks=True)
    for pattern in _UNUSED.split():
        for path in (out / "usr/lib" / PYTHON).glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    bin_ = out / "usr/bin"
    bin_.mkdir(parents=True)
    shutil.copy(Path("/usr/bin", PYTHON), bin_)
    home = out / HOME
    (home / "bin").mkdir(parents=True)
    (home / "bin/python").symlink_to(f"../../../bin/{PYTHON}")
    version = ".".join(map(str, sys.version_info[:3]))
    (home / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {version}\n", encoding="ascii"
    )


def install(image: Image, site: Path) -> None:
    """Unpack the wheels."""
    wheels = [wheel for wheel in sorted(WHEELS.glob("*.whl")) if image.locked is None or _name(wheel) in image.locked]
    wheels += [wheel for wheel in sorted(OWN.glob("*.whl")) if _name(wheel) in image.own]
    command = ["/venv/bin/pip", "install", "--quiet", "--no-compile", "--no-index", "--no-deps", "--target", str(site)]
    subprocess.run([*command, *map(str, wheels)], check=True)  # noqa: S603  our own wheels


def _name(wheel: Path) -> str:
    return wheel.name.split("-", 1)[0].replace("_", "-").lower()


def programs(image: Image, out: Path) -> None:
    """One file for each program that the projects define."""
    known = dict(MODULES)
    for project in (SOURCE / "pyproject.toml", SOURCE / "helper/pyproject.toml"):
        known |= tomllib.loads(project.read_text(encoding="utf-8"))["project"].get("scripts", {})
    for program in image.programs:
        module, function = known[program].split(":")
        path = out / "usr/bin" / program
        path.write_text(
            f"#!/{HOME}/bin/python -I\nimport sys\n\nfrom {module} import {function}\n\nsys.exit({function}())\n",
            encoding="ascii",
        )


def settings(name: str, out: Path) -> None:
    """What stands in /etc, and the places where a runtime mounts something."""
    etc = out / "etc"
    (etc / "lippycat").mkdir(parents=True)
    users = {"root": (0, 0), "lippycat": (UID, UID), "nobody": (65534, 65534)}
    lines = [f"{user}:x:{uid}:{gid}::/:/nonexistent" for user, (uid, gid) in users.items()]
    groups = [f"{user if user != 'nobody' else 'nogroup'}:x:{gid}:" for user, (_, gid) in users.items()]
    for file, content in (
        ("passwd", lines),
        ("group", groups),
        ("nsswitch.conf", ["passwd: files", "group: files", "hosts: files dns", "services: files", "protocols: files"]),
    ):
        (etc / file).write_text("\n".join(content) + "\n", encoding="ascii")
    for file in LOOKED_UP:
        shutil.copy(Path("/etc", file), etc)
    shutil.copy("/usr/lib/os-release", out / "usr/lib/os-release")
    (etc / "os-release").symlink_to("../usr/lib/os-release")
    if name == "helper":
        shutil.copy(SOURCE / "helper/helper.toml.example", etc / "lippycat/helper.toml")
    # The daemon is shown no names of namespaces: it leaves looking after them to the helper.
    own = "run/netns" if name == "helper" else "var/lib"
    for place in ("dev", "proc", "sys", "tmp", "run/lippycat", own):
        (out / place).mkdir(parents=True)


def clean(out: Path) -> None:
    """Remove what an installation leaves, and symbols."""
    site = out / HOME / "lib" / PYTHON / "site-packages"
    shutil.rmtree(site / "bin", ignore_errors=True)
    for path in site.glob("*.dist-info/sboms"):  # maturin's, with the time of the build; bill.py writes the image's
        shutil.rmtree(path)
    for name in TRACES:
        for path in site.rglob(name):
            path.unlink()
    for path in [path for path in site.rglob("tests") if path.is_dir()]:
        shutil.rmtree(path)
    for path in sorted(site.rglob("*.so")):
        subprocess.run(["/usr/bin/strip", "--strip-unneeded", "-R", ".note.gnu.build-id", path], check=True)  # noqa: S603


def lay_bill(name: str, out: Path, site: Path, packages: dict[str, str]) -> None:
    """The bill of materials and the licences."""
    parts = bill.distributions(site, SOURCE / "requirements/run.txt") + bill.debian(packages)
    if (site / "lippycatd").is_dir():
        parts += bill.crates(CRATES)
    bill.write(out / DOCUMENTS, f"lippycat-{name}" if name == "helper" else "lippycatd", parts)


def modes(out: Path) -> None:
    """Readable by all, writable by none but root, executable where it is a program."""
    executable = {*(out / "usr/bin").iterdir(), *(out / "usr/lib64").iterdir()}
    for path in out.rglob("*"):
        if path.is_symlink():
            continue
        loader = path.name.startswith("ld-linux")
        path.chmod(0o755 if path.is_dir() or path in executable or loader else 0o644)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
