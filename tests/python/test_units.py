"""Durations and sizes as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lippycatd.config import units

SECOND = 10**9


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("10s", 10 * SECOND),
        ("500ms", SECOND // 2),
        ("2m", 120 * SECOND),
        ("1m30s", 90 * SECOND),
        ("1.5s", 3 * SECOND // 2),
        ("0", 0),
        ("250us", 250_000),
        ("3ns", 3),
        ("1h", 3600 * SECOND),
    ],
)
def test_a_duration(text, ns):
    assert units.duration(text) == ns


@pytest.mark.parametrize("text", ["", "10", "ten", "-1s", "1s 2", "s", "1e3s", "9999999999999999999d", "1 s x", "٣s"])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match=r"duration|too long"):
        units.duration(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("64MiB", 64 << 20),
        ("64M", 64 << 20),
        ("10MB", 10**7),
        ("4096", 4096),
        ("1.5KiB", 1536),
        ("0", 0),
        ("2 GiB", 2 << 30),
    ],
)
def test_a_size(text, count):
    assert units.size(text) == count


@pytest.mark.parametrize("text", ["", "64Foo", "-1", "MiB", "1e6", "0x10", "99999999999999999GiB"])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match=r"size|too large"):
        units.size(text)


def test_rotation_counts_as_tcpdump_does():
    """tcpdump(1): units of -C are millions of bytes; a suffix k, m or g makes them 1024-based."""
    assert units.rotate_size("5") == 5_000_000
    assert units.rotate_size("5k") == 5 * 1024
    assert units.rotate_size("5m") == 5 * 1024**2
    assert units.rotate_size("1G") == 1024**3
    assert units.seconds("60") == 60
    assert units.seconds("2m") == 120
    with pytest.raises(ValueError, match="whole"):
        units.seconds("500ms")


@given(st.integers(min_value=0, max_value=1 << 60))
def test_what_is_shown_can_be_read(number):
    assert units.duration(units.show_duration(number)) == number
    assert units.size(units.show_size(number)) == number
