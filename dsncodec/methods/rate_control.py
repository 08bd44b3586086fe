"""Rate control: which operating point serves a quality or a target, for methods that have a ladder of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import SettingError
from ..metrics import psnr_db, ssimulacra2
from ..planes import squeezed, with_original
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
    # where the picture shows, (H, W); None: everywhere
    seen: NDArray[np.bool_] | None
    # whether bytes and PSNR may fall along the points: flat graphics
    uneven: bool

    @property
    def points(self) -> Sequence[P]:
        """What targets choose from; bytes and PSNR rise along them, but for flat graphics."""

    def point_of_quality(self, quality: int) -> P:
        """The operating point of quality 0..100."""

    def between(self, low: P, high: P) -> Sequence[P]:
        """Finer steps between two neighbours of ``points``, if there are any."""

    def reconstruct(self, point: P) -> UInt8Array:
        """The colour planes a reader gets."""

    def size(self, point: P) -> int:
        """Bytes of what carries the colours there, with little work; of an uneven ladder alone."""

    def distance(self, point: P) -> float:
        """How far they are from the original, where it shows, on the ladder's own scale; of an uneven ladder alone."""


class _OutOfReach(Exception):
    """No operating point meets the target; the message says how far they go."""


@dataclass(frozen=True)
class Exact:
    """A file without loss. ``within`` gives it if it has at most so many bytes, or None, without the work where that cannot be;
    ``file`` gives it, whatever it takes."""

    within: Callable[[int], bytes | None]
    file: Callable[[], bytes]


# Along the points of a flat picture: every so manieth is looked at, and this many to either side of the best
STRIDE = 4
BESIDE = 2
# A lower point is only looked at for quality where it has nearly as many bytes
NEARLY_AS_LARGE = 0.9


class _Search(Generic[P]):
    """Files of points of a ladder, each made once, and the PSNR of what they show."""

    def __init__(self, ladder: Ladder[P], pack: Callable[[P], bytes]) -> None:
        self.ladder, self.points, self._pack = ladder, ladder.points, pack
        self.files: dict[P, bytes] = {}
        self._psnr: dict[P, float] = {}

    def file(self, point: P) -> bytes:
        """A whole file."""
        if point not in self.files:
            self.files[point] = self._pack(point)
        return self.files[point]

    def psnr_db(self, point: P) -> float:
        """Where the picture shows."""
        if point not in self._psnr:
            self._psnr[point] = seen_psnr_db(self.ladder, self.ladder.reconstruct(point))
        return self._psnr[point]

    def beside(self, index: int) -> list[int]:
        """The neighbours of a point, and itself."""
        return list(range(max(0, index - BESIDE), min(len(self.points), index + BESIDE + 1)))

    def spread(self) -> list[int]:
        """Points from end to end."""
        return sorted({*range(0, len(self.points), STRIDE), len(self.points) - 1})


def seen_psnr_db(ladder: Ladder[P], shown: UInt8Array) -> float:
    """PSNR of a picture, where it shows."""
    if ladder.seen is None:
        return psnr_db(ladder.colour, shown)
    return psnr_db(ladder.colour[ladder.seen], shown[ladder.seen])


def search(
    ladder: Ladder[P], target: Target, pack: Callable[[P], bytes], exact: Exact | None = None
) -> bytes:
    """The codestream that serves the target.

    Args:
        pack: a whole codestream at an operating point; its length is the real file's.
        exact: the file without loss, taken where it is no larger than the other, or alone reaches the target.
    Raises:
        SettingError: no operating point reaches the target; the message says how far they go.
    """
    rows, columns = ladder.colour.shape[:2]
    limit = target.bytes_for(rows * columns)
    tries = _Search(ladder, pack)
    if limit is not None:
        if exact is not None and (data := exact.within(limit)) is not None:
            return data
        return _largest_within(tries, limit)
    try:
        data = _reaching(tries, target)
    except _OutOfReach as exc:
        if exact is None:
            raise SettingError(str(exc)) from None
        return exact.file()
    if exact is not None and (whole := exact.within(len(data))) is not None:
        return whole
    if ladder.uneven and target.psnr_db is None and target.ssimulacra2 is None:
        return _no_worse_below(tries, ladder.point_of_quality(_quality(target)))
    return data


def _reaching(tries: _Search[P], target: Target) -> bytes:
    """The file of a quality, or the smallest one found that is good enough."""
    ladder = tries.ladder
    if target.psnr_db is not None:
        return _cheapest_above(tries, target.psnr_db)
    if target.ssimulacra2 is not None:
        return _cheapest_scoring(tries, target.ssimulacra2)
    return tries.file(ladder.point_of_quality(_quality(target)))


def _quality(target: Target) -> int:
    return DEFAULT_QUALITY if target.quality is None else target.quality


def _no_worse_below(tries: _Search[P], point: P) -> bytes:
    """Of an uneven ladder: the file of a point, or of one a little below that is no larger and nearer to the original."""
    ladder, points = tries.ladder, tries.points
    at = list(points).index(point)
    best = point
    for other in points[max(0, at - BESIDE) : at]:
        if ladder.size(other) >= NEARLY_AS_LARGE * ladder.size(point):
            smaller = len(tries.file(other)) <= len(tries.file(best))
            if smaller and ladder.distance(other) <= ladder.distance(best):
                best = other
    return tries.file(best)


def _last_true(count: int, test: Callable[[int], bool]) -> int:
    """The last index of 0..count-1 where ``test`` holds, if it holds up to there; -1 for none."""
    low, high = -1, count
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if test(middle) else (low, middle)
    return low


def _largest_within(tries: _Search[P], max_bytes: int) -> bytes:
    """The largest file that fits, of all that were tried: on the way to the last point that does, and between it and the next.

    Of an uneven ladder the nearest to the original of the largest ones that fit, of points from end to end and beside the last.
    """
    points = tries.points
    last = _last_true(len(points), lambda i: len(tries.file(points[i])) <= max_bytes)
    if tries.ladder.uneven:
        return _nearest_within(tries, last, max_bytes)
    if last < 0:
        raise _too_small(tries, max_bytes)
    if last + 1 < len(points):
        finer = tries.ladder.between(points[last], points[last + 1])
        _last_true(len(finer), lambda i: len(tries.file(finer[i])) <= max_bytes)
    return max((file for file in tries.files.values() if len(file) <= max_bytes), key=len)


def _too_small(tries: _Search[P], max_bytes: int) -> SettingError:
    least = min(map(len, tries.files.values()))
    return SettingError(
        f"no setting reaches {max_bytes} bytes: the smallest file of this picture has {least} bytes"
    )


def _nearest_within(tries: _Search[P], last: int, max_bytes: int) -> bytes:
    """Of an uneven ladder, whose last point that fits seems to be ``last``; see ``_largest_within``."""
    ladder, points = tries.ladder, tries.points
    sizes = {i: ladder.size(points[i]) for i in {*tries.spread(), *tries.beside(max(0, last))}}
    most = max((i for i, size in sizes.items() if size <= max_bytes), default=0)
    sizes |= {i: ladder.size(points[i]) for i in tries.beside(most)}
    fitting = 0
    for index in sorted(
        (i for i, size in sizes.items() if size <= max_bytes), key=sizes.__getitem__, reverse=True
    ):
        fitting += len(tries.file(points[index])) <= max_bytes
        if fitting == MOST_JUDGED:
            break
    found = [point for point, file in tries.files.items() if len(file) <= max_bytes]
    if not found:
        tries.file(points[min(sizes, key=sizes.__getitem__)])
        raise _too_small(tries, max_bytes)
    return tries.file(min(found, key=ladder.distance))


def _cheapest_above(tries: _Search[P], target_db: float) -> bytes:
    """The smallest file found whose decoded picture has at least this PSNR: of the first point that does, and those tried on the way;
    of an uneven ladder also those beside it, and from end to end."""
    points, uneven = tries.points, tries.ladder.uneven

    def falls_short(index: int) -> bool:
        return tries.psnr_db(points[index]) < target_db

    first = _last_true(len(points), falls_short) + 1
    looked = {min(first, len(points) - 1), len(points) - 1} if first == len(points) else {first}
    if uneven:
        size = tries.ladder.size
        smaller = [i for i in tries.spread() if first == len(points) or size(points[i]) < size(points[first])]
        smaller = sorted(smaller, key=lambda i: size(points[i]), reverse=True)[:MOST_JUDGED]
        looked |= {0, len(points) - 1, *smaller, *tries.beside(min(first, len(points) - 1))}
    reaching = [i for i in sorted(looked) if not falls_short(i)]
    if not reaching:
        best = max(tries.psnr_db(points[i]) for i in looked)
        raise _OutOfReach(f"no setting reaches {target_db:g} dB: the best of this picture is {best:.2f} dB")
    return min((tries.file(points[i]) for i in reaching), key=len)


# Points of SSIMULACRA 2 that one step of quality buys, about, where nothing is known yet
POINTS_A_STEP = 1.0
MOST_SCORED = 4
# Of the largest files of a flat picture that fit, so many are compared
MOST_JUDGED = 4


def _cheapest_scoring(tries: _Search[P], target: float) -> bytes:
    """The smallest file found whose decoded picture has at least this SSIMULACRA 2: of at most ``MOST_SCORED`` that are coded, or
    of more where none of those reaches it.

    Begins where quality says, and goes on where a straight line between what is known meets the target.
    """
    ladder, points = tries.ladder, list(tries.points)
    scores: dict[int, float] = {}
    low, high = -1, len(points)
    at = points.index(ladder.point_of_quality(round(target)))
    while high - low > 1 and (len(scores) < MOST_SCORED or high == len(points)):
        shown = with_original(ladder.colour, ladder.reconstruct(points[at]), ladder.seen)
        scores[at] = ssimulacra2(squeezed(ladder.colour), squeezed(shown))
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
    reaching = [i for i, score in scores.items() if score >= target]
    if not reaching:
        raise _OutOfReach(
            f"no setting reaches a SSIMULACRA 2 of {target:g}: the best of this picture is {max(scores.values()):.2f}"
        )
    return min((tries.file(points[i]) for i in reaching), key=len)
