"""lippycatd as it runs for long: reloads that lose nothing, refusals that change nothing, an end that accounts."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from daemon_kit import BIN, Daemon, closed, until

from captures import files
from lippycatd.observe import access

PLAIN = "capture: {read_file: '{source}'}\nvoip: {sip_users: alice}\noutput: {write_file: '{folder}/out/a.pcap'}\n"


@pytest.fixture
def daemon():
    made = []

    def start(*arguments, **options):
        made.append(Daemon(*arguments, **options))
        return made[-1]

    yield start
    for each in made:
        each.close()


@pytest.fixture(scope="session")
def packets(root):
    return files.read_pcap((root / "captures" / "demo.pcap").read_bytes())


def capinfos(path):
    told = subprocess.run(["capinfos", "-T", "-M", "-c", "-r", path], capture_output=True, text=True, check=True)
    return int(told.stdout.split()[-1])


def extracted(lippycat, root, tmp_path, user):
    """What `sniff` keeps of a user in the whole capture."""
    path = tmp_path / f"{user}.pcap"
    done = lippycat("sniff", "voip", "-r", root / "captures" / "demo.pcap", "-u", user, "-w", path)
    assert done.returncode == 0, done.stderr
    return sorted(data for _, data in files.read_pcap(path.read_bytes()))


def test_reloads_lose_no_packet_and_what_is_held_of_a_call_comes_too(daemon, packets, root, lippycat, tmp_path):
    """Targets change twice, then the file that is written; nothing of the two users' calls is missing."""
    hold = "capture: {read_file: '{source}', hold_time: 1h}"
    plain = PLAIN.replace("capture: {read_file: '{source}'}", hold).replace("alice", "nobody")
    run = daemon(plain)
    steps = [plain.replace("nobody", "alice"), plain.replace("nobody", "[alice, bob]")]
    third = len(packets) // 3
    run.feed.send(packets[:third])
    run.read_all()
    assert run.accounting()["selected"] == 0
    for number, config in enumerate(steps, 1):
        run.write(config)
        done = run.reload()
        assert (done.returncode, done.stdout) == (0, "reloaded: voip.sip_users\n")
        run.feed.send(packets[number * third : (number + 1) * third])
    run.read_all()
    run.write(steps[-1].replace("a.pcap", "b.pcap"))
    assert run.reload().stdout == "reloaded: output.write_file\n"
    run.feed.send(packets[3 * third :])
    run.read_all()
    status, took = run.end()
    assert (status, took < 5) == (0, True), run.said()
    totals = run.event("totals")[-1]
    assert (totals["in"], totals["held"], totals["dropped"]) == (len(packets), 0, 0)
    got = [data for name in "ab" for _, data in files.read_pcap((run.out / f"{name}.pcap").read_bytes())]
    wanted = {*extracted(lippycat, root, tmp_path, "alice"), *extracted(lippycat, root, tmp_path, "bob")}
    assert len(got) == totals["selected"]
    assert set(got) == wanted
    assert [(e["changed"], e["by"], e["uid"]) for e in run.event("reloaded")] == [
        ("voip.sip_users", "control", os.getuid()),
        ("voip.sip_users", "control", os.getuid()),
        ("output.write_file", "control", os.getuid()),
    ]


MALFORMED = {
    "not YAML": ("capture: [", r"lippycatd\.yaml:\d+: not YAML"),
    "an unknown key": (PLAIN.replace("sip_users", "sip_user"), r":2: unknown key voip\.sip_user; did you mean"),
    "a wrong value": (
        PLAIN + "virtual_interface: {mtu: many}\n",
        r":4: virtual_interface\.mtu: 'many' must be a whole",
    ),
    "a wrong word": (PLAIN + "logging: {level: loud}\n", r":4: logging\.level: 'loud' is not one of"),
    "a wrong filter": (
        PLAIN.replace("}\nvoip", ", filter: udp prot 5}\nvoip"),
        r":1: capture\.filter: filter 'udp prot",
    ),
    "a wrong pattern": (PLAIN.replace("alice", "'@'"), r':2: voip\.sip_users: SIP user pattern "@"'),
    "a key that needs a restart": (
        PLAIN + "virtual_interface: {mtu: 1400}\n",
        r":4: virtual_interface\.mtu needs a res",
    ),
    "another pipeline": ("pipelines: [{name: x, capture: {read_file: a.pcap}}]\n", r"pipeline x is new: this needs a"),
    "a file out of reach": (PLAIN.replace("{folder}/out/a", "/etc/a"), r":3: output\.write_file: .*not writable"),
    "another source": ("voip: {sip_users: bob}\n", r"capture\.read_file needs a restart"),
    "a key with no value": ("capture:\n  read_file:\n", r":2: capture\.read_file has no value"),
    "not text": ("\0", r"not YAML|not a text file"),
}


def test_malformed_configurations_are_refused_and_change_nothing(daemon, packets):
    run = daemon(PLAIN)
    run.feed.send(packets[:500])
    run.read_all()
    before = run.accounting()
    for name, (text, line) in MALFORMED.items():
        run.write(text)
        status, reason = run.ask_reload()
        assert (status, bool(re.search(line, reason))) == (409, True), (name, reason)
    done = run.reload()
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(rf"lippycat: reload refused: .*({line}).*\n", done.stderr), done.stderr
    run.config.unlink()
    assert "no such file" in run.reload().stderr
    assert run.accounting() == before
    assert run.status()["config"]["accepted"] == 0
    assert run.metrics()['lippycat_config_reloads_total{result="refused"}'] == len(MALFORMED) + 2
    run.write(PLAIN)
    assert run.reload().stdout == "reloaded: nothing has changed\n"
    run.feed.send(packets[500:])
    run.read_all()
    assert run.end()[0] == 0
    assert not (run.folder / "out" / "b.pcap").exists()


def test_every_mistake_is_printed_by_the_check(daemon):
    run = daemon(PLAIN)
    text = "voip: {sip_user: a}\nlogging:\n  level: loud\ncapture: {read_file: x, filter: no prot}\n"
    run.config.write_text(text)
    check = [BIN / "lippycatd", "--check-config", "--config", run.config]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    told = done.stderr.splitlines()
    assert (done.returncode, done.stdout, len(told)) == (2, "", 3)
    assert [re.match(r".*lippycatd\.yaml:(\d+): ", line)[1] for line in told] == ["1", "3", "4"]
    run.write(PLAIN)
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_end_under_full_load(daemon, packets):
    """SIGTERM while packets come as fast as they go: it drains, accounts, and ends within 5 s."""
    run = daemon(PLAIN.replace("voip: {sip_users: alice}", "") + "logging: {stats_interval: 0s}\n")
    over = threading.Event()

    def load():
        try:
            while not over.is_set():
                run.feed.send(packets)
        except OSError:
            return

    loading = threading.Thread(target=load)
    loading.start()
    until(lambda: run.accounting()["in"] > 20000, 20)
    status, took = run.end()
    over.set()
    loading.join()
    assert (status, took < 5) == (0, True), run.said()
    totals = run.event("totals")[-1]
    assert totals["in"] == totals["selected"] + totals["filtered"] + totals["held"] + totals["dropped"] > 20000
    assert totals["held"] == 0
    assert totals[f"file:{run.out}/a.pcap written"] == totals["selected"] == capinfos(run.out / "a.pcap")
    assert run.told("STOPPING=1") == 1


def test_systemd_is_told(daemon, packets):
    run = daemon(PLAIN, environment={"WATCHDOG_USEC": "4000000"})
    until(lambda: run.told("WATCHDOG=1") >= 3, what="no watchdog on an idle wire")
    assert run.told("READY=1") == 1
    run.feed.send(packets)
    until(lambda: any(f"STATUS=ready: in {len(packets)}, " in message for message in run.heard))
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    run.process.send_signal(signal.SIGHUP)
    until(lambda: run.told("READY=1") == 2, what="the reload was not ended")
    reloading = next(message for message in run.heard if message.startswith("RELOADING=1\n"))
    assert before <= int(reloading.split("MONOTONIC_USEC=")[1]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert run.event("reloaded")[0]["by"] == "signal"
    assert run.event("reloaded")[0]["pid"] == os.getpid()
    run.process.send_signal(signal.SIGUSR1)
    until(lambda: run.event("totals"))
    assert run.event("totals")[0]["in"] == len(packets)
    run.process.send_signal(signal.SIGSTOP)
    heard = run.told("WATCHDOG=1")
    time.sleep(1.5)
    assert run.told("WATCHDOG=1") == heard, "who stands still tells nothing"
    run.process.send_signal(signal.SIGCONT)
    assert run.end()[0] == 0


def test_a_changed_file_is_taken_up_by_itself(daemon):
    run = daemon(PLAIN, arguments=["--watch-config"])
    run.write(PLAIN + "logging: {level: debug}\n")
    until(lambda: run.event("reloaded"), 10)
    assert (run.event("reloaded")[0]["by"], run.event("reloaded")[0]["changed"]) == ("file", "logging.level")
    run.write("voip: [")
    until(lambda: any("reload refused" in event["event"] for event in run.events()), 10)
    assert run.end()[0] == 0


def test_the_pages(daemon, packets):
    run = daemon(PLAIN)
    run.feed.send(packets)
    run.read_all()
    assert run.get("/healthz") == (200, '{"status":"alive"}')
    assert run.get("/readyz") == (200, '{"status":"ready","reasons":[]}')
    status = run.status()
    assert status["pipelines"]["main"]["running"]
    assert status["config"]["file"] == str(run.config)
    assert closed(status["pipelines"]["main"]["accounting"])
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=run.get("/metrics")[1], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    assert run.get("/api/v1/reload")[0] == 404, "a reload is asked for on the control socket alone"
    table = subprocess.run(
        [BIN / "lippycat", "debug", "metrics", "--socket", run.control], capture_output=True, text=True, check=True
    ).stdout
    assert re.search(rf"lippycat_packets_in_total\{{source=\"{run.feed.path}\"\}} +{len(packets)}\n", table)
    told = subprocess.run(
        [BIN / "lippycat", "status", "--socket", run.control], capture_output=True, text=True, check=True
    ).stdout
    assert json.loads(told)["health"] == {"status": "ready", "reasons": []}
    mode = run.control.stat().st_mode
    assert mode & 0o777 == 0o660


def test_tls_and_passwords(daemon):
    """The pages are encrypted, and for those with a password; who only looks whether it lives needs none."""
    entry = access.hash_password("s3cret")
    section = 'metrics: {listen: "127.0.0.1:%d", tls_cert: "{folder}/out/c.pem", tls_key: "{folder}/out/k.pem", '
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "/dev/stdout"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    key, cert = (f"-----BEGIN {part}" for part in made.split("-----BEGIN ")[1:])
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = PLAIN + section % port + f"users: ['prom:{entry}']}}\n"

    def files_for(run_):
        (run_.out / "c.pem").write_text(cert)
        (run_.out / "k.pem").write_text(key)
        (run_.out / "k.pem").chmod(0o600)

    daemon(config, prepare=files_for)
    trust = ssl.create_default_context(cadata=cert)

    def get(path, authorization=None):
        headers = (
            {} if authorization is None else {"Authorization": "Basic " + base64.b64encode(authorization).decode()}
        )
        request = urllib.request.Request(f"https://127.0.0.1:{port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5, context=trust) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    assert get("/metrics", b"prom:s3cret") == 200
    assert get("/metrics", b"prom:wrong") == 401
    assert get("/metrics") == get("/api/v1/status") == 401
    assert get("/healthz") == get("/readyz") == 200
    with pytest.raises(OSError):  # noqa: PT011  whatever a plain request meets
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5)


def test_who_set_which_target(daemon):
    run = daemon(PLAIN + "logging: {audit_file: '{folder}/out/audit', pseudonymise: true}\n")
    run.write(
        PLAIN.replace("alice", "bob, call_ids: [x@y]")
        + "logging: {audit_file: '{folder}/out/audit', pseudonymise: true}\n"
    )
    assert run.reload().returncode == 0
    assert run.end()[0] == 0
    entries = [json.loads(line) for line in (run.out / "audit").read_text().splitlines()]
    assert [(e["by"], e["action"], e.get("user"), e.get("call_id"), e["uid"]) for e in entries] == [
        ("start", "follow", "alice", None, os.getuid()),
        ("control", "follow", "bob", None, os.getuid()),
        ("control", "leave", "alice", None, os.getuid()),
        ("control", "follow", None, "x@y", os.getuid()),
    ]
    assert all(e["config"] == str(run.config) and e["pipeline"] == "main" for e in entries)
    assert (run.out / "audit").stat().st_mode & 0o777 == 0o600
    assert not re.search("alice|bob", run.said())


def test_targets_among_the_reports_are_pseudonyms_where_asked_for(daemon):
    run = daemon(PLAIN + "logging: {pseudonymise: true}\n")
    assert run.end()[0] == 0
    assert re.fullmatch(r"u-[0-9a-f]{20}", run.event("target")[0]["user"])
    assert "alice" not in run.said()


def test_sockets_that_systemd_passes(daemon, packets):
    """The metrics listener and the control socket are inherited by their names; nothing else is bound."""
    with socket.create_server(("127.0.0.1", 0)) as metrics, socket.socket(socket.AF_UNIX) as control:
        folder_socket = f"/tmp/lc-test-{os.getpid()}.sock"
        control.bind(folder_socket)
        control.listen()
        try:
            run = daemon(PLAIN, inherited={"metrics": metrics, "control": control})
            run.port = metrics.getsockname()[1]
            assert run.get("/readyz")[0] == 200
            assert not run.control.exists()
            run.control = folder_socket
            assert run.reload().returncode == 0
            assert run.end()[0] == 0
        finally:
            Path(folder_socket).unlink()


def test_two_pipelines(daemon, packets):
    run = daemon(
        "pipelines:\n"
        "- name: edge\n"
        "  capture: {read_file: '{source}'}\n"
        "  voip: {sip_users: alice}\n"
        "- name: core\n"
        "  capture: {read_file: '{folder}/second.fifo'}\n",
        more=["second.fifo"],
    )
    run.feed.send(packets)
    run.more[0].send(packets[:100])
    until(lambda: run.accounting("edge")["in"] == len(packets) and run.accounting("core")["in"] == 100)
    metrics = run.metrics()
    assert metrics[f'lippycat_packets_in_total{{source="edge/{run.feed.path}"}}'] == len(packets)
    assert metrics[f'lippycat_packets_in_total{{source="core/{run.more[0].path}"}}'] == 100
    run.more[0].close()
    until(lambda: run.get("/readyz")[0] == 503)
    assert json.loads(run.get("/readyz")[1])["reasons"] == ["pipeline core has ended"]
    run.feed.close()
    assert run.process.wait(10) == 0, run.said()
    assert run.event("totals")[-1]["in"] == len(packets) + 100


def test_a_full_disk_stops_that_file_and_nothing_else(privileged, daemon, packets):
    """The file ends at a whole record; what it lacks is counted, said, and the reason why the daemon is degraded."""

    def mounted(run):
        run.small = run.folder / "small"
        run.small.mkdir()

    small = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=64k,mode=777 tmpfs "${2%/*}/small" && exec "$0" "$@"']
    config = PLAIN.replace("/out/", "/small/").replace("voip: {sip_users: alice}\n", "")
    run = daemon(config, program=[*small, BIN / "lippycatd"], prepare=mounted)
    run.feed.send(packets)
    run.read_all()
    until(lambda: run.status()["health"]["status"] == "degraded")
    name = f"file:{run.small}/a.pcap"
    assert run.status()["health"]["reasons"] == [f"{name} has stopped: no_space"]
    assert run.get("/readyz")[0] == 200
    account = run.accounting()
    assert closed(account)
    assert account["sinks"][name]["dropped"] == {"no_space": account["selected"] - account["sinks"][name]["written"]}
    kept = Path(f"/proc/{run.process.pid}/root{run.small}/a.pcap").read_bytes()
    assert len(files.read_pcap(kept)) == account["sinks"][name]["written"] > 0
    assert run.end()[0] == 1
    assert run.event("packets were lost")[0]["where"] == f"{name}.no_space"


def test_a_hundred_reloads_leave_nothing_behind(daemon, packets):
    """Descriptors, threads and memory are as before; the accounting holds, with what the earlier files got."""
    run = daemon(PLAIN.replace("voip: {sip_users: alice}\n", ""))

    def used():
        memory = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{run.process.pid}/status").read_text())
        counts = [len(list(Path(f"/proc/{run.process.pid}/{part}").iterdir())) for part in ("fd", "task")]
        return *counts, int(memory[1])

    def reload(number):
        run.write(PLAIN.replace("alice", f"user{number}").replace("a.pcap", f"{number % 3}.pcap"))
        assert run.ask_reload()[0] == 200
        run.feed.send(packets[number * 20 : number * 20 + 20])

    for number in range(20):
        reload(number)
    run.read_all()
    fds, threads, memory = used()
    for number in range(20, 120):
        reload(number)
    run.read_all()
    until(lambda: used()[0] <= fds and used()[1] <= threads, 5, f"{used()}, not {fds}, {threads}")
    assert used()[2] < memory * 1.05 + 1024
    assert closed(run.accounting())
    assert run.end()[0] == 0


def test_no_descriptors_are_left_and_it_goes_on(daemon, packets):
    """Readers that hold all of its descriptors keep neither packets nor the watchdog from their way."""
    limited = ["sh", "-c", 'ulimit -n 64; exec "$0" "$@"', BIN / "lippycatd"]
    run = daemon(PLAIN, program=limited)
    hungry = [socket.create_connection(("127.0.0.1", run.port)) for _ in range(100)]
    run.feed.send(packets)
    heard = run.told("WATCHDOG=1")
    until(lambda: run.told("WATCHDOG=1") >= heard + 2)
    until(lambda: any(f"in {len(packets)}," in message for message in list(run.heard)))
    for each in hungry:
        each.close()
    until(lambda: run.get("/readyz")[0] == 200)
    run.read_all()
    assert run.end()[0] == 0, run.said()


# Runs the daemon and says in a file that was opened before what was imported after the lock.
DRIVER = """
import json, os, sys
told = open(os.environ["LC_TOLD"], "w")
from lippycatd import _dataplane
late, locked, lock = [], [], _dataplane.lock

def hook(event, arguments):
    if event == "import" and locked:
        late.append(arguments[0])

def locking(*role, **paths):
    done = lock(*role, **paths)
    locked.append(True)
    return done

_dataplane.lock = locking
sys.addaudithook(hook)
from lippycatd import daemon
status = daemon.run(sys.argv[1:])
told.write(json.dumps({"status": status, "late": late}))
told.close()
"""


@pytest.mark.parametrize("console", [False, True])
def test_nothing_is_imported_after_the_lock(daemon, packets, console):
    """Whatever is asked of it: reloads of every kind, all pages, all signals, names in a filter, the interface."""
    told = f"/tmp/lc-told-{os.getpid()}"
    config = PLAIN + ("logging: {format: console}\n" if console else "")
    environment = {"LC_TOLD": told, "PYDANTIC_DISABLE_PLUGINS": "1"}
    try:
        run = daemon(config, program=[sys.executable, "-c", DRIVER], environment=environment)
        run.feed.send(packets)
        run.read_all()
        named = config.replace("}\nvoip", ", filter: port sip and host localhost and ip proto \\tcp}\nvoip")
        steps = [text for text, _ in MALFORMED.values()]
        steps += [named, config.replace("alice", "'+49*'"), config.replace("a.pcap", "b.pcapng")]
        steps += [config + "virtual_interface: {enabled: true, rate_limit: 100}\n", config]
        refused = 0
        for text in steps:
            run.write(text)
            refused += run.ask_reload()[0] == 409
        assert refused == len(MALFORMED), run.said()
        for path in ("/metrics", "/healthz", "/readyz", "/api/v1/status", "/nothing"):
            run.get(path)
        for number in (signal.SIGHUP, signal.SIGUSR1):
            run.process.send_signal(number)
        until(lambda: "totals" in run.said())
        ended = run.end()
        text = Path(told).read_text()
        assert text, (ended, run.said())
        assert ended[0] in {0, 1}, run.said()
        found = json.loads(text)
    finally:
        Path(told).unlink(missing_ok=True)
    assert found["late"] == []
