"""The second decoder of files with an AVIF inside: what it costs in PSNR, and what judges that did not train it say."""

from __future__ import annotations

import argparse
import statistics
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

import dsncodec
from dsncodec.bench.referees import REFEREES
from dsncodec.bench.report import table
from dsncodec.metrics import bpp, psnr_db, ssimulacra2

from . import features
from .common import UInt8Array, image_paths, in_parallel, rgb_of
from .results import write_csv, write_report

# set -> its pictures, and the part of their sides that they have
SETS = {"B100": (12, 1), "Urban100 (first 50)": (8, 2)}
RATES = (0.15, 0.2, 0.3)
JUDGES = ("lpips", "dists", "butteraugli")
SCORES = ("RGB PSNR, dB", "SSIMULACRA 2", *JUDGES)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    features.add_arguments(parser)
    parser.add_argument("--limit", type=int, help="pictures of each set (default: 12 of B100, 8 of Urban100)")


def run(args: argparse.Namespace) -> int:
    """Measure, and write perceptual-avif.md and .csv."""
    folder = args.loss_networks or f"{args.data}/loss_network"
    lines, kept = [], []
    for name, (count, part) in SETS.items():
        paths = image_paths(args.data, name, args.limit or count)
        found = in_parallel(partial(_scores, part=part, folder=folder), paths)
        for k, rate in enumerate(RATES):
            scores = np.array([of_picture[k][1:] for of_picture in found])  # (pictures, 2 * scores)
            plain, shown = scores.mean(0).reshape(2, -1)
            reached = statistics.fmean(of_picture[k][0] for of_picture in found)
            ratios = [f"{b / a:.2f}" for a, b in zip(plain[2:], shown[2:])]
            moved = [f"{b - a:+.2f}" for a, b in zip(plain[:2], shown[:2])]
            both = np.mean((scores[:, 7:9] < scores[:, 2:4]).all(1))
            lines.append([name, f"{rate:g}", f"{reached:.3f}", *moved, *ratios, f"{both:.0%}"])
            kept += [
                [name, path.name, f"{rate:g}", *(f"{value:.4f}" for value in of_picture[k])]
                for path, of_picture in zip(paths, found)
            ]
    heading = [
        "set",
        "wanted bpp",
        "bpp",
        "PSNR, dB",
        "SSIMULACRA 2",
        "LPIPS",
        "DISTS",
        "Butteraugli",
        "both nearer",
    ]
    write_csv(
        "perceptual-avif.csv",
        (
            "set",
            "picture",
            "wanted_bpp",
            "bpp",
            *(f"{d}: {s}" for d in ("fidelity", "perceptual") for s in SCORES),
        ),
        kept,
    )
    text = (
        '# decoder="perceptual" of files with an AVIF inside\n\nThe same files (`target_bpp`, default effort) decoded twice: '
        "differences of means of PSNR and SSIMULACRA 2; of the three distances the mean over that of the plain decoder; and on how "
        "many pictures both LPIPS and DISTS are nearer. SqueezeNet and VGG-16 trained the network: LPIPS's AlexNet did not, "
        f"DISTS's VGG-16 did, pooled another way.\n\n{table(heading, lines)}"
    )
    write_report("perceptual-avif.md", text, args.command)
    return 0


def _scores(path: Path, part: int, folder: str) -> list[list[float]]:
    """Of each rate: bpp, and the scores of both decoders."""
    rgb = rgb_of(path)
    if part != 1:
        size = rgb.shape[1] // part, rgb.shape[0] // part
        rgb = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS))
    judges = [REFEREES[name].make(folder)(rgb) for name in JUDGES]
    rows: list[list[float]] = []
    for rate in RATES:
        data = dsncodec.encode(rgb, target_bpp=rate, threads=1)
        rows.append([bpp(len(data), rgb.shape[1], rgb.shape[0])])
        for decoder in ("fidelity", "perceptual"):
            shown: UInt8Array = np.asarray(dsncodec.decode(data, decoder=decoder, threads=1))
            rows[-1] += [psnr_db(rgb, shown), ssimulacra2(rgb, shown), *(judge(shown) for judge in judges)]
    return rows
