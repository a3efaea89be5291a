"""Man pages and shell completions from the command tree, the parsers and the sections: `make_pages.py DIRECTORY`.

Nothing about a command or a key is written here. SOURCE_DATE_EPOCH dates the pages; without it they have no date.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer.main

from lippycat_helper.__main__ import _options as helper_parser
from lippycatd import daemon, relay
from lippycatd.cli import app
from lippycatd.cli.options import default_text
from lippycatd.config import SECTIONS, SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

_FILES = """.SH FILES
.TP
.I /etc/lippycat/lippycatd.yaml
the daemon's configuration
.TP
.I /etc/lippycat/helper.toml
what the helper permits
.TP
.I /run/lippycat/
the sockets of helper, readers, relay and daemon
"""
_EXIT = """.SH EXIT STATUS
0: done, also when a signal ended it. 1: it ran, but something was damaged, lost or left out. 2: wrong usage or
configuration. 3: not possible here.
"""
_SEE = """.SH SEE ALSO
.BR lippycat (1),
.BR lippycatd (8),
.BR lippycat-helper (8),
.BR lippycat-relay (8),
.BR lippycatd.yaml (5)
"""


@dataclass(frozen=True)
class Flag:
    """One flag: its names, what it takes (empty: nothing), help, and the words it can have."""

    names: tuple[str, ...]
    takes: str
    help: str
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Command:
    """One command: its words, help, flags, arguments, and the commands below it."""

    words: tuple[str, ...]
    help: str
    flags: tuple[Flag, ...]
    arguments: tuple[str, ...]
    below: tuple[Command, ...]

    def walk(self) -> Iterator[Command]:
        """This command and all below it."""
        yield self
        for command in self.below:
            yield from command.walk()


def tree() -> Command:
    """The command tree of `lippycat`, hidden commands left out."""
    return _command(typer.main.get_command(app.build(["--help"])), ("lippycat",))


def _command(found: Any, words: tuple[str, ...]) -> Command:  # noqa: ANN401  of Typer's parser, which has no types
    below = getattr(found, "commands", {})
    return Command(
        words,
        " ".join((found.help or "").split()),
        tuple(_flag(item) for item in found.params if item.param_type_name == "option" and not item.hidden),
        tuple((item.metavar or item.name.upper()) for item in found.params if item.param_type_name == "argument"),
        tuple(_command(one, (*words, name)) for name, one in below.items() if not one.hidden),
    )


def _flag(option: Any) -> Flag:  # noqa: ANN401  as above
    takes = "" if option.is_flag else option.metavar or "VALUE"
    words = tuple(takes.split("|")) if "|" in takes else ()
    return Flag((*option.opts, *option.secondary_opts), takes, " ".join((option.help or "").split()), words)


def escape(text: str) -> str:
    """Text as roff takes it."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join("\\&" + line if line.startswith((".", "'")) else line for line in text.splitlines())


def heading(name: str, section: int, about: str) -> str:
    """Title and name of a page."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    date = time.strftime("%Y-%m-%d", time.gmtime(int(epoch))) if epoch else ""
    about = about[0].lower() + about[1:].rstrip(".")
    title = f'.TH {escape(name.upper())} {section} "{date}" "lippycat {version("lippycatd")}"\n'
    return f"{title}.SH NAME\n{escape(name)} \\- {escape(about)}\n"


def flag_text(flag: Flag) -> str:
    """One flag's entry."""
    takes = f" \\fI{escape(flag.takes)}\\fR" if flag.takes else ""
    names = ", ".join(f"\\fB{escape(name)}\\fR" for name in flag.names)
    return f".TP\n{names}{takes}\n{escape(flag.help)}\n"


def command_page(command: Command) -> str:
    """The page of a command, with the commands below it that have pages of their own named only."""
    name = "-".join(command.words)
    first = command.help.split(". ")[0]
    usage = f"\\fB{escape(' '.join(command.words))}\\fR"
    usage += " [\\fIoptions\\fR]" if command.flags else ""
    usage += "".join(f" \\fI{escape(item)}\\fR" for item in command.arguments)
    usage += " [\\fIcommand\\fR]" if command.below else ""
    parts = [heading(name, 1, first), f".SH SYNOPSIS\n{usage}\n.SH DESCRIPTION\n{escape(command.help)}\n"]
    if command.below:
        parts.append(".SH COMMANDS\n")
        parts += [f".TP\n\\fB{escape(one.words[-1])}\\fR\n{escape(one.help)}\n" for one in command.below]
    if command.flags:
        parts.append(".SH OPTIONS\n")
        parts += [flag_text(flag) for flag in command.flags]
    return "".join([*parts, _EXIT, _FILES if len(command.words) == 1 else "", _SEE])


def parser_page(parser: argparse.ArgumentParser, name: str, more: str) -> str:
    """The page of a program with a parser of its own."""
    about = parser.description or name
    flags = [
        flag_text(Flag(tuple(item.option_strings), _takes(item), (item.help or "") % {"default": item.default}))
        for item in parser._actions  # noqa: SLF001  the parser has no other list of them
    ]
    usage = f".SH SYNOPSIS\n\\fB{escape(name)}\\fR [\\fIoptions\\fR]\n"
    text = f".SH DESCRIPTION\n{escape(about)}\n{more}.SH OPTIONS\n"
    return "".join([heading(name, 8, about), usage, text, *flags, _EXIT, _FILES, _SEE])


def _takes(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    return action.metavar if isinstance(action.metavar, str) else "|".join(action.choices or [action.dest.upper()])


def configuration_page() -> str:
    """The page of the configuration file."""
    parts = [heading("lippycatd.yaml", 5, "configuration of lippycatd and lippycat"), ".SH DESCRIPTION\n"]
    parts.append("A value comes from the default, this file, the environment (LIPPYCAT_SECTION_KEY), or a flag, and\n")
    parts.append("the last one that is given wins. Unknown keys are refused.\n")
    for section in SECTIONS:
        settings = [item for item in SETTINGS.values() if item.section is section and item.option.keyed]
        if not settings:
            continue
        parts.append(f'.SH "{escape(section.section.upper())}"\n{escape(section.__doc__ or "")}\n')
        for item in settings:
            unit = "|".join(item.choices) or item.option.unit or ("true|false" if item.kind == "bool" else "")
            shown = default_text(item)
            default = f"\n.br\nDefault: {escape(shown)}" if shown else ""
            parts.append(
                f".TP\n\\fB{escape(item.key)}\\fR \\fI{escape(unit)}\\fR\n{escape(item.option.help)}.{default}\n"
            )
    return "".join([*parts, _FILES, _SEE])


def bash(root: Command) -> str:
    """Completion for bash: commands by the words before, flags, and the words a flag can have."""
    lines = [
        "# bash completion of lippycat and lc",
        "_lippycat() {",
        "    local cur prev path word",
        "    COMPREPLY=()",
    ]
    lines += ['    cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} path=""']
    lines += ['    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do', '        case "$path $word" in']
    known = [command for command in root.walk() if len(command.words) > 1]
    for command in known:
        before, word = "".join(f" {one}" for one in command.words[1:-1]), command.words[-1]
        lines.append(f'            "{before} {word}") path="{before} {word}" ;;')
    lines += ["        esac", "    done", '    case "$prev" in']
    words = {name: flag.words for command in root.walk() for flag in command.flags for name in flag.names if flag.words}
    lines += [
        f'        {name}) COMPREPLY=($(compgen -W "{" ".join(each)}" -- "$cur")); return ;;'
        for name, each in words.items()
    ]
    files = {
        name
        for command in root.walk()
        for flag in command.flags
        for name in flag.names
        if flag.takes in {"FILE", "DIR"}
    }
    if files:
        lines.append(f"        {'|'.join(sorted(files))}) compopt -o default; return ;;")
    lines += ["    esac", '    case "$path" in']
    for command in root.walk():
        path = "".join(f" {one}" for one in command.words[1:])
        choices = [one.words[-1] for one in command.below] + [name for flag in command.flags for name in flag.names]
        lines.append(f'        "{path}") COMPREPLY=($(compgen -W "{" ".join(choices)} --help" -- "$cur")) ;;')
    return "\n".join([*lines, "    esac", "}", "complete -F _lippycat lippycat lc", ""])


def zsh(root: Command) -> str:
    """Completion for zsh, by way of the one for bash, which zsh can read."""
    return "\n".join(["#compdef lippycat lc", "autoload -U +X bashcompinit && bashcompinit", bash(root)])


def fish(root: Command) -> str:
    """Completion for fish."""
    lines = ["# fish completion of lippycat and lc"]
    for program in ("lippycat", "lc"):
        for command in root.walk():
            lines += _fish(f"complete -c {program}", command)
    return "\n".join([*lines, ""])


def _fish(start: str, command: Command) -> Iterator[str]:
    """What can follow one command."""
    seen = [f"__fish_seen_subcommand_from {word}" for word in command.words[1:]]
    condition = "; and ".join(seen) or "__fish_use_subcommand"
    for one in command.below:
        yield f"{start} -f -n '{condition}' -a {one.words[-1]} -d {_quoted(one.help)}"
    for flag in command.flags:
        names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in flag.names)
        takes = f" -x -a '{' '.join(flag.words)}'" if flag.words else " -r" if flag.takes else ""
        yield f"{start} -n '{condition}' {names}{takes} -d {_quoted(flag.help)}"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def pages() -> dict[str, str]:
    """Every page and script by its file's name."""
    root = tree()
    made = {f"{'-'.join(command.words)}.1": command_page(command) for command in root.walk()}
    made["lippycatd.8"] = parser_page(daemon._parser(), "lippycatd", "")  # noqa: SLF001  the program's own parser
    of_the_relay = f"Its configuration is /etc/lippycat/relay.yaml; the keys stand in {escape('lippycatd.yaml')}(5).\n"
    made["lippycat-relay.8"] = parser_page(relay.parser(), relay.NAME, of_the_relay)
    more = (
        "It is run by systemd in two roles, or executed by lippycat as root.\n"
        "Readers without root connect to /run/lippycat/reader-NAMESPACE.sock, where lippycat-reader streams pcapng.\n"
    )
    made["lippycat-helper.8"] = parser_page(helper_parser(), "lippycat-helper", more)
    made["lippycat-reader.8"] = ".so man8/lippycat-helper.8\n"
    made["lippycatd.yaml.5"] = configuration_page()
    made["lc.1"] = ".so man1/lippycat.1\n"
    return {**made, "lippycat.bash": bash(root), "_lippycat": zsh(root), "lippycat.fish": fish(root)}


def main(arguments: list[str]) -> int:
    """Write them."""
    directory = Path(arguments[0])
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (directory / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
