"""Missing pixels filled in from the rest of a picture, by NumPy alone: thin holes smoothly, wide ones by exemplars.

The same picture and mask give the same pixels, however many threads there are and whatever else a machine does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from .areas import BoolArray, Window, deepest, grown, holes, shrunk, tiles
from .exemplars import STEPS, exemplary
from .smooth import harmonic, plate

UInt8Array = NDArray[np.uint8]
Report = Callable[[float, float], None]
# where pixels are to be set, which of them, to what, and how far a wide hole is from its exemplars
Patch = tuple[Window, BoolArray, UInt8Array, float]

# A hole is wide where a square of 2 THIN + 1 pixels has room in it; what lies within NEAR more pixels is filled with it
THIN = 5
NEAR = 4
# Sides of the tiles in which thin holes are filled, and pixels around them that are filled along and thrown away
TILE = 384
AROUND = 24
# Pixels around a wide hole that exemplars come from: so many for each of its depth, at least and at most
MARGIN = 4
MARGINS = (48, 512)


def filled(
    pixels: UInt8Array,
    missing: BoolArray,
    steps: int | None = None,
    threads: int = 1,
    report: Report | None = None,
) -> UInt8Array:
    """A picture with its missing pixels filled in.

    Args:
        pixels: (H, W, C), 1 or 3 planes; what is missing is not looked at.
        missing: (H, W), not all True.
        steps: iterations at each size of a wide hole's window, at most; default: 10.
        threads: tiles and holes that are worked on at once.
        report: called after each with the part of them that is done, and how far a wide hole is from its exemplars: the mean
            square, as a part of 255**2; 0 for thin ones.
    Returns:
        (H, W, C); known pixels as they were.
    """
    wide = wide_of(missing)
    thin = missing & ~wide
    of_thin = [tile for tile in tiles(missing.shape, TILE) if thin[tile.slices].any()]
    of_wide = holes(wide)
    made, done = pixels.copy(), 0
    with ThreadPoolExecutor(threads) as pool:

        def put(patches: Iterator[Patch]) -> None:
            nonlocal done
            for window, chosen, values, apart in patches:
                made[window.slices][chosen] = values[chosen]
                done += 1
                if report is not None:
                    report(done / (len(of_thin) + len(of_wide)), apart)

        put(pool.map(lambda tile: _smooth(pixels, thin, wide, tile), of_thin))
        # wide holes see what thin ones became, and none sees another: what others do at the same time is nothing to it
        seen = made.copy() if of_wide else made
        put(pool.map(lambda hole: _from_exemplars(seen, thin, wide, hole, steps or STEPS), of_wide))
    return made


def wide_of(missing: BoolArray) -> BoolArray:
    """The part of ``missing`` that is too wide to be filled smoothly."""
    wide = np.zeros_like(missing)
    for tile in tiles(missing.shape, 4 * TILE):
        around = tile.grown(2 * THIN + NEAR, missing.shape)
        part = missing[around.slices]
        if part.any():
            part = part & grown(shrunk(part, THIN), THIN + NEAR)
            wide[tile.slices] = part[tile.inside(around)]
    return wide


def _smooth(pixels: UInt8Array, thin: BoolArray, wide: BoolArray, tile: Window) -> Patch:
    """The thin holes of a tile."""
    around = tile.grown(AROUND, thin.shape)
    surface = plate(pixels[around.slices].astype(np.float32), thin[around.slices], wide[around.slices])
    return tile, thin[tile.slices], _rounded(surface[tile.inside(around)]), 0.0


def _from_exemplars(
    pixels: UInt8Array, thin: BoolArray, wide: BoolArray, place: tuple[Window, BoolArray], steps: int
) -> Patch:
    """One wide hole: from exemplars, or as a membrane where too little is known."""
    tight, own = place
    # at the picture's edge a hole is as deep as it is far from what is known
    hole = tight.grown(1, wide.shape)
    chosen = np.zeros((hole.bottom - hole.top, hole.right - hole.left), np.bool_)
    chosen[tight.inside(hole)] = own
    margin = int(np.clip(MARGIN * deepest(chosen), *MARGINS))
    around = hole.grown(margin, wide.shape)
    missing = np.zeros((around.bottom - around.top, around.right - around.left), np.bool_)
    missing[hole.inside(around)] = chosen
    all_wide = wide[around.slices]
    # no patch shows what other holes were before
    shown = harmonic(pixels[around.slices].astype(np.float32), all_wide)
    others = all_wide & ~missing
    found = exemplary(shown, missing, others | thin[around.slices], steps)
    if found is None:
        found = exemplary(shown, missing, others, steps)
    surface, apart = (shown, 0.0) if found is None else found
    return hole, chosen, _rounded(surface[hole.inside(around)]), apart


def _rounded(surface: NDArray[np.float32]) -> UInt8Array:
    return np.asarray(np.clip(surface + 0.5, 0, 255), np.uint8)
