"""What describes one run."""

from typing import Annotated, ClassVar

from annotated_types import Ge

from lippycatd.config.section import Option, Section


class Run(Section):
    """What describes one run of a command, and so has no key."""

    section: ClassVar[str] = "run"
    title: ClassVar[str] = "This run"

    count: Annotated[
        int, Ge(0), Option("end after so many packets", ("--count", "-c"), unit="packets", keyed=False, shown="all")
    ] = 0
    loop: Annotated[
        int, Ge(0), Option("read the files so many times; 0 for ever", ("--loop",), unit="times", keyed=False)
    ] = 1
    quiet: Annotated[bool, Option("print no records, hints or accounting", ("--quiet", "-q"), keyed=False)] = False
