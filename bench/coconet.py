"""The method coconet: rate and distortion of both variants at a budget in seconds, beside JPEG and JPEG 2000."""

from __future__ import annotations

import argparse
import io

import numpy as np
from PIL import Image

import dsncodec
from dsncodec.metrics import Curve, bd_rate, bpp, psnr_db

from .common import UInt8Array, image_paths, rgb_of
from .results import table, write_csv, write_report

RATES = (0.1, 0.2, 0.3, 0.5)
BELOW = 0.5  # bpp that BD-rates are taken up to
JPEG_QUALITIES = (1, 3, 5, 8, 11, 15, 20, 26, 33, 41, 50)
J2K_RATIOS = (400, 240, 160, 110, 80, 60, 45, 34, 24)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument("--limit", type=int, help="pictures of the tuning set (default: all)")
    parser.add_argument("--seconds", type=float, default=60, help="of each fit (default: %(default)s)")
    parser.add_argument(
        "--rates", type=float, nargs="+", default=RATES, metavar="BPP", help="(default: %(default)s)"
    )
    parser.add_argument("--threads", type=int, default=2, help="(default: %(default)s)")


def saved(rgb: UInt8Array, name: str, **options: object) -> tuple[float, float]:
    """(bpp, PSNR in dB) of a file that Pillow writes."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, name, **options)
    with Image.open(buffer) as decoded:
        found = np.asarray(decoded)
    return bpp(len(buffer.getvalue()), rgb.shape[1], rgb.shape[0]), psnr_db(rgb, found)


def fitted(rgb: UInt8Array, rate: float, variant: str, args: argparse.Namespace) -> tuple[float, float]:
    """(bpp, PSNR in dB) of a whole file of ours."""
    data = dsncodec.encode(
        rgb, "coconet", target_bpp=rate, seconds=args.seconds, variant=variant, threads=args.threads
    )
    found = np.asarray(dsncodec.decode(data, threads=args.threads))
    return bpp(len(data), rgb.shape[1], rgb.shape[0]), psnr_db(rgb, found)


def mean_curve(curves: list[list[tuple[float, float]]]) -> Curve:
    """Means over pictures at each setting."""
    return [(float(rate), float(psnr)) for rate, psnr in np.mean(curves, 0)]


def run(args: argparse.Namespace) -> int:
    """Code, compare, write."""
    found: dict[str, list[list[tuple[float, float]]]] = {}
    for path in image_paths(args.data, "div2k256", args.limit):
        rgb = rgb_of(path)
        curves = {
            "JPEG": [saved(rgb, "JPEG", quality=q, optimize=True, progressive=True) for q in JPEG_QUALITIES],
            "JPEG 2000": [
                saved(rgb, "JPEG2000", quality_mode="rates", quality_layers=[r], irreversible=True, mct=1, no_jp2=True)
                for r in J2K_RATIOS
            ],
            **{f"coconet, {v}": [fitted(rgb, r, v, args) for r in args.rates] for v in ("paper", "sine")},
        }  # fmt: skip
        for name, curve in curves.items():
            found.setdefault(name, []).append(curve)
        print(path.name, {name: [f"{r:.3f} {p:.2f}" for r, p in c] for name, c in curves.items()}, flush=True)
    write_csv(
        "coconet.csv",
        ["codec", "picture", "bpp", "psnr_db"],
        [(name, at, *point) for name, curves in found.items() for at, c in enumerate(curves) for point in c],
    )
    write_report(
        "coconet.md", text_of(args, {name: mean_curve(c) for name, c in found.items()}), args.command
    )
    return 0


def text_of(args: argparse.Namespace, curves: dict[str, Curve]) -> str:
    """The report."""
    rows = []
    below = {name: [point for point in curve if point[0] <= 1.05 * BELOW] for name, curve in curves.items()}
    for name, curve in curves.items():
        try:
            rate = f"{bd_rate(below['JPEG'], below[name]):+.1f} %"
        except dsncodec.SettingError:
            rate = "no common range"
        rows.append([name, " ".join(f"{r:.3f}: {p:.2f}" for r, p in curve if r <= 1), rate])
    return (
        f"# Networks fitted to pictures of div2k256\n\n{args.seconds:g} s a picture, {args.threads} threads; bpp of whole files: RGB PSNR in dB, "
        f"means over {args.limit or 'all'} pictures. BD-rate against JPEG up to {BELOW} bpp.\n\n"
        + table(["codec", "curve", "BD-rate"], rows)
    )
