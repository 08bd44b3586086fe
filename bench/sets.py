"""Every codec over Set14, 24 pictures of B100 and the tuning set: raw rows, curves, BD-rates, page and plots."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from dsncodec.cli import main as dsncodec_command

from .results import RESULTS

FOLDERS = {"test/set14": 14, "test/bsd100": 24, "tune/div2k256": 60}  # and how many pictures of each
SHOWN = {  # may be shown in the page: NASA's, in the public domain, and CC0; the rows and columns shown
    "astronaut": (slice(0, 320), slice(60, 444)),
    "chelsea": (slice(0, 288), slice(40, 424)),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument("-j", "--jobs", default="2", help="processes (default %(default)s)")
    parser.add_argument(
        "--show-bpp", default="0.4", help="rate of the before/after view (default %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Measure what is not there yet, and write the report."""
    with tempfile.TemporaryDirectory() as folder:
        shown = []
        for name, part in SHOWN.items():
            path = Path(folder, f"{name}.png")
            Image.fromarray(np.ascontiguousarray(getattr(skimage.data, name)()[part])).save(path)
            shown += ["--show", str(path)]
        return dsncodec_command(
            [
                "bench",
                *(f"{args.data}/{name}" for name in FOLDERS),
                "--limit",
                ",".join(map(str, FOLDERS.values())),
                "--output",
                str(RESULTS),
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
