"""Metrics against an independent implementation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsncodec.metrics import bpp, psnr_db

from .conftest import UInt8Array, noise


@pytest.mark.parametrize("shape", [(1, 1), (7, 9), (300, 5, 3), (513, 4), (2, 3, 4)], ids=str)
def test_psnr_is_scikit_images(shape: tuple[int, ...]) -> None:
    skimage_metrics = pytest.importorskip("skimage.metrics")
    rng = np.random.default_rng(3)
    a, b = (rng.integers(0, 256, shape, np.uint8) for _ in range(2))
    close = np.clip(a.astype(int) + rng.integers(-3, 4, shape), 0, 255).astype(np.uint8)
    for other in (b, close):
        if (other != a).any():
            expected = skimage_metrics.peak_signal_noise_ratio(a, other, data_range=255)
            assert psnr_db(a, other) == pytest.approx(expected, abs=1e-9)


def test_psnr_of_equal_arrays_is_infinite() -> None:
    assert psnr_db(noise(9, 9), noise(9, 9)) == math.inf


def test_psnr_with_another_peak() -> None:
    a: UInt8Array = np.zeros((4, 4), np.uint8)
    assert psnr_db(a, a + np.uint8(1), peak=1.0) == 0


def test_psnr_wants_one_shape() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(3, 2\)"):
        psnr_db(noise(2, 3), noise(3, 2))


@given(size=st.integers(0, 10**9), width=st.integers(1, 10**5), height=st.integers(1, 10**5))
def test_bpp(size: int, width: int, height: int) -> None:
    assert bpp(size, width, height) * width * height == pytest.approx(8 * size)
