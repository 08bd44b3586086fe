"""Table 4 of the DSN paper: luma PSNR and SSIM of Down-SNet -> Q-BReLU(256) -> Up-SNet."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from dsncodec.metrics import psnr_db, ssim

from ..common import (
    UInt8Array,
    coded,
    cropped,
    image_paths,
    in_parallel,
    resized,
    rgb_of,
    studio_luma,
    to_uint8,
    without_border,
)
from ..results import table, write_csv, write_report

# Cai et al. 2017, Table 4, column DSN
PAPER = {
    ("Set5", 2): (37.92, 0.9549),
    ("Set5", 3): (34.29, 0.9300),
    ("Set5", 4): (31.92, 0.9032),
    ("Set14", 2): (34.11, 0.9286),
    ("Set14", 3): (30.30, 0.8578),
    ("Set14", 4): (28.34, 0.7539),
    ("B100", 2): (32.52, 0.9074),
    ("B100", 3): (28.99, 0.7969),
    ("B100", 4): (27.22, 0.7010),
    ("Urban100 (first 50)", 2): (32.27, 0.9305),
    ("Urban100 (first 50)", 3): (28.03, 0.8346),
    ("Urban100 (first 50)", 4): (25.66, 0.7145),
}
# Cai et al. 2017, Table 3: Up-SNet trained on bicubic inputs, x3. Learned down-sampling must pay.
FLOOR = {"Set5": 33.67, "Set14": 29.80, "B100": 28.58, "Urban100 (first 50)": 26.81}

PROTOCOL = """\
PSNR in dB / SSIM. Networks alone: Down-SNet -> Q-BReLU(256) -> Up-SNet, effort 0. Default effort: the encoder also refines
the latent on each picture (effort 5), the decoder is the same; not run over Urban100. Floor: the paper's Up-SNet over bicubic inputs (its Table 3).
Protocol: studio-range luma (MATLAB's rgb2ycbcr, 8 bits), pictures cropped to whole multiples of the scale, coded as grey
files with 256 levels, decoded to 8 bits; `scale` border pixels left out; means over pictures. SSIM with the Gaussian window,
sigma 1.5. Bicubic: antialiased, 8-bit, both ways, in the same run. The paper's Urban100 has 100 pictures, ours the first 50."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument("--scales", type=int, nargs="+", default=[2, 3, 4])
    parser.add_argument("--sets", nargs="+", default=list(dict.fromkeys(name for name, _ in PAPER)))
    parser.add_argument(
        "--refined-sets",
        nargs="+",
        default=["Set5", "Set14", "B100"],
        help="sets that are also coded at the default effort, which takes longer (default: %(default)s)",
    )
    parser.add_argument("--dry-run", action="store_true", help="print, but keep no results")


def _scores(reference: UInt8Array, other: UInt8Array, border: int) -> tuple[float, float]:
    a, b = (np.asarray(without_border(image, border), np.uint8) for image in (reference, other))
    return psnr_db(a, b), ssim(a, b)


def measure(path: Path, scale: int, refine: bool) -> list[float]:
    """PSNR and SSIM of the networks alone, of the default effort (or nan), and of bicubic, over one picture."""
    luma = cropped(studio_luma(rgb_of(path)), scale)
    scores: list[float] = []
    for effort in (0, 5) if refine else (0,):
        _, decoded = next(coded(luma, scale, [256], "jpegls", effort))
        scores += _scores(luma, decoded, scale)
    if not refine:
        scores += [float("nan")] * 2
    height, width = luma.shape
    small = to_uint8(resized(luma, height // scale, width // scale, Image.Resampling.BICUBIC))
    return [*scores, *_scores(luma, to_uint8(resized(small, height, width, Image.Resampling.BICUBIC)), scale)]


def refined_cells(psnr: float, similarity: float, paper_psnr: float) -> tuple[str, str]:
    """The two cells of the default effort, empty where it was not measured."""
    return ("", "") if np.isnan(psnr) else (f"{psnr:.2f} / {similarity:.4f}", f"{psnr - paper_psnr:+.2f}")


def run(args: argparse.Namespace) -> int:
    """Measure, print, and write dsn-4.csv and dsn-4.md."""
    raw, rows = [], []
    for scale in args.scales:
        for name in args.sets:
            paths = image_paths(args.data, name)
            found = in_parallel(lambda path: measure(path, scale, name in args.refined_sets), paths)
            raw += [
                (name, scale, path.name, *(f"{value:.4f}" for value in values))
                for path, values in zip(paths, found)
            ]
            psnr, similarity, refined, refined_ssim, bicubic, bicubic_ssim = np.mean(found, 0)
            paper_psnr, paper_ssim = PAPER[name, scale]
            rows.append(
                (
                    f"{name} x{scale}",
                    f"{psnr:.2f} / {similarity:.4f}",
                    f"{paper_psnr:.2f} / {paper_ssim:.4f}",
                    f"{psnr - paper_psnr:+.2f}",
                    f"{psnr - FLOOR[name]:+.2f}" if scale == 3 else "",
                    *refined_cells(refined, refined_ssim, paper_psnr),
                    f"{bicubic:.2f} / {bicubic_ssim:.4f}",
                )
            )
            print(rows[-1], flush=True)
    header = [
        "set",
        "networks alone",
        "paper",
        "difference",
        "above the floor",
        "default effort",
        "difference",
        "bicubic",
    ]
    text = f"# Luma after down- and up-sampling (paper's Table 4)\n\n{table(header, rows)}\n{PROTOCOL}\n"
    if args.dry_run:
        print(text)
    else:
        columns = [
            f"{kind}_{metric}"
            for kind in ("effort0", "effort5", "bicubic")
            for metric in ("psnr_y_db", "ssim_y")
        ]
        write_csv("dsn-4.csv", ["set", "scale", "image", *columns], raw)
        write_report("dsn-4.md", text, "python -m bench table dsn-4")
    return 0
