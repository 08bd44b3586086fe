"""Every codec over Set14, B100 and Urban100: raw rows, curves, BD-rates, page and plots."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from dsncodec.cli import main as dsncodec_command

from . import features, results
from .common import UInt8Array, image_paths, rgb_of

# name -> its set among common.SETS, how many pictures of it, and the part of its sides that they have
SETS = {
    "set14": ("Set14", 14, 1),
    "bsd100": ("B100", 24, 1),
    "urban100-half": ("Urban100 (first 50)", 12, 2),
    "urban100": ("Urban100 (first 50)", 12, 1),
}
TITLES = {
    "set14": "Set14 in colour",
    "bsd100": "B100",
    "urban100-half": "Urban100 at half the size",
    "urban100": "Urban100",
}
WITHOUT_GREY = ("set14",)
CODECS = (
    "restored",
    "restored-effort7",
    "restored-psnr",
    "restored-psnr-best",
    "avif-pillow",
    "avif-iq444",
    "avif",
    "avif-ssimulacra2",
    "jxl",
    "webp",
    "jpegli",
    "jpeg",
)
# DISTS takes ten seconds a megapixel
REFEREES = "ssimulacra2,butteraugli,lpips"
SHOWN = {  # may be shown in the page: NASA's, in the public domain, and CC0; the rows and columns shown
    "astronaut": (slice(0, 320), slice(60, 444)),
    "chelsea": (slice(0, 288), slice(40, 424)),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    features.add_arguments(parser)
    parser.add_argument(
        "--sets", nargs="+", choices=SETS, default=[*SETS], metavar="NAME", help=f"of {', '.join(SETS)}"
    )
    parser.add_argument(
        "--limit",
        type=_limits,
        default=[],
        metavar="N,...",
        help="pictures of each set, or one N for each (default: all of Set14 in colour, 24, 12, 12)",
    )
    parser.add_argument(
        "--codecs", default=",".join(CODECS), metavar="NAME,...", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--settings", default="5", metavar="N", help="of each codec, evenly spread (default %(default)s)"
    )
    parser.add_argument("--referees", default=REFEREES, metavar="NAME,...", help="(default: %(default)s)")
    parser.add_argument("-j", "--jobs", default="1", help="processes (default %(default)s)")
    parser.add_argument(
        "--show-bpp", default="0.4", help="rate of the before/after view (default %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Measure what is not there yet, and write the report."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        limits = (
            args.limit * len(args.sets) if len(args.limit) == 1 else args.limit or [None] * len(args.sets)
        )
        if len(limits) != len(args.sets):
            raise SystemExit(f"--limit has {len(limits)} numbers for {len(args.sets)} sets")
        for name, limit in zip(args.sets, limits):
            lay(root / name, name, args.data, limit)
        shown = []
        for name, part in SHOWN.items():
            path = root / f"{name}.png"
            Image.fromarray(np.ascontiguousarray(getattr(skimage.data, name)()[part])).save(path)
            shown += ["--show", str(path)]
        return dsncodec_command(
            [
                "bench",
                *(str(root / name) for name in args.sets),
                "--output",
                str(results.RESULTS),
                "--codecs",
                args.codecs,
                "--settings",
                args.settings,
                "--referees",
                args.referees,
                "--loss-networks",
                args.loss_networks or f"{args.data}/loss_network",
                "--jobs",
                args.jobs,
                "--show-bpp",
                args.show_bpp,
                *shown,
                "--title",
                "Codecs compared",
                "--command",
                args.command,
                "--force",
            ]
        )


def _limits(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def lay(folder: Path, name: str, data: str, limit: int | None) -> None:
    """Put the pictures of a set into a folder, under their names."""
    _, count, part = SETS[name]
    folder.mkdir()
    for path, pixels in list(_pictures(name, data))[: min(count, limit or count)]:
        if part == 1:
            shutil.copyfile(path, folder / path.name)
        else:
            size = pixels.shape[1] // part, pixels.shape[0] // part
            smaller = Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)
            smaller.save(folder / f"{path.stem}.png")


def _pictures(name: str, data: str) -> Iterator[tuple[Path, UInt8Array]]:
    of, count, _ = SETS[name]
    for path in image_paths(data, of, count):
        pixels = rgb_of(path)
        if name not in WITHOUT_GREY or np.ptp(pixels, axis=2).any():
            yield path, pixels
