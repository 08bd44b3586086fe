"""The files that the report names as worst against AVIF of Pillow at the same bytes: crops of where they differ most, for looking at.

The test pictures are not ours to publish: the sheets lie in ``--output``, which git ignores.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dsncodec.bench.peers import Codec, choose
from dsncodec.bench.samples import nearest_file
from dsncodec.comparison import window_sums
from dsncodec.metrics import ssimulacra2

from . import features, results
from .common import UInt8Array, rgb_of
from .sets import SETS, lay
from .sheet import titled

ROWS, COLUMNS = 152, 200  # of a crop


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    features.add_arguments(parser)
    parser.add_argument("--codec", default="restored", metavar="NAME", help="(default: %(default)s)")
    parser.add_argument("--files", type=int, default=3, help="of each set, at most (default %(default)s)")
    parser.add_argument("-o", "--output", type=Path, default=Path("bench-report"), metavar="DIR")


def run(args: argparse.Namespace) -> int:
    """Write worst-SET.png, rows of: the original, AVIF of Pillow, ours."""
    report = json.loads((results.RESULTS / "report.json").read_text("utf-8"))
    found = {codec.key: codec for _, codec in choose([args.codec, report["anchor"]])[0]}
    args.output.mkdir(parents=True, exist_ok=True)
    for one in report["sets"]:
        rows = [
            _row(rgb, said, at, found[args.codec], found[report["anchor"]])
            for said, at, rgb in _pictures(one, args.codec, args.files, args.data)
        ]
        if rows:
            path = args.output / f"worst-{one['name']}.png"
            Image.fromarray(np.concatenate(rows)).save(path)
            print(path)
    return 0


def _pictures(
    one: dict[str, Any], codec: str, most: int, data: str
) -> list[tuple[str, dict[str, Any], UInt8Array]]:
    """By what referee and how much, the file, and its picture: the worst by each referee, each file once."""
    worst: dict[tuple[str, float], tuple[str, dict[str, Any]]] = {}
    for place in range(most):
        for referee, said in one["worse"][codec].items():
            for file in said["worst"][place : place + 1]:
                key = file["image"], file["setting"]
                worst.setdefault(key, (f"{referee} {file['by']:.3g} worse", file))
    with tempfile.TemporaryDirectory() as folder:
        lay(Path(folder) / one["name"], one["name"], data, SETS[one["name"]][1])
        return [
            (said, at, rgb_of(Path(folder) / one["name"] / at["image"]))
            for said, at in [*worst.values()][:most]
        ]


def _row(rgb: UInt8Array, said: str, at: dict[str, Any], ours: Codec, anchor: Codec) -> UInt8Array:
    """Crops where ours errs most beyond the anchor at the same bytes."""
    data = ours.encode(rgb, at["setting"])
    _, other = nearest_file(anchor, lambda s: anchor.encode(rgb, s), len(data))
    shown, theirs = ours.decode(data), anchor.decode(other)
    errors = [np.square(rgb - picture.astype(np.int64)).sum(2) for picture in (shown, theirs)]
    rows, columns = min(ROWS, rgb.shape[0]), min(COLUMNS, rgb.shape[1])
    sums = window_sums(errors[0] - errors[1], rows, columns)
    top, left = np.unravel_index(int(np.argmax(sums)), sums.shape)
    part = slice(int(top), int(top) + rows), slice(int(left), int(left) + columns)
    crops = [titled(rgb[part], f"{at['image']}, {said}")]
    for codec, picture, file in ((anchor, theirs, other), (ours, shown, data)):
        score = f"{codec.label}: {len(file)} bytes, SSIMULACRA 2 {ssimulacra2(rgb, picture):.0f}"
        crops.append(titled(picture[part], score))
    return np.concatenate(crops, 1)
