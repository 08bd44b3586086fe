"""Figure 4 of the CocoNet paper, its last column: pictures with parts missing, completed from the rest."""

from __future__ import annotations

import argparse

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from skimage.restoration import inpaint_biharmonic

import dsncodec

from .. import results
from ..common import UInt8Array, to_uint8

SIDE = 128  # pixels of a picture
PATCH = 24  # pixels of a missing square
CROPS = {  # scikit-image's samples: left, top and side of what is shown, shrunk to SIDE
    "astronaut": (96, 0, 256),
    "chelsea": (70, 20, 256),
    "coffee": (150, 40, 320),
}
GAP = 4  # pixels between pictures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the figure."""
    parser.add_argument("--steps", type=int, default=500, help="of each fit, at most (default: %(default)s)")
    parser.add_argument("--limit", type=int, default=len(CROPS), help="pictures (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="(default: %(default)s)")


def holes(seed: int) -> dict[str, NDArray[np.bool_]]:
    """(SIDE, SIDE) bool: the paper's square in a random place, and strokes of a pen three pixels wide."""
    generator = np.random.default_rng(seed)
    square = np.zeros((SIDE, SIDE), bool)
    y, x = generator.integers(SIDE // 8, SIDE * 7 // 8 - PATCH, 2)
    square[y : y + PATCH, x : x + PATCH] = True
    drawn = Image.new("L", (SIDE, SIDE))
    for ends in generator.integers(0, SIDE, (6, 4)).tolist():
        ImageDraw.Draw(drawn).line(ends, 255, 3)
    return {"a square": square, "strokes": np.asarray(drawn) > 0}


def hole_psnr_db(clean: UInt8Array, other: UInt8Array, missing: NDArray[np.bool_]) -> float:
    """Over the missing pixels only."""
    apart = clean[missing].astype(float) - other[missing]
    return float(10 * np.log10(255**2 / max(float(np.mean(apart**2)), 1e-9)))


def run(args: argparse.Namespace) -> int:
    """Complete, draw, write."""
    strips, rows = [], []
    for seed, (name, (left, top, side)) in enumerate(list(CROPS.items())[: args.limit]):
        whole = Image.fromarray(getattr(skimage.data, name)())
        box = (left, top, left + side, top + side)
        clean = np.asarray(whole.resize((SIDE, SIDE), Image.Resampling.LANCZOS, box))
        strip = [clean]
        for kind, missing in holes(seed).items():
            broken = np.where(missing[..., None], np.array([255, 0, 255], np.uint8), clean)
            settings = {"method": "paper", "steps": args.steps, "threads": args.threads}
            found = np.asarray(dsncodec.inpaint(broken, missing, **settings))
            smooth = to_uint8(inpaint_biharmonic(broken, missing, channel_axis=-1) * 255)
            strip += [broken, found]
            rows.append(
                (
                    name,
                    kind,
                    int(missing.sum()),
                    f"{hole_psnr_db(clean, found, missing):.2f}",
                    f"{hole_psnr_db(clean, smooth, missing):.2f}",
                )
            )
        strips.append(
            np.concatenate([np.pad(p, ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for p in strip], 1)
        )
    header = ["picture", "missing", "pixels", "psnr_db", "biharmonic_psnr_db"]
    results.write_csv("coconet-4.csv", header, rows)
    Image.fromarray(np.concatenate(strips)).save(results.RESULTS / "coconet-4.png", optimize=True)
    text = (
        "# CocoNet Figure 4: completion\n\n![original; with a square missing, completed; with strokes missing, "
        f"completed](coconet-4.png)\n\nSamples of scikit-image at {SIDE} x {SIDE}. From the left: the picture; a square missing; completed; "
        f"strokes missing; completed. At most {args.steps} steps a fit. PSNR over the missing pixels, in dB, beside scikit-image's "
        "biharmonic completion.\n\n"
        + results.table(["picture", "missing", "pixels", "ours", "biharmonic"], rows)
    )
    results.write_report("coconet-4.md", text, args.command)
    return 0
