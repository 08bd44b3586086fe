"""Rate control: which operating point serves a quality or a target, for methods that have a ladder of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import SettingError
from ..metrics import psnr_db, ssimulacra2
from ..planes import squeezed
from ..validation import positive, whole

UInt8Array = NDArray[np.uint8]

DEFAULT_QUALITY = 75

P = TypeVar("P")


@dataclass(frozen=True)
class Target:
    """What the caller asked for; at most one of the fields is set. None of them: the method's default quality."""

    quality: int | None = None
    max_bytes: int | None = None
    max_bpp: float | None = None
    psnr_db: float | None = None
    ssimulacra2: float | None = None

    @classmethod
    def of(
        cls,
        quality: int | None = None,
        target_bytes: int | None = None,
        target_bpp: float | None = None,
        target_psnr_db: float | None = None,
        target_ssimulacra2: float | None = None,
        explicit: Sequence[str] = (),
    ) -> Target:
        """From the keywords of ``encode``. ``explicit`` names settings that say as much as a target.

        Raises:
            SettingError: more than one is given, or an impossible value.
        """
        asked = {
            "quality": quality,
            "target_bytes": target_bytes,
            "target_bpp": target_bpp,
            "target_psnr_db": target_psnr_db,
            "target_ssimulacra2": target_ssimulacra2,
        }
        given = [name for name, value in asked.items() if value is not None]
        if explicit:
            given.append("/".join(explicit))
        if len(given) > 1:
            known = f"{', '.join(asked)}, or the operating point itself"
            raise SettingError(f"give one of {known}, not {' and '.join(given)}")
        return cls(
            None if quality is None else whole("quality", quality, 0, 100),
            None if target_bytes is None else int(positive("target_bytes", target_bytes)),
            None if target_bpp is None else positive("target_bpp", target_bpp),
            None if target_psnr_db is None else positive("target_psnr_db", target_psnr_db),
            None if target_ssimulacra2 is None else _score(target_ssimulacra2),
        )

    def bytes_for(self, pixels: int) -> int | None:
        """The most bytes that the file of a picture may have, if they are limited."""
        return int(self.max_bpp * pixels / 8) if self.max_bpp is not None else self.max_bytes


def _score(target: float) -> float:
    """Raises SettingError unless this is a score that a lossy file can have."""
    score = positive("target_ssimulacra2", target)
    if score >= 100:
        raise SettingError(f"target_ssimulacra2 must be below 100, not {target!r}")
    return score


class Ladder(Protocol[P]):
    """The operating points of one picture, from cheap to good."""

    colour: UInt8Array

    @property
    def points(self) -> Sequence[P]:
        """What targets choose from; bytes and PSNR rise along them."""

    def point_of_quality(self, quality: int) -> P:
        """The operating point of quality 0..100."""

    def between(self, low: P, high: P) -> Sequence[P]:
        """Finer steps between two neighbours of ``points``, if there are any."""

    def reconstruct(self, point: P) -> UInt8Array:
        """The colour planes a reader gets."""


def search(ladder: Ladder[P], target: Target, pack: Callable[[P], bytes]) -> bytes:
    """The codestream that serves the target.

    Args:
        pack: a whole codestream at an operating point; its length is the real file's.
    Raises:
        SettingError: no operating point reaches the target; the message says how far they go.
    """
    rows, columns = ladder.colour.shape[:2]
    limit = target.bytes_for(rows * columns)
    if limit is not None:
        return _largest_within(ladder, limit, pack)
    if target.psnr_db is not None:
        return pack(_cheapest_above(ladder, target.psnr_db))
    if target.ssimulacra2 is not None:
        return pack(_cheapest_scoring(ladder, target.ssimulacra2))
    return pack(ladder.point_of_quality(DEFAULT_QUALITY if target.quality is None else target.quality))


def _last_true(count: int, test: Callable[[int], bool]) -> int:
    """The last index of 0..count-1 where ``test`` holds, if it holds up to there; -1 for none."""
    low, high = -1, count
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if test(middle) else (low, middle)
    return low


def _largest_within(ladder: Ladder[P], max_bytes: int, pack: Callable[[P], bytes]) -> bytes:
    """The best point that fits, then the finer ones between it and the next."""
    files: dict[P, bytes] = {}

    def fits(point: P) -> bool:
        if point not in files:
            files[point] = pack(point)
        return len(files[point]) <= max_bytes

    points = ladder.points
    best = _last_true(len(points), lambda i: fits(points[i]))
    if best < 0:
        raise SettingError(
            f"no setting reaches {max_bytes} bytes: the smallest file of this picture "
            f"has {len(files[points[0]])} bytes"
        )
    point = points[best]
    if best + 1 < len(points):
        finer = ladder.between(point, points[best + 1])
        last = _last_true(len(finer), lambda i: fits(finer[i]))
        point = finer[last] if last >= 0 else point
    return files[point]


def _cheapest_above(ladder: Ladder[P], target_db: float) -> P:
    """The first point whose decoded picture has at least this PSNR."""
    points, reached = ladder.points, dict[int, float]()

    def falls_short(index: int) -> bool:
        reached[index] = psnr_db(ladder.colour, ladder.reconstruct(points[index]))
        return reached[index] < target_db

    index = _last_true(len(points), falls_short) + 1
    if index == len(points):
        raise SettingError(
            f"no setting reaches {target_db:g} dB: the best of this picture is {max(reached.values()):.2f} dB"
        )
    return points[index]


# Points of SSIMULACRA 2 that one step of quality buys, about, where nothing is known yet
POINTS_A_STEP = 1.0
MOST_SCORED = 4


def _cheapest_scoring(ladder: Ladder[P], target: float) -> P:
    """The first point found whose decoded picture has at least this SSIMULACRA 2: of at most ``MOST_SCORED`` that are coded, or
    of more where none of those reaches it.

    Begins where quality says, and goes on where a straight line between what is known meets the target.
    """
    points = list(ladder.points)
    scores: dict[int, float] = {}
    low, high = -1, len(points)
    at = points.index(ladder.point_of_quality(round(target)))
    while high - low > 1 and (len(scores) < MOST_SCORED or high == len(points)):
        scores[at] = ssimulacra2(squeezed(ladder.colour), squeezed(ladder.reconstruct(points[at])))
        low, high = (low, at) if scores[at] >= target else (at, high)
        wanted = target - scores[at]
        if low in scores and high in scores:
            at = low + math.ceil((target - scores[low]) / (scores[high] - scores[low]) * (high - low))
            # the last one shall reach it: curves bend below the straight line
            at += len(scores) == MOST_SCORED - 1
        elif len(scores) > MOST_SCORED:
            at = (low + high) // 2
        else:
            at += math.floor(wanted / POINTS_A_STEP) if wanted < 0 else math.ceil(wanted / POINTS_A_STEP) + 1
        at = min(max(at, low + 1), high - 1)
    if high == len(points):
        raise SettingError(
            f"no setting reaches a SSIMULACRA 2 of {target:g}: the best of this picture is {max(scores.values()):.2f}"
        )
    return points[high]
