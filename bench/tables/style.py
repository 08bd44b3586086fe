"""Style transfer by a network beside optimising the pixels: loss and time, as Johnson et al. compare them; a contact sheet."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean, median

import numpy as np
import skimage.data
import torch
from PIL import Image

import dsncodec
from dsncodec.networks import registry
from dsncodec.processing.style_optimisation import optimised
from dsncodec.train import tasks
from dsncodec.train.tasks.style import StyleLoss, StyleRecipe, read_style
from dsncodec.train.trainer import planes

from ..common import UInt8Array, image_paths, rgb_of
from ..results import RESULTS, GrowingTable, Row, table, write_report

COLUMNS = [
    "style",
    "network",
    "picture",
    "side",
    "steps",
    "photograph_loss",
    "network_loss",
    "network_content",
    "network_style",
    "optimised_loss",
    "optimised_content",
    "optimised_style",
    "ratio",
    "steps_to_match",
    "network_s",
    "optimise_s",
]
KEYS = 5
PHOTOS = ("chelsea", "astronaut", "coffee")  # of scikit-image: two are CC0, the astronaut is NASA's


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument(
        "--styles", nargs="+", default=["udnie"], help="styles to compare (default: %(default)s)"
    )
    parser.add_argument("--limit", type=int, default=20, help="pictures (default: %(default)s)")
    parser.add_argument(
        "--side", type=int, default=128, help="of the pictures' middle (default: %(default)s)"
    )
    parser.add_argument("--steps", type=int, default=500, help="of the optimisation (default: %(default)s)")
    parser.add_argument(
        "--cache",
        default="runs/style-optimised",
        help="keeps optimised pictures, which do not depend on a network (default: %(default)s)",
    )
    parser.add_argument(
        "--sheet",
        nargs="*",
        metavar="STYLE",
        help="instead: style.jpg, photographs of scikit-image in these styles, or in all",
    )


def run(args: argparse.Namespace) -> int:
    """Stylise, optimise, compare, write."""
    if args.sheet is not None:
        return sheet(
            args, args.sheet or ["udnie", "starry_night", "great_wave", "the_scream", "composition_vii"]
        )
    torch.set_num_threads(1)
    rows = GrowingTable(RESULTS / "style.csv", COLUMNS, KEYS)
    wanted = list[Row]()
    for style in args.styles:
        recipe = tasks.read(Path(tasks.__file__).parent.parent / "recipes" / f"style-{style}.toml").recipe
        assert isinstance(recipe, StyleRecipe)
        settings = replace(recipe.loss, loss_networks=str(Path(args.data) / "loss_network"))
        painting = read_style(Path(args.data) / "style" / f"{style}.jpg", recipe.data.style_side)
        loss = StyleLoss(settings, painting)
        network = registry.image_network("style", style).sha256[:12]
        for path in image_paths(args.data, "div2k256", args.limit):
            key = (style, network, path.stem, str(args.side), str(args.steps))
            if (row := rows.find(key)) is None:
                photo = middle(path, args.side)
                kept = Path(args.cache) / f"{style}-{path.stem}-{args.side}-{args.steps}.npz"
                found = compared(loss, style, photo, *baseline(loss, photo, args.steps, kept))
                row = rows.add((*key, *(f"{value:.4f}" for value in found)))
            wanted.append(row)
    report(args, wanted)
    return 0


def middle(path: Path, side: int) -> UInt8Array:
    """The middle (side, side) of a picture."""
    rgb = rgb_of(path)
    top, left = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
    return np.array(rgb[top : top + side, left : left + side])


def baseline(
    loss: StyleLoss, photo: UInt8Array, steps: int, kept: Path
) -> tuple[UInt8Array, list[float], float]:
    """The optimised picture, the loss before each step, and the seconds it took; from ``kept`` if they are there."""
    if kept.exists():
        with np.load(kept) as found:
            return found["picture"], found["curve"].tolist(), float(found["seconds"])
    curve: list[float] = []
    started = time.process_time()
    made = optimised(loss, photo, steps=steps, bf16=True, report=lambda _, total: curve.append(total))
    seconds = time.process_time() - started
    kept.parent.mkdir(parents=True, exist_ok=True)
    np.savez(kept, picture=made, curve=curve, seconds=seconds)
    return made, curve, seconds


def compared(
    loss: StyleLoss, style: str, photo: UInt8Array, slow: UInt8Array, curve: list[float], optimise_s: float
) -> tuple[float | int, ...]:
    """One row of COLUMNS, without what names it. Losses are of the 8-bit results, in single precision."""
    network_s = []
    for _ in range(4):  # the first loads the network
        started = time.process_time()
        fast = np.asarray(dsncodec.stylize(photo, style, threads=1))
        network_s.append(time.process_time() - started)
    before, network, best = (scores(loss, photo, made) for made in (photo, fast, slow))
    totals = [sum(parts.values()) for parts in (before, network, best)]
    matched = next((at for at, total in enumerate(curve) if total <= totals[1]), len(curve))
    return (
        totals[0],
        totals[1],
        network["content"],
        network["style"],
        totals[2],
        best["content"],
        best["style"],
        totals[1] / totals[2],
        matched,
        median(network_s[1:]),
        optimise_s,
    )


@torch.no_grad()
def scores(loss: StyleLoss, photo: UInt8Array, made: UInt8Array) -> dict[str, float]:
    """The parts of a result's loss."""
    before, after = (planes(torch.from_numpy(np.array(rgb)[None])) for rgb in (photo, made))
    return {name: float(value) for name, value in loss.parts(after, loss.content(before)).items()}


def report(args: argparse.Namespace, rows: list[Row]) -> None:
    """Print and keep."""
    lines = []
    for style in args.styles:
        found = [row for row in rows if row["style"] == style]
        of = {name: [float(row[name]) for row in found] for name in COLUMNS[KEYS:]}
        quick = [slow / fast for slow, fast in zip(of["optimise_s"], of["network_s"])]
        lines.append(
            [
                style,
                str(len(found)),
                *(f"{mean(of[f'{name}_loss']):.2f}" for name in ("photograph", "network", "optimised")),
                f"{mean(of['ratio']):.2f} ({min(of['ratio']):.2f} to {max(of['ratio']):.2f})",
                str(sum(ratio <= 1.2 for ratio in of["ratio"])),
                f"{median(of['steps_to_match']):.0f}",
                f"{1000 * median(of['network_s']):.0f} ms",
                f"{median(of['optimise_s']):.1f} s",
                f"{median(quick):.0f} ({min(quick):.0f} to {max(quick):.0f})",
            ]
        )
    header = [
        "style",
        "pictures",
        "loss of the photograph",
        "of the network's",
        f"after {args.steps} steps",
        "network's over optimised, mean (least to most)",
        "within 20 percent",
        "steps until as good as the network",
        "network",
        "optimisation",
        "times faster",
    ]
    text = (
        f"# Style transfer: one pass of a network beside {args.steps} steps of optimisation\n\nThe middle {args.side} x "
        f"{args.side} pixels of the first {len(rows) // len(args.styles)} pictures of tune/div2k256. Total losses as in training, of the 8-bit "
        "results; CPU time of one thread, medians; optimisation in bf16 with Adam from the photograph on.\n\n"
        + table(header, lines)
    )
    write_report("style.md", text, args.command)


def sheet(args: argparse.Namespace, styles: list[str], side: int = 320) -> int:
    """A row for each style: the painting, then photographs in it; above them the photographs."""
    photos = [square(Image.fromarray(getattr(skimage.data, name)()), side) for name in PHOTOS]
    page = Image.new("RGB", (side * (len(photos) + 1), side * (len(styles) + 1)), "white")
    for column, photo in enumerate(photos, 1):
        page.paste(photo, (side * column, 0))
    for row, style in enumerate(styles, 1):
        with Image.open(Path(args.data) / "style" / f"{style}.jpg") as painting:
            page.paste(square(painting, side), (0, side * row))
        for column, photo in enumerate(photos, 1):
            page.paste(dsncodec.stylize(photo, style), (side * column, side * row))
    page.save(RESULTS / "style.jpg", quality=80, optimize=True, progressive=True)
    print(RESULTS / "style.jpg")
    return 0


def square(image: Image.Image, side: int) -> Image.Image:
    """The middle of a picture, at this size."""
    short = min(image.size)
    left, top = (image.width - short) // 2, (image.height - short) // 2
    box = (left, top, left + short, top + short)
    return image.convert("RGB").resize((side, side), Image.Resampling.LANCZOS, box)
