"""Rate control: which operating point serves a quality or a target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import SettingError
from .metrics import psnr_db

UInt8Array = NDArray[np.uint8]
Point = Any  # a coding method's own: what fixes rate and quality

DEFAULT_QUALITY = 75


class Encoder(Protocol):
    """What a coding method's encoder offers to the search."""

    colour: UInt8Array

    @property
    def points(self) -> Sequence[Point]:
        """What targets choose from; bytes and PSNR rise along them."""

    def point_of_quality(self, quality: int, backend: str) -> Point:
        """The operating point of quality 0..100."""

    def between(self, low: Point, high: Point) -> Sequence[Point]:
        """Finer steps between two neighbours of ``points``, if there are any."""

    def reconstruct(self, point: Point, backend: str) -> UInt8Array:
        """The colour planes a reader gets."""


@dataclass(frozen=True)
class Target:
    """What the caller asked for; at most one of the fields is set."""

    quality: int | None = None
    max_bytes: int | None = None
    max_bpp: float | None = None
    psnr_db: float | None = None
    point: Point | None = None


def encode_to_target(encoder: Encoder, target: Target, backend: str, pack: Callable[[Point], bytes]) -> bytes:
    """The codestream that serves the target.

    Args:
        pack: a whole codestream at an operating point; its length is the real file's.
    Raises:
        SettingError: no operating point reaches the target; the message says how far they go.
    """
    if target.point is not None:
        return pack(target.point)
    if target.max_bytes is not None:
        return _largest_within(encoder, target.max_bytes, pack)
    if target.max_bpp is not None:
        rows, columns = encoder.colour.shape[:2]
        return _largest_within(encoder, int(target.max_bpp * rows * columns / 8), pack)
    if target.psnr_db is not None:
        return pack(_cheapest_above(encoder, target.psnr_db, backend))
    quality = DEFAULT_QUALITY if target.quality is None else target.quality
    return pack(encoder.point_of_quality(quality, backend))


def _last_true(count: int, test: Callable[[int], bool]) -> int:
    """The last index of 0..count-1 where ``test`` holds, if it holds up to there; -1 for none."""
    low, high = -1, count
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if test(middle) else (low, middle)
    return low


def _largest_within(encoder: Encoder, max_bytes: int, pack: Callable[[Point], bytes]) -> bytes:
    """The best point that fits, then the finer ones between it and the next."""
    files: dict[Point, bytes] = {}

    def fits(point: Point) -> bool:
        if point not in files:
            files[point] = pack(point)
        return len(files[point]) <= max_bytes

    points = encoder.points
    best = _last_true(len(points), lambda i: fits(points[i]))
    if best < 0:
        raise SettingError(
            f"no setting reaches {max_bytes} bytes: the smallest file of this picture "
            f"has {len(files[points[0]])} bytes"
        )
    point = points[best]
    if best + 1 < len(points):
        finer = encoder.between(point, points[best + 1])
        last = _last_true(len(finer), lambda i: fits(finer[i]))
        point = finer[last] if last >= 0 else point
    return files[point]


def _cheapest_above(encoder: Encoder, target_db: float, backend: str) -> Point:
    """The first point whose decoded picture has at least this PSNR."""
    points, reached = encoder.points, dict[int, float]()

    def falls_short(index: int) -> bool:
        reached[index] = psnr_db(encoder.colour, encoder.reconstruct(points[index], backend))
        return reached[index] < target_db

    index = _last_true(len(points), falls_short) + 1
    if index == len(points):
        raise SettingError(
            f"no setting reaches {target_db:g} dB: the best of this picture is {max(reached.values()):.2f} dB"
        )
    return points[index]
