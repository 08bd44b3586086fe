"""Table 1 of the PPCN paper: luma PSNR and SSIM of pictures enlarged four times, and what that costs."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

import dsncodec
from dsncodec.metrics import psnr_db, ssim
from dsncodec.networks.inference import Network
from dsncodec.train.export.onnx import to_onnx

from ..common import (
    FloatArray,
    UInt8Array,
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
from .sr_nets import SRCNN

SCALE = 4
# Hui et al. 2018, Table 1: bicubic, SRCNN, theirs
PAPER = {
    "Set5": ((28.42, 0.8104), (30.48, 0.8628), (31.37, 0.8835)),
    "Set14": ((26.00, 0.7027), (27.50, 0.7513), (28.11, 0.7698)),
    "B100": ((25.96, 0.6675), (26.90, 0.7101), (27.24, 0.7246)),
    "Urban100 (first 50)": ((23.14, 0.6577), (24.52, 0.7221), (25.18, 0.7542)),
}
PAPER_TIME = 654 / 3239  # Table 2: theirs over the SRCNN of the challenge, on a CPU

PROTOCOL = """\
PSNR in dB / SSIM of studio-range luma (MATLAB's rgb2ycbcr, 8 bits), 4 border pixels left out; means over pictures. Pictures are cropped to
whole multiples of 4 and shrunk to 8-bit RGB by antialiased bicubic (MATLAB's imresize). Bicubic: enlarged by the same kernel, in the same run.
SSIM with the Gaussian window, sigma 1.5. The paper's Urban100 has 100 pictures, ours the first 50: compare what each gains over its own bicubic."""
TIMES = """\
Time: of the processor, one thread, the pictures of the set one after the other, from small 8-bit picture to large 8-bit picture; median of {runs} runs, all
ways in turn. `ppcn` and `dsn` (Up-SNet, luma and chroma) are `dsncodec.upsample(..., 4)`, tiles and all. SRCNN is the 9-1-5 network with 64 and 32
maps over the bicubic picture, whole, through ONNX Runtime, with random weights, for its time alone; once on luma (chroma bicubic), and
once with three planes in and out, as the challenge's baseline. The paper's own ratio to that baseline on a CPU is {paper:.2f}."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument("--sets", nargs="+", default=list(PAPER), choices=list(PAPER))
    parser.add_argument(
        "--timed", default="Set14", help="set over which time is measured (default: %(default)s)"
    )
    parser.add_argument(
        "--runs", type=int, default=5, help="of each way, for its time (default: %(default)s)"
    )
    parser.add_argument("--dry-run", action="store_true", help="print, but keep no results")


def bicubic(rgb: UInt8Array, rows: int, columns: int) -> UInt8Array:
    """Every channel resampled, shrinking antialiased, and rounded to 8 bits."""
    planes = [resized(rgb[..., i], rows, columns, Image.Resampling.BICUBIC) for i in range(3)]
    return to_uint8(np.stack(planes, -1))


def upsampled(small: UInt8Array, model: str) -> UInt8Array:
    """What a user gets."""
    return np.asarray(dsncodec.upsample(Image.fromarray(small), SCALE, model=model, threads=1))


def large_and_small(path: Path) -> tuple[UInt8Array, UInt8Array]:
    """A picture, cropped, and the same at a quarter of its size."""
    rgb = cropped(rgb_of(path), SCALE)
    return rgb, bicubic(rgb, rgb.shape[0] // SCALE, rgb.shape[1] // SCALE)


def measure(path: Path) -> list[float]:
    """PSNR and SSIM of PPCN and of bicubic over one picture."""
    rgb, small = large_and_small(path)
    scores: list[float] = []
    for made in (upsampled(small, "ppcn"), bicubic(small, *rgb.shape[:2])):
        a, b = (np.asarray(without_border(studio_luma(x), SCALE), np.uint8) for x in (rgb, made))
        scores += [psnr_db(a, b), ssim(a, b)]
    return scores


def srcnn(planes: int, folder: str) -> Network:
    """SRCNN 9-1-5 with random weights, of one plane or of three."""
    net = SRCNN(planes, mapping=1).eval()
    path = Path(folder) / f"srcnn-{planes}.onnx"
    path.write_bytes(to_onnx(net, (torch.rand(1, planes, 24, 24),), ["picture"]))
    return Network(path, 1)


def ways(folder: str) -> dict[str, Callable[[UInt8Array], object]]:
    """Everything that is timed, by name."""
    one, three = srcnn(1, folder), srcnn(3, folder)

    def planes_of(small: UInt8Array) -> FloatArray:
        large = bicubic(small, small.shape[0] * SCALE, small.shape[1] * SCALE)
        return np.ascontiguousarray(large.transpose(2, 0, 1)).astype(np.float32) / np.float32(255)

    return {
        "PPCN": lambda small: upsampled(small, "ppcn"),
        "Up-SNet": lambda small: upsampled(small, "dsn"),
        "SRCNN 9-1-5, luma": lambda small: to_uint8(one(planes_of(small)[:1]) * 255),
        "SRCNN 9-1-5, RGB": lambda small: to_uint8(three(planes_of(small)) * 255),
        "bicubic": lambda small: bicubic(small, small.shape[0] * SCALE, small.shape[1] * SCALE),
    }


def times_ms(
    smalls: list[UInt8Array], found: dict[str, Callable[[UInt8Array], object]], runs: int
) -> dict[str, list[float]]:
    """Milliseconds per picture of each run over all pictures, after one run that warms up."""
    times: dict[str, list[float]] = {name: [] for name in found}
    for run in range(runs + 1):
        for name, way in found.items():
            started = time.process_time()
            for small in smalls:
                way(small)
            if run:
                times[name].append(1000 * (time.process_time() - started) / len(smalls))
    return times


def quality_rows(found: dict[str, list[list[float]]]) -> list[tuple[str, ...]]:
    """The table of PSNR and SSIM."""
    rows: list[tuple[str, ...]] = []
    for name, values in found.items():
        psnr, similarity, bicubic_psnr, bicubic_ssim = np.mean(values, 0)
        (paper_bicubic, _), _, (paper_psnr, paper_ssim) = PAPER[name]
        rows.append(
            (
                name,
                f"{psnr:.2f} / {similarity:.4f}",
                f"{paper_psnr:.2f} / {paper_ssim:.4f}",
                f"{psnr - paper_psnr:+.2f}",
                f"{bicubic_psnr:.2f} / {bicubic_ssim:.4f}",
                f"{paper_bicubic:.2f}",
                f"{psnr - bicubic_psnr:+.2f}",
                f"{paper_psnr - paper_bicubic:+.2f}",
            )
        )
    return rows


def time_rows(times: dict[str, list[float]]) -> list[tuple[str, ...]]:
    """The table of times, as ratios too."""
    median = {name: statistics.median(values) for name, values in times.items()}
    return [
        (
            name,
            f"{median[name]:.0f}",
            f"{min(values):.0f} to {max(values):.0f}",
            f"{median[name] / median['SRCNN 9-1-5, RGB']:.2f}",
            f"{median[name] / median['Up-SNet']:.2f}",
        )
        for name, values in times.items()
    ]


def run(args: argparse.Namespace) -> int:
    """Measure, print, and write ppcn-1.csv and ppcn-1.md."""
    found: dict[str, list[list[float]]] = {}
    raw = []
    for name in args.sets:
        paths = image_paths(args.data, name)
        found[name] = in_parallel(measure, paths)
        raw += [
            (name, path.name, *(f"{value:.4f}" for value in values))
            for path, values in zip(paths, found[name])
        ]
    smalls = [large_and_small(path)[1] for path in image_paths(args.data, args.timed)]
    with TemporaryDirectory() as folder:
        times = times_ms(smalls, ways(folder), args.runs)
    quality = table(
        ["set", "ours", "paper", "difference", "bicubic", "paper's", "ours over bicubic", "paper's"],
        quality_rows(found),
    )
    cost = table(
        ["way", f"ms per picture of {args.timed}", "all runs", "over SRCNN, RGB", "over Up-SNet"],
        time_rows(times),
    )
    notes = TIMES.format(runs=args.runs, paper=PAPER_TIME)
    text = f"# PPCN: pictures enlarged four times (paper's Table 1)\n\n{quality}\n{PROTOCOL}\n\n{cost}\n{notes}\n"
    if args.dry_run:
        print(text)
    else:
        write_csv(
            "ppcn-1.csv", ["set", "image", "psnr_y_db", "ssim_y", "bicubic_psnr_y_db", "bicubic_ssim_y"], raw
        )
        write_report("ppcn-1.md", text, "python -m bench table ppcn-1")
    return 0
