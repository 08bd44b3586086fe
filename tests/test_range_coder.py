"""Symbols survive the coder over tables, at the cost that the tables say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsncodec.entropy import range_coder
from dsncodec.entropy.range_coder import TOTAL, RangeDecoder, RangeEncoder
from dsncodec.errors import Corrupt

Interval = tuple[int, int]

INTERVALS = st.tuples(st.integers(0, TOTAL - 1), st.integers(1, TOTAL)).map(
    lambda pair: (pair[0], min(pair[0] + pair[1], TOTAL))
)


def written(intervals: list[Interval]) -> bytes:
    encoder = RangeEncoder()
    lower, upper = np.array(intervals, np.int64).reshape(-1, 2).T
    encoder.encode(lower[:3], upper[:3])
    encoder.encode(lower[3:], upper[3:])
    return encoder.finish()


def found_in(data: bytes, intervals: list[Interval], guesses: list[Interval]) -> list[bool]:
    """Whether the decoder sees the guess (None) or a count inside of the interval; all must be one or the other."""
    seen = [True] * len(intervals)

    def search(place: int, count: int) -> Interval:
        assert intervals[place][0] <= count < intervals[place][1]
        seen[place] = False
        return intervals[place]

    decoder = RangeDecoder(data)
    decoder.decode([low for low, _ in guesses], [high for _, high in guesses], search)
    decoder.finish()
    return seen


@given(intervals=st.lists(INTERVALS, max_size=60))
def test_any_intervals_survive(intervals: list[Interval]) -> None:
    data = written(intervals)
    assert all(found_in(data, intervals, intervals))
    empty = [(0, 0)] * len(intervals)
    assert not any(found_in(data, intervals, empty))


@pytest.mark.parametrize(
    "interval", [(0, 1), (TOTAL - 1, TOTAL), (1, TOTAL), (0, TOTAL - 1), (0, TOTAL)], ids=str
)
def test_long_runs_survive(interval: Interval) -> None:
    """Extreme probabilities, and carries through long rows of 0xFF."""
    intervals = [interval] * 3000
    intervals[::777] = [(TOTAL // 2, TOTAL)] * len(intervals[::777])
    data = written(intervals)
    assert all(found_in(data, intervals, intervals))


def test_the_cost_is_what_the_intervals_say() -> None:
    rng = np.random.default_rng(1)
    lower = rng.integers(0, TOTAL // 2, 5000)
    upper = lower + rng.integers(1, TOTAL // 2, 5000)
    encoder = RangeEncoder()
    encoder.encode(lower, upper)
    bits = (range_coder.TOTAL_BITS - np.log2(upper - lower)).sum()
    assert bits / 8 - 1 < len(encoder.finish()) < bits / 8 + 1


def test_no_symbols_are_no_bytes() -> None:
    assert RangeEncoder().finish() == b""
    RangeDecoder(b"").finish()


@pytest.mark.parametrize("more", [b"\0", b"abcdefgh"])
def test_bytes_left_over_are_refused(more: bytes) -> None:
    intervals = [(5, 900), (70_000, 80_000)] * 20
    data = written(intervals)
    with pytest.raises(Corrupt):
        found_in(data + more, intervals, intervals)


def test_bytes_that_no_writer_makes_are_refused() -> None:
    """The last part of the range, beyond all counts, is nobody's."""
    with pytest.raises(Corrupt):
        RangeDecoder(b"\xff" * 7).decode([0], [1], lambda place, count: (0, 1))
