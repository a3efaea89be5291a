"""The privileged side of lippycatd, small enough to be read in one sitting.

It makes a TAP or TUN device that a policy permits and passes its descriptor; it never
reads a packet. Importing this package, or `lippycat_helper.wire`, imports nothing that
touches the system: the unprivileged daemon imports the wire for layouts and codes.

    wire         messages, operation codes, statuses, names (shared with the daemon)
    policy       who may have what; nothing is permitted by default
    privileges   what this process holds, and giving up the rest for good
    marker       which namespace of /run/netns a run of lippycat made
    namespace    creating, entering, identifying a network namespace
    boot         the moment with CAP_SYS_ADMIN
    keeper       removes the namespace that a run made
    tap          making and preparing a device
    operations   the table of what can be asked
    server       sockets and connections
"""
