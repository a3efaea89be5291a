"""Performance modes: what each fills in, where its values show, and that each can be set by itself."""

from __future__ import annotations

import pytest

from lippycatd import config
from lippycatd.cli.show import effective
from lippycatd.config import modes
from lippycatd.sources import af_packet


def built(**flags):
    return config.build(config.from_flags({key.replace("__", "."): value for key, value in flags.items()}))


@pytest.mark.parametrize("mode", modes.MODES)
def test_every_value_of_a_mode_shows_with_its_origin(mode):
    shown = {key: (value, origin) for key, value, origin in effective(built(voip__tcp_performance_mode=mode))}
    defaults = {key: value for key, value, _ in effective(built())}
    for key, value in modes.MODES[mode].items():
        assert shown[key] == (value, f"mode {mode}")
        assert shown[key][0] != defaults[key], "a value that changes nothing"
    assert shown["voip.tcp_performance_mode"] == (mode, "--tcp-performance-mode")
    changed = {key for key, (value, _) in shown.items() if value != defaults[key]}
    assert changed - {"voip.tcp_performance_mode"} == set(modes.MODES[mode])


def test_a_value_that_was_given_wins():
    found = built(
        voip__tcp_performance_mode="memory", virtual_interface__buffer_size="4096", virtual_interface__enabled=True
    )
    assert found.virtual_interface.buffer_size == 4096
    assert found.capture.buffer_size == 4 << 20
    assert found.given("virtual_interface.buffer_size")
    assert not found.given("capture.buffer_size")


def test_the_other_name_of_the_workers(tmp_path):
    layer = config.from_file("voip:\n  max_goroutines: 3\n", "x.yaml")
    assert config.build(layer).voip.max_workers == 3
    assert config.build(config.from_environment({"LIPPYCAT_VOIP_MAX_GOROUTINES": "3"})).voip.max_workers == 3


@pytest.mark.parametrize(
    ("flags", "workers", "mtu", "ring"),
    [
        ({}, 1, 1500, (256 << 10, 256, 1, 0)),
        ({}, 3, 1500, (256 << 10, 86, 1, 0)),  # a third of 64 MiB in whole blocks
        ({"voip__tcp_performance_mode": "throughput"}, 1, 1500, (1 << 20, 64, 20, 0)),
        ({"voip__tcp_performance_mode": "memory"}, 1, 1500, (128 << 10, 32, 10, 0)),
        ({"voip__tcp_performance_mode": "latency"}, 1, 1500, (256 << 10, 256, 1, 2048)),
        ({"voip__tcp_performance_mode": "latency"}, 1, 9000, (256 << 10, 256, 1, 16384)),
        ({"voip__tcp_performance_mode": "latency"}, 1, 0, (256 << 10, 256, 1, 0)),  # any: no MTU, so blocks
        ({"capture__buffer_size": "64KiB"}, 1, 1500, (256 << 10, 2, 1, 0)),
    ],
)
def test_the_ring(flags, workers, mtu, ring):
    section = built(**flags).capture
    found = af_packet.Ring.of(section, workers, mtu)
    assert (found.block_size, found.block_count, found.timeout_ms, found.frame_size) == ring
    assert bool(found.rounded(section, workers)) == (found.size * workers != section.buffer_size)


def test_workers_are_as_many_as_processors_at_most(monkeypatch):
    monkeypatch.setattr(af_packet.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    assert af_packet.workers(built(voip__max_workers="2").voip) == (2, "")
    assert af_packet.workers(built(voip__max_workers="3").voip) == (
        2,
        "voip.max_workers: 3 become 2, as many as there are processors",
    )
