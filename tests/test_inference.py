"""Tiles cover what they should, and a network gives the same tile by tile as over the whole plane."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dsncodec.errors import SettingError
from dsncodec.methods.dsn import codec as dsn
from dsncodec.networks import registry
from dsncodec.networks.inference import Network, Window, grown, moved, network, scaled, tiles
from dsncodec.processes import thread_count

SCALES = (2, 3, 4)
PARTS: dict[
    str, Callable[[int], tuple[list[int], list[int], int, int]]
] = {  # network: (channels of its inputs, pixels of each per latent pixel, of its output, halo)
    "down": lambda s: ([1], [s], 1, -(-dsn.DOWN_HALO // s)),
    "up": lambda s: ([1], [1], s, dsn.UP_HALO),
    "up_gradient": lambda s: ([1, 1], [1, s], 1, dsn.GRADIENT_HALO),
    "chroma_down": lambda s: ([2], [2 * s], 1, dsn.CHROMA_DOWN_HALO),
    "chroma_up": lambda s: ([2, 1], [1, 2 * s], 2 * s, dsn.CHROMA_UP_HALO),
}


@st.composite
def windows(draw: st.DrawFn, largest: int = 60) -> tuple[Window, tuple[int, int]]:
    """A window that is not empty, and the bounds of the plane it lies in."""
    sides = []
    for _ in range(2):
        bound = draw(st.integers(1, largest))
        start = draw(st.integers(0, bound - 1))
        sides.append((slice(start, draw(st.integers(start + 1, bound))), bound))
    return (sides[0][0], sides[1][0]), (sides[0][1], sides[1][1])


@given(placed=windows(), size=st.integers(1, 40), halo=st.integers(0, 6))
def test_tiles_cover_once(placed: tuple[Window, tuple[int, int]], size: int, halo: int) -> None:
    window, bounds = placed
    seen = np.zeros(bounds, int)
    plane = np.arange(bounds[0] * bounds[1]).reshape(bounds)
    for tile in tiles(window, bounds, size, halo):
        seen[tile.inner] += 1
        assert plane[tile.inner].size and max(plane[tile.inner].shape) <= size
        np.testing.assert_array_equal(plane[tile.outer][tile.crop], plane[tile.inner])
        assert tile.outer == grown(tile.inner, halo, bounds)
    expected = np.zeros(bounds, int)
    expected[window] = 1
    np.testing.assert_array_equal(seen, expected)


@given(placed=windows(), size=st.integers(1, 40))
def test_tiles_lie_on_one_grid(placed: tuple[Window, tuple[int, int]], size: int) -> None:
    window, bounds = placed
    for tile in tiles(window, bounds, size, 2):
        for part, side in zip(tile.inner, window):
            assert part.start == side.start or part.start % size == 0
            assert part.stop == side.stop or part.stop % size == 0
            assert part.start // size == (part.stop - 1) // size


@given(placed=windows(), factor=st.integers(1, 8))
def test_windows_scale_and_move(placed: tuple[Window, tuple[int, int]], factor: int) -> None:
    (y, x), bounds = placed
    plane = np.arange(bounds[0] * bounds[1]).reshape(bounds)
    large = plane.repeat(factor, 0).repeat(factor, 1)
    small = plane[y, x].repeat(factor, 0).repeat(factor, 1)
    np.testing.assert_array_equal(large[scaled((y, x), factor)], small)
    around = grown((y, x), 3, bounds)
    np.testing.assert_array_equal(plane[around][moved((y, x), around)], plane[y, x])


def loaded(scale: int, part: str, threads: int = 1) -> Network:
    return network(registry.checked_path(registry.for_scale(scale), part), threads)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("scale", SCALES)
def test_tiled_is_untiled(scale: int, part: str) -> None:
    channels, factors, out_factor, halo = PARTS[part](scale)
    rows, columns, size = 23, 17, 8
    rng = np.random.default_rng(scale)
    planes = [rng.random((c, rows * f, columns * f), np.float32) for c, f in zip(channels, factors)]
    net = loaded(scale, part)
    whole = net(*planes)
    tiled: NDArray[np.float32] = np.full_like(whole, np.nan)
    for tile in tiles((slice(0, rows), slice(0, columns)), (rows, columns), size, halo):
        result = net(*(p[:, *scaled(tile.outer, f)] for p, f in zip(planes, factors)))
        tiled[:, *scaled(tile.inner, out_factor)] = result[:, *scaled(tile.crop, out_factor)]
    assert np.abs(whole - tiled).max() <= 1e-6 * max(1, np.abs(whole).max())


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("scale", SCALES)
def test_threads_do_not_change_the_result(scale: int, part: str) -> None:
    channels, factors, _, _ = PARTS[part](scale)
    rng = np.random.default_rng(scale)
    planes = [rng.random((c, 19 * f, 26 * f), np.float32) for c, f in zip(channels, factors)]
    np.testing.assert_array_equal(loaded(scale, part, 1)(*planes), loaded(scale, part, 2)(*planes))


def test_a_network_is_loaded_once() -> None:
    assert loaded(3, "up") is loaded(3, "up")
    assert loaded(3, "up", 2) is not loaded(3, "up", 1)


def test_thread_count() -> None:
    assert thread_count(1) == 1
    assert thread_count(10**6) == thread_count(None)  # more would only wait for each other
    assert 1 <= thread_count(None) <= (os.cpu_count() or 1)


@pytest.mark.parametrize("threads", [0, -1, 1.0, True, "2"])
def test_impossible_thread_counts(threads: object) -> None:
    with pytest.raises(SettingError, match="at least 1"):
        thread_count(threads)  # type: ignore[arg-type]


PEAK_MIB = """
import resource, sys
import numpy as np
import dsncodec

picture = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
for scale in map(int, sys.argv[1:]):
    dsncodec.encode(picture, scale=scale, threads=1, entropy_coder="lzma2")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has another unit elsewhere")
def test_networks_of_all_scales_share_their_memory():
    """It grows to the largest need of one network: with a pool for each, three scales took three times x2's."""

    def peak_mib(*scales: str) -> int:
        done = subprocess.run(
            [sys.executable, "-c", PEAK_MIB, *scales], capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    assert peak_mib("4", "3", "2") < peak_mib("2") + 60
