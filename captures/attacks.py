"""Known attacks on SIP among ordinary traffic: what an intrusion detection system must alert on, and what not.

Sources of the patterns: VOIPSA's threat taxonomy; the user agent that the scanner sipvicious sends by default.
"""

from __future__ import annotations

from captures.call import Call
from captures.demo import USER, dialog, endpoint, ports
from captures.scene import MS, Scene, Udp
from captures.sip import Dialog, token
from captures.wire import Endpoint, Net

ATTACKER = Endpoint("203.0.113.66", 5071)
SCANNED, GUESSED, FLOODED = 12, 30, 40
"""messages of each attack"""


def scan(scene: Scene, at: int) -> None:
    """OPTIONS to extension after extension, with the scanner's user agent."""
    wire = Udp(scene, Net(), "scan")
    for n in range(SCANNED):
        talk = Dialog("100", str(100 + n), token("scan", n), ATTACKER, endpoint(4, 20, 5060))
        scanner = (("User-Agent", "friendly-scanner"),)
        wire.send(at + n * 20 * MS, talk.local, talk.remote, talk.request("OPTIONS", 1, more=scanner))
        wire.send(at + n * 20 * MS + 5 * MS, talk.remote, talk.local, talk.response(404, "OPTIONS", 1))


def guess(scene: Scene, at: int) -> None:
    """Passwords of one user tried one after another."""
    wire = Udp(scene, Net(), "guess")
    challenge = (("WWW-Authenticate", 'Digest realm="example.net", nonce="84a4cc6f"'),)
    for n in range(GUESSED):
        talk = Dialog(USER, USER, token("guess", n), ATTACKER, endpoint(4, 20, 5060))
        wire.send(at + n * 30 * MS, talk.local, talk.remote, talk.request("REGISTER", n + 1))
        answer = talk.response(401, "REGISTER", n + 1, more=challenge)
        wire.send(at + n * 30 * MS + 5 * MS, talk.remote, talk.local, answer)


def flood(scene: Scene, at: int) -> None:
    """INVITEs that nobody goes on with."""
    wire = Udp(scene, Net(), "flood")
    for n in range(FLOODED):
        talk = Dialog("anonymous", USER, token("flood", n), ATTACKER, endpoint(4, 20, 5060))
        wire.send(at + n * 10 * MS, talk.local, talk.remote, talk.request("INVITE", 1))


def build() -> Scene:
    """The attacks, and a call of alice with its media that is none."""
    scene = Scene()
    Call(scene, USER, dialog("attacks-call", USER, "bob"), ports(1), seconds=1.0).run(0)
    scan(scene, 100 * MS)
    guess(scene, 600 * MS)
    flood(scene, 1700 * MS)
    return scene
