"""Integers survive the range coder, and cost about what their entropy says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsncodec.entropy import adaptive_coder
from dsncodec.errors import Corrupt

LIMIT = 2**adaptive_coder.MAX_BITS - 1


@given(lists=st.lists(st.lists(st.integers(-LIMIT, LIMIT), max_size=40), max_size=4))
def test_any_integers_survive(lists: list[list[int]]) -> None:
    arrays = [np.array(numbers, np.int32) for numbers in lists]
    data = adaptive_coder.encode(arrays)
    for back, given_ in zip(adaptive_coder.decode(data, [len(a) for a in arrays]), arrays):
        np.testing.assert_array_equal(back, given_)


@pytest.mark.parametrize("value", [0, 1, -1, LIMIT, -LIMIT])
def test_long_runs_survive(value: int) -> None:
    """Extreme probabilities, and carries through long rows of 0xFF."""
    numbers = np.full(5000, value, np.int32)
    numbers[::777] = -value or 3
    data = adaptive_coder.encode([numbers])
    np.testing.assert_array_equal(adaptive_coder.decode(data, [5000])[0], numbers)


@pytest.mark.parametrize("spread", [0.3, 3.0, 30.0, 300.0])
def test_the_cost_is_near_the_entropy_of_a_known_source(spread: float) -> None:
    numbers = np.round(np.random.default_rng(1).laplace(0, spread, 4000)).astype(np.int32)
    own = math.exp(-0.5 / spread)  # of the rounded Laplace distribution: P(0) = 1 - own
    ratio = math.exp(-1 / spread)
    logs = np.where(
        numbers == 0,
        math.log2(1 - own),
        math.log2(own * (1 - ratio) / 2) + (np.abs(numbers) - 1) * math.log2(ratio),
    )
    ideal = -logs.sum() / 8
    assert ideal * 0.97 < len(adaptive_coder.encode([numbers])) < ideal * 1.02 + 30


def test_lists_have_statistics_of_their_own() -> None:
    small, large = np.tile([0, 0, 0, 1], 500).astype(np.int32), np.full(2000, 3, np.int32)
    apart = len(adaptive_coder.encode([small, large]))
    assert apart < 0.8 * len(adaptive_coder.encode([np.stack([small, large], 1).ravel()]))


def test_bytes_left_over_are_refused() -> None:
    numbers = np.arange(-50, 50, dtype=np.int32)
    data = adaptive_coder.encode([numbers])
    with pytest.raises(Corrupt):
        adaptive_coder.decode(data + b"\0", [100])
    with pytest.raises(Corrupt):
        adaptive_coder.decode(data + b"abcdef", [100])
    with pytest.raises(Corrupt):
        adaptive_coder.decode(data, [10])


@given(data=st.binary(max_size=60), counts=st.lists(st.integers(0, 50), max_size=3))
def test_any_bytes_are_integers_or_refused(data: bytes, counts: list[int]) -> None:
    try:
        found = adaptive_coder.decode(data, counts)
    except Corrupt:
        return
    assert [len(numbers) for numbers in found] == counts
    for back, numbers in zip(adaptive_coder.decode(adaptive_coder.encode(found), counts), found):
        np.testing.assert_array_equal(back, numbers)
    assert all(np.abs(numbers).max(initial=0) <= LIMIT for numbers in found)
