"""Noise taken out of photographs of 0.4 megapixels: ours beside BM3D, non-local means and wavelets; dB and seconds of one core."""

from __future__ import annotations

import argparse
import functools
import importlib
import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from skimage.restoration import denoise_nl_means, denoise_wavelet

import dsncodec
from dsncodec.metrics import psnr_db, ssimulacra2

from .common import UInt8Array, image_paths, photographs, rgb_of
from .results import RESULTS, GrowingTable, table, write_report

MOST_PIXELS = 450_000  # photographs are halved until they have no more
# How many pictures, and the strengths of their noise
SETS = {"photos": (6, (25,)), "B100": (6, (10, 25, 50))}
HEADER = ("set", "picture", "sigma", "way", "psnr_db", "ssimulacra2", "seconds")
WAYS = ("noisy", "network", "blind_spot", "bm3d", "nl_means", "wavelet")
TITLES = {
    "noisy": "noisy",
    "network": "ours, network",
    "blind_spot": "ours, blind spot",
    "bm3d": "BM3D",
    "nl_means": "non-local means",
    "wavelet": "wavelets, BayesShrink",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--again", nargs="+", choices=WAYS, default=(), help="measure these again")


def run(args: argparse.Namespace) -> int:
    """Measure what is not there yet, print, and write denoise.csv and .md."""
    rows = GrowingTable(RESULTS / "denoise.csv", HEADER, 4)
    for name, (_, sigmas) in SETS.items():
        for stem, rgb in pictures(args.data, name):
            for sigma in sigmas:
                grainy = noisy(rgb, sigma)
                for way in args.ways:
                    key = (name, stem, str(sigma), way)
                    if (rows.find(key) is None or way in args.again) and _runs(way):
                        begun = time.process_time()
                        made = denoised(way, grainy, sigma)
                        seconds = time.process_time() - begun
                        scores = f"{psnr_db(rgb, made):.3f}", f"{ssimulacra2(rgb, made):.3f}"
                        rows.add((*key, *scores, f"{seconds:.2f}"))
    write_report("denoise.md", report(rows), args.command)
    return 0


def pictures(data: str, name: str) -> list[tuple[str, UInt8Array]]:
    """(name, RGB) of a set: photographs of cameras and telephones, of those the first in the order of their names; or B100."""
    if name == "B100":
        return [(path.stem, rgb_of(path)) for path in image_paths(data, name, SETS[name][0])]
    return list(photographs(data, SETS[name][0], MOST_PIXELS).items())


def noisy(rgb: UInt8Array, sigma: float) -> UInt8Array:
    """White noise of this standard deviation in grey levels, rounded and clipped."""
    noise = np.random.default_rng(int(sigma)).normal(0, sigma, rgb.shape)
    return np.clip(np.rint(rgb + noise), 0, 255).astype(np.uint8)


def _runs(way: str) -> bool:
    """Whether what a way needs is installed."""
    needed = {"bm3d": "bm3d", "wavelet": "pywt"}.get(way)
    try:
        return needed is None or importlib.import_module(needed) is not None
    except ImportError:
        return False


def denoised(way: str, grainy: UInt8Array, sigma: float) -> UInt8Array:
    """The picture after one of WAYS on one thread. Ours measure the strength; the others are told it."""
    unit = sigma / 255
    ways: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
        "bm3d": lambda x: np.asarray(importlib.import_module("bm3d").bm3d_rgb(x, unit)),
        # the filter's strength that scikit-image's own example has for this form
        "nl_means": functools.partial(
            denoise_nl_means,
            h=0.6 * unit,
            sigma=unit,
            patch_size=5,
            patch_distance=6,
            fast_mode=True,
            channel_axis=2,
        ),
        "wavelet": functools.partial(
            denoise_wavelet, sigma=unit, channel_axis=2, convert2ycbcr=True, rescale_sigma=True
        ),
    }
    if way == "noisy":
        return grainy
    if way in ("network", "blind_spot"):
        return np.asarray(dsncodec.denoise(grainy, method=way, threads=1))
    return np.clip(np.rint(ways[way](grainy / 255) * 255), 0, 255).astype(np.uint8)


def report(rows: GrowingTable) -> str:
    """Means, by set and strength."""
    text = "# Noise taken out of photographs\n"
    for name in SETS:
        mine = [row for row in rows.rows if row["set"] == name]
        lines = []
        for way in WAYS:
            cells: list[str] = []
            for sigma in sorted({int(row["sigma"]) for row in mine}):
                of = [row for row in mine if (row["way"], row["sigma"]) == (way, str(sigma))]
                cells += [_mean(of, "psnr_db", 2), _mean(of, "ssimulacra2", 1)]
            if any(cells):
                seconds = [row for row in mine if row["way"] == way]
                lines.append((TITLES[way], *cells, "" if way == "noisy" else _mean(seconds, "seconds", 1)))
        sigmas = sorted({int(row["sigma"]) for row in mine})
        header = ["way", *(f"{what}, σ {sigma}" for sigma in sigmas for what in ("dB", "points")), "seconds"]
        count = len({row["picture"] for row in mine})
        text += f"\n## {name}, {count} pictures\n\n{table(header, lines)}"
    return (
        text
        + """
RGB PSNR and SSIMULACRA 2, means; seconds of processor time on one thread. White noise of the strength σ in grey levels, rounded and clipped. The photographs are those of cameras and telephones, halved
until they have 0.45 megapixels at most. Ours measure the strength, the others are told it.
"""
    )


def _mean(rows: list[dict[str, str]], column: str, digits: int) -> str:
    return f"{statistics.mean(float(row[column]) for row in rows):.{digits}f}" if rows else ""
