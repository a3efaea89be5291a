"""`lippycat debug sandbox`: what is in force, in this program when it locks itself in, or in a running process."""

from __future__ import annotations

import dataclasses
import json
import resource
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lippycatd import sandbox
from lippycatd.sandbox import identity, threads

if TYPE_CHECKING:
    from collections.abc import Callable

INCOMPLETE = 1


def command(
    pid: Annotated[int | None, typer.Option("--pid", help="look at this running process", metavar="PID", min=1)] = None,
    role: Annotated[
        Literal["capture", "daemon", "relay"],
        typer.Option("--role", help="what to lock in", metavar="capture|daemon|relay"),
    ] = "capture",
    user: Annotated[str, typer.Option("--user", help="the unprivileged user", metavar="USER")] = "",
    style: Annotated[
        Literal["text", "json"], typer.Option("--format", help="how to print", metavar="text|json")
    ] = "text",
) -> int:
    """Print what the sandbox enforces. Without --pid this program locks itself in as that role would, and tells.

    Ends with 0 when all of it is in force, with 1 when something is missing.
    """
    if pid is not None:
        return _running(threads.read(pid), json_lines=style == "json")
    return _own(role, identity.choose(user), as_json=style == "json")


def _own(role: sandbox.Role, runs_as: identity.Identity, *, as_json: bool) -> int:
    """Locks this process in and prints what the kernel says."""
    report = sandbox.enter(role, runs_as)
    lacks = (
        sandbox.lacking(report.facts) if "landlock" in report.facts else [f"all of it on {report.facts['platform']}"]
    )
    if as_json:
        typer.echo(json.dumps({"role": role, "user": runs_as.name, **report.facts, "lacks": lacks}))
    else:
        rows = describe(report.facts, runs_as.name, role, resource.getrlimit) if "landlock" in report.facts else []
        width = max((len(part) for part, _ in rows), default=0)
        for part, state in rows:
            typer.echo(f"{part:<{width}}  {state}")
        for lack in lacks:
            typer.echo(f"this kernel lacks {lack}")
    return INCOMPLETE if lacks else 0


def describe(
    facts: dict[str, Any], user: str, role: str, limit: Callable[[int], tuple[int, int]]
) -> list[tuple[str, str]]:
    """What is in force as (part, state), from a status of the core (pure but for `limit`)."""
    held = [name for name in ("effective", "permitted", "inheritable", "ambient") if int(facts[name], 16)]
    bounding = "the bounding set is empty" if not int(facts["bounding"], 16) else "the bounding set stays without root"
    abi = facts["landlock_abi"]
    network = "TCP closed" if abi >= sandbox.TCP_RULES else "TCP open"
    scopes = (
        "signals and abstract sockets scoped" if abi >= sandbox.SCOPES else "signals and abstract sockets not scoped"
    )
    return [
        ("role", role),
        ("user", f"{user} ({facts['uids'][1]}), groups {', '.join(map(str, facts['groups'])) or 'none'}"),
        ("capabilities", f"{', '.join(held) or 'none'}; {bounding}"),
        ("new privileges", "refused" if facts["no_new_privs"] else "possible"),
        ("looking in", "possible" if facts["dumpable"] else "refused (not dumpable)"),
        ("system calls", "filtered, others answer EPERM" if facts["seccomp"] == sandbox.FILTERED else "not filtered"),
        ("memory", "never becomes executable" if facts["mdwe"] else "not fixed (no PR_SET_MDWE)"),
        ("files", "not confined" if facts["landlock"] == "none" else f"Landlock ABI {abi}: {network}, {scopes}"),
        ("core files", "none" if limit(resource.RLIMIT_CORE)[1] == 0 else "possible"),
        ("descriptors", f"at most {limit(resource.RLIMIT_NOFILE)[1]}"),
    ]


def _running(found: list[threads.Thread], *, json_lines: bool) -> int:
    """Prints the threads of a process."""
    lacking = [thread for thread in found if thread.lacks]
    if json_lines:
        for thread in found:
            typer.echo(json.dumps({**dataclasses.asdict(thread), "lacks": thread.lacks}))
        return INCOMPLETE if lacking else 0
    typer.echo(f"{'thread':>8}  {'name':<15}  {'user':<10}  {'privileges':<10}  {'seccomp':<12}  lacks")
    for thread in found:
        gain = "fixed" if thread.no_new_privs else "open"
        filters = f"{thread.filters} filters" if thread.filters else "none"
        row = f"{thread.tid:>8}  {thread.name:<15}  {thread.user:<10}  {gain:<10}  {filters:<12}  "
        typer.echo((row + "; ".join(thread.lacks)).rstrip())
    return INCOMPLETE if lacking else 0
