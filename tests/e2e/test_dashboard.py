"""The dashboard asks a real Prometheus that scraped a real run: no query is wrong, and none comes back empty."""

from __future__ import annotations

import json
import math
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request

import pytest

from demo.live import free_port, page, wait_for
from monitoring import dashboard

WINDOW = "60s"
SCRAPES = """
global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}
scrape_configs:
  - job_name: lippycat
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


class Prometheus:
    """A server of its own on the loopback address, without a service."""

    def __init__(self, folder, target):
        program = shutil.which("prometheus")
        assert program, "prometheus is missing: make setup unpacks it"
        (folder / "prometheus.yml").write_text(SCRAPES.format(port=target))
        self.port = free_port()
        command = [program, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}"]
        command += [f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=error"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ask(self, query):
        """The samples' values; a wrong query is HTTP's 400."""
        text = urllib.parse.urlencode({"query": query})
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/query?{text}", timeout=10) as answer:
            return [float(item["value"][1]) for item in json.load(answer)["data"]["result"]]

    def is_up(self):
        try:
            return self.ask("up") == [1.0]
        except OSError:
            return False


def feed(capture, pipe, begin):
    """Writes the file's header, and once `begin` is set its packets in pieces: counters move between the scrapes."""
    data = capture.read_bytes()
    header, packets = data[:24], data[24:]
    step = len(packets) // 20
    with pipe:
        pipe.write(header)
        pipe.flush()
        begin.wait()
        for at in range(0, len(packets), step):
            pipe.write(packets[at : at + step])
            pipe.flush()
            time.sleep(0.15)


@pytest.fixture(scope="module")
def prometheus(root, shared, tmp_path_factory):
    """What scraped a run over generated calls through a pipe, from before the first call to after the last."""
    folder = tmp_path_factory.mktemp("dashboard")
    capture, port, begin = folder / "calls.pcap", free_port(), threading.Event()
    size = ("--calls", "150", "--rtp-packets", "60", "--start-window", "6", "--register", "60", "--options", "20")
    mix = ("--seed", "5", "--fail", "30", "--quiet")
    generate = [sys.executable, shared / "tools" / "gen_calls.py", "-o", capture, *size, *mix]
    subprocess.run(generate, check=True)
    command = [root / ".venv" / "bin" / "lippycat", "sniff", "voip", "-r", "-", "-q"]
    command += ["--metrics-listen", f"127.0.0.1:{port}", "--metrics-linger", "60s"]
    run = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    feeder = threading.Thread(target=feed, args=(capture, run.stdin, begin))
    feeder.start()
    server = Prometheus(folder, port)
    try:
        wait_for("the page", lambda: "lippycat_packets_in_total" in page(port), run)
        wait_for("the first scrape", server.is_up, server.process)
        begin.set()
        feeder.join(60)
        total = json.loads((folder / "calls.pcap.truth.json").read_text())["totals"]["packets"]
        wait_for("the last scrape", lambda: server.ask("sum(lippycat_packets_in_total)") == [total], server.process)
        time.sleep(1.5)
        yield server
    finally:
        begin.set()
        for process in (run, server.process):
            process.send_signal(signal.SIGINT)
            process.wait(30)


QUERIES = [
    (f"{row}: {panel.title}: {legend}", query)
    for row, panels in dashboard.ROWS.items()
    for panel in panels
    for query, legend in panel.queries
]


@pytest.mark.parametrize(("place", "query"), QUERIES, ids=[place for place, _ in QUERIES])
def test_no_query_is_empty(prometheus, place, query):
    found = prometheus.ask(query.replace("$__rate_interval", WINDOW).replace("$trunk", ".*"))
    assert [value for value in found if not math.isnan(value)], query


def test_the_ratio_over_a_window_is_that_of_the_attempts_in_it(prometheus):
    """Scraped from before the first call: what the query tells is what the core counted."""
    for ratio in dashboard.kpi.RATIOS:
        window = prometheus.ask(ratio.query(WINDOW))
        whole = prometheus.ask(f'lippycat_kpi_ratio{{kpi="{ratio.name}"}}')
        assert window == pytest.approx(whole, abs=1e-6), ratio.name


def test_the_file_is_the_dashboard(root):
    """`make docs` writes it; Grafana takes each panel's queries as they are tested here."""
    stored = json.loads((root / "monitoring/grafana/lippycat.json").read_text())
    assert stored == dashboard.dashboard()
    asked = [target["expr"] for panel in stored["panels"] for target in panel.get("targets", ())]
    assert asked == [query for _, query in QUERIES]
    assert len({panel["id"] for panel in stored["panels"]}) == len(stored["panels"])
