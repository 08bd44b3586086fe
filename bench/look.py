"""The two looks of a file of method dsn: PSNR and feature distances of both; and pictures side by side."""

from __future__ import annotations

import argparse

import numpy as np
import skimage.data
from PIL import Image, ImageDraw

import dsncodec
from dsncodec.methods import DECODERS
from dsncodec.metrics import luma, psnr_db

from . import features
from .common import UInt8Array, image_paths, rgb_of
from .results import RESULTS, table, write_csv, write_report
from .tables.perceptual_sr import enlarged, shrunk

# Pictures that may be shown, NASA's, in the public domain, and CC0; the rows and columns of what is shown of them
SHOWN = {
    "astronaut": (slice(20, 164), slice(150, 310)),
    "chelsea": (slice(80, 224), slice(130, 290)),
    "coffee": (slice(120, 264), slice(60, 220)),
}
ZOOM = 2  # of the crops, pixel by pixel

PROTOCOL = f"""\
Each picture is one file (colour, 256 levels), decoded twice. PSNR over R, G, B; means over pictures; feature distances
as ratios of means. The encoder's refinement (effort 5, the default; none at 0)
works for the faithful look. {features.DEFINITION}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    features.add_arguments(parser)
    parser.add_argument("--scales", type=int, nargs="+", default=[3, 2, 4])
    parser.add_argument("--efforts", type=int, nargs="+", default=[5, 0], help="(default: 5 0)")
    parser.add_argument("--set", default="B100", help="(default: %(default)s)")
    parser.add_argument("--limit", type=int, help="pictures (default: all)")
    parser.add_argument("--pictures", action="store_true", help="only make the pictures side by side")


def run(args: argparse.Namespace) -> int:
    """Measure and write, or make the pictures."""
    if args.pictures:
        for name in SHOWN:
            make_pictures(name)
        return 0
    distances = features.measure(args)
    for scale in args.scales:
        study(args, scale, distances)
    return 0


def study(args: argparse.Namespace, scale: int, distances: features.Measure) -> None:
    """look-xSCALE.csv and .md."""
    paths = image_paths(args.data, args.set, args.limit)
    rows, kept = [], []
    names: list[str] = []
    for effort in args.efforts:
        found = []
        for path in paths:
            original = rgb_of(path)
            data = dsncodec.encode(original, scale=scale, effort=effort, entropy_coder="jpegls")
            shown = {look: np.asarray(dsncodec.decode(data, decoder=look)) for look in DECODERS}
            pair = []
            for look, apart in distances(original, shown).items():
                names = list(apart)
                psnr = psnr_db(original, shown[look]), psnr_db(luma(original), luma(shown[look]))
                pair.append([*psnr, *apart.values()])
                kept.append((effort, path.name, look, len(data), *(f"{value:.4f}" for value in pair[-1])))
            found.append(pair)
        scores = np.array(found)  # (pictures, looks, metrics)
        plain, second = scores.mean(0)
        ratios = dict(zip(names, second[2:] / plain[2:]))
        columns = [2 + names.index(network) for network in features.NETWORKS]
        fell = np.sum((scores[:, 1, columns] < scores[:, 0, columns]).all(1))
        rows.append(
            (
                f"effort {effort}",
                *(f"{values[0]:.2f} / {values[1]:.2f}" for values in (plain, second, second - plain)),
                *(f"{plain[c]:.3f} to {second[c]:.3f}, {second[c] / plain[c] - 1:+.0%}" for c in columns),
                ", ".join(
                    f"{name.split('.')[1]} {ratio - 1:+.0%}" for name, ratio in ratios.items() if "." in name
                ),
                f"{fell} of {len(paths)}",
            )
        )
        print(rows[-1], flush=True)
    header = [
        "encoder",
        "faithful: RGB / luma PSNR, dB",
        "perceptual",
        "difference",
        "VGG-19 distance",
        "SqueezeNet distance",
        "by layer",
        "pictures with both lower",
    ]
    write_csv(
        f"look-x{scale}.csv", ["effort", "image", "look", "size_bytes", "psnr_db", "psnr_y_db", *names], kept
    )
    text = (
        f"# The same file, decoded to two looks: {args.set}, x{scale}\n\n{table(header, rows)}\n{PROTOCOL}\n"
    )
    write_report(f"look-x{scale}.md", f"{text}\nSide by side: `look-*.png`.\n", args.command)


def make_pictures(name: str) -> None:
    """look-NAME.png and perceptual-sr-NAME.png in the folder of results."""
    original = np.ascontiguousarray(getattr(skimage.data, name)()[..., :3])
    original = original[: original.shape[0] // 24 * 24, : original.shape[1] // 24 * 24]  # of every scale
    RESULTS.mkdir(parents=True, exist_ok=True)
    rows = []
    for scale in (3, 4):
        data = dsncodec.encode(original, scale=scale)
        bpp = dsncodec.read_info(data).bpp
        shown = {look: np.asarray(dsncodec.decode(data, decoder=look)) for look in DECODERS}
        rows.append(_row(name, original, f"original (x{scale}: {bpp:.2f} bpp)", shown))
    _stacked(rows).save(RESULTS / f"look-{name}.png", optimize=True)
    rows = [
        _row(name, original, f"original (x{scale})", enlarged(shrunk(original, scale), scale))
        for scale in (4, 8)
    ]
    _stacked(rows).save(RESULTS / f"perceptual-sr-{name}.png", optimize=True)


def _row(name: str, original: UInt8Array, title: str, shown: dict[str, UInt8Array]) -> UInt8Array:
    """The original's crop and the others', under their names and PSNR of the whole picture."""
    labelled = {title: original} | {f"{way}: {psnr_db(original, p):.2f} dB": p for way, p in shown.items()}
    return np.concatenate([_crop(picture[SHOWN[name]], text) for text, picture in labelled.items()], 1)


def _crop(pixels: UInt8Array, text: str) -> UInt8Array:
    large = pixels.repeat(ZOOM, 0).repeat(ZOOM, 1)
    canvas = Image.new("RGB", (large.shape[1] + 4, large.shape[0] + 18), "white")
    canvas.paste(Image.fromarray(large), (2, 16))
    ImageDraw.Draw(canvas).text((4, 2), text, fill="black")
    return np.asarray(canvas)


def _stacked(rows: list[UInt8Array]) -> Image.Image:
    return Image.fromarray(np.concatenate(rows))
