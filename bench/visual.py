"""The visual tune of method "restored": what its qualities mean by SSIMULACRA 2, what each effort buys, and where half the size is
better at the same bytes."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import dsncodec
from dsncodec import metrics
from dsncodec.bench.peers import opened, saved
from dsncodec.bench.referees import REFEREES
from dsncodec.bench.report import table
from dsncodec.methods.restored.codec import HALF_SIZES
from dsncodec.options import Options

from . import features
from .common import image_paths, in_parallel, rgb_of
from .results import write_csv, write_report

UInt8Array = NDArray[np.uint8]

# Qualities of each base codec's own scale at which the tuning pictures are coded
OWN = {
    "avif": (0, 8, 16, 24, 31, 38, 46, 54, 62, 70, 77, 84, 90, 95, 100),
    "jpeg": (1, 5, 10, 20, 30, 40, 50, 60, 70, 78, 85, 90, 94, 97, 100),
    "jxl": (0, 10, 20, 30, 40, 50, 60, 70, 78, 85, 90, 94, 97, 100),
    "j2k": (0, 10, 20, 27, 34, 40, 46, 52, 58, 64, 72, 80, 100),
}
OURS = (10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 95)
QUALITIES = (35, 50, 65, 80)
PARTS = ("scale", "methods", "effort", "half")
METHODS = {
    "restored": dsncodec.Restored(),
    "latentgrid": dsncodec.LatentGrid(steps=400),
    "dsn": dsncodec.DeepSampling(),
}
PROMISED = (20, 30, 40, 50, 60, 70, 80, 90)
# AVIF's own qualities at which half the size is tried
HALF_AT = (6, 12, 18, 24, 30, 36, 42)
LEAST_GAIN = HALF_SIZES["visual"].least_gain
JUDGES = ("ssimulacra2", "butteraugli", "lpips", "dists")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument("--part", choices=PARTS, action="append", help="default: all")
    parser.add_argument("--limit", type=int, default=24, help="tuning pictures (default %(default)s)")
    features.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, print, and write visual-PART.md and .csv."""
    paths = image_paths(args.data, "div2k256", args.limit)
    weights = args.loss_networks or f"{args.data}/loss_network"
    parts: dict[str, Callable[[Sequence[Path]], str]] = {
        "scale": scale,
        "methods": methods,
        "effort": effort,
        "half": partial(half, folder=weights),
    }
    for part in args.part or PARTS:
        text = parts[part](paths)
        write_report(f"visual-{part}.md", text, args.command)
    return 0


def _score(rgb: UInt8Array, data: bytes) -> float:
    return metrics.ssimulacra2(rgb, np.asarray(dsncodec.decode(data, threads=1)))


# --- what qualities mean


def scale(paths: Sequence[Path]) -> str:
    """Medians and quartiles of SSIMULACRA 2 by the base codec's own quality, and the scale that they make."""
    rows: list[list[object]] = []
    lines = []
    for base, qualities in OWN.items():
        found = in_parallel(partial(_scores, base, qualities), paths)
        scores = np.array(found)
        low, middle, high = np.percentile(scores, (25, 50, 75), axis=0)
        for own, *values in zip(qualities, middle, low, high):
            rows.append([base, own, *(f"{float(value):.2f}" for value in values)])
        lines.append(f"`{base}`: " + repr(points_of(qualities, middle)))
    write_csv("visual-scale.csv", ("base", "own_quality", "median", "low", "high"), rows)
    heading = (
        f"SSIMULACRA 2 of what a reader gets, tune visual, effort 5, over {len(paths)} tuning pictures, by the base codec's own "
        "quality.\n\n"
    )
    names = ("base codec", "own quality", "median", "lower quartile", "upper quartile")
    return (
        heading
        + table(names, rows)
        + "\nThe scales of `dsncodec.carriers`, (quality, own quality):\n\n"
        + "\n".join(f"- {line}" for line in lines)
        + "\n"
    )


def _scores(base: str, qualities: Iterable[int], path: Path) -> list[float]:
    rgb = rgb_of(path)
    return [
        _score(rgb, dsncodec.encode(rgb, dsncodec.Restored(base=base, base_quality=own), threads=1))
        for own in qualities
    ]


def points_of(own: Sequence[int], scores: NDArray[np.float64]) -> tuple[tuple[int, int], ...]:
    """(quality, own quality) where the median is the quality; from 0 up, and 100 at the end.

    >>> points_of((0, 50, 100), np.array([-20.0, 40.0, 90.0]))[:3]
    ((0, 0), (10, 25), (20, 33))
    """
    rising = np.maximum.accumulate(scores)
    found = [(q, round(float(np.interp(q, rising, own)))) for q in OURS if q < rising[-1]]
    return ((0, 0), *found, (100, 100))


def methods(paths: Sequence[Path]) -> str:
    """Medians and quartiles of SSIMULACRA 2 and the median rate by method and quality."""
    rows: list[list[object]] = []
    for name, options in METHODS.items():
        found = np.array(in_parallel(partial(_by_quality, options), paths))  # (pictures, qualities, 2)
        for k, quality in enumerate(PROMISED):
            low, middle, high = np.percentile(found[:, k, 0], (25, 50, 75))
            rate = float(np.median(found[:, k, 1]))
            rows.append([name, quality, *(f"{v:.1f}" for v in (middle, low, high)), f"{rate:.2f}"])
    names = ("method", "quality", "median", "lower quartile", "upper quartile", "median bpp")
    write_csv("visual-methods.csv", names, rows)
    return f"SSIMULACRA 2 by method and quality, {len(paths)} tuning pictures; latentgrid with 400 steps.\n\n{table(names, rows)}"


def _by_quality(options: Options, path: Path) -> list[tuple[float, float]]:
    rgb = rgb_of(path)
    files = [dsncodec.encode(rgb, options, quality=quality, threads=1) for quality in PROMISED]
    return [(_score(rgb, data), metrics.bpp(len(data), rgb.shape[1], rgb.shape[0])) for data in files]


# --- what effort buys


def effort(paths: Sequence[Path]) -> str:
    """Seconds of one core a megapixel and BD-rate by SSIMULACRA 2 against AVIF as Pillow writes it, by effort."""
    pictures = [rgb_of(path) for path in paths]
    pixels = sum(rgb.shape[0] * rgb.shape[1] for rgb in pictures) / 1e6 * len(QUALITIES)
    anchors = []
    began = time.process_time()
    for rgb in pictures:
        files = [saved(rgb, "AVIF", quality=q, max_threads=1) for q in (25, 40, 55, 70, 85)]
        anchors.append([(8 * len(f) / rgb[..., 0].size, metrics.ssimulacra2(rgb, opened(f))) for f in files])
    anchor_s = (time.process_time() - began) / (pixels * 5 / len(QUALITIES))
    rows = []
    for level in range(10):
        gains, began = [], time.process_time()
        files_of = [
            [dsncodec.encode(rgb, "restored", quality=q, effort=level, threads=1) for q in QUALITIES]
            for rgb in pictures
        ]
        seconds = (time.process_time() - began) / pixels
        for rgb, files, anchor in zip(pictures, files_of, anchors):
            curve = [(8 * len(f) / rgb[..., 0].size, _score(rgb, f)) for f in files]
            gains.append(metrics.bd_rate(anchor, curve))
        rows.append([level, f"{seconds:.2f}", f"{seconds / anchor_s:.1f}", f"{statistics.fmean(gains):.1f}"])
    write_csv("visual-effort.csv", ("effort", "seconds_a_megapixel", "times_the_anchor", "bd_rate"), rows)
    names = ("effort", "seconds of a core a megapixel", "times Pillow's AVIF", "BD-rate by SSIMULACRA 2, %")
    return (
        f"Means over {len(paths)} tuning pictures at qualities {', '.join(map(str, QUALITIES))}, against AVIF as Pillow writes it.\n\n"
        + table(names, rows)
    )


# --- where half the size is better


def half(paths: Sequence[Path], folder: str) -> str:
    """Files at full size, and the best at half of it with no more bytes, by five judges: where the encoder takes half, and where not."""
    found = np.array(in_parallel(partial(_halves, folder=folder), paths))  # (pictures, qualities, judges, 2)
    taken = (found[..., 0, 1] - found[..., 0, 0] > LEAST_GAIN) & (found[..., 1, 1] >= found[..., 1, 2])
    rows: list[list[object]] = []
    for k, own in enumerate(HALF_AT):
        for said, which in (("taken", taken[:, k]), ("not", ~taken[:, k])):
            if not which.any():
                continue
            full, small = found[which, k, :, 0], found[which, k, :, 1]
            apart = (small - full)[:, :2].mean(0)
            ratios = 100 * (small / full - 1)[:, 2:].mean(0)
            cells = [f"{apart[0]:+.1f}", f"{apart[1]:+.2f}", *(f"{ratio:+.1f}" for ratio in ratios)]
            rows.append([own, said, int(which.sum()), f"{full[:, 0].mean():.1f}", *cells])
    heading = ["own quality", "half the size", "pictures", "score", "points", "PSNR, dB"]
    heading += ["Butteraugli, %", "LPIPS, %", "DISTS, %"]
    write_csv("visual-half.csv", heading, rows)
    return (
        f"{len(paths)} tuning pictures, AVIF at full size at its own quality beside the best file at half the size with no more bytes, "
        "both with their network; SSIMULACRA 2 in points, PSNR in dB, distances in percent of full size's. The encoder takes half the "
        f"size where it gains more than {LEAST_GAIN:g} points and has no less PSNR than the AVIF at full size without its network.\n\n"
        + table(heading, rows)
    )


def _halves(path: Path, folder: str) -> list[list[list[float]]]:
    """By judge: full size, half of it, and full size without its network."""
    rgb = rgb_of(path)
    judges = [REFEREES[name].make(folder)(rgb) for name in JUDGES]
    judges.insert(1, partial(metrics.psnr_db, rgb))
    rows = []
    for own in HALF_AT:
        full = dsncodec.encode(rgb, dsncodec.Restored(base="avif", base_quality=own), threads=1)
        small = dsncodec.encode(
            rgb, dsncodec.Restored(base="avif", scale=2), target_bytes=len(full), threads=1
        )
        shown = [np.asarray(dsncodec.decode(data, threads=1)) for data in (full, small)]
        shown.append(np.asarray(dsncodec.decode(full, preview=True)))
        rows.append([[judge(one) for one in shown] for judge in judges])
    return rows
