"""`python -m lippycatd` is the `lippycat` command."""

from lippycatd.cli import main

main()
