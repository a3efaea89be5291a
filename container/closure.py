"""The shared libraries that a tree's programs and modules load, and the Debian packages that files come from."""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

_ELF = b"\x7fELF"
_LOADED = re.compile(r"(?:=> )?(/\S+) \(0x")


def bring(out: Path) -> dict[str, str]:
    """Copy the libraries into the tree; gives the packages (name and version) of all that Debian ships in it."""
    files = {Path("/usr/lib/os-release"), Path("/etc/services"), Path("/etc/protocols")}
    programs = [path for path in sorted(out.rglob("*")) if path.is_file() and not path.is_symlink() and _is_elf(path)]
    libraries: set[Path] = set()
    for program in programs:
        libraries |= _loaded(program)
    for library in sorted(libraries):
        # /lib is a link to /usr/lib in the tree, as it is here.
        target = out / "usr" / library.relative_to("/").relative_to("usr") if library.is_relative_to("/usr") else (
            out / "usr" / library.relative_to("/")
        )  # fmt: skip
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)
    files |= libraries
    files |= {Path("/", path.relative_to(out)) for path in programs if Path("/", path.relative_to(out)).exists()}
    files |= {Path(sysconfig.get_path("stdlib"), name) for name in ("os.py", "asyncio/__init__.py")}
    return _packages(files)


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == _ELF


def _loaded(program: Path) -> set[Path]:
    """What the loader says it would load."""
    done = subprocess.run(["/usr/bin/ldd", program], capture_output=True, text=True, check=False)  # noqa: S603
    if "not found" in done.stdout:
        raise SystemExit(f"{program} needs a library that is not here:\n{done.stdout}")
    return {Path(found) for found in _LOADED.findall(done.stdout)}


def _packages(files: set[Path]) -> dict[str, str]:
    """Ask dpkg whose the files are, under the name that it knows (before or after the merge of /usr)."""
    found: dict[str, str] = {}
    for path in sorted(files):
        name = _owner(path)
        if name and name not in found:
            found[name] = _ask("--showformat=${Version}", "--show", name)
    return found


def _owner(path: Path) -> str:
    real = path.resolve()
    for candidate in dict.fromkeys((path, real, Path("/usr") / path.relative_to("/"), _short(real))):
        done = subprocess.run(["/usr/bin/dpkg", "-S", candidate], capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode == 0:
            return done.stdout.split(":", 1)[0].split(",")[0]
    return ""


def _short(path: Path) -> Path:
    return Path("/") / path.relative_to("/usr") if path.is_relative_to("/usr") else path


def _ask(*arguments: str) -> str:
    done = subprocess.run(["/usr/bin/dpkg-query", *arguments], capture_output=True, text=True, check=True)  # noqa: S603
    return done.stdout.split("\n")[0]
