"""Super-resolution trained on features (Johnson et al. 2016, section 4.2) beside the same network on pixels: PSNR falls, feature distance falls."""

from __future__ import annotations

import argparse

import numpy as np
from PIL import Image

from dsncodec.metrics import psnr_db, ssim
from dsncodec.networks import registry
from dsncodec.networks.image_to_image import run as run_network
from dsncodec.processes import thread_count

from .. import features
from ..common import UInt8Array, cropped, image_paths, rgb_of, studio_luma, without_border
from ..results import table, write_csv, write_report

WAYS = ("bicubic", "pixel", "perceptual")

PROTOCOL = f"""\
Luma PSNR in dB / SSIM / feature distance of VGG-19 / of SqueezeNet; means over pictures. "pixel": the network trained on squared errors;
"perceptual": the same network, trained on from there on feature distances. Pictures cropped to whole multiples of the scale and shrunk
bicubically to 8 bits (Pillow, antialiased); PSNR and SSIM on studio-range luma, `scale` border pixels left out; feature distances on whole
RGB pictures. {features.DEFINITION}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    features.add_arguments(parser)
    parser.add_argument("--scales", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--sets", nargs="+", default=["Set5", "Set14", "B100"])
    parser.add_argument("--limit", type=int, help="pictures of a set (default: all)")


def shrunk(rgb: UInt8Array, scale: int) -> Image.Image:
    """The picture at 1/scale of its size."""
    size = rgb.shape[1] // scale, rgb.shape[0] // scale
    return Image.fromarray(rgb).resize(size, Image.Resampling.BICUBIC)


def enlarged(small: Image.Image, scale: int) -> dict[str, UInt8Array]:
    """The picture enlarged in all ways, by name, (H, W, 3)."""
    size, pixels = (small.width * scale, small.height * scale), np.asarray(small)
    found = {"bicubic": np.asarray(small.resize(size, Image.Resampling.BICUBIC))}
    rows = {row.name: row for row in (*registry.image_networks(), *registry.image_networks("comparison"))}
    for kind in WAYS[1:]:
        found[kind] = run_network(rows[f"{kind}-x{scale}"], pixels, thread_count(None))
    return found


def scores(original: UInt8Array, picture: UInt8Array, scale: int) -> tuple[float, float]:
    """PSNR and SSIM of luma."""
    a, b = (np.asarray(without_border(studio_luma(rgb), scale), np.uint8) for rgb in (original, picture))
    return psnr_db(a, b), ssim(a, b)


def run(args: argparse.Namespace) -> int:
    """Shrink, enlarge, compare, write."""
    distances = features.measure(args)
    for scale in args.scales:
        study(args, scale, distances)
    return 0


def study(args: argparse.Namespace, scale: int, distances: features.Measure) -> None:
    """perceptual-sr-xSCALE.csv and .md."""
    rows, kept = [], []
    names: list[str] = []
    for name in args.sets:
        found: dict[str, list[list[float]]] = {way: [] for way in WAYS}
        paths = image_paths(args.data, name, args.limit)
        for path in paths:
            original = cropped(rgb_of(path), scale)
            pictures = enlarged(shrunk(original, scale), scale)
            for way, apart in distances(original, pictures).items():
                names = list(apart)
                values = [*scores(original, pictures[way], scale), *apart.values()]
                found[way].append(values)
                kept.append((name, path.name, way, *(f"{value:.4f}" for value in values)))
        means = {way: np.mean(values, 0) for way, values in found.items()}
        change = means["perceptual"] - means["pixel"]
        ratios = means["perceptual"][2:4] / means["pixel"][2:4] - 1
        rows.append(
            (
                f"{name} ({len(paths)})",
                *("{:.2f} / {:.4f} / {:.3f} / {:.3f}".format(*values[:4]) for values in means.values()),
                f"{change[0]:+.2f} dB",
                *(f"{ratio:+.0%}" for ratio in ratios),
            )
        )
        print(rows[-1], flush=True)
    header = ["set (pictures)", *WAYS, "features, not pixels: PSNR", "VGG-19 distance", "SqueezeNet distance"]
    write_csv(f"perceptual-sr-x{scale}.csv", ["set", "image", "way", "psnr_y_db", "ssim_y", *names], kept)
    text = f"# Perceptual super-resolution, x{scale}\n\n{table(header, rows)}\n{PROTOCOL}\n"
    text += "\nSide by side: `perceptual-sr-*.png`, made by `python -m bench look --pictures`.\n"
    write_report(f"perceptual-sr-x{scale}.md", text, args.command)
