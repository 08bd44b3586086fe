"""compare: how far two pictures are apart, in numbers, and the places where they differ most, as a picture."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from . import metrics
from .container import MAGIC, MAX_PIXELS
from .decoding import decode
from .errors import DsnWarning, SettingError, warn
from .planes import Picture, UInt8Array, squeezed, visible, with_original
from .reading import ImageLike, loaded, name_of, opened, read_picture

Box = tuple[int, int, int, int]  # left, top, right, bottom; the last two lie outside

# Least sides of what the metrics judge, in pixels
SSIM_SMALLEST, MS_SSIM_SMALLEST = 11, 161
PLACES = 4
CROP = 96  # sides of what a sheet shows, in pixels of the pictures
_CELL = 8  # errors are summed in squares of so many pixels
_SHOWN = 288  # about so large a crop is on the sheet: whole pixels, each repeated
_MARGIN, _LINE = 8, 14


@dataclass(frozen=True)
class Comparison:
    """How far a picture is from a reference; see ``compare``. Sizes are in pixels and bytes.

    ``reference_bytes`` and ``other_bytes`` are None of what is no file. PSNR is infinite where nothing differs; scores are None of
    pictures too small for them, ``alpha_psnr_db`` where neither has alpha. ``differing`` is the share of pixels that differ,
    ``largest`` the largest difference of a sample. ``places`` are where they differ most, the worst first, as (left, top, right,
    bottom), and ``sheet`` shows them.
    """

    width: int
    height: int
    reference_bytes: int | None
    other_bytes: int | None
    psnr_db: float
    psnr_y_db: float
    ssim: float | None
    ssim_y: float | None
    ms_ssim: float | None
    ssimulacra2: float | None
    alpha_psnr_db: float | None
    differing: float
    largest: int
    places: tuple[Box, ...]
    sheet: Image.Image = field(repr=False)

    @property
    def reference_bpp(self) -> float | None:
        """Bits per pixel of the reference's file."""
        return self._bpp(self.reference_bytes)

    @property
    def other_bpp(self) -> float | None:
        """Bits per pixel of the other's file."""
        return self._bpp(self.other_bytes)

    def _bpp(self, size_bytes: int | None) -> float | None:
        return None if size_bytes is None else metrics.bpp(size_bytes, self.width, self.height)


def compare(
    reference: ImageLike,
    other: ImageLike,
    *,
    places: int = PLACES,
    max_pixels: int | None = MAX_PIXELS,
    max_seconds: float | None = None,
    threads: int | None = None,
) -> Comparison:
    """Compare two pictures of one size: .dsn files, or whatever ``encode`` takes.

    Both are taken as they are shown, turned as their EXIF says. Colours are compared where the reference's alpha is not 0, and
    as they stand, whatever profiles say of them; PSNR and SSIM over red, green and blue, or grey where both are grey, and over
    luma.

    Args:
        places: at most so many, none of them over another, are shown.
        max_pixels, max_seconds, threads: of .dsn files, as for ``decode``.
    Raises:
        SettingError: pictures of different sizes.
        CodestreamError, LimitExceeded: as ``decode``.
        OSError: a path cannot be read, or holds no picture.
    Warns:
        DsnWarning: their ICC profiles differ.
        LossWarning: as ``encode``, of what is not compared.
    """
    limits = {"max_pixels": max_pixels, "max_seconds": max_seconds, "threads": threads}
    sides = (read(reference, "reference", **limits), read(other, "other", **limits))
    return Pair(*sides).compared(places)


@dataclass(frozen=True)
class Side:
    """One of the two: the picture as it is shown, what to call it, and the bytes of its file."""

    picture: Picture
    name: str
    size_bytes: int | None

    @property
    def alpha(self) -> UInt8Array | None:
        """(H, W), or None."""
        return self.picture.pixels[..., -1] if self.picture.mode.endswith("A") else None


def read(source: ImageLike, name: str, **limits: Any) -> Side:
    """One side; ``name`` is of what has none.

    Args:
        limits: keywords of ``decode``.
    Raises, Warns: as ``compare``.
    """
    size = None
    if isinstance(source, np.ndarray) and (source.ndim != 1 or source.dtype != np.uint8):
        return Side(read_picture(source), name, size)
    if isinstance(source, Image.Image):
        image = source
    else:
        with opened(source) as stream:
            data = stream.read()
        size = len(data)
        image = decode(data, **limits) if data.startswith(MAGIC) else loaded(data)
    with suppress(Exception):  # a stranger's EXIF may be broken: then it turns nothing
        image = ImageOps.exif_transpose(image)
    return Side(read_picture(image), name_of(source) or name, size)


class Pair:
    """Two pictures of one size: ``reference`` and ``other`` are their colours as they are compared, (H, W, 1 or 3)."""

    def __init__(self, one: Side, two: Side) -> None:
        """Bring both into one form.

        Raises:
            SettingError: they have different sizes.
        """
        self.sides = (one, two)
        sizes = [side.picture.size for side in self.sides]
        if sizes[0] != sizes[1]:
            turned = "; one is turned by 90 degrees" if sizes[0] == sizes[1][::-1] else ""
            (width, height), (other_width, other_height) = sizes
            raise SettingError(
                f"pictures of different sizes cannot be compared: {one.name} is {width} x {height}, "
                f"{two.name} {other_width} x {other_height}{turned}"
            )
        if one.picture.icc_profile != two.picture.icc_profile:
            warn("the ICC profiles differ: samples are compared as they stand", DsnWarning)
        channels = max(side.picture.colour.shape[2] for side in self.sides)
        self.reference, theirs = (
            side.picture.colour.repeat(channels // side.picture.colour.shape[2], 2) for side in self.sides
        )
        self.other = with_original(self.reference, theirs, visible(one.picture.pixels))
        self._shown = _on_white(one.alpha, self.reference), _on_white(two.alpha, self.other)

    def compared(self, places: int = PLACES) -> Comparison:
        """Measure, and look for the places."""
        ours, theirs = squeezed(self.reference), squeezed(self.other)
        lumas = metrics.luma(ours), metrics.luma(theirs)
        smallest = min(ours.shape[:2])
        alphas, alpha_db = [side.alpha for side in self.sides], None
        if any(alpha is not None for alpha in alphas):
            opaque = np.full(ours.shape[:2], 255, np.uint8)
            first, second = (opaque if alpha is None else alpha for alpha in alphas)
            alpha_db = metrics.psnr_db(first, second)
        differing, largest = _differences(*self._shown)
        found = _places(*self._shown, places)
        scores: dict[str, Any] = {
            "psnr_db": metrics.psnr_db(ours, theirs),
            "psnr_y_db": metrics.psnr_db(*lumas),
            "ssim": metrics.ssim(ours, theirs) if smallest >= SSIM_SMALLEST else None,
            "ssim_y": metrics.ssim(*lumas) if smallest >= SSIM_SMALLEST else None,
            "ms_ssim": metrics.ms_ssim(ours, theirs) if smallest >= MS_SSIM_SMALLEST else None,
            "ssimulacra2": metrics.ssimulacra2(ours, theirs)
            if smallest >= metrics.SSIMULACRA2_SMALLEST
            else None,
        }
        return Comparison(
            width=ours.shape[1],
            height=ours.shape[0],
            reference_bytes=self.sides[0].size_bytes,
            other_bytes=self.sides[1].size_bytes,
            **scores,
            alpha_psnr_db=alpha_db,
            differing=differing,
            largest=largest,
            places=tuple(found),
            sheet=_sheet(list(self._shown), [side.name for side in self.sides], found),
        )


def _on_white(alpha: UInt8Array | None, colours: UInt8Array) -> Image.Image:
    """What a person sees of it, RGB."""
    image = Image.fromarray(squeezed(colours)).convert("RGB")
    if alpha is None:
        return image
    return Image.composite(image, Image.new("RGB", image.size, "white"), Image.fromarray(alpha))


# --- where they differ


def _differences(one: Image.Image, two: Image.Image) -> tuple[float, int]:
    """The share of pixels that differ, and the largest difference of a sample; in strips."""
    pixels, largest = 0, 0
    for ours, theirs in _strips(one, two, 256):
        apart = np.abs(ours - theirs)
        pixels += int(apart.any(-1).sum())
        largest = max(largest, int(apart.max()))
    return pixels / (one.width * one.height), largest


def _strips(one: Image.Image, two: Image.Image, rows: int) -> Any:
    """Both in strips of so many rows, (rows, W, 3) int32."""
    for top in range(0, one.height, rows):
        box = (0, top, one.width, min(top + rows, one.height))
        yield tuple(np.asarray(image.crop(box), np.int32) for image in (one, two))


def _places(one: Image.Image, two: Image.Image, count: int) -> list[Box]:
    """Windows of the largest squared errors, the worst first; they do not overlap, and each has an error."""
    lefts = np.arange(0, one.width, _CELL)
    cells = np.stack(
        [
            np.add.reduceat(np.square(ours - theirs).sum((0, 2), dtype=np.int64), lefts)
            for ours, theirs in _strips(one, two, _CELL)
        ]
    )
    rows, columns = (min(CROP // _CELL, side) for side in cells.shape)
    sums = window_sums(cells, rows, columns)
    found: list[Box] = []
    while len(found) < count and sums.max() > 0:
        i, j = (int(place) for place in np.unravel_index(int(sums.argmax()), sums.shape))
        left, top = j * _CELL, i * _CELL
        found.append((left, top, min(left + columns * _CELL, one.width), min(top + rows * _CELL, one.height)))
        sums[max(0, i - rows + 1) : i + rows, max(0, j - columns + 1) : j + columns] = 0
    return found


def window_sums(cells: NDArray[np.int64], rows: int, columns: int) -> NDArray[np.int64]:
    """Sums over all windows of so many cells, by a table of sums from the top left corner.

    >>> window_sums(np.arange(6).reshape(2, 3), 2, 2).tolist()
    [[8, 12]]
    """
    table = np.pad(cells.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    below, above = table[rows:], table[:-rows]
    return np.asarray(below[:, columns:] - below[:, :-columns] - above[:, columns:] + above[:, :-columns])


# --- the sheet


def _sheet(shown: list[Image.Image], names: list[str], places: list[Box]) -> Image.Image:
    """The places side by side: the reference, the other, and how far they are apart; first where in the picture they are."""
    side = max((max(right - left, below - top) for left, top, right, below in places), default=CROP)
    zoom = max(1, _SHOWN // side)
    column = side * zoom + _MARGIN
    overview = _overview(shown[0], places, 3 * column - _MARGIN)
    top = 2 * _MARGIN + overview.height
    row = side * zoom + _LINE + _MARGIN
    sheet = Image.new("RGB", (3 * column + _MARGIN, top + max(1, len(places)) * row), "white")
    sheet.paste(overview, (_MARGIN, _MARGIN))
    draw = ImageDraw.Draw(sheet)
    if not places:
        draw.text((_MARGIN, top), "nothing differs", fill="black")
    for number, box in enumerate(places, 1):
        crops = [image.crop(box) for image in shown]
        apart = np.abs(np.subtract(*(np.asarray(crop, np.int32) for crop in crops)))
        times = max(1, 255 // max(1, int(apart.max())))
        crops.append(Image.fromarray((apart * times).astype(np.uint8)))
        titles = [f"{number}: {_plain(names[0])}", _plain(names[1]), f"difference, times {times}"]
        for i, (crop, title) in enumerate(zip(crops, titles)):
            at = _MARGIN + i * column
            # cut where the next one begins
            label = Image.new("RGB", (column - _MARGIN, _LINE), "white")
            ImageDraw.Draw(label).text((0, 0), title, fill="black")
            sheet.paste(label, (at, top))
            large = crop.resize((crop.width * zoom, crop.height * zoom), Image.Resampling.NEAREST)
            sheet.paste(large, (at, top + _LINE))
        top += row
    return sheet


def _overview(image: Image.Image, places: list[Box], width: int) -> Image.Image:
    """The whole picture, small, with the places framed and numbered."""
    scale = min(width / image.width, _SHOWN / image.height, 1.0)
    size = max(1, math.floor(image.width * scale)), max(1, math.floor(image.height * scale))
    small = image.resize(size, Image.Resampling.BOX)
    draw = ImageDraw.Draw(small)
    for number, box in enumerate(places, 1):
        left, top, right, below = (round(side * scale) for side in box)
        draw.rectangle((left, top, max(left, right - 1), max(top, below - 1)), outline="red")
        draw.text((left + 2, top), str(number), fill="red")
    return small


def _plain(name: str) -> str:
    """A file's name in letters that every font has."""
    printable = "".join(letter if letter.isprintable() else "?" for letter in name)
    return printable.encode("ascii", "replace").decode("ascii")
