"""Rate control: which operating point serves a quality or a target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from . import weights
from .checks import whole
from .codecs.layer import Point
from .errors import SettingError
from .metrics import psnr_db
from .quantise import check_levels

UInt8Array = NDArray[np.uint8]

DEFAULT_QUALITY = 75


class Encoder(Protocol):
    """What a coding method's encoder offers to the search."""

    colour: UInt8Array

    def reconstruct(self, point: Point) -> UInt8Array:
        """The colour planes a reader gets."""


@dataclass(frozen=True)
class Target:
    """What the caller asked for; at most one of the fields is set."""

    quality: int | None = None
    max_bytes: int | None = None
    max_bpp: float | None = None
    psnr_db: float | None = None
    point: Point | None = None


def table() -> list[Point]:
    """The operating points of rising quality, as published with the models."""
    return [Point(*row) for row in weights.quality_table()]


def point_of_quality(quality: int) -> Point:
    """The operating point of quality 0..100.

    Raises:
        SettingError: not a whole number in 0..100.
    """
    quality = whole("quality", quality, 0, 100)
    points = table()
    return points[(quality * (len(points) - 1) + 50) // 100]


def explicit_point(scale: int | None, levels: int | None, chroma_levels: int | None) -> Point:
    """The operating point of explicit settings: scale 3 and 256 levels unless told otherwise."""
    scale, levels = 3 if scale is None else scale, 256 if levels is None else levels
    chroma_levels = levels if chroma_levels is None else chroma_levels
    return Point(
        weights.for_scale(scale).scale,
        check_levels(levels),
        check_levels(chroma_levels, "chroma_levels"),
    )


def encode_to_target(encoder: Encoder, target: Target, pack: Callable[[Point], bytes]) -> bytes:
    """The codestream that serves the target.

    Args:
        pack: a whole codestream at an operating point; its length is the real file's.
    Raises:
        SettingError: no operating point reaches the target; the message says how far they go.
    """
    if target.point is not None:
        return pack(target.point)
    if target.max_bytes is not None:
        return _largest_within(table(), target.max_bytes, pack)
    if target.max_bpp is not None:
        rows, columns = encoder.colour.shape[:2]
        return _largest_within(table(), int(target.max_bpp * rows * columns / 8), pack)
    if target.psnr_db is not None:
        return pack(_cheapest_above(table(), target.psnr_db, encoder))
    return pack(point_of_quality(DEFAULT_QUALITY if target.quality is None else target.quality))


def _last_true(count: int, test: Callable[[int], bool]) -> int:
    """The last index of 0..count-1 where ``test`` holds, if it holds up to there; -1 for none."""
    low, high = -1, count
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if test(middle) else (low, middle)
    return low


def _largest_within(points: list[Point], max_bytes: int, pack: Callable[[Point], bytes]) -> bytes:
    """The best point of the table that fits, then the levels between it and the next one."""
    files: dict[Point, bytes] = {}

    def fits(point: Point) -> bool:
        if point not in files:
            files[point] = pack(point)
        return len(files[point]) <= max_bytes

    best = _last_true(len(points), lambda i: fits(points[i]))
    if best < 0:
        raise SettingError(
            f"no setting reaches {max_bytes} bytes: the smallest file of this picture "
            f"has {len(files[points[0]])} bytes"
        )
    point = points[best]
    if best + 1 < len(points) and points[best + 1].scale == point.scale:
        between = _between(point, points[best + 1])
        finer = _last_true(len(between), lambda i: fits(between[i]))
        point = between[finer] if finer >= 0 else point
    return files[point]


def _between(low: Point, high: Point) -> list[Point]:
    """The points strictly between two of one scale, luma levels one by one, chroma in proportion."""
    steps = high.levels - low.levels
    return [
        Point(
            low.scale,
            low.levels + i,
            low.chroma_levels + (high.chroma_levels - low.chroma_levels) * i // steps,
        )
        for i in range(1, steps)
    ]


def _cheapest_above(points: list[Point], target_db: float, encoder: Encoder) -> Point:
    """The first point of the table whose decoded picture has at least this PSNR."""
    reached: dict[int, float] = {}

    def falls_short(index: int) -> bool:
        reached[index] = psnr_db(encoder.colour, encoder.reconstruct(points[index]))
        return reached[index] < target_db

    index = _last_true(len(points), falls_short) + 1
    if index == len(points):
        raise SettingError(
            f"no setting reaches {target_db:g} dB: the best of this picture is {max(reached.values()):.2f} dB"
        )
    return points[index]
