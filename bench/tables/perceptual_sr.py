"""Super-resolution trained on features (Johnson et al. 2016, section 4.2) beside bicubic and the same network on pixels.

Judges that trained nothing here: LPIPS with AlexNet. DISTS looks through VGG-16 as the loss does, but at other layers and
pooled another way.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from PIL import Image

from dsncodec.errors import MissingComponent
from dsncodec.metrics import psnr_db, ssim
from dsncodec.networks import registry
from dsncodec.networks.image_to_image import run as run_network
from dsncodec.processes import thread_count

from .. import features
from ..common import UInt8Array, cropped, image_paths, rgb_of, studio_luma, without_border
from ..results import table, write_csv, write_report

WAYS = ("bicubic", "pixel", "perceptual")
SCORES = ("psnr_y_db", "ssim_y", "lpips_alex", "dists", "pattern")
# Cells over which a pattern has to be alike
CELLS = 8

PROTOCOL = """\
Luma PSNR in dB / SSIM / LPIPS (AlexNet) / DISTS; means over pictures. "pixel": the network trained on squared errors, for a minute; "perceptual": the same
network, trained on from there on features of SqueezeNet and VGG-16. LPIPS saw none of these; DISTS looks through VGG-16 too. Quotients: perceptual over
the other, means over means; nearer on so many pictures by both. Pattern: the part of the error that repeats in every square of scale x scale pixels, alike over
8 x 8 of them, root mean square in grey levels: ringing around edges and checkerboards have it, texture has not. Pictures cropped to whole multiples of the scale and shrunk bicubically to 8 bits
(Pillow, antialiased); PSNR and SSIM on studio-range luma, `scale` border pixels left out; the others on whole RGB pictures."""


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


def pattern(original: UInt8Array, picture: UInt8Array, scale: int) -> float:
    """The part of the error that repeats every ``scale`` pixels, in grey levels; both (H, W, 3), sides multiples of it."""
    error = picture.astype(np.float64) - original
    rows, columns = (side // scale for side in error.shape[:2])
    cells = error.reshape(rows, scale, columns, scale, 3)
    cells = cells - cells.mean((1, 3), keepdims=True)
    rows, columns = (max(CELLS, side // CELLS * CELLS) for side in (rows, columns))
    cells = cells[:rows, :, :columns]
    high, wide = (min(CELLS, side) for side in (cells.shape[0], cells.shape[2]))
    alike = cells.reshape(-1, high, scale, cells.shape[2] // wide, wide, scale, 3).mean((1, 4))
    return float(np.sqrt(np.mean(np.square(alike))))


Scores = Callable[[UInt8Array, dict[str, UInt8Array], int], dict[str, list[float]]]


def judges(args: argparse.Namespace) -> Scores:
    """What gives SCORES of pictures, by name, beside their original."""
    try:
        from dsncodec.bench.perceptual import Dists, Lpips

        folder = args.loss_networks or f"{args.data}/loss_network"
        lpips, dists = Lpips(folder), Dists(folder)
    except ModuleNotFoundError as exc:
        raise SystemExit(f"LPIPS and DISTS need {exc.name}: pip install dsncodec[train]") from exc
    except MissingComponent as exc:
        raise SystemExit(f"{exc}; here: --loss-networks FOLDER") from exc

    def of(original: UInt8Array, pictures: dict[str, UInt8Array], scale: int) -> dict[str, list[float]]:
        far, other, found = lpips.of(original), dists.of(original), {}
        for name, picture in pictures.items():
            a, b = (
                np.asarray(without_border(studio_luma(rgb), scale), np.uint8) for rgb in (original, picture)
            )
            found[name] = [
                psnr_db(a, b),
                ssim(a, b),
                far(picture),
                other(picture),
                pattern(original, picture, scale),
            ]
        return found

    return of


def run(args: argparse.Namespace) -> int:
    """Shrink, enlarge, compare, write."""
    scores = judges(args)
    for scale in args.scales:
        study(args, scale, scores)
    return 0


def study(args: argparse.Namespace, scale: int, scores: Scores) -> None:
    """perceptual-sr-xSCALE.csv and .md."""
    rows, kept = [], []
    for name in args.sets:
        found: dict[str, list[list[float]]] = {way: [] for way in WAYS}
        paths = image_paths(args.data, name, args.limit)
        for path in paths:
            original = cropped(rgb_of(path), scale)
            pictures = enlarged(shrunk(original, scale), scale)
            for way, values in scores(original, pictures, scale).items():
                found[way].append(values)
                kept.append((name, path.name, way, *(f"{value:.4f}" for value in values)))
        all_of = {way: np.array(values) for way, values in found.items()}
        means = {way: values.mean(0) for way, values in all_of.items()}
        ours = means["perceptual"]
        nearer = [
            int(np.sum((all_of["perceptual"][:, 2:4] < all_of[way][:, 2:4]).all(1))) for way in WAYS[:2]
        ]
        rows.append(
            (
                f"{name} ({len(paths)})",
                *("{:.2f} / {:.4f} / {:.3f} / {:.3f}".format(*values[:4]) for values in means.values()),
                *(" / ".join(f"{ratio:.2f}" for ratio in ours[2:4] / means[way][2:4]) for way in WAYS[:2]),
                " / ".join(map(str, nearer)),
                " / ".join(f"{means[way][4]:.2f}" for way in WAYS),
            )
        )
        print(rows[-1], flush=True)
    header = ["set (pictures)", *WAYS, "LPIPS / DISTS over bicubic's", "over pixel's"]
    header += ["both nearer than bicubic / pixel", "pattern: " + " / ".join(WAYS)]
    write_csv(f"perceptual-sr-x{scale}.csv", ["set", "image", "way", *SCORES], kept)
    text = f"# Perceptual super-resolution, x{scale}\n\n{table(header, rows)}\n{PROTOCOL}\n"
    text += "\nSide by side: `perceptual-sr-*.png`, made by `python -m bench look --pictures`.\n"
    write_report(f"perceptual-sr-x{scale}.md", text, args.command)
