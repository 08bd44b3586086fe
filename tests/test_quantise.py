"""Symbols against exact arithmetic."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsncodec.errors import SettingError
from dsncodec.methods.dsn.quantise import NEUTRAL, check_levels, chroma_shift, dequantise, quantise

ALL_LEVELS = range(2, 257)


def exact(value: float, levels: int) -> Fraction:
    """The latent in steps, before rounding, without any error."""
    return min(max(Fraction(value), Fraction(0)), Fraction(1)) * (levels - 1)


def one(value: float, levels: int) -> int:
    return int(quantise(np.full((1, 1, 1), value, np.float32), levels).item())


@pytest.mark.parametrize("levels", [2, 3, 5, 9, 17, 33, 65, 129])
def test_ties_go_up(levels: int) -> None:
    """Here a tie, (2k+1) / 2(levels-1), is a float32 without error."""
    for k in range(levels - 1):
        tie = (2 * k + 1) / (2 * (levels - 1))
        assert floor(exact(tie, levels) + Fraction(1, 2)) == k + 1
        assert one(tie, levels) == k + 1
        assert one(tie - 1e-6, levels) == k


@pytest.mark.parametrize("levels", range(2, 257, 2))
def test_the_middle_of_an_even_alphabet_is_a_tie(levels: int) -> None:
    assert one(0.5, levels) == levels // 2


@given(
    value=st.floats(-0.5, 1.5, width=32) | st.sampled_from([0.0, 1.0, -np.inf, np.inf, 1e30]),
    levels=st.integers(2, 256),
)
def test_rounding_is_exact_away_from_ties(value: float, levels: int) -> None:
    clipped = min(max(value, 0.0), 1.0)
    steps = exact(clipped, levels) + Fraction(1, 2)
    if abs(steps - round(steps)) > Fraction(1, 10**4):  # float32 itself has an error near a tie
        assert one(value, levels) == floor(steps)
    assert abs(one(value, levels) - exact(clipped, levels)) <= Fraction(1, 2) + Fraction(1, 10**4)


@pytest.mark.parametrize("levels", ALL_LEVELS)
def test_every_symbol_survives(levels: int) -> None:
    symbols = np.arange(levels, dtype=np.uint8).reshape(1, 1, -1)
    latent = dequantise(symbols, levels)
    assert latent.dtype == np.float32 and latent.min() == 0 and latent.max() == 1
    np.testing.assert_array_equal(quantise(latent, levels), symbols)


@pytest.mark.parametrize("levels", ALL_LEVELS)
def test_neutral_chroma_is_a_level(levels: int) -> None:
    """As the codec computes it: shifted, quantised, dequantised and shifted back in float32."""
    shift = np.float32(chroma_shift(levels))
    symbol = quantise(np.full((1, 1, 1), NEUTRAL, np.float32) + shift, levels)
    assert symbol.item() == levels // 2
    back = dequantise(symbol, levels) - shift
    assert abs(back.item() - NEUTRAL) < 1e-7
    assert abs(chroma_shift(levels)) <= 0.5  # never more than half the range


@pytest.mark.parametrize("levels", [1, 0, -3, 257, 2.0, True, "16", None, float("nan")])
def test_impossible_levels(levels: object) -> None:
    for action in (check_levels, lambda n: quantise(np.zeros((1, 1, 1), np.float32), n)):
        with pytest.raises(SettingError, match="from 2 to 256"):
            action(levels)  # type: ignore[arg-type]
    with pytest.raises(SettingError):
        dequantise(np.zeros((1, 1, 1), np.uint8), levels)  # type: ignore[arg-type]
