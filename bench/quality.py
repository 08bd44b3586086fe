"""Build models/quality.toml: operating points along which bytes and PSNR rise on every tuning picture."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import dsncodec
from dsncodec import carriers
from dsncodec.container import Header
from dsncodec.methods.dsn import bitstream as layer
from dsncodec.methods.dsn.codec import Encoder
from dsncodec.metrics import psnr_db, ssimulacra2
from dsncodec.networks import registry

from .common import image_paths, in_parallel, rgb_of
from .results import table, write_csv, write_report

LEVELS = (12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 192, 256)
CHROMA = (12, 16, 24, 32, 48, 64, 96, 128, 256)
CHECKED = tuple(range(0, 101, 5))

Point = tuple[int, int, int]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument(
        "--check-only", action="store_true", help="measure the table that is there, build none"
    )
    parser.add_argument(
        "--scores", action="store_true", help="score the points that are there anew, find none"
    )
    parser.add_argument("--limit", type=int, default=None, help="only the first pictures")
    parser.add_argument("--dry-run", action="store_true", help="print, but keep no results")


def candidates() -> list[Point]:
    """Settings worth trying: chroma gets from half to twice the levels of luma."""
    return [
        (scale, levels, chroma)
        for scale in registry.scales()
        for levels in LEVELS
        for chroma in CHROMA
        if levels / 2 <= chroma <= 2 * levels
    ]


def _measure_candidates(paths: list[Path], points: list[Point]) -> tuple[np.ndarray, np.ndarray]:
    """Bytes and RGB PSNR in dB, each (pictures, points).

    A file is its header, PARM, LUMA and CHRO, and a payload does not depend on the other plane's
    levels: each is coded once. ``run`` then measures the chosen points from whole files.
    """

    def one(path: Path) -> list[tuple[int, float]]:
        rgb = rgb_of(path)
        encoder = Encoder(Header("dsn", "RGB", rgb.shape[1], rgb.shape[0]), rgb, threads=1)
        coded: dict[tuple[int, int, int], int] = {}

        def payload_bytes(plane: int, point: Point, levels: int) -> int:
            key = (plane, point[0], levels)
            if key not in coded:
                symbols = encoder.symbols(layer.Point(*point))[plane]
                coded[key] = len(carriers.encode(symbols, levels, "auto", 5))
            return coded[key]

        whole = dsncodec.encode(rgb, scale=points[0][0], levels=64, threads=1)
        sections = dsncodec.read_info(whole).sections
        around = len(whole) - sections["LUMA"] - sections["CHRO"]
        return [
            (
                around + payload_bytes(0, point, point[1]) + payload_bytes(1, point, point[2]),
                psnr_db(rgb, encoder.reconstruct(layer.Point(*point))),
            )
            for point in points
        ]

    found = np.array(in_parallel(one, paths))
    return found[..., 0], found[..., 1]


def _measure_files(paths: list[Path], qualities: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Bytes and RGB PSNR in dB of whole files, each (pictures, qualities)."""

    def one(path: Path) -> list[tuple[int, float]]:
        rgb = rgb_of(path)
        files = [dsncodec.encode(rgb, "dsn", quality=quality, threads=1) for quality in qualities]
        return [(len(f), psnr_db(rgb, np.asarray(dsncodec.decode(f, threads=1)))) for f in files]

    found = np.array(in_parallel(one, paths))
    return found[..., 0], found[..., 1]


def best_path(size: np.ndarray, psnr: np.ndarray) -> list[int]:
    """The sequence of points that loses least against the hull, rising on every picture.

    A step from a to b is allowed where no picture loses bytes or PSNR. Among all sequences this finds
    the one with the smallest area between it and the upper hull of mean PSNR over mean ln(bytes):
    a shortest path, with the area under the hull that each step leaves uncovered as its length.
    """
    rate, mean = np.log(size).mean(0), psnr.mean(0)
    order = np.lexsort((mean, rate))
    hull: list[int] = []
    for i in order:  # the upper convex hull
        if hull and mean[i] <= mean[hull[-1]]:
            continue
        while len(hull) > 1 and _cross(rate, mean, hull[-2], hull[-1], i) >= 0:
            hull.pop()
        hull.append(i)
    lack = np.interp(rate, rate[hull], mean[hull]) - mean  # dB below the hull
    first, last = hull[0], hull[-1]
    cost = np.full(len(rate), np.inf)
    came = np.full(len(rate), -1)
    cost[first] = 0
    for b in order:
        for a in order:
            if rate[a] >= rate[b] or not np.isfinite(cost[a]):
                continue
            if (size[:, a] > size[:, b]).any() or (psnr[:, a] > psnr[:, b]).any():
                continue
            step = rate[b] - rate[a]  # halving a long step costs nothing, a leap over the hull does
            loss = cost[a] + step * (lack[a] + lack[b]) / 2 + 2.0 * step**2
            if loss < cost[b]:
                cost[b], came[b] = loss, a
    # where no allowed path leads to the last point, to the best one that can be reached
    end = last if np.isfinite(cost[last]) else max(np.flatnonzero(np.isfinite(cost)), key=lambda i: mean[i])
    path = [int(end)]
    while path[-1] != first:
        path.append(int(came[path[-1]]))
    return path[::-1]


def _cross(rate: np.ndarray, mean: np.ndarray, o: int, a: int, b: int) -> float:
    return float((rate[a] - rate[o]) * (mean[b] - mean[o]) - (mean[a] - mean[o]) * (rate[b] - rate[o]))


def _best_points(paths: list[Path]) -> list[Point]:
    """Of all candidates those along which bytes and PSNR rise on every picture."""
    points = candidates()
    print(f"{len(points)} settings x {len(paths)} pictures", flush=True)
    return [points[i] for i in best_path(*_measure_candidates(paths, points))]


def _write_table(paths: list[Path], points: Sequence[Point], dry_run: bool) -> bool:
    """quality.toml, with the median SSIMULACRA 2 of each point over the pictures, made to rise. Returns whether it was only shown."""

    def one(path: Path) -> list[float]:
        rgb, found = rgb_of(path), []
        for scale, levels, chroma in points:
            method = dsncodec.DeepSampling(scale=scale, levels=levels, chroma_levels=chroma)
            data = dsncodec.encode(rgb, method, threads=1)
            found.append(ssimulacra2(rgb, np.asarray(dsncodec.decode(data, threads=1))))
        return found

    scores = np.maximum.accumulate(np.median(in_parallel(one, paths), axis=0))
    lines = [f"    [{s}, {q}, {c}, {score:.1f}]," for (s, q, c), score in zip(points, scores)]
    text = "\n".join(
        [
            "# Quality 0..100 -> [scale, levels, chroma levels, median SSIMULACRA 2]. Written by `python -m bench quality` from",
            "# the hull over tune/div2k256: bytes and RGB PSNR rise on every picture of it. Quality is about the score.",
            "points = [",
            *lines,
            "]",
            "",
        ]
    )
    if dry_run:
        print(text)
    else:
        (registry.folder() / "quality.toml").write_text(text, "utf-8")
        registry.quality_table.cache_clear()
    return dry_run


def run(args: argparse.Namespace) -> int:
    """Build the table, then measure quality 0, 5, .., 100 on every picture and count what falls."""
    paths = image_paths(args.data, "div2k256", args.limit)
    if not args.check_only:
        points = [row[:3] for row in registry.quality_table()] if args.scores else _best_points(paths)
        if _write_table(paths, points, args.dry_run):
            return 0
    chosen = [layer.point_of_quality(q) for q in CHECKED]
    size, psnr = _measure_files(paths, CHECKED)
    fell_bytes, fell_psnr = (int((np.diff(a, axis=1) < 0).sum()) for a in (size, psnr))
    pixels = [rgb_of(path).size / 3 for path in paths]
    rows = [
        (
            q,
            f"x{p.scale}",
            p.levels,
            p.chroma_levels,
            f"{np.mean(8 * size[:, i] / pixels):.3f}",
            f"{psnr[:, i].mean():.2f}",
            f"{psnr[:, i].min():.2f}",
        )
        for i, (q, p) in enumerate(zip(CHECKED, chosen))
    ]
    text = f"""# Quality 0..100

{table(["quality", "scale", "levels", "chroma levels", "mean bpp", "mean RGB PSNR dB", "least dB"], rows)}
On {len(paths)} pictures x {len(CHECKED) - 1} steps of quality: bytes fell {fell_bytes} times, PSNR fell {fell_psnr} times.
"""
    if args.dry_run:
        print(text)
    else:
        raw = [
            (path.name, q, int(size[j, i]), f"{psnr[j, i]:.4f}")
            for j, path in enumerate(paths)
            for i, q in enumerate(CHECKED)
        ]
        write_csv("quality.csv", ["image", "quality", "bytes", "psnr_rgb_db"], raw)
        write_report("quality.md", text, args.command)
    return int(fell_bytes + fell_psnr > 0)
