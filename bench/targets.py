"""``target_bytes`` and ``target_psnr_db`` beside every file that there is: the 101 of ``quality``, and of each quality of the base codec."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import dsncodec
from dsncodec import Restored, carriers
from dsncodec.metrics import psnr_db

from .common import image_paths, rgb_of
from .graphics import drawn
from .results import table, write_csv, write_report

UInt8Array = NDArray[np.uint8]

FLAT = (
    "plot-0",
    "bars-0",
    "written-12",
    "written-15",
    "diagram",
    "map",
    "table",
    "lines",
    "gradients",
    "scatter",
    "code-matrix",
    "plot-2",
)
# Bytes between the smallest and the largest file, and decibels between the worst and the best, at these shares of the way
SHARES = (0.1, 0.35, 0.7)
LEAST_DB, MOST_BYTES = 0.05, 0.01


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The study's options."""
    parser.add_argument("--pictures", type=int, default=12, help="of each kind")
    parser.add_argument("--side", type=int, default=128, help="crops of this many pixels")
    parser.add_argument("--effort", type=int, default=4)


@dataclass(frozen=True)
class Case:
    """One target of one picture. ``best`` is of all files that meet it: the most decibels, or the fewest bytes."""

    picture: str
    kind: str
    target: str
    asked: float
    best: float
    reached: float

    @property
    def misses(self) -> bool:
        """By more than the study allows."""
        if self.target == "bytes":
            return self.reached < self.best - LEAST_DB
        return self.reached > self.best * (1 + MOST_BYTES)


def run(args: argparse.Namespace) -> int:
    """Measure, print, and write targets.csv and .md."""
    shown = {name: (np.asarray(drawn()[name].convert("RGB")), "flat") for name in FLAT[: args.pictures]}
    photos = image_paths(args.data, "B100", args.pictures)
    shown |= {path.stem: (rgb_of(path), "photograph") for path in photos}
    found: list[Case] = []
    for name, (rgb, kind) in shown.items():
        top, left = ((side - args.side) // 2 for side in rgb.shape[:2])
        found += cases(
            name, np.ascontiguousarray(rgb[top : top + args.side, left : left + args.side]), kind, args.effort
        )
        print(name, [case.misses for case in found if case.picture == name], flush=True)
    rows = [
        (c.picture, c.kind, c.target, f"{c.asked:.3f}", f"{c.best:.3f}", f"{c.reached:.3f}", int(c.misses))
        for c in found
    ]
    heads = ["picture", "kind", "target", "asked", "best", "reached", "misses"]
    write_csv("targets.csv", heads, rows)
    write_report("targets.md", "# Targets beside all qualities\n\n" + _report(found, args), args.command)
    return 0


def cases(name: str, rgb: UInt8Array, kind: str, effort: int) -> list[Case]:
    """Six targets of a picture, tuned for squared error."""
    settings: dict[str, Any] = {"tune": "psnr", "effort": effort, "threads": 1}
    files = [
        dsncodec.encode(rgb, Restored(base_quality=quality, tune="psnr"), effort=effort, threads=1)
        for quality in carriers.BASE_CODECS["avif"].qualities
    ]
    sizes = [len(data) for data in files]
    # quality 100 is the file without loss
    files += [dsncodec.encode(rgb, quality=quality, **settings) for quality in range(101)]
    every = [(len(data), _db(rgb, data)) for data in dict.fromkeys(files)]
    found = []
    levels = [level for _, level in every if math.isfinite(level)]
    for share in SHARES:
        limit = round(min(sizes) * (max(sizes) / min(sizes)) ** share)
        data = dsncodec.encode(rgb, target_bytes=limit, **settings)
        best = max(level for size, level in every if size <= limit)
        found.append(Case(name, kind, "bytes", limit, _finite(best), _finite(_db(rgb, data))))
        wanted = min(levels) + share * (max(levels) - min(levels))
        data = dsncodec.encode(rgb, target_psnr_db=wanted, **settings)
        assert _db(rgb, data) >= wanted
        least = min(size for size, level in every if level >= wanted)
        found.append(Case(name, kind, "dB", wanted, least, len(data)))
    return found


def _db(rgb: UInt8Array, data: bytes) -> float:
    return psnr_db(rgb, np.asarray(dsncodec.decode(data, threads=1).convert("RGB")))


def _finite(level: float) -> float:
    return level if math.isfinite(level) else 99.0


def _report(found: list[Case], args: argparse.Namespace) -> str:
    rows = []
    for kind in ("flat", "photograph"):
        for target, unit in (("bytes", "dB"), ("dB", "% of bytes")):
            of = [case for case in found if (case.kind, case.target) == (kind, target)]
            short = [c.best - c.reached if target == "bytes" else 100 * (c.reached / c.best - 1) for c in of]
            rows.append(
                (
                    kind,
                    f"target of {target}",
                    len(of),
                    sum(case.misses for case in of),
                    f"{max(short):.2f} {unit}",
                    f"{np.mean(short):.3f}",
                )
            )
    return (
        f"{args.pictures} drawings and {args.pictures} photographs (B100), {args.side} x {args.side} pixels from the middle, effort {args.effort}, tuned for squared error; three targets of bytes "
        "and three of PSNR each, from near the smallest file to near the largest. Beside them the files of all 101 qualities, 100 being without loss, and of each of the 64 qualities that the base codec has: "
        f"the best of those that meet the target. A miss is more than {LEAST_DB} dB or {MOST_BYTES:.0%} of the bytes.\n\n"
        + table(["pictures", "asked for", "targets", "misses", "worst", "mean"], rows)
    )
