"""The method coconet: rate and distortion of both variants at a budget in seconds, beside JPEG and JPEG 2000."""

from __future__ import annotations

import argparse
import csv
import io
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from PIL import Image

import dsncodec
from dsncodec.metrics import Curve, bd_rate, bpp, psnr_db

from . import results
from .common import UInt8Array, image_paths, rgb_of
from .results import table, write_csv, write_report

matplotlib.use("Agg")
import matplotlib.pyplot as plt

CSV = "coconet.csv"
HEADER = ("codec", "picture", "setting", "steps", "bpp", "psnr_db")
Row = tuple[str, str, str, int, float, float]  # as HEADER
RATES = (0.1, 0.2, 0.3, 0.5)
PAPER_RATES = (0.1, 0.3)
BELOW = 0.5  # bpp that BD-rates are taken up to
JPEG_QUALITIES = (1, 3, 5, 8, 11, 15, 20, 26, 33, 41, 50)
J2K_RATIOS = (400, 240, 160, 110, 80, 60, 45, 34, 24)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument("--limit", type=int, help="pictures of the tuning set (default: all)")
    parser.add_argument(
        "--seconds", type=float, default=60, help="of processor time, for each fit (default: %(default)s)"
    )
    parser.add_argument(
        "--rates", type=float, nargs="+", default=RATES, metavar="BPP", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--paper-rates",
        type=float,
        nargs="+",
        default=PAPER_RATES,
        metavar="BPP",
        help="of variant paper (default: %(default)s)",
    )
    parser.add_argument("--fresh", action="store_true", help="forget the rows of earlier runs")


def saved(rgb: UInt8Array, name: str, **options: Any) -> tuple[float, float, int]:
    """(bpp, PSNR in dB, 0 steps) of a file that Pillow writes."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, name, **options)
    with Image.open(buffer) as decoded:
        found = np.asarray(decoded)
    return *_measured(rgb, len(buffer.getvalue()), found), 0


def _measured(rgb: UInt8Array, size_bytes: int, found: UInt8Array) -> tuple[float, float]:
    return bpp(size_bytes, rgb.shape[1], rgb.shape[0]), psnr_db(rgb, found)


def fitted(rgb: UInt8Array, rate: float, variant: str, seconds: float) -> tuple[float, float, int]:
    """(bpp, PSNR in dB, steps) of a whole file of ours, after as many steps as take ``seconds`` of one core.

    Steps are counted, so that a machine that has other work to do gives the same files.
    """

    def timed(steps: int) -> tuple[float, bytes]:
        begun = time.process_time()
        data = dsncodec.encode(rgb, "coconet", target_bpp=rate, steps=steps, variant=variant, threads=1)
        return time.process_time() - begun, data

    timed(2)
    few, many = timed(20)[0], timed(120)[0]
    each = (many - few) / 100
    steps = max(1, round((seconds - (few - 20 * each)) / each))
    data = timed(steps)[1]
    return *_measured(rgb, len(data), np.asarray(dsncodec.decode(data))), steps


def kept_rows() -> list[Row]:
    """What an earlier run has left: each fit takes its time."""
    path = results.RESULTS / CSV
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    return [(row[0], row[1], row[2], int(row[3]), float(row[4]), float(row[5])) for row in rows]


def run(args: argparse.Namespace) -> int:
    """Code, compare, write coconet.csv after each file, coconet.md, coconet.svg and coconet.png."""
    rows = [] if args.fresh else kept_rows()
    paths = image_paths(args.data, "div2k256", args.limit)

    def add(codec: str, path: Path, setting: str, measure: Callable[[], tuple[float, float, int]]) -> None:
        if any(row[:3] == (codec, path.stem, setting) for row in rows):
            return
        rate, psnr, steps = measure()
        rows.append((codec, path.stem, setting, steps, round(rate, 5), round(psnr, 3)))
        write_csv(CSV, HEADER, sorted(rows))
        print(*rows[-1], flush=True)

    for path in paths:
        rgb = rgb_of(path)
        for q in JPEG_QUALITIES:
            options: dict[str, Any] = {"quality": q, "optimize": True, "progressive": True}
            add("JPEG", path, str(q), partial(saved, rgb, "JPEG", **options))
        for ratio in J2K_RATIOS:
            options = {"quality_layers": [ratio], "irreversible": True, "mct": 1, "no_jp2": True}
            add(
                "JPEG 2000",
                path,
                str(ratio),
                partial(saved, rgb, "JPEG2000", quality_mode="rates", **options),
            )
        for variant, rates in (("sine", args.rates), ("paper", args.paper_rates)):
            for rate in rates:
                add(
                    f"coconet, {variant}",
                    path,
                    f"{rate:g}",
                    partial(fitted, rgb, rate, variant, args.seconds),
                )
    names = {path.stem for path in paths}
    shown = [row for row in rows if row[1] in names]
    draw(shown, [results.RESULTS / f"coconet{suffix}" for suffix in (".svg",)])
    write_report("coconet.md", text_of(args.seconds, shown), args.command)
    return 0


def mean_curve(rows: list[Row]) -> Curve:
    """Means over pictures at each setting, rates rising."""
    settings = {row[2] for row in rows}
    points = [np.mean([row[4:] for row in rows if row[2] == setting], 0) for setting in settings]
    return sorted((float(rate), float(psnr)) for rate, psnr in points)


def saving(anchor: Curve, curve: Curve) -> float | None:
    """BD-rate in percent up to 0.5 bpp, or None without a common range."""
    low_anchor, low_curve = (
        [point for point in points if point[0] <= 1.05 * BELOW] for points in (anchor, curve)
    )
    try:
        return bd_rate(low_anchor, low_curve)
    except dsncodec.SettingError:
        return None


def curves_of(rows: list[Row]) -> dict[str, Curve]:
    """Each codec's mean curve."""
    return {
        name: mean_curve([row for row in rows if row[0] == name]) for name in sorted({row[0] for row in rows})
    }


def text_of(seconds: float, rows: list[Row]) -> str:
    """The report."""
    curves = curves_of(rows)
    pictures = sorted({row[1] for row in rows})
    means = []
    for name, curve in curves.items():
        means.append(
            [
                name,
                " ".join(f"{r:.3f}: {p:.2f}" for r, p in curve if r <= 1),
                *(_percent(saving(curves[anchor], curve)) for anchor in ("JPEG", "JPEG 2000")),
            ]
        )
    each = []
    for picture in pictures:
        of_one = curves_of([row for row in rows if row[1] == picture])
        each.append(
            [
                picture,
                *(
                    _percent(saving(of_one[anchor], of_one["coconet, sine"]))
                    for anchor in ("JPEG", "JPEG 2000")
                ),
            ]
        )
    steps = [row[3] for row in rows if row[0] == "coconet, sine"]
    return (
        f"# Networks fitted to pictures of div2k256\n\n![rate and distortion](coconet.svg)\n\n"
        f"Whole files, RGB PSNR in dB, means over {len(pictures)} pictures. Each fit has as many steps as take {seconds:g} s of one core "
        f"when it has nothing else to do: {min(steps)} to {max(steps)} of variant sine. JPEG is optimised and progressive, JPEG 2000 is OpenJPEG's 9/7 with "
        f"mct=1, both as Pillow writes them. BD-rates are up to {BELOW} bpp; negative: fewer bytes.\n\n"
        + table(["codec", "bpp: dB", "BD-rate, JPEG", "BD-rate, JPEG 2000"], means)
        + "\nVariant sine, picture by picture:\n\n"
        + table(["picture", "BD-rate, JPEG", "BD-rate, JPEG 2000"], each)
    )


def _percent(value: float | None) -> str:
    return "no common range" if value is None else f"{value:+.1f} %"


def draw(rows: list[Row], paths: list[Path]) -> None:
    """The mean curves."""
    style = {"svg.fonttype": "none", "svg.hashsalt": "dsncodec"}
    with plt.rc_context(style):
        figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
        for name, curve in curves_of(rows).items():
            shown = [point for point in curve if point[0] <= 0.8]
            axes.plot(*zip(*shown), marker="o", markersize=4, label=name)
        axes.set_xlabel("bits per pixel, whole files")
        axes.set_ylabel("RGB PSNR (dB)")
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)
        for path in paths:
            metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
            figure.savefig(path, dpi=130, metadata=metadata)
        plt.close(figure)
