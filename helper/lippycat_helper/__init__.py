"""The privileged side of lippycatd, small enough to be read in one sitting.

It makes a TAP or TUN device, or sockets for live capture, that a policy permits, and
passes their descriptors; it never reads a packet. Importing this package, or
`lippycat_helper.wire`, imports nothing that touches the system: the unprivileged daemon
imports the wire for layouts and codes.

    wire         messages, operation codes, statuses, names (shared with the daemon)
    policy       who may have what; nothing is permitted by default
    policy_file  reading it
    privileges   what this process holds, and giving up the rest for good
    marker       which namespace of /run/netns a run of lippycat made
    namespace    creating, entering, identifying a network namespace
    boot         the moment with CAP_SYS_ADMIN
    node         a program: a container's first step on a node
    probe        a program: does a helper live
    keeper       removes the namespace that a run made
    tap          making, preparing and recognising a device
    rules        packet filter rules of a device
    egress       a program: refuse what capture sockets send
    filters      the program that is locked onto a capture socket
    capture      making confined capture sockets
    operations   what the roles share
    devices      role tap: the table of what can be asked
    capturing    role capture: the table of what can be asked
    manager      systemd: sockets it passes, descriptors it keeps, what it is told
    server       sockets and connections
"""
