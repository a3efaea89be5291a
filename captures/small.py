"""The small captures: one call in every file format and link type, and single difficulties."""

from __future__ import annotations

import struct

from captures import files, media
from captures.call import Call
from captures.demo import SECOND, USER, dialog, endpoint, ports
from captures.scene import MS, START, Scene, Tcp, Udp
from captures.sip import Dialog, token, uri
from captures.wire import Endpoint, Net

RAW, SLL, SLL2, NULL, IEEE802_11 = 101, 113, 276, 0, 105
"""link types, by number (the registry of the tcpdump group)"""


def call() -> Scene:
    """A call of alice and one of malice, 1 s of media each, and nothing else."""
    scene = Scene()
    Call(scene, USER, dialog("small", USER, "bob"), ports(1), seconds=1.0, digits="7").run(0)
    Call(scene, "malice", dialog("small-other", "malice", "bob"), ports(2), seconds=1.0).run(30 * MS)
    return scene


def qinq() -> Scene:
    """The same two calls on the same addresses and ports, in the same inner VLAN of two providers' tags."""
    scene = Scene()
    for tag, user in ((100, USER), (200, "malice")):
        net = Net(((0x88A8, tag), (0x8100, 7)))
        Call(scene, user, dialog("qinq-" + user, user, "bob"), ports(1), net, seconds=1.0).run(tag * MS // 10)
    return scene


def trunk() -> Scene:
    """Dialogs of alice and of malice on one TCP connection; one segment carries messages of both."""
    scene = Scene()
    client, server = endpoint(4, 10, 40010), endpoint(4, 20, 5060)
    talks = {user: Dialog(user, "bob", token("trunk", user), client, server, "TCP") for user in (USER, "malice")}
    link = Tcp(scene, Net(), client, server, "trunk")
    link.open(0)
    at = 10 * MS

    def send(owner: str, data: bytes, reverse: bool = False) -> None:
        nonlocal at
        first = len(scene.frames)
        link.send(at, server if reverse else client, data)
        for number in range(first, len(scene.frames)):
            ts, frame, _ = scene.frames[number]
            bare = number == len(scene.frames) - 1
            scene.frames[number] = (ts, frame, "ack" if bare else owner)
        at += 20 * MS

    for user, talk in talks.items():
        send(user, talk.request("OPTIONS", 1))
        send(user, talk.response(200, "OPTIONS", 1), reverse=True)
    send("both", talks["malice"].request("MESSAGE", 2) + talks[USER].request("MESSAGE", 2))
    send("both", talks[USER].response(200, "MESSAGE", 2) + talks["malice"].response(200, "MESSAGE", 2), reverse=True)
    link.close(at)
    return scene


def tiny() -> Scene:
    """A registration of alice among frames that no reader of a TAP could see, and one longer than most MTUs."""
    scene = Scene()
    talk = dialog("tiny", USER, USER)
    wire = Udp(scene, Net(), USER, mtu=70000)
    for number, size in enumerate((1, 13, 14, 15, 17, 20)):
        tagged = bytes(12) + b"\x81\x00" + bytes(6)
        scene.add(number * MS, tagged[:size], "short" if size < 18 else "")
    scene.add(6 * MS, bytes(12) + b"\x88\xb5")
    wire.send(10 * MS, talk.local, talk.remote, talk.request("REGISTER", 1))
    long = (("Warning", "x" * 8000),)
    wire.send(20 * MS, talk.remote, talk.local, talk.response(200, "REGISTER", 1, more=long))
    return scene


NAMES = (
    (USER, f"<{uri(USER)}>"),
    (USER, f"<{uri('ALICE')}>"),
    (USER, f'"malice <sip:bob@example.net>" <{uri(USER)};user=phone>'),
    (USER, f"sip:{USER}@other.example.org"),
    (USER, f"<sip:{USER}:secret@example.net>"),
    ("malice", f"<{uri('malice')}>"),
    ("malice", f'"{USER}" <{uri("alice.b")}>'),
    ("malice", f'"<{uri(USER)}>" <{uri("alic")}>'),
    ("malice", "<sip:alice.example.net>"),
    ("number", "<tel:+49-30-555000-777>"),
    ("number", "<sip:+4930555000777@example.net;user=phone>"),
    ("longer", "<sip:+49305550007771@example.net;user=phone>"),
    ("shorter", "<tel:+4930555000>"),
)
"""(who it is, how a From header writes it)"""


def names() -> Scene:
    """One OPTIONS from each of NAMES, with its answer."""
    scene = Scene()
    for number, (owner, header) in enumerate(NAMES):
        talk = dialog(f"name-{number}", "FROM", "service")
        plain = f"<{uri('FROM')}>".encode()
        wire = Udp(scene, Net(), owner)
        at = number * 100 * MS
        request, answer = talk.request("OPTIONS", 1), talk.response(200, "OPTIONS", 1)
        wire.send(at, talk.local, talk.remote, request.replace(plain, header.encode()))
        wire.send(at + 20 * MS, talk.remote, talk.local, answer.replace(plain, header.encode()))
    return scene


def relink(scene: Scene, link: int, head: bytes) -> bytes:
    """The scene's frames with another link-layer header, which ends in the Ethertype where `head` is not empty."""
    packets = [(ts, head + (data[12:] if head else data[14:])) for ts, data in scene.packets()]
    return files.pcap(packets, link=link)


def raw(scene: Scene) -> bytes:
    """Without any link-layer header."""
    return relink(scene, RAW, b"")


def cooked(scene: Scene) -> bytes:
    """As a capture on the device `any` writes it (SLL)."""
    return relink(scene, SLL, struct.pack("!HHH8s", 0, 1, 6, bytes.fromhex("0200c000020a")))


def cooked2(scene: Scene) -> bytes:
    """The newer form of the same (SLL2)."""
    head = struct.pack("!HIHBB8s", 0, 2, 1, 0, 6, bytes.fromhex("0200c000020a"))
    packets = [(ts, data[12:14] + head + data[14:]) for ts, data in scene.packets()]
    return files.pcap(packets, link=SLL2)


def null(scene: Scene) -> bytes:
    """As a BSD loopback writes it: the address family in the writer's byte order."""
    packets = [(ts, struct.pack("<I", 2) + data[14:]) for ts, data in scene.packets()]
    return files.pcap(packets, link=NULL)


def sections() -> bytes:
    """The calls in one pcapng file: two sections in both byte orders, three interfaces, two kinds of packet blocks."""
    packets = call().packets()
    half = len(packets) // 2
    out = [files.section("<"), files.interface("<", "eth0", resolution=None), files.interface("<", "eth1")]
    for number, packet in enumerate(packets[:half]):
        resolution = 9 if number % 2 else 6
        out.append(files.enhanced("<", packet, number % 2, resolution))
    out += [files.section(">"), files.interface(">", "eth2", resolution=6)]
    for number, packet in enumerate(packets[half:]):
        out.append(files.obsolete(">", packet) if number % 3 == 0 else files.enhanced(">", packet, 0, 6))
    return b"".join(out)


def unrelated(packets: int = 3) -> list[files.Packet]:
    """Frames of a link type that nobody decodes here."""
    return [(START + n * SECOND, bytes([8, 0]) + bytes(58)) for n in range(packets)]


def late_media() -> Scene:
    """RTP of alice's call that comes before the INVITE's answer, and RTP of nobody on a port nearby."""
    scene = Scene()
    talk = dialog("late", USER, "bob")
    Call(scene, USER, talk, ports(1), media_first=True, seconds=1.0).run(0)
    stray = Udp(scene, Net(), "stray")
    near = Endpoint(ports(1)[0].ip, ports(1)[0].port + 4)
    for n in range(20):
        stray.send((600 + n * 20) * MS, near, ports(9)[1], media.rtp(n, n * 160, 7, bytes(160)))
    return scene
