"""Table 3 of the PPCN paper: teacher, student, and student without distillation, on pairs 300 to 399 of DPED."""

from __future__ import annotations

import argparse
import statistics
import time
import tomllib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import dsncodec
from dsncodec import weights
from dsncodec.metrics import psnr_db
from dsncodec.picture_networks import run as run_network
from dsncodec.weights import PictureNetwork

from ..common import UInt8Array, rgb_of
from ..results import table, write_csv, write_report

Planes = NDArray[np.float64]
TESTED = range(300, 400)
BLANK = (308,)  # white on both sides: unprocessed it has no errors and no PSNR
ROLES = {
    "unprocessed": "unprocessed input",
    "alone": "student without distillation",
    "student": "student",
    "teacher": "teacher",
}
# Hui et al. 2018, Table 3: PSNR in dB and MS-SSIM over all 400 pairs, trained on 160 000 others; ms on a CPU
PAPER = {"alone": (22.34, 0.9229, 445), "student": (22.54, 0.9244, 392), "teacher": (22.96, 0.9299, 1182)}
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003
TIMED_SIZE = (1280, 720)
REPEATS = 7
HOW = """\
Networks that are not in models/ were trained and written into the folder of `--models` by, for SEED 1 and 2,

    dsncodec train enhance-teacher -o runs/teacher.SEED --set optim.seed=SEED
    dsncodec train enhance-student -o runs/student.SEED --set optim.seed=SEED --set loss.teacher=runs/teacher.SEED/checkpoint.pt
    dsncodec train enhance-student -o runs/alone.SEED --set optim.seed=SEED --set loss.distillation=0 --set loss.teacher=""
    dsncodec export runs/ROLE.SEED/checkpoint.pt -o FOLDER --name enhance-ROLE.SEED
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument(
        "--models", metavar="FOLDER",
        help="of networks named enhance-ROLE.SEED beside those shipped, as `dsncodec export` wrote it: see the page",
    )  # fmt: skip
    parser.add_argument("--threads", type=int, default=1, help="(default: %(default)s)")


def ms_ssim(reference: UInt8Array, other: UInt8Array) -> float:
    """MS-SSIM of pictures (H, W, 3) below 161 pixels, which has no one definition: that of the paper's challenge.

    Five scales in any case, and a window that shrinks with the picture to at least its smaller side, its spread in
    proportion; means over all channels before the powers.
    """
    a, b = reference.astype(float), other.astype(float)
    product = 1.0
    for weight in SCALE_WEIGHTS[:-1]:
        product *= max(_similarity(a, b)[1], 0) ** weight
        a, b = _halved(a), _halved(b)
    return float(product * max(_similarity(a, b)[0], 0) ** SCALE_WEIGHTS[-1])


def _similarity(a: Planes, b: Planes) -> tuple[float, float]:
    """SSIM and its factor of contrast and structure."""
    size = min(11, *a.shape[:2])
    taps = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2) / (1.5 * size / 11)) ** 2)
    taps /= taps.sum()

    def blurred(planes: Planes) -> Planes:
        for axis in (0, 1):
            planes = np.lib.stride_tricks.sliding_window_view(planes, size, axis) @ taps
        return planes

    mean_a, mean_b = blurred(a), blurred(b)
    variances = blurred(a * a) - mean_a**2 + blurred(b * b) - mean_b**2
    structure = (2 * (blurred(a * b) - mean_a * mean_b) + 7.65**2) / (variances + 7.65**2)
    likeness = (2 * mean_a * mean_b + 2.55**2) / (mean_a**2 + mean_b**2 + 2.55**2)
    return float((likeness * structure).mean()), float(structure.mean())


def _halved(planes: Planes) -> Planes:
    """Means of 2 x 2; an odd side repeats its last row or column."""
    rows, columns = planes.shape[:2]
    planes = np.pad(planes, ((0, rows % 2), (0, columns % 2), (0, 0)), "edge")
    return np.asarray(planes.reshape(-(-rows // 2), 2, -(-columns // 2), 2, -1).mean((1, 3)))


def networks(folder: str | None) -> dict[tuple[str, str], PictureNetwork | None]:
    """All there are by role and seed: the unprocessed pictures' place, those of ``folder``, or those shipped."""
    found: dict[tuple[str, str], PictureNetwork | None] = {("unprocessed", ""): None}
    if folder is None:
        return found | {
            (row.variant, "shipped"): row for row in weights.picture_networks() if row.kind == "enhance"
        }
    place = Path(folder).resolve()
    for row in tomllib.loads((place / "manifest.toml").read_text("utf-8"))["network"]:
        role, _, seed = row["variant"].partition(".")
        parts = {part: (str(place / file["name"]), file["sha256"]) for part, file in row["files"].items()}
        found[role, seed] = PictureNetwork(
            row["kind"],
            row["variant"],
            row["scale"],
            row["unit"],
            row["radius"],
            *parts["net"],
            parts["moments"],
        )
    return dict(sorted(found.items(), key=lambda item: (list(ROLES).index(item[0][0]), item[0][1])))


def run(args: argparse.Namespace) -> int:
    """Enhance, compare, write."""
    folder = Path(args.data) / "test" / "dped"
    pairs = [tuple(rgb_of(folder / kind / f"{n}.jpg") for kind in ("iphone", "canon")) for n in TESTED]
    raw, scores = [], {}
    for (role, seed), network in networks(args.models).items():
        kept = []
        for number, (seen, wanted) in zip(TESTED, pairs):
            made = seen if network is None else run_network(network, seen, args.threads)
            one = (psnr_db(wanted, made), ms_ssim(wanted, made))
            raw.append((role, seed, number, f"{one[0]:.4f}", f"{one[1]:.5f}"))
            if number not in BLANK:
                kept.append(one)
        scores[role, seed] = tuple(float(value) for value in np.mean(kept, 0))
    write_csv("ppcn-3.csv", ["network", "seed", "pair", "psnr_db", "ms_ssim"], raw)
    write_report("ppcn-3.md", report(scores, timed(args.threads)), args.command)
    return 0


def timed(threads: int) -> dict[str, list[float]]:
    """Milliseconds of processor time of the shipped networks for one picture of 1280 x 720, several times."""
    picture = np.random.default_rng(0).integers(0, 256, (*TIMED_SIZE[::-1], 3), np.uint8)
    found: dict[str, list[float]] = {}
    for repeat in range(-1, REPEATS):  # the first warms up
        for model in ("student", "teacher"):
            start = time.process_time()
            dsncodec.enhance(picture, model, threads=threads)
            if repeat >= 0:
                found.setdefault(model, []).append(1000 * (time.process_time() - start))
    return found


def report(scores: dict[tuple[str, str], tuple[float, ...]], times: dict[str, list[float]]) -> str:
    """The page, from means over the pairs."""
    rows = []
    for role, name in ROLES.items():
        found = {seed: pair for (one, seed), pair in scores.items() if one == role}
        if not found:
            continue
        psnr, similarity = (statistics.fmean(values) for values in zip(*found.values()))
        single = [
            "; ".join(f"{pair[i]:.{digits}f}" for pair in found.values()) for i, digits in ((0, 2), (1, 4))
        ]
        paper = PAPER.get(role)
        rows.append([
            name, f"{psnr:.2f}", f"{similarity:.4f}", *(single if len(found) > 1 else ["", ""]),
            *([f"{paper[0]:.2f}", f"{paper[1]:.4f}"] if paper else ["", ""]),
        ])  # fmt: skip
    medians = {model: statistics.median(values) for model, values in times.items()}
    spreads = ", ".join(
        f"{model} {medians[model]:.0f} ms ({min(values):.0f} to {max(values):.0f})"
        for model, values in times.items()
    )
    header = [
        "",
        "PSNR, dB",
        "MS-SSIM",
        "each seed's PSNR",
        "each seed's MS-SSIM",
        "paper's PSNR",
        "paper's MS-SSIM",
    ]
    return f"""# PPCN Table 3: photo enhancement, with and without a teacher

{table(header, rows)}
Pairs 300 to 399 of the 400 test pairs of DPED (100 x 100 pixels, iPhone 3GS and Canon), without pair 308, which is white on both sides; trained on
pairs 0 to 299 of the same 400, since no others were to be had. The paper trained on 160 000 pairs and tested on all 400: its numbers are beside ours, and not of the
same pictures. RGB, 8 bits; MS-SSIM as the challenge measured it, on five scales with a window that shrinks.

Losses and weights as in Eq. 13, but: SqueezeNet's fire5 stands in for conv4_2 of VGG-19, the discriminator has a quarter of the width, and distillation compares the
colours of both pictures in place of mean feature maps (docs/decisions/0015-enhancement.md). The teacher had 900 steps of four pairs, each student 600.

Processor time for {TIMED_SIZE[0]} x {TIMED_SIZE[1]}, median of {REPEATS}: {spreads}; the teacher takes {medians["teacher"] / medians["student"]:.1f} times as long (paper:
{PAPER["student"][2]} and {PAPER["teacher"][2]} ms, {PAPER["teacher"][2] / PAPER["student"][2]:.1f} times).

{HOW}"""
