"""The scene of demo.pcap: the calls of alice among those of users that look alike, all between the same addresses."""

from __future__ import annotations

import struct
from collections.abc import Callable

from captures.call import Call
from captures.scene import MS, Scene, Tcp, Udp
from captures.sip import Dialog, token, uri
from captures.wire import BROADCAST, ICMP, Endpoint, Net, checksum

USER = "alice"
SECOND = 1000 * MS
VLAN = 0x8100
HOSTS = {4: "192.0.2.{}", 6: "2001:db8::{}"}


def endpoint(version: int, host: int, port: int) -> Endpoint:
    """Host number `host` of the scene's network."""
    return Endpoint(HOSTS[version].format(host), port)


def dialog(owner: str, caller: str, callee: str, version: int = 4, port: int = 5060, **more: object) -> Dialog:
    """A dialog between the two proxies, which all calls share."""
    transport = "UDP" if port == 5060 else "TCP"
    ends = endpoint(version, 10, port), endpoint(version, 20, 5060)
    return Dialog(caller, callee, f"{token(owner, size=16)}@example.net", *ends, transport=transport, **more)  # type: ignore[arg-type]


def ports(number: int, version: int = 4) -> tuple[Endpoint, Endpoint]:
    """The media endpoints number `number`; two calls may share them, one after the other."""
    return endpoint(version, 11, 20000 + 10 * number), endpoint(version, 21, 30000 + 10 * number)


def alices_calls(scene: Scene) -> list[str]:
    """What belongs to alice; the names of her calls."""
    owners = []

    def call(owner: str, at: int, talk: Dialog, media: tuple[Endpoint, Endpoint], **flags: object) -> None:
        Call(scene, owner, talk, media, **flags).run(at)  # type: ignore[arg-type]
        owners.append(owner)

    call("plain", 1 * SECOND, dialog("plain", USER, "bob"), ports(1), digits="42#", seconds=3.0)
    call("tcp", 2 * SECOND, dialog("tcp", "carol", USER, port=40001), ports(2), tcp=True, seconds=3.0)
    call("v6", 3 * SECOND, dialog("v6", USER, "dave", 6), ports(3, 6), mux=True, challenged=True, seconds=2.0)
    call("vlan", 4 * SECOND, dialog("vlan", "erin", USER, compact=True), ports(4), net=Net(((VLAN, 100),)), seconds=2.0)
    moved = endpoint(4, 11, 21000)
    call("moves", 5 * SECOND, dialog("moves", USER, "gina"), ports(5), long_invite=True, moves_to=moved, seconds=3.0)
    hidden = dialog("hidden", "anonymous", "bob", extra=[("P-Asserted-Identity", f"<{uri(USER)}>")])
    call("hidden", 6 * SECOND, hidden, ports(6), media_first=True, seconds=2.0)
    call("long6", 7 * SECOND, dialog("long6", "heidi", USER, 6), ports(7, 6), long_invite=True, seconds=1.0)
    call("busy", 8 * SECOND, dialog("busy", USER, "ivan"), ports(8), busy=True)
    register(scene, "register", USER, 500 * MS)
    return [*owners, "register"]


def other_calls(scene: Scene) -> None:
    """Users whose names look alike, the same ports in another VLAN, and ports that are used again."""

    def call(owner: str, at: int, talk: Dialog, media: tuple[Endpoint, Endpoint], **flags: object) -> None:
        Call(scene, owner, talk, media, **flags).run(at)  # type: ignore[arg-type]

    call("suffix", 1100 * MS, dialog("suffix", "malice", "bob"), ports(11), seconds=2.0)
    call("prefix", 1200 * MS, dialog("prefix", "alice2", "carol"), ports(12), early_media=True, seconds=2.0)
    shown = dialog("display", "frank", "judy", display=USER)
    call("display", 2100 * MS, shown, ports(13), seconds=2.0)
    call("other-tcp", 2200 * MS, dialog("other-tcp", "malice", "erin", port=40002), ports(14), tcp=True, seconds=2.0)
    call("other-vlan", 4050 * MS, dialog("other-vlan", "frank", "gina"), ports(4), net=Net(((VLAN, 200),)), seconds=2.0)
    call("reused", 9 * SECOND, dialog("reused", "mallory", "oscar"), ports(1), seconds=2.0)
    call("other-v6", 3100 * MS, dialog("other-v6", "alicia", "dave", 6), ports(16, 6), long_invite=True, seconds=1.0)
    register(scene, "other-register", "malice", 600 * MS)


def register(scene: Scene, owner: str, user: str, at: int) -> None:
    """A registration: challenged, then accepted."""
    talk = dialog(owner, user, user)
    wire = Udp(scene, Net(), owner)
    challenge = (("WWW-Authenticate", 'Digest realm="example.net", nonce="84a4cc6f"'),)
    for cseq, status, more in ((1, 401, challenge), (2, 200, ())):
        wire.send(at + cseq * 50 * MS, talk.local, talk.remote, talk.request("REGISTER", cseq))
        answer = talk.response(status, "REGISTER", cseq, more=more)
        wire.send(at + cseq * 50 * MS + 20 * MS, talk.remote, talk.local, answer)


def noise(scene: Scene) -> None:
    """What is neither signalling nor media: DNS, ARP, ICMP, HTTP."""
    client, server = endpoint(4, 10, 50000), endpoint(4, 53, 53)
    question = struct.pack("!HHHHH", 0x0100, 1, 0, 0, 0) + b"\x05alice\x07example\x03net\0\0\1\0\1"
    web = Tcp(scene, Net(), endpoint(4, 10, 41000), endpoint(4, 80, 80), "")
    web.open(1500 * MS)
    web.send(1600 * MS, web.client, b"GET /users/alice HTTP/1.1\r\nHost: www.example.net\r\n\r\n")
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"sip:alice " * 200
    web.send(1700 * MS, web.server, page, cuts=(1400,))
    web.close(1800 * MS)
    echo = struct.pack("!BBHHH", 8, 0, 0, 1, 1) + bytes(range(48))
    echo = echo[:2] + struct.pack("!H", checksum(echo)) + echo[4:]
    arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + client.mac + client.packed + bytes(6) + server.packed
    makers: list[Callable[[], bytes]] = [
        lambda: Net().udp(client, server, struct.pack("!H", len(scene.frames)) + question, scene.ident()),
        lambda: Net().ip(client, server, ICMP, echo, scene.ident()),
        lambda: Net().ethernet(client.mac, BROADCAST, 0x0806, arp),
    ]
    for n in range(60):
        scene.add(n * 200 * MS, makers[n % len(makers)]())


def build() -> tuple[Scene, list[int]]:
    """The scene, and the numbers of alice's frames."""
    scene = Scene()
    noise(scene)
    owners = alices_calls(scene)
    other_calls(scene)
    return scene, scene.numbers(owners)
