"""Half the size and full size again: scale 2 of the method restored."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from dsncodec.methods.restored.half_size import doubled, half_shape, halved

from .conftest import UInt8Array, noise, picture

SIZES = [(1, 1), (1, 9), (8, 1), (2, 2), (37, 26), (300, 41)]


def pixels(columns: int, rows: int, channels: int) -> UInt8Array:
    return np.asarray(picture("L" if channels == 1 else "RGB", columns, rows)).reshape(
        rows, columns, channels
    )


def by_the_page(small: UInt8Array, shape: tuple[int, int, int]) -> UInt8Array:
    """docs/format.md, section 5, sample by sample."""
    taps = (-9, 111, 29, -3)

    def line(values: list[int]) -> list[int]:
        def at(i: int) -> int:
            return values[min(max(i, 0), len(values) - 1)]

        out = []
        for i in range(len(values)):
            out.append(sum(tap * at(i + step) for tap, step in zip(taps, (1, 0, -1, -2))))
            out.append(sum(tap * at(i + step) for tap, step in zip(taps, (-1, 0, 1, 2))))
        return out

    planes = []
    for plane in small.astype(int).transpose(2, 0, 1):
        tall = np.array([line(column) for column in plane.T.tolist()]).T
        planes.append([line(row) for row in tall.tolist()])
    values = np.clip((np.array(planes).transpose(1, 2, 0) + 8192) >> 14, 0, 255)
    return values[: shape[0], : shape[1]].astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_shapes_and_values(size: tuple[int, int], channels: int) -> None:
    colour = pixels(*size, channels)
    small = halved(colour)
    assert small.shape == half_shape(colour.shape) == (-(-size[1] // 2), -(-size[0] // 2), channels)
    large = doubled(small, colour.shape)
    assert large.dtype == np.uint8
    np.testing.assert_array_equal(large, by_the_page(small, colour.shape))


def test_doubling_in_strips_is_doubling_at_once() -> None:
    """Pictures of more rows than one strip has."""
    small = noise(530, 7)[..., None]
    strips = doubled(small, (1060, 14, 1))
    for top in (0, 250, 256, 300, 520):
        window = small[max(0, top - 4) : top + 10]
        alone = doubled(window, (2 * len(window), 14, 1))
        first = 2 * (top - max(0, top - 4))
        np.testing.assert_array_equal(strips[2 * top : 2 * top + 8], alone[first : first + 8])


def test_flat_stays_flat_and_smooth_stays_close() -> None:
    flat = np.full((9, 7, 3), 200, np.uint8)
    np.testing.assert_array_equal(doubled(halved(flat), flat.shape), flat)
    colour = np.asarray(Image.radial_gradient("L"))[..., None]
    assert np.abs(doubled(halved(colour), colour.shape).astype(int) - colour).mean() < 0.5


def test_what_it_is_given_is_not_changed() -> None:
    colour = noise(9, 8)[..., None]
    before = colour.copy()
    doubled(halved(colour), colour.shape)
    np.testing.assert_array_equal(colour, before)
