"""Table 3 of the PPCN paper: teacher, student, and student without distillation, on pairs 300 to 399 of DPED.

Beside them: least-squares colour maps, what ``dsncodec.enhance`` makes of the networks, and good photographs, which need nothing.
"""

from __future__ import annotations

import argparse
import statistics
import time
import tomllib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import dsncodec
from dsncodec.metrics import psnr_db
from dsncodec.networks import registry
from dsncodec.networks.image_to_image import run as run_network
from dsncodec.networks.registry import ImageNetwork

from .. import results
from ..common import UInt8Array, image_paths, rgb_of
from ..results import table, write_csv, write_report

Planes = NDArray[np.float64]
TRAINED = range(300)
TESTED = range(300, 400)
BLANK = (308,)  # white on both sides: unprocessed it has no errors and no PSNR
ROLES = {
    "unprocessed": "unprocessed input",
    "cubic": "cubic colour map",
    "cubic-statistics": "cubic colour map that knows means and contrast",
    "alone": "student without distillation",
    "student": "student",
    "teacher": "teacher",
    "enhance-student-1": "`enhance`, student, strength 1",
    "enhance-student": "`enhance`, student, measured strength (default)",
    "enhance-teacher-1": "`enhance`, teacher, strength 1",
    "enhance-teacher": "`enhance`, teacher, measured strength",
}
EXPONENTS = [(i, j, k) for i in range(4) for j in range(4 - i) for k in range(4 - i - j)]
GOOD = {"B100": (24, 1), "Urban100 (first 50)": (8, 2)}  # pictures, and by how much they are reduced
CHROMATIC = 10  # distance from grey in CIELAB from which a pixel has a hue
SHOWN_PAIRS = (303, 316, 324, 347, 351, 378, 385, 399)
SHOWN_PHOTOS = ("astronaut", "coffee", "chelsea", "rocket", "motorcycle_left", "retina")
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
        "--models",
        metavar="FOLDER",
        help="of networks named enhance-ROLE.SEED beside those shipped, as `dsncodec export` wrote it: see the page",
    )
    parser.add_argument("--threads", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--pictures", action="store_true", help="only make the contact sheet")


def colour_map(
    pairs: list[tuple[UInt8Array, UInt8Array]], statistics: bool
) -> Callable[[UInt8Array], UInt8Array]:
    """The least-squares map from a pixel's colour to the camera's: all products of R, G and B up to the third degree.

    With ``statistics``, also the picture's means and its contrast, and their products with R, G and B.
    """

    def terms(rgb: UInt8Array) -> Planes:
        x = rgb.reshape(-1, 3) / 255
        columns = [x[:, 0] ** i * x[:, 1] ** j * x[:, 2] ** k for i, j, k in EXPONENTS]
        if statistics:
            for value in (*x.mean(0), x.std()):
                columns += [np.full(len(x), value), *(value * x.T)]
        return np.stack(columns, 1)

    square: Planes | float = 0.0
    product: Planes | float = 0.0
    for seen, wanted in pairs:
        # white on both sides
        if (seen == wanted).all():
            continue
        found = terms(seen)
        square = square + found.T @ found
        product = product + found.T @ (wanted.reshape(-1, 3) / 255)
    weights = np.linalg.solve(np.asarray(square), np.asarray(product))

    def apply(rgb: UInt8Array) -> UInt8Array:
        return np.asarray(np.clip(terms(rgb) @ weights, 0, 1) * 255 + 0.5, np.uint8).reshape(rgb.shape)

    return apply


def hues(rgb: UInt8Array) -> tuple[Planes, Planes]:
    """Hue in radians and distance from grey of each pixel, of CIELAB under D65 (CIE 15, IEC 61966-2-1)."""
    x = rgb / 255
    linear = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    matrix = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    xyz = linear @ matrix.T / matrix.sum(1)
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    a, b = 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])
    return np.arctan2(b, a), np.hypot(a, b)


def hue_shift(seen: UInt8Array, made: UInt8Array) -> float:
    """Median change of hue in degrees, over pixels that had a hue; 0 if none had."""
    (before, chroma), (after, _) = hues(seen), hues(made)
    turn = np.abs((after - before + np.pi) % (2 * np.pi) - np.pi)[chroma > CHROMATIC]
    return float(np.degrees(np.median(turn))) if turn.size else 0.0


def clipped(rgb: UInt8Array) -> float:
    """Share of pixels with a channel at either end of the scale."""
    return float(((rgb == 0) | (rgb == 255)).any(-1).mean())


def good_photographs(data: str) -> list[tuple[str, UInt8Array]]:
    """Photographs that need nothing, of two test sets."""
    found = []
    for name, (count, by) in GOOD.items():
        for path in image_paths(data, name, count):
            with Image.open(path) as image:
                found.append((f"{name} {path.stem}", np.asarray(image.convert("RGB").reduce(by))))
    return found


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


def networks(folder: str | None) -> dict[tuple[str, str], ImageNetwork]:
    """All there are by role and seed: those of ``folder``, or those shipped."""
    found: dict[tuple[str, str], ImageNetwork] = {}
    if folder is None:
        return {(row.variant, "shipped"): row for row in registry.image_networks() if row.kind == "enhance"}
    place = Path(folder).resolve()
    for row in tomllib.loads((place / "manifest.toml").read_text("utf-8"))["network"]:
        role, _, seed = row["variant"].partition(".")
        parts = {part: (str(place / file["name"]), file["sha256"]) for part, file in row["files"].items()}
        found[role, seed] = ImageNetwork(
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
    if args.pictures:
        make_sheet(args.data, args.threads)
        return 0
    pairs, trained = read_pairs(args.data, TESTED), read_pairs(args.data, TRAINED)
    raw, scores, losses = [], {}, {}
    before: list[float] = []
    for (role, seed), change in ways(args, trained).items():
        kept = []
        for number, (seen, wanted) in zip(TESTED, pairs):
            made = change(seen)
            one = (psnr_db(wanted, made), ms_ssim(wanted, made))
            raw.append((role, seed, number, f"{one[0]:.4f}", f"{one[1]:.5f}"))
            if number not in BLANK:
                kept.append(one)
        scores[role, seed] = tuple(float(value) for value in np.mean(kept, 0))
        before = before or [psnr for psnr, _ in kept]
        losses[role, seed] = [psnr - untouched for (psnr, _), untouched in zip(kept, before)]
    write_csv("ppcn-3.csv", ["network", "seed", "pair", "psnr_db", "ms_ssim"], raw)
    good = judged(args.data, args.threads)
    write_csv(
        "ppcn-3-good.csv",
        ["model", "strength", "picture", "psnr_db", "hue_shift_degrees", "clipped_percent"],
        good,
    )
    text = report(scores, losses, timed(args.threads)) + goods(good)
    write_report("ppcn-3.md", text, args.command)
    return 0


def read_pairs(data: str, numbers: Iterable[int]) -> list[tuple[UInt8Array, UInt8Array]]:
    """The phone's pictures and the camera's."""
    folder = Path(data) / "test" / "dped"
    return [(rgb_of(folder / "iphone" / f"{n}.jpg"), rgb_of(folder / "canon" / f"{n}.jpg")) for n in numbers]


def enhanced(model: str, strength: float | None, threads: int, rgb: UInt8Array) -> UInt8Array:
    """What a caller gets."""
    return np.asarray(dsncodec.enhance(rgb, model, strength=strength, threads=threads))


def ways(
    args: argparse.Namespace, trained: list[tuple[UInt8Array, UInt8Array]]
) -> dict[tuple[str, str], Callable[[UInt8Array], UInt8Array]]:
    """All that is compared, by role and seed."""
    found: dict[tuple[str, str], Callable[[UInt8Array], UInt8Array]] = {
        ("unprocessed", ""): np.asarray,
        ("cubic", ""): colour_map(trained, False),
        ("cubic-statistics", ""): colour_map(trained, True),
    }
    for key, network in networks(args.models).items():
        found[key] = partial(_through, network, args.threads)
    for model in ("student", "teacher"):
        for name, strength in ((f"enhance-{model}-1", 1.0), (f"enhance-{model}", None)):
            found[name, "shipped"] = partial(enhanced, model, strength, args.threads)
    return found


def _through(network: ImageNetwork, threads: int, rgb: UInt8Array) -> UInt8Array:
    return run_network(network, rgb, threads)


def judged(data: str, threads: int) -> list[tuple[str, str, str, str, str, str]]:
    """What enhancing good photographs changes: PSNR to the photograph, hue, and clipped pixels that were not."""
    rows = []
    for name, seen in good_photographs(data):
        for model in ("student", "teacher"):
            for strength in (None, 1.0):
                made = enhanced(model, strength, threads, seen)
                rows.append(
                    (
                        model,
                        "measured" if strength is None else "1",
                        name,
                        f"{psnr_db(seen, made):.2f}",
                        f"{hue_shift(seen, made):.2f}",
                        f"{100 * (clipped(made) - clipped(seen)):.2f}",
                    )
                )
    return rows


def goods(rows: list[tuple[str, str, str, str, str, str]]) -> str:
    """The page's part about good photographs."""
    lines = []
    for model, strength in dict.fromkeys(row[:2] for row in rows):
        psnr, turn, burnt = np.array([row[3:] for row in rows if row[:2] == (model, strength)], float).T
        lines.append(
            (
                model,
                strength,
                f"{np.isinf(psnr).sum()} of {len(psnr)}",
                f"{psnr.min():.1f}",
                f"{turn.max():.1f}",
                f"{burnt.max():.1f}",
            )
        )
    header = [
        "network",
        "strength",
        "untouched",
        "least PSNR to the photograph, dB",
        "largest median turn of hue, degrees",
        "most new clipped pixels, %",
    ]
    names = ", ".join(
        f"{count} of {name}{' at half size' if by == 2 else ''}" for name, (count, by) in GOOD.items()
    )
    return f"""
Good photographs, which need nothing: the first {names}. A pixel has a hue from {CHROMATIC} units of CIELAB away from grey.

{table(header, lines)}
`ppcn-3.jpg` shows eight of the pairs and six photographs.
"""


def make_sheet(data: str, threads: int) -> None:
    """ppcn-3.jpg: phone, camera, enhanced as measured, and at strength 1; and photographs without the second."""
    strengths = (None, 1.0)
    cells = []
    for number, (seen, wanted) in zip(SHOWN_PAIRS, read_pairs(data, SHOWN_PAIRS)):
        cells.append(
            (
                f"pair {number}: phone | default | strength 1 | camera",
                [seen, *(enhanced("student", s, threads, seen) for s in strengths), wanted],
            )
        )
    rows = [_cells(cells[i : i + 2], 4 * 104 * 2) for i in range(0, len(cells), 2)]
    for name in SHOWN_PHOTOS:
        path = next(Path(skimage.data.__file__).parent.glob(f"{name}.*"))
        with Image.open(path) as file:
            image = file.convert("RGB")
        image.thumbnail((274, 274), Image.Resampling.BOX)
        seen = np.asarray(image)
        shown = [seen, *(enhanced("student", s, threads, seen) for s in strengths)]
        rows.append(_cells([(f"{name}: original | default | strength 1", shown)], 4 * 104 * 2))
    results.RESULTS.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(results.RESULTS / "ppcn-3.jpg", quality=75)


def _cells(groups: list[tuple[str, list[UInt8Array]]], width: int) -> UInt8Array:
    """Pictures of one height in a row, under a line of words for each group."""
    height = max(one.shape[0] for _, pictures in groups for one in pictures)
    canvas = Image.new("RGB", (width, height + 18), "white")
    left = 2
    for words, pictures in groups:
        ImageDraw.Draw(canvas).text((left, 3), words, fill="black")
        for one in pictures:
            canvas.paste(Image.fromarray(one), (left, 16))
            left += one.shape[1] + 4
    return np.asarray(canvas)


def timed(threads: int) -> dict[str, list[float]]:
    """Milliseconds of processor time of the shipped networks for one picture of 1280 x 720, several times."""
    picture = np.random.default_rng(0).integers(0, 256, (*TIMED_SIZE[::-1], 3), np.uint8)
    found: dict[str, list[float]] = {}
    for repeat in range(-1, REPEATS):  # the first warms up
        for model in ("student", "teacher"):
            start = time.process_time()
            dsncodec.enhance(picture, model, strength=1, threads=threads)
            if repeat >= 0:
                found.setdefault(model, []).append(1000 * (time.process_time() - start))
    return found


def report(
    scores: dict[tuple[str, str], tuple[float, ...]],
    losses: dict[tuple[str, str], list[float]],
    times: dict[str, list[float]],
) -> str:
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
        lost = np.array([loss for (one, _), loss in losses.items() if one == role])
        fate = (
            ["", "", ""]
            if role == "unprocessed"
            else [
                f"{(lost < -0.005).sum() / len(lost):g}",
                f"{(lost < -1).sum() / len(lost):g}",
                f"{lost.min():.1f}",
            ]
        )
        rows.append(
            [
                name,
                f"{psnr:.2f}",
                f"{similarity:.4f}",
                *fate,
                *(single if len(found) > 1 else ["", ""]),
                *([f"{paper[0]:.2f}", f"{paper[1]:.4f}"] if paper else ["", ""]),
            ]
        )
    medians = {model: statistics.median(values) for model, values in times.items()}
    spreads = ", ".join(
        f"{model} {medians[model]:.0f} ms ({min(values):.0f} to {max(values):.0f})"
        for model, values in times.items()
    )
    header = [
        "",
        "PSNR, dB",
        "MS-SSIM",
        "pairs worse than untouched",
        "by more than 1 dB",
        "worst, dB",
        "each seed's PSNR",
        "each seed's MS-SSIM",
        "paper's PSNR",
        "paper's MS-SSIM",
    ]
    return f"""# PPCN Table 3: photo enhancement, with and without a teacher

{table(header, rows)}
Pairs 300 to 399 of the 400 test pairs of DPED (100 x 100 pixels, iPhone 3GS and Canon), without pair 308, which is white on both sides; trained on
pairs 0 to 299 of the same 400, since no others were to be had. The paper trained on 160 000 pairs and tested on all 400: its numbers are beside ours, and not of the
same pictures. Colour maps: least squares over the
same pairs, 20 products of R, G, B up to the third degree, and 16 more with the picture's means and contrast. `enhance` is the network with hues and the ends of the scale kept, at a strength
that is measured (docs/enhancement.md, need.md). RGB, 8 bits; MS-SSIM as the challenge measured it, on five scales with a window that shrinks.

Losses and weights as in Eq. 13, but: SqueezeNet's fire5 stands in for conv4_2 of VGG-19, the discriminator has a quarter of the width, and distillation compares the
colours of both pictures in place of mean feature maps (docs/decisions/0015-enhancement.md). The teacher had 900 steps of four pairs, each student 600.

Processor time for {TIMED_SIZE[0]} x {TIMED_SIZE[1]}, median of {REPEATS}: {spreads}; the teacher takes {medians["teacher"] / medians["student"]:.1f} times as long (paper:
{PAPER["student"][2]} and {PAPER["teacher"][2]} ms, {PAPER["teacher"][2] / PAPER["student"][2]:.1f} times).

{HOW}"""
