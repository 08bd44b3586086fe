"""Table 4 of the DSN paper: luma PSNR and SSIM of Down-SNet -> Q-BReLU(256) -> Up-SNet."""

from __future__ import annotations

import argparse

import numpy as np
from PIL import Image

import dsncodec
from dsncodec.metrics import psnr_db, ssim

from ..common import (
    UInt8Array,
    cropped,
    image_paths,
    resized,
    rgb_of,
    studio_luma,
    to_uint8,
    without_border,
)
from ..results import table, write_csv, write_report

# Cai et al. 2017, Table 4, column DSN
PAPER = {
    ("Set5", 2): (37.92, 0.9549), ("Set5", 3): (34.29, 0.9300), ("Set5", 4): (31.92, 0.9032),
    ("Set14", 2): (34.11, 0.9286), ("Set14", 3): (30.30, 0.8578), ("Set14", 4): (28.34, 0.7539),
    ("B100", 2): (32.52, 0.9074), ("B100", 3): (28.99, 0.7969), ("B100", 4): (27.22, 0.7010),
    ("Urban100 (first 50)", 2): (32.27, 0.9305), ("Urban100 (first 50)", 3): (28.03, 0.8346),
    ("Urban100 (first 50)", 4): (25.66, 0.7145),
}  # fmt: skip
# Cai et al. 2017, Table 3: Up-SNet trained on bicubic inputs, x3. Learned down-sampling must pay.
FLOOR = {"Set5": 33.67, "Set14": 29.80, "B100": 28.58, "Urban100 (first 50)": 26.81}

PROTOCOL = """\
Protocol: studio-range luma (MATLAB's rgb2ycbcr, 8 bits), pictures cropped to whole multiples of the
scale, coded as grey pictures with 256 levels through the public API, decoded to 8 bits; `scale` border
pixels left out; mean over pictures. SSIM: Gaussian window, sigma 1.5 (as scikit-image's). Bicubic: antialiased,
8-bit, both ways, in the same run. The paper's Urban100 has 100 pictures, ours the first 50."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument("--scales", type=int, nargs="+", default=[2, 3, 4])
    parser.add_argument("--sets", nargs="+", default=list(dict.fromkeys(name for name, _ in PAPER)))
    parser.add_argument("--dry-run", action="store_true", help="print, but keep no results")


def _scores(reference: UInt8Array, other: UInt8Array, border: int) -> tuple[float, float]:
    a, b = (np.asarray(without_border(image, border), np.uint8) for image in (reference, other))
    return psnr_db(a, b), ssim(a, b)


def run(args: argparse.Namespace) -> int:
    """Measure, print, and write dsn-4.csv and dsn-4.md."""
    raw, rows = [], []
    for scale in args.scales:
        for name in args.sets:
            scores = []
            for path in image_paths(args.data, name):
                luma = cropped(studio_luma(rgb_of(path)), scale)
                data = dsncodec.encode(luma, scale=scale, levels=256, backend="jpegls")
                ours = _scores(luma, np.asarray(dsncodec.decode(data)), scale)
                small = to_uint8(
                    resized(
                        luma,
                        luma.shape[0] // scale,
                        luma.shape[1] // scale,
                        Image.Resampling.BICUBIC,
                    )
                )
                bicubic = _scores(
                    luma, to_uint8(resized(small, *luma.shape, Image.Resampling.BICUBIC)), scale
                )
                scores.append((*ours, *bicubic))
                raw.append((name, scale, path.name, *(f"{v:.4f}" for v in (*ours, *bicubic))))
            psnr, similarity, bicubic_psnr, bicubic_ssim = np.mean(scores, 0)
            paper_psnr, paper_ssim = PAPER[name, scale]
            rows.append((
                f"{name} x{scale}", f"{psnr:.2f}", f"{paper_psnr:.2f}", f"{psnr - paper_psnr:+.2f}",
                f"{similarity:.4f}", f"{paper_ssim:.4f}", f"{bicubic_psnr:.2f}", f"{bicubic_ssim:.4f}",
                f"{psnr - FLOOR[name]:+.2f}" if scale == 3 else "",
            ))  # fmt: skip
            print(rows[-1], flush=True)
    header = [
        "set",
        "PSNR dB",
        "paper",
        "difference",
        "SSIM",
        "paper",
        "bicubic PSNR",
        "bicubic SSIM",
        "above the floor",
    ]
    text = f"# Luma after down- and up-sampling (paper's Table 4)\n\n{table(header, rows)}\n{PROTOCOL}\n"
    text += "The floor at x3 is the paper's Up-SNet over bicubic inputs (its Table 3).\n"
    if args.dry_run:
        print(text)
    else:
        write_csv(
            "dsn-4.csv",
            ["set", "scale", "image", "psnr_y_db", "ssim_y", "bicubic_psnr_y_db", "bicubic_ssim_y"],
            raw,
        )
        write_report("dsn-4.md", text, "python -m bench dsn-4")
    return 0
