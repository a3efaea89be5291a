"""lippycat-relay by itself: its start and end, its pages, its confinement, and what it refuses."""

from __future__ import annotations

import os
import socket
import subprocess

import pytest
from daemon_kit import until
from relay_kit import BIN, Relay

from lippycatd.model import handover
from lippycatd.model.handover import Kind, Wants
from lippycatd.sandbox import threads


@pytest.fixture
def relay():
    """Starts relays, and removes what is left of them."""
    made = []

    def start(*args, **options):
        made.append(Relay(*args, **options))
        return made[-1]

    yield start
    for each in made:
        each.close()


def test_a_relay_runs_confined_and_ends(relay):
    run = relay()
    assert run.get("/readyz") == (200, '{"status":"ready","reasons":[]}')
    assert run.socket.stat().st_mode & 0o777 == 0o660
    for thread in threads.read(run.process.pid):
        assert thread.lacks == []
    sock, has = run.connect(name="edge")
    with sock:
        assert has == Wants(0)
        assert run.metrics()["lippycat_relay_clients"] == 1
    until(lambda: run.metrics()["lippycat_relay_clients"] == 0)
    assert run.told("WATCHDOG=1")
    assert "lippycatd is connected" in run.said()
    assert run.end() == 0
    assert run.told("STOPPING=1")


def test_a_second_relay_is_refused(relay):
    run = relay()
    done = subprocess.run(
        [BIN / "lippycat-relay", "--config", run.config], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 3
    line = f"lippycat-relay: relay.socket: {run.socket}: another lippycat-relay listens there; end it, or name another"
    assert done.stderr == line + "\n"


MALFORMED = {
    "short": b"L",
    "magic": b"XX\x01\x01",
    "version": b"LR\x02\x01",
    "kind": b"LR\x01\x63",
    "length": b"LR\x01\x01\x00",
    "unexpected": handover.header(Kind.CAPTURED),
}


@pytest.mark.parametrize("reason", [*MALFORMED, "long"])
def test_a_malformed_message_ends_the_connection(relay, reason):
    run = relay()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.settimeout(10)
        sock.connect(str(run.socket))
        sock.send(MALFORMED.get(reason) or b"LR\x01\x04" + bytes(handover.MAX_MESSAGE))
        kind, body = handover.split(handover.receive(sock))
        assert kind is Kind.REFUSED
        assert b"malformed" in body
        assert handover.receive(sock) == b""
    counted = "length" if reason == "long" else reason
    until(lambda: run.metrics().get(f'lippycat_relay_refused_connections_total{{reason="{counted}"}}') == 1)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("capture: {filter: udp}\n", ":1: capture.filter is lippycatd's; write it into its file, or remove it"),
        ("logging: {audit_file: /a}\n", ":1: logging.audit_file is lippycatd's"),
        ("relay: {sockets: x}\n", ":1: unknown key relay.sockets; did you mean relay.socket?"),
        ("pipelines: [{name: a}]\n", ": pipelines are lippycatd's"),
    ],
)
def test_a_wrong_configuration_is_one_line(tmp_path, text, line):
    file = tmp_path / "relay.yaml"
    file.write_text(text)
    for more in ([], ["--check-config"]):
        done = subprocess.run(
            [BIN / "lippycat-relay", "--config", file, *more], capture_output=True, text=True, timeout=20, check=False
        )
        assert done.returncode == 2, done.stderr
        assert f"{file}{line}" in done.stderr
        assert done.stderr.count("\n") == 1


def test_sockets_that_systemd_passes(tmp_path):
    """Found by their names."""
    folder = f"/tmp/lc-relay-{os.getpid()}.sock"
    config = tmp_path / "relay.yaml"
    config.write_text("logging: {level: warning}\n")
    with (
        socket.create_server(("127.0.0.1", 0)) as metrics,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener,
    ):
        listener.bind(folder)
        listener.listen()
        try:
            script = (
                f"exec 10<&{metrics.fileno()} 11<&{listener.fileno()} 3<&10 4<&11 10<&- 11<&-; "
                'export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=metrics:relay; exec "$@"'
            )
            process = subprocess.Popen(
                ["bash", "-c", script, "bash", BIN / "lippycat-relay", "--config", config],
                pass_fds=[metrics.fileno(), listener.fileno()],
            )
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
                sock.settimeout(20)
                sock.connect(folder)
                sock.send(handover.hello(Wants.HEP, "x"))
                assert handover.split(handover.receive(sock))[0] is Kind.WELCOME
            process.terminate()
            assert process.wait(20) == 0
        finally:
            os.unlink(folder)  # noqa: PTH108
