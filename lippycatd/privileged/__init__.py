"""Clients of the helper: one function per operation over one SOCK_SEQPACKET connection.

`acquire` finds a helper for a virtual interface and `acquire_capture` one for live capture:
the running service where it accepts us (no root needed), else one that we execute as root.
They must be called before any thread exists, since they may start a process; `connect` and
`connect_capture` reach the services alone and may be called at any time. Layouts and codes
are `lippycat_helper.wire`'s; nothing privileged is imported here.

    helper = acquire(VifRequest(name="lc0", netns="lc-ns"))
    vif = helper.create()
    ... write frames to vif.fd ...
    vif.close()
    helper.close()      # waits until the namespace that the run made is gone

A service may restart: `Helper.fileno()` becomes readable, the device goes on. Connect again
(with patience), then `helper.adopt(vif)`, or `helper.create()` where it is not taken.
`Vif.name_leads_here()` tells from time to time whether new readers still find the device;
where they do not, the service notices too, and ends.

    helper = acquire_capture([CaptureRequest("eth0", block_size=1 << 20, block_count=64)])
    capture = helper.open_capture(CaptureRequest("eth0", block_size=1 << 20, block_count=64))
    ... map capture.fds ...
    helper.release(capture)
    helper.close()
"""

from lippycatd.privileged.capture import (
    Capture,
    CaptureHelper,
    CaptureRequest,
    acquire_capture,
    connect_capture,
    execute_capture,
)
from lippycatd.privileged.vif import Helper, Vif, VifRequest, acquire, connect, connected_service, execute

__all__ = [
    "Capture",
    "CaptureHelper",
    "CaptureRequest",
    "Helper",
    "Vif",
    "VifRequest",
    "acquire",
    "acquire_capture",
    "connect",
    "connect_capture",
    "connected_service",
    "execute",
    "execute_capture",
]
