"""Table 1 of the CocoNet paper: Gaussian noise on CIFAR-10 pictures, beside filters; all recomputed in one run."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dsncodec.methods.coconet.bitstream import shape_for
from dsncodec.methods.coconet.fit import Budget
from dsncodec.metrics import psnr_db, ssim
from dsncodec.processing import blind_spot, coordinate_network, noise

from ..common import UInt8Array
from ..results import table, write_csv, write_report

Planes = NDArray[np.float64]
SIGMAS = (
    10,
    20,
)  # the paper calls them variances; its noisy pictures' PSNR says that they are standard deviations
# Bricman and Ionescu 2018, Table 1: PSNR in dB and SSIM at both levels
PAPER = {
    "noisy": ((28.26, 0.8928), (22.36, 0.7437)),
    "mean 3x3": ((25.47, 0.8598), (24.56, 0.8216)),
    "mean 5x5": ((21.80, 0.6768), (21.60, 0.6629)),
    "Gaussian 3x3": ((27.33, 0.9057), (25.83, 0.8583)),
    "Gaussian 5x5": ((24.96, 0.8436), (24.35, 0.8160)),
    "median 3x3": ((26.51, 0.8732), (24.72, 0.8120)),
    "median 5x5": ((22.97, 0.7269), (22.43, 0.6943)),
    "bilateral 3x3": ((31.24, 0.9475), (26.46, 0.8629)),
    "bilateral 5x5": ((30.60, 0.9413), (27.49, 0.8902)),
    "CocoNet": ((31.25, 0.9503), (27.22, 0.8925)),
}
BILATERAL = (20, 30, 40, 50, 60, 75, 100)  # spreads of colour that are tried; the best of the run counts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument("--limit", type=int, default=50, help="pictures (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=400, help="of each fit, at most (default: %(default)s)")
    parser.add_argument(
        "--copies",
        type=int,
        default=blind_spot.COPIES,
        help="networks of each picture (default: %(default)s)",
    )
    parser.add_argument("--batch", type=int, default=10, help="pictures at a time (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="(default: %(default)s)")
    parser.add_argument(
        "--layers", type=int, default=15, help="hidden layers of the paper's form (default: %(default)s)"
    )
    parser.add_argument("--width", type=int, default=200, help="their neurons (default: %(default)s)")
    parser.add_argument(
        "--paper",
        type=int,
        default=0,
        metavar="STEPS",
        help="of the paper's form too: thousands, hours on a processor",
    )


def noisy(clean: UInt8Array, sigma: float, seed: int) -> UInt8Array:
    """With Gaussian noise, rounded and clipped to 8 bits."""
    grain = np.random.default_rng(seed).normal(0, sigma, clean.shape)
    return np.clip(clean + grain + 0.5, 0, 255).astype(np.uint8)


def neighbours(pictures: UInt8Array, side: int) -> Planes:
    """(side * side, N, H, W, 3): each pixel's window, mirrored at the edges without repeating them."""
    reach = side // 2
    padded = np.pad(pictures.astype(float), ((0, 0), (reach, reach), (reach, reach), (0, 0)), "reflect")
    rows, columns = pictures.shape[1:3]
    return np.stack([padded[:, y : y + rows, x : x + columns] for y in range(side) for x in range(side)])


def offsets(side: int) -> NDArray[np.float64]:
    """Squared distances of a window's places from its middle, in pixels."""
    y, x = np.mgrid[:side, :side] - side // 2
    return (y**2 + x**2).ravel().astype(float)


def gaussian(pictures: UInt8Array, side: int) -> Planes:
    """The spread that OpenCV gives a window of this side: 0.8 for 3, 1.1 for 5."""
    weights = np.exp(-offsets(side) / (2 * (0.15 * side + 0.35) ** 2))
    return np.tensordot(weights / weights.sum(), neighbours(pictures, side), 1)


def bilateral(pictures: UInt8Array, side: int, spread: float) -> Planes:
    """Weights fall with the sum of the channels' differences, as OpenCV has it, and hardly with distance."""
    windows = neighbours(pictures, side)
    apart = np.abs(windows - pictures).sum(-1, keepdims=True)
    weights = np.exp(
        -((apart / spread) ** 2) / 2 - offsets(side)[:, None, None, None, None] / (2 * spread**2)
    )
    return (weights * windows).sum(0) / weights.sum(0)


def filters(side: int) -> dict[str, Callable[[UInt8Array], Planes]]:
    """By name; bilateral stands for itself."""
    return {
        "mean": lambda p: neighbours(p, side).mean(0),
        "Gaussian": lambda p: gaussian(p, side),
        "median": lambda p: np.median(neighbours(p, side), 0),
    }


def scores(clean: UInt8Array, others: Planes | UInt8Array) -> tuple[float, float]:
    """Means over the pictures: RGB PSNR in dB, and SSIM."""
    found = np.clip(np.asarray(others, np.float64) + 0.5, 0, 255).astype(np.uint8)
    pairs = list(zip(clean, found))
    return float(np.mean([psnr_db(a, b) for a, b in pairs])), float(np.mean([ssim(a, b) for a, b in pairs]))


def timed(
    args: argparse.Namespace, denoised: Callable[..., UInt8Array], grainy: UInt8Array, steps: int
) -> tuple[UInt8Array, str]:
    """The pictures without their noise, and what it took."""
    started, done = time.process_time(), []
    for at in range(0, len(grainy), args.batch):
        part = grainy[at : at + args.batch]
        done.append(denoised(part, budget=Budget(steps=steps), threads=args.threads))
    spent = (time.process_time() - started) / len(grainy)
    return np.concatenate(done), f"at most {steps} steps, {spent:.1f} s of processor time a picture"


def run(args: argparse.Namespace) -> int:
    """Fit, filter, compare, write."""
    with np.load(Path(args.data) / "test" / "cifar10" / "test_batch.npz") as packed:
        clean = packed["images"][: args.limit]
    found: dict[str, list[tuple[float, float]]] = {}
    notes = []
    for level, sigma in enumerate(SIGMAS):
        grainy = noisy(clean, sigma, seed=level)
        found.setdefault("noisy", []).append(scores(clean, grainy))
        for side in (3, 5):
            for name, function in filters(side).items():
                found.setdefault(f"{name} {side}x{side}", []).append(scores(clean, function(grainy)))
            tried = {spread: scores(clean, bilateral(grainy, side, spread)) for spread in BILATERAL}
            best = max(tried, key=lambda spread: tried[spread][0])
            notes.append(f"bilateral {side}x{side} at noise {sigma}: spread {best}")
            found.setdefault(f"bilateral {side}x{side}", []).append(tried[best])
        clear, note = timed(args, partial(blind_spot.denoised, copies=args.copies), grainy, args.steps)
        notes.append(f"ours at noise {sigma}: {args.copies} networks a picture, {note}")
        found.setdefault("ours", []).append(scores(clean, clear))
        estimates = [noise.sigma_of(pixels) for pixels in grainy]
        notes.append(f"noise {sigma} is estimated as {np.mean(estimates):.2f} ± {np.std(estimates):.2f}")
        if args.paper:
            shape = shape_for("paper", args.layers, args.width, clean.shape[2:0:-1])
            clear, note = timed(
                args, partial(coordinate_network.denoised, shape, copies=1), grainy, args.paper
            )
            notes.append(f"the paper's form at noise {sigma}: {shape.layers} x {shape.width}, {note}")
            found.setdefault("the paper's form", []).append(scores(clean, clear))
    report(args, found, notes)
    return 0


def report(args: argparse.Namespace, found: dict[str, list[tuple[float, float]]], notes: list[str]) -> None:
    """Print and keep."""
    rows = []
    filtered = [name for name in found if "x" in name]
    for name, levels in found.items():
        paper = PAPER.get(name, PAPER["CocoNet"] if name not in PAPER else None)
        row = [name]
        for at, (psnr, similarity) in enumerate(levels):
            best = max(found[other][at][0] for other in filtered)
            row += [f"{psnr:.2f}", f"{similarity:.4f}", f"{psnr - best:+.2f}"]
            row += [f"{paper[at][0]:.2f}", f"{paper[at][1]:.4f}"] if paper else ["", ""]
        rows.append(row)
    header = [
        "",
        *(
            f"{what}, {sigma}"
            for sigma in SIGMAS
            for what in (
                "PSNR",
                "SSIM",
                "over the best filter",
                "paper's PSNR",
                "paper's SSIM",
            )
        ),
    ]
    write_csv(
        "coconet-1.csv",
        ["method", "sigma", "pictures", "psnr_db", "ssim"],
        [(name, s, args.limit, *pair) for name, levels in found.items() for s, pair in zip(SIGMAS, levels)],
    )
    text = (
        f"# CocoNet Table 1: Gaussian noise on {args.limit} CIFAR-10 test pictures\n\nMeans over pictures; RGB PSNR in dB. "
        "The paper's CocoNet has 15 layers of 200. Pictures are the first of the test split. The bilateral filter is given the spread, of "
        f"{', '.join(map(str, BILATERAL))}, with the best mean PSNR against the clean pictures, which only a test can know; ours is "
        "shown noisy pictures only, and not told how noisy.\n\n"
        + table(header, rows)
        + "\n"
        + "; ".join(notes)
        + ".\n"
    )
    write_report("coconet-1.md", text, args.command)
