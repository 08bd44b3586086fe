"""Where pixels are missing: areas grown and shrunk, holes told apart, windows around them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]

# pixels of the blocks by which holes are told apart: nearer ones are one hole
BLOCK = 16


@dataclass(frozen=True)
class Window:
    """Rows and columns of a part of a picture, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """For an array (H, W, ...)."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def grown(self, margin: int, shape: tuple[int, int]) -> Window:
        """With ``margin`` more pixels at each side, as far as a picture of ``shape`` (H, W) goes."""
        return Window(
            max(self.top - margin, 0),
            min(self.bottom + margin, shape[0]),
            max(self.left - margin, 0),
            min(self.right + margin, shape[1]),
        )

    def inside(self, other: Window) -> tuple[slice, slice]:
        """Where this window lies in ``other``, which holds it."""
        return (
            slice(self.top - other.top, self.bottom - other.top),
            slice(self.left - other.left, self.right - other.left),
        )


def box_sum(values: BoolArray | NDArray[np.float32], reach: int) -> NDArray[np.float64] | NDArray[np.int32]:
    """Sums over squares of 2 ``reach`` + 1 pixels around each; nothing lies outside. (H, W) to (H, W)."""
    side = 2 * reach + 1
    height, width = values.shape
    total = np.zeros((height + side, width + side), np.int32 if values.dtype == np.bool_ else np.float64)
    total[reach + 1 : reach + 1 + height, reach + 1 : reach + 1 + width] = values
    np.cumsum(total, 0, out=total)
    np.cumsum(total, 1, out=total)
    return total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]


def grown(area: BoolArray, reach: int) -> BoolArray:
    """Pixels with one of ``area`` at most ``reach`` rows and columns away.

    >>> grown(np.array([[False, False, True, False]]), 1).astype(int).tolist()
    [[0, 1, 1, 1]]
    """
    return np.asarray(box_sum(area, reach) > 0)


def shrunk(area: BoolArray, reach: int) -> BoolArray:
    """Pixels with nothing but ``area`` so near; what lies outside the picture counts as area.

    >>> shrunk(np.array([[True, True, True, False]]), 1).astype(int).tolist()
    [[1, 1, 0, 0]]
    """
    return ~grown(~area, reach)


def depths(area: BoolArray, most: int) -> NDArray[np.float32]:
    """How many pixels each of ``area`` lies inside it, at its rim 1, at most ``most``; 0 outside."""
    found = np.zeros(area.shape, np.float32)
    for _ in range(most):
        if not area.any():
            break
        found += area
        area = shrunk(area, 1)
    return found


def deepest(area: BoolArray) -> int:
    """The greatest depth in ``area``."""
    least, most = 0, max(area.shape)
    while least < most:
        middle = (least + most + 1) // 2
        if shrunk(area, middle - 1).any():
            least = middle
        else:
            most = middle - 1
    return least


def holes(area: BoolArray) -> list[tuple[Window, BoolArray]]:
    """Parts of ``area`` that lie apart: the window of each, tight, and its pixels in there (h, w)."""
    height, width = area.shape
    blocks = np.pad(area, ((0, -height % BLOCK), (0, -width % BLOCK)))
    blocks = np.asarray(blocks.reshape(blocks.shape[0] // BLOCK, BLOCK, -1, BLOCK).any((1, 3)))
    left = set(zip(*(side.tolist() for side in np.nonzero(blocks))))
    found = []
    for first in sorted(left):
        if first not in left:
            continue
        left.remove(first)
        members, front = [first], [first]
        while front:
            y, x = front.pop()
            near = [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
            fresh = [place for place in near if place in left]
            left.difference_update(fresh)
            members += fresh
            front += fresh
        rows, columns = np.array(members).T
        top, start = rows.min(), columns.min()
        own = np.zeros((rows.max() + 1 - top, columns.max() + 1 - start), np.bool_)
        own[rows - top, columns - start] = True
        own = own.repeat(BLOCK, 0).repeat(BLOCK, 1)
        top, start = top * BLOCK, start * BLOCK
        part = area[top : top + own.shape[0], start : start + own.shape[1]]
        part = np.logical_and(part, own[: part.shape[0], : part.shape[1]])
        ys, xs = np.flatnonzero(part.any(1)), np.flatnonzero(part.any(0))
        tight = Window(int(top + ys[0]), int(top + ys[-1] + 1), int(start + xs[0]), int(start + xs[-1] + 1))
        found.append((tight, part[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1]))
    return found


def tiles(shape: tuple[int, int], side: int) -> list[Window]:
    """Windows of at most ``side`` x ``side`` pixels that cover a picture of ``shape`` (H, W)."""
    return [
        Window(top, min(top + side, shape[0]), left, min(left + side, shape[1]))
        for top in range(0, shape[0], side)
        for left in range(0, shape[1], side)
    ]
