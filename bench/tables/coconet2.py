"""Table 2 of the CocoNet paper: Set5 x4 from each picture's own pixels, beside bicubic."""

from __future__ import annotations

import argparse

import numpy as np
from PIL import Image

import dsncodec
from dsncodec.metrics import psnr_db, ssim
from dsncodec.processing import zero_shot_sr

from ..common import UInt8Array, cropped, image_paths, rgb_of, to_uint8
from ..results import table, write_csv, write_report

SCALE = 4
# Bricman and Ionescu 2018, Table 2: PSNR in dB and SSIM of bicubic and of CocoNet
PAPER = {
    "baby": (29.39, 0.8162, 26.88, 0.7146),
    "bird": (26.84, 0.8265, 26.71, 0.7816),
    "butterfly": (19.93, 0.6779, 20.92, 0.7229),
    "head": (28.48, 0.6786, 29.26, 0.7016),
    "woman": (24.17, 0.7979, 25.33, 0.8150),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument(
        "--steps", type=int, default=1200, help="of each of our fits, at most (default: %(default)s)"
    )
    parser.add_argument(
        "--paper",
        type=int,
        default=0,
        metavar="STEPS",
        help="of the paper's form too: thousands, hours on a processor",
    )
    parser.add_argument("--limit", type=int, default=5, help="pictures (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="(default: %(default)s)")
    parser.add_argument(
        "--shrink",
        choices=("mean", "bicubic", "point"),
        default="bicubic",
        help="how the pictures are shrunk: the mean of each block, antialiased bicubic, or every fourth pixel "
        "(default: %(default)s)",
    )


def shrunk(rgb: UInt8Array, way: str) -> UInt8Array:
    """A quarter of the size; ``point`` takes the pixel next to each block's middle."""
    rows, columns = rgb.shape[0] // SCALE, rgb.shape[1] // SCALE
    if way == "point":
        return np.ascontiguousarray(rgb[SCALE // 2 :: SCALE, SCALE // 2 :: SCALE])
    kernel = {"mean": Image.Resampling.BOX, "bicubic": Image.Resampling.BICUBIC}[way]
    return np.asarray(Image.fromarray(rgb).resize((columns, rows), kernel))


def matched(large: UInt8Array, small: UInt8Array) -> UInt8Array:
    """Bicubic, changed until it shrinks to the small picture: what ours gains without any network."""
    parts = (picture.astype(np.float32) / np.float32(255) for picture in (large, small))
    return to_uint8(zero_shot_sr.matched(*parts) * 255)


def run(args: argparse.Namespace) -> int:
    """Shrink, enlarge, compare, write."""
    rows, kept = [], []
    for name, path in zip(PAPER, image_paths(args.data, "Set5", args.limit)):
        rgb = cropped(rgb_of(path), SCALE)
        small = shrunk(rgb, args.shrink)
        large = {
            "bicubic": np.asarray(Image.fromarray(small).resize(rgb.shape[1::-1], Image.Resampling.BICUBIC))
        }
        large["matched bicubic"] = matched(large["bicubic"], small)
        for method, steps in (("zero_shot", args.steps), ("paper", args.paper)):
            if not steps:
                continue
            enlarged = dsncodec.upsample(
                small, SCALE, model="coconet", method=method, steps=steps, threads=args.threads
            )
            large[method] = np.asarray(enlarged)
        found = {way: (psnr_db(rgb, picture), ssim(rgb, picture)) for way, picture in large.items()}
        kept += [(name, args.shrink, way, *pair) for way, pair in found.items()]
        base = found["bicubic"][0]
        paper = PAPER[name]
        rows.append(
            [
                name,
                *(f"{value:.2f} / {similar:.4f}" for value, similar in found.values()),
                *(f"{value - base:+.2f}" for value, _ in list(found.values())[1:]),
                f"{paper[0]:.2f} / {paper[1]:.4f}",
                f"{paper[2]:.2f} / {paper[3]:.4f}",
                f"{paper[2] - paper[0]:+.2f}",
            ]
        )
        print(rows[-1], flush=True)
    write_csv(f"coconet-2-{args.shrink}.csv", ["picture", "shrink", "method", "psnr_db", "ssim"], kept)
    ways = ["bicubic", "matched bicubic", "ours", *(["paper's form"] if args.paper else [])]
    header = [
        "picture",
        *ways,
        *(f"{way} over bicubic" for way in ways[1:]),
        "bicubic, as printed",
        "CocoNet, as printed",
        "its gain, as printed",
    ]
    form = (
        f"; the paper's form {args.paper} steps, layers as `dsncodec.upsample` has them" if args.paper else ""
    )
    text = (
        f"# CocoNet Table 2: Set5 x4, shrunk by {args.shrink}\n\nRGB PSNR in dB / SSIM, whole pictures; ours at most {args.steps} "
        f"steps{form}. Matched bicubic is ours without its network.\n\n" + table(header, rows)
    )
    write_report(f"coconet-2-{args.shrink}.md", text, args.command)
    return 0
