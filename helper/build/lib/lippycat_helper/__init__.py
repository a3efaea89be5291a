"""The privileged side of lippycatd, small enough to be read in one sitting.

It makes a TAP or TUN device, or sockets for live capture, that a policy permits, and
passes their descriptors; it never reads a packet. Importing this package, or
`lippycat_helper.wire`, imports nothing that touches the system: the unprivileged daemon
imports the wire for layouts and codes.

    wire         messages, operation codes, statuses, names (shared with the daemon)
    policy       who may have what; nothing is permitted by default
    privileges   what this process holds, and giving up the rest for good
    marker       which namespace of /run/netns a run of lippycat made
    namespace    creating, entering, identifying a network namespace
    boot         the moment with CAP_SYS_ADMIN
    keeper       removes the namespace that a run made
    tap          making and preparing a device
    operations   role tap: the table of what can be asked
    filters      the program that is locked onto a capture socket
    capture      making confined capture sockets
    capturing    role capture: the table of what can be asked
    server       sockets and connections
"""
