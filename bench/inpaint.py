"""Holes in whole photographs: ours beside scikit-image's biharmonic surfaces and OpenCV's two methods."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage.restoration import inpaint_biharmonic

import dsncodec

from .common import UInt8Array, image_paths, rgb_of, to_uint8
from .results import RESULTS, table, write_csv, write_report

BoolArray = NDArray[np.bool_]
Method = Callable[[UInt8Array, BoolArray], UInt8Array]

# Names of each set, and by how much its pictures are shrunk; none of Set14 that is grey
PICTURES: dict[str, tuple[tuple[int, ...], int]] = {
    "Set14": ((1, 5, 10, 11), 1),
    "B100": ((3, 30, 57, 84), 1),
    "Urban100 (first 50)": ((4, 17, 30, 43), 2),
}
KINDS = ("scratch", "text", "32 px", "64 px")
HOLES = 3
# Pictures that may be shown: NASA's and SpaceX's, in the public domain, and CC0; shrunk by half in the sheet
SHOWN = ("astronaut", "coffee", "chelsea", "rocket")
CELL = 150
FIRST = "dsncodec"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument("--limit", type=int, default=4, help="pictures of each set (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--keep", metavar="FOLDER", help="write what each method makes of each picture there")
    parser.add_argument("--sheets", action="store_true", help="only make the pictures side by side")


def holes(shape: tuple[int, int], kind: str, seed: int) -> BoolArray:
    """(H, W): strokes of one to four pixels, lines of text, or three squares."""
    height, width = shape
    rng = np.random.default_rng(seed)
    if kind.endswith("px"):
        missing, side = np.zeros(shape, np.bool_), int(kind.split()[0])
        for _ in range(HOLES):
            top, left = (int(rng.integers(side // 2, most - side - side // 2)) for most in shape)
            missing[top : top + side, left : left + side] = True
        return missing
    drawn = Image.new("L", (width, height))
    pen = ImageDraw.Draw(drawn)
    if kind == "text":
        for top in range(10, height, 60):
            words = "The quick brown fox jumps over 13 lazy dogs. " * (width // 400 + 1)
            pen.text((8, top), words, 255, ImageFont.load_default(24))
    else:
        for _ in range(12):
            places = [rng.integers(0, [width, height])]
            for _ in range(3):
                step = rng.integers(-width // 4, width // 4, 2)
                places.append(np.clip(places[-1] + step, 0, [width - 1, height - 1]))
            pen.line([tuple(place.tolist()) for place in places], 255, int(rng.integers(1, 5)))
    return np.asarray(drawn) > 127


def methods(threads: int) -> dict[str, Method]:
    """Ours first; OpenCV's where it is installed."""

    def ours(broken: UInt8Array, missing: BoolArray) -> UInt8Array:
        return np.asarray(dsncodec.inpaint(broken, missing, threads=threads))

    def biharmonic(broken: UInt8Array, missing: BoolArray) -> UInt8Array:
        return to_uint8(inpaint_biharmonic(broken, missing, channel_axis=-1) * 255)

    found: dict[str, Method] = {FIRST: ours, "biharmonic": biharmonic}
    try:
        import cv2
    except ModuleNotFoundError:
        print("skipped: OpenCV's methods (pip install opencv-python-headless)")
        return found
    cv2.setNumThreads(threads)

    def opencv(flag: int, broken: UInt8Array, missing: BoolArray) -> UInt8Array:
        return np.asarray(cv2.inpaint(broken, missing.astype(np.uint8) * 255, 5, flag), np.uint8)

    for name, flag in (("Telea", cv2.INPAINT_TELEA), ("Navier-Stokes", cv2.INPAINT_NS)):
        found[name] = partial(opencv, flag)
    return found


def psnr_inside_db(clean: UInt8Array, other: UInt8Array, missing: BoolArray) -> float:
    """Over the missing pixels only."""
    apart = clean[missing].astype(float) - other[missing]
    return float(10 * np.log10(255**2 / max(float(np.mean(apart**2)), 1e-9)))


def run(args: argparse.Namespace) -> int:
    """Measure and write; then the pictures side by side."""
    ways = methods(args.threads)
    if not args.sheets:
        measure(args, ways)
    make_sheets(ways)
    return 0


def measure(args: argparse.Namespace, ways: dict[str, Method]) -> None:
    """inpaint.csv and inpaint.md."""
    rows: list[tuple[Any, ...]] = []
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for name, (numbers, shrink) in PICTURES.items():
        paths = image_paths(args.data, name)
        for number in numbers[: args.limit]:
            path = paths[number % len(paths)]
            clean = rgb_of(path)
            if shrink > 1:
                clean = np.asarray(Image.fromarray(clean).reduce(shrink))
            for kind in KINDS:
                missing = holes(clean.shape[:2], kind, number)
                broken = np.where(missing[..., None], np.array([255, 0, 255], np.uint8), clean)
                kept = [clean, broken]
                for way, method in ways.items():
                    began = time.process_time()
                    made = method(broken, missing)
                    took = time.process_time() - began
                    psnr = psnr_inside_db(clean, made, missing)
                    found.setdefault((kind, way), []).append((psnr, took))
                    kept.append(made)
                    rows.append(
                        (
                            name,
                            path.name,
                            clean.shape[1],
                            clean.shape[0],
                            kind,
                            int(missing.sum()),
                            way,
                            f"{psnr:.3f}",
                            f"{took:.2f}",
                        )
                    )
                if args.keep:
                    folder = Path(args.keep)
                    folder.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(np.concatenate(kept, 1)).save(folder / f"{path.stem}-{kind}.png")
                print(path.name, kind, *(f"{way} {found[kind, way][-1][0]:.2f}" for way in ways), flush=True)
    header = ["set", "image", "width", "height", "hole", "pixels", "method", "psnr_db", "seconds"]
    write_csv("inpaint.csv", header, rows)
    write_report("inpaint.md", report(found, list(ways)), args.command)


def report(found: dict[tuple[str, str], list[tuple[float, float]]], ways: list[str]) -> str:
    """Means over pictures, and how ours compares on the worst and the best of them."""
    lines, times = [], []
    count = len(next(iter(found.values())))
    for kind in KINDS:
        scores = {way: np.array(found[kind, way]) for way in ways}
        apart = scores[FIRST][:, 0] - scores["biharmonic"][:, 0]
        lines.append(
            (
                kind,
                *(f"{scores[way][:, 0].mean():.2f}" for way in ways),
                f"{apart.mean():+.2f} ({apart.min():+.2f} to {apart.max():+.2f})",
                f"{(apart > 0).sum()} of {count}",
            )
        )
        times.append((kind, *(f"{scores[way][:, 1].mean():.2f}" for way in ways)))
    header = ["hole", *(f"{way}, dB" for way in ways), "ours less biharmonic: mean (worst to best)", "better"]
    return (
        f"# Holes in whole photographs\n\nPSNR over the missing pixels, in dB, means over {count} photographs of Set14, B100 and "
        f"Urban100 (halved). Scratches are 12 strokes of 1 to 4 pixels, text is 24 pixels high, squares are {HOLES} to a picture. "
        "PSNR says little of wide holes: what is sharp and a pixel off scores below what is blurred.\n\n"
        f"{table(header, lines)}\nProcessor seconds a picture:\n\n"
        f"{table(['hole', *ways], times)}\nSide by side, scikit-image's free photographs: "
        "[squares of 64 pixels](inpaint-wide.jpg), [whole pictures](inpaint-whole.jpg): with text missing, the rocket also with squares.\n"
    )


def make_sheets(ways: dict[str, Method]) -> None:
    """inpaint-wide.jpg: parts around squares of 64 pixels, as they are; inpaint-whole.jpg: whole pictures, halved."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    parts, wholes = [], []
    for seed, name in enumerate(SHOWN):
        clean = np.ascontiguousarray(getattr(skimage.data, name)()[..., :3])
        for kind in ("64 px", "text"):
            missing = holes(clean.shape[:2], kind, seed)
            broken = np.where(missing[..., None], np.array([255, 0, 255], np.uint8), clean)
            made = {"original": clean, "mask": broken} | {
                way: method(broken, missing) for way, method in ways.items()
            }
            order = ["original", "mask", *(way for way in made if way in ("biharmonic", "Telea")), FIRST]
            if kind == "64 px":
                ys, xs = np.nonzero(missing)
                for y, x in ((ys[0], xs[0]), (ys[-1] - 63, xs[-1] - 63)):
                    top = int(np.clip(y + 32 - CELL // 2, 0, clean.shape[0] - CELL))
                    left = int(np.clip(x + 32 - CELL // 2, 0, clean.shape[1] - CELL))
                    parts.append(
                        _row({way: made[way][top : top + CELL, left : left + CELL] for way in order})
                    )
            if kind == "text" or name == "rocket":
                shown = {
                    way: np.asarray(Image.fromarray(made[way]).reduce(2)) for way in order if way != "mask"
                }
                wholes.append(_row({way: cell[:210, :256] for way, cell in shown.items()}))
    for file, rows in (("inpaint-wide.jpg", parts), ("inpaint-whole.jpg", wholes)):
        width = max(row.shape[1] for row in rows)
        rows = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
        Image.fromarray(np.concatenate(rows)).save(RESULTS / file, quality=78, optimize=True)


def _row(cells: dict[str, UInt8Array]) -> UInt8Array:
    """Pictures under their names."""
    labelled = []
    for text, cell in cells.items():
        canvas = Image.new("RGB", (cell.shape[1] + 4, cell.shape[0] + 16), "white")
        canvas.paste(Image.fromarray(cell), (2, 14))
        ImageDraw.Draw(canvas).text((3, 1), text, fill="black")
        labelled.append(np.asarray(canvas))
    return np.concatenate(labelled, 1)
