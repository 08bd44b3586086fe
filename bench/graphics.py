"""Forty screenshots, plots, icons and drawings, and what files of them cost: ours beside PNG, WebP, JPEG XL and AVIF without loss."""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import dsncodec

from .results import table, write_csv, write_report

UInt8Array = NDArray[np.uint8]

SEED = 23
INK, PAPER = (20, 24, 40), (255, 255, 255)
PALETTE = ((31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189), (140, 86, 75))
WORDS = [
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "a",
    "lazy",
    "dog",
    "while",
    "seven",
    "wizards",
    "box",
    "with",
    "five",
    "dozen",
    "liquor",
    "jugs",
]
# From scikit-image: what was drawn or written, not photographed
OF_SKIMAGE = ("text", "page", "logo", "chessboard_RGB", "chessboard_GRAY", "phantom", "horse")
SCREENS = 12


def drawn() -> dict[str, Image.Image]:
    """Pictures made by code: the same on any machine with the same Pillow."""
    rng = np.random.default_rng(SEED)
    made = {f"plot-{i}": _plot(rng, *size) for i, size in enumerate(((640, 480), (800, 600), (1000, 400)))}
    made |= {f"bars-{i}": _bars(rng, *size) for i, size in enumerate(((480, 360), (720, 540)))}
    made |= {
        f"written-{size}": _written(rng, size, dark) for size, dark in ((12, False), (15, True), (22, False))
    }
    made |= {f"icon-{side}": _icon(side) for side in (16, 48, 128, 256)}
    made |= {f"pixels-{i}": _pixels(rng, size) for i, size in enumerate((16, 32))}
    made |= {"diagram": _diagram(rng), "map": _map(rng), "table": _table(rng), "lines": _lines()}
    made |= {"gradients": _gradients(), "scatter": _scatter(rng), "code-matrix": _matrix(rng)}
    return made


def pictures(data: str) -> dict[str, Image.Image]:
    """All forty: made by code, from scikit-image, and screenshots of the training set."""
    import skimage

    found = drawn()
    folder = Path(skimage.__file__).parent / "data"
    for name in OF_SKIMAGE:
        with Image.open(folder / f"{name}.png") as image:
            image.load()
        found[f"skimage-{name}"] = image if image.mode in ("L", "LA", "RGB", "RGBA") else image.convert("RGB")
    for path in sorted((Path(data) / "train" / "hq").glob("screen_*.webp"))[:SCREENS]:
        with Image.open(path) as image:
            found[path.stem.split("_")[-1] + f"-{len(found)}"] = image.convert("RGB")
    return found


def _plot(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Curves with axes, at four times the size and shrunk, as plotting programs smooth them."""
    image = Image.new("RGB", (4 * width, 4 * height), PAPER)
    draw = ImageDraw.Draw(image)
    x = np.linspace(0, 1, 400)
    for colour in PALETTE[:4]:
        y = 0.5 + 0.4 * np.sin(x * rng.uniform(4, 30) + rng.uniform(0, 6)) * np.exp(-x * rng.uniform(0, 3))
        points = [
            (160 + (4 * width - 240) * a, 4 * height - 160 - (4 * height - 240) * b) for a, b in zip(x, y)
        ]
        draw.line(points, fill=colour, width=8, joint="curve")
    draw.rectangle((160, 80, 4 * width - 80, 4 * height - 160), outline=INK, width=4)
    small = image.resize((width, height), Image.Resampling.BOX)
    draw = ImageDraw.Draw(small)
    for i in range(6):
        at = 40 + i * (width - 60) // 5
        draw.text((at - 8, height - 34), f"{i / 5:.1f}", fill=INK, font=ImageFont.load_default(11))
    return small


def _bars(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    image = Image.new("RGB", (width, height), (245, 245, 250))
    draw = ImageDraw.Draw(image)
    for i in range(12):
        left, top = 30 + i * (width - 60) // 12, int(rng.uniform(0.1, 0.8) * height)
        draw.rectangle((left, top, left + (width - 60) // 16, height - 40), fill=PALETTE[i % 6])
        draw.text((left, height - 32), WORDS[i][:5], fill=INK, font=ImageFont.load_default(10))
    return image


def _written(rng: np.random.Generator, size: int, dark: bool) -> Image.Image:
    """Lines of words, smoothed by FreeType."""
    paper, ink = ((30, 32, 40), (220, 223, 228)) if dark else (PAPER, INK)
    image = Image.new("RGB", (720, 480), paper)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size)
    for top in range(10, 470, int(1.4 * size)):
        line = " ".join(rng.choice(WORDS, 720 // (5 * size)))
        draw.text((12, top), line, fill=ink, font=font)
    return image


def _icon(side: int) -> Image.Image:
    """With alpha, smooth edges, and a gradient inside."""
    big = Image.new("RGBA", (4 * side, 4 * side))
    draw = ImageDraw.Draw(big)
    draw.rounded_rectangle(
        (side // 4, side // 4, 4 * side - side // 4, 4 * side - side // 4), side, fill=(38, 99, 235, 255)
    )
    draw.polygon([(side, 3 * side), (2 * side, side), (3 * side, 3 * side)], fill=(250, 204, 21, 255))
    draw.ellipse(
        (int(1.6 * side), int(1.9 * side), int(2.4 * side), int(2.7 * side)), fill=(255, 255, 255, 255)
    )
    return big.resize((side, side), Image.Resampling.LANCZOS)


def _pixels(rng: np.random.Generator, side: int) -> Image.Image:
    """A sprite, mirrored, of four colours and none."""
    half = rng.integers(0, 5, (side, side // 2))
    colours = np.array([(0, 0, 0, 0), *((*c, 255) for c in PALETTE[:4])], np.uint8)
    sprite = colours[np.concatenate([half, half[:, ::-1]], 1)]
    return Image.fromarray(sprite).resize((4 * side, 4 * side), Image.Resampling.NEAREST)


def _diagram(rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (800, 500), PAPER)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(14)
    places = [(60 + 190 * i, 60 + 140 * j) for j in range(3) for i in range(4)]
    for (x, y), (u, v) in zip(places, places[1:]):
        draw.line((x + 60, y + 30, u + 60, v + 30), fill=(120, 120, 120), width=2)
    for i, (x, y) in enumerate(places):
        draw.rounded_rectangle(
            (x, y, x + 130, y + 60), 10, fill=(226, 232, 255), outline=PALETTE[i % 6], width=2
        )
        draw.text((x + 14, y + 20), str(rng.choice(WORDS)), fill=INK, font=font)
    return image


def _map(rng: np.random.Generator) -> Image.Image:
    """Regions of few colours with borders."""
    points = rng.uniform(0, 1, (40, 2)) * (512, 768)
    y, x = np.mgrid[:512, :768]
    nearest = np.argmin(np.stack([(y - a) ** 2 + (x - b) ** 2 for a, b in points]), 0)
    colours = np.array(PALETTE, np.uint8)[nearest % 6] // 2 + 120
    edge = (nearest != np.roll(nearest, 1, 0)) | (nearest != np.roll(nearest, 1, 1))
    colours[edge] = INK
    return Image.fromarray(colours.astype(np.uint8))


def _table(rng: np.random.Generator) -> Image.Image:
    image = Image.new("L", (640, 420), 255)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(13)
    for row in range(17):
        draw.line((0, 24 * row, 640, 24 * row), fill=200)
        for column in range(6):
            draw.text((8 + 106 * column, 24 * row + 5), f"{rng.uniform(0, 1e4):9.2f}", fill=0, font=font)
    return image


def _lines() -> Image.Image:
    image = Image.new("L", (600, 600), 255)
    draw = ImageDraw.Draw(image)
    for i in range(0, 600, 11):
        draw.line((i, 0, 599 - i, 599), fill=0)
        draw.ellipse((i // 2, i // 3, i // 2 + 120, i // 3 + 90), outline=90)
    return image


def _gradients() -> Image.Image:
    """Smooth slopes with hard edges between them."""
    y, x = np.mgrid[:400, :600]
    planes = np.stack([(x // 3 + 40 * (y // 100)) % 256, (y // 2) + 0 * x, (x + y) // 4], -1)
    return Image.fromarray(planes.astype(np.uint8))


def _scatter(rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (1400, 1000), PAPER)
    draw = ImageDraw.Draw(image)
    for i in range(600):
        x, y = rng.normal(700, 220), rng.normal(500, 160)
        draw.ellipse((x, y, x + 14, y + 14), fill=PALETTE[i % 6])
    return image.resize((700, 500), Image.Resampling.BOX)


def _matrix(rng: np.random.Generator) -> Image.Image:
    """A code of black and white modules."""
    return Image.fromarray(np.kron(rng.integers(0, 2, (41, 41)), np.ones((6, 6))).astype(np.uint8) * 255)


# --- files


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _png(image: Image.Image) -> bytes:
    """Optimised, with a palette where there are at most 256 colours."""
    files = [_saved(image, "PNG", optimize=True)]
    if image.mode == "RGB" and image.getcolors(256) is not None:
        files.append(_saved(image.quantize(256, dither=Image.Dither.NONE), "PNG", optimize=True))
    return min(files, key=len)


def _jxl(image: Image.Image, effort: int) -> bytes:
    return bytes(
        imagecodecs.jpegxl_encode(
            np.asarray(image), lossless=True, effort=effort, usecontainer=False, numthreads=1
        )
    )


PEERS: dict[str, Callable[[Image.Image], bytes]] = {
    "png": _png,
    "webp": lambda image: _saved(image, "WEBP", lossless=True, quality=100, method=6),
    "jxl-7": partial(_jxl, effort=7),
    "jxl-9": partial(_jxl, effort=9),
    "avif-100": lambda image: _saved(image, "AVIF", quality=100, subsampling="4:4:4"),
}
OURS: dict[str, dict[str, Any]] = {
    "quality 75": {"quality": 75},
    "lossless": {"lossless": True},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The study has no options of its own."""


def run(args: argparse.Namespace) -> int:
    """Measure, print, and write graphics.csv and .md."""
    rows: list[list[Any]] = []
    for name, image in pictures(args.data).items():
        row: list[Any] = [name, f"{image.mode} {image.width} x {image.height}"]
        row += [len(code(image)) for code in PEERS.values()]
        for settings in OURS.values():
            data = dsncodec.encode(image, threads=1, **settings)
            info = dsncodec.read_info(data)
            row += [len(data), info.backends["BASE"] if info.lossless else ""]
        rows.append(row)
        print(*row)
    heads = ["picture", "size", *PEERS]
    for name in OURS:
        heads += [name, "without loss by"]
    write_csv("graphics.csv", heads, rows)
    write_report("graphics.md", "# Flat graphics\n\n" + _report(heads, rows), args.command)
    return 0


def _report(heads: list[str], rows: list[list[Any]]) -> str:
    first = 2 + len(PEERS)
    beside = [min(row[2], row[3]) for row in rows]
    sums: list[tuple[Any, ...]] = []
    for at, name in enumerate(OURS):
        ours = [row[first + 2 * at] for row in rows]
        larger = sum(one > other for one, other in zip(ours, beside))
        exact = sum(bool(row[first + 2 * at + 1]) for row in rows)
        share = np.mean([one / other for one, other in zip(ours, beside)])
        sums.append(
            (
                name,
                sum(ours),
                exact,
                larger,
                f"{max(a / b for a, b in zip(ours, beside)):.3f}",
                f"{share:.2f}",
            )
        )
    for at, name in enumerate(PEERS):
        theirs = [row[2 + at] for row in rows]
        share = np.mean([one / other for one, other in zip(theirs, beside)])
        larger = sum(one > other for one, other in zip(theirs, beside))
        sums.append(
            (
                name,
                sum(theirs),
                "",
                larger,
                f"{max(a / b for a, b in zip(theirs, beside)):.3f}",
                f"{share:.2f}",
            )
        )
    return (
        f"{len(rows)} screenshots, plots, icons, texts and drawings: made by code, from scikit-image, and from the training set. Bytes. PNG is "
        "optimised, with a palette where 256 colours are enough; WebP without loss at quality 100, method 6; JPEG XL without loss at efforts 7 and 9; AVIF at quality 100, "
        "4:4:4. Ours at effort 5; its last column says what is without loss.\n\n"
        + table(
            [
                "file",
                "bytes of all",
                "without loss",
                "larger than the smaller one of PNG and WebP",
                "at most, times",
                "mean, times",
            ],
            sums,
        )
        + "\n"
        + table(heads, rows)
    )
