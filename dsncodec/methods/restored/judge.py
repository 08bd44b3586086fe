"""How near a picture is to its original, as an encoder asks before it gives one away: by squared error, or by the eye."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...metrics import Ssimulacra2, mean_squared_error, psnr_of
from ...planes import squeezed, with_original
from .. import Window
from .similarity import Similarity

UInt8Array = NDArray[np.uint8]
# a window of a picture, (rows, columns, 1 or 3): a judge asks only for what it looks at
Shown = Callable[[Window], UInt8Array]


# where a picture shows, (H, W); None: everywhere
Seen = NDArray[np.bool_] | None


def squared_error(colour: UInt8Array, shown: UInt8Array, seen: Seen) -> float:
    """The mean over all samples that show."""
    if seen is None:
        return mean_squared_error(colour, shown)
    return mean_squared_error(colour[seen], shown[seen])


class Judge(Protocol):
    """Made from the original (H, W, 1 or 3), and from where it shows."""

    def __call__(self, shown: Shown) -> tuple[float, float]:
        """The distance of a picture, 0 when equal; and by a second opinion how similar it is, which must stay whatever the
        distance."""


class SquaredJudge:
    """The mean squared error over all samples, and SSIM of luma."""

    def __init__(self, colour: UInt8Array, seen: Seen = None) -> None:
        self._colour, self._seen, self._similarity = colour, seen, Similarity(colour)

    def __call__(self, shown: Shown) -> tuple[float, float]:
        """See ``Judge``."""
        picture = shown((slice(0, self._colour.shape[0]), slice(0, self._colour.shape[1])))
        error = squared_error(self._colour, picture, self._seen)
        return error, self._similarity(with_original(self._colour, picture, self._seen))


class VisualJudge:
    """100 less SSIMULACRA 2, and PSNR: of the whole picture up to ``MOST_PIXELS``, and of a larger one the mean over squares that
    are spread over it and are as large together."""

    MOST_PIXELS = 2**21
    SIDE = 512

    def __init__(self, colour: UInt8Array, seen: Seen = None) -> None:
        self._colour, self._seen = colour, seen
        rows, columns = colour.shape[:2]
        self._parts = [(slice(0, rows), slice(0, columns))]
        if rows * columns > self.MOST_PIXELS:
            self._parts = self._spread(rows, columns)
        self._references = [Ssimulacra2(squeezed(colour[part])) for part in self._parts]

    def _spread(self, rows: int, columns: int) -> list[tuple[slice, slice]]:
        """Squares on a grid with the picture's own proportions; strips of a picture that is narrower than a square."""
        tall, wide = min(rows, self.SIDE), min(columns, self.SIDE)
        wanted = self.MOST_PIXELS // (tall * wide)
        down = int(np.clip(round((wanted * rows / columns) ** 0.5), 1, min(wanted, rows // tall)))
        across = int(np.clip(wanted // down, 1, columns // wide))
        tops, lefts = _places(rows - tall, down), _places(columns - wide, across)
        return [(slice(y, y + tall), slice(x, x + wide)) for y in tops for x in lefts]

    def __call__(self, shown: Shown) -> tuple[float, float]:
        """See ``Judge``."""
        scores, errors = [], []
        for reference, part in zip(self._references, self._parts):
            picture = with_original(self._colour[part], shown(part), self._in(part))
            scores.append(reference(squeezed(picture)))
            errors.append(mean_squared_error(self._colour[part], picture))
        return 100 - float(np.mean(scores)), psnr_of(float(np.mean(errors)))

    def _in(self, part: tuple[slice, slice]) -> Seen:
        """Where a part shows."""
        return None if self._seen is None else self._seen[part]


def _places(last: int, count: int) -> list[int]:
    """Evenly from 0 to the last place; one alone in the middle."""
    return [last // 2] if count == 1 else [int(place) for place in np.linspace(0, last, count)]
