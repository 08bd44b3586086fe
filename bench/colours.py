"""Colours of what is shown of layers, and of enlarged pictures; PSNR of enlarged pictures beside bicubic."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

import dsncodec
from dsncodec.metrics import psnr_db
from dsncodec.networks import registry
from dsncodec.networks.inference import network
from dsncodec.train.export import layer_map, manifest

from .common import UInt8Array, image_paths, in_parallel, rgb_of
from .results import RESULTS, table, write_csv, write_report

# Of each set, how many of its coloured pictures, and what they are reduced by first
PICTURES = (("Urban100 (first 50)", 6, 2), ("Set14", 3, 1), ("B100", 3, 1))
SCALES = (2, 3, 4)
MODELS = {2: ("dsn",), 3: ("dsn",), 4: ("dsn", "ppcn")}

PROTOCOL = """\
Whole pictures, cut to a multiple of 24. Enlarged: shrunk by Pillow's bicubic filter, then `dsncodec.upsample`; PSNR over R, G, B of 8 bits. Own: the
same of a picture shrunk by `dsncodec.downsample`. Colours: how far the mean of a channel is from the original's, in grey levels, the worst of the three:
of `decode(preview=True)` of a file (effort 5, 256 levels), of one of quality 50 and method dsn, of `downsample`, and of `upsample`."""


SHEET = """\
Side by side, scikit-image's photographs: [colours.jpg](colours.jpg). The original, its layer at x2, x3 and x4 as previews show it, and the original shrunk
four times and enlarged again, bicubically and by `upsample`. Colours agree; layers are sharper than their pictures, with a light line along hard edges."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument("--scales", type=int, nargs="+", default=SCALES)
    parser.add_argument("--limit", type=int, help="pictures of each set")
    parser.add_argument("--sheet", action="store_true", help="only make the pictures side by side")
    parser.add_argument(
        "--fit", action="store_true", help="only write the layer maps of the published models anew"
    )


def run(args: argparse.Namespace) -> int:
    """Measure and write; or fit."""
    if args.fit:
        fit(registry.folder() / manifest.NAME)
        return 0
    if args.sheet:
        make_sheet()
        return 0
    pictures = []
    for name, count, reduced in PICTURES:
        coloured = ((path, rgb_of(path)) for path in image_paths(args.data, name))
        found = [(path, rgb) for path, rgb in coloured if np.ptp(rgb, -1).max() > 0]
        for path, rgb in found[: min(count, args.limit or count)]:
            whole = Image.fromarray(rgb).reduce(reduced) if reduced > 1 else Image.fromarray(rgb)
            width, height = (side // 24 * 24 for side in whole.size)
            pictures.append((f"{name.split()[0]} {path.stem}", np.asarray(whole.crop((0, 0, width, height)))))
    rows = [
        row
        for scale in args.scales
        for found in in_parallel(lambda one: measured(*one, scale), pictures)
        for row in found
    ]
    header = [
        "picture",
        "scale",
        "model",
        "ours dB",
        "bicubic dB",
        "gain dB",
        "own dB",
        "file off",
        "quality 50 off",
        "downsample off",
        "upsample off",
    ]
    write_csv("colours.csv", header, rows)
    means = []
    for scale in args.scales:
        for model in MODELS[scale]:
            gain = [float(str(row[5])) for row in rows if row[1:3] == (scale, model)]
            means.append((scale, model, len(gain), f"{np.mean(gain):.2f}", f"{min(gain):.2f}"))
    text = (
        "# Colours of layers and of enlarged pictures\n\n"
        + table(["scale", "model", "pictures", "mean gain over bicubic, dB", "least gain, dB"], means)
        + f"\n{table(header, rows)}\n{PROTOCOL}\n\n{SHEET}\n"
    )
    write_report("colours.md", text, args.command)
    make_sheet()
    return 0


def make_sheet() -> None:
    """Original, the layer at x2, x3 and x4, bicubic and ours enlarged four times, of scikit-image's photographs."""
    lines = []
    for name in ("coffee", "astronaut", "rocket"):
        rgb = getattr(skimage.data, name)()
        whole = Image.fromarray(rgb).crop((0, 0, rgb.shape[1] // 24 * 24, rgb.shape[0] // 24 * 24))
        layers = [
            dsncodec.decode(dsncodec.encode(whole, "dsn", scale=scale, effort=3), preview=True)
            for scale in SCALES
        ]
        small = whole.resize((whole.width // 4, whole.height // 4), Image.Resampling.BICUBIC)
        large = small.resize(whole.size, Image.Resampling.BICUBIC), dsncodec.upsample(small, 4)
        size = 300, round(300 * whole.height / whole.width)
        shown = [image.resize(size, Image.Resampling.BICUBIC) for image in (whole, *layers, *large)]
        lines.append(np.concatenate([np.asarray(image) for image in shown], 1))
    Image.fromarray(np.concatenate(lines)).save(RESULTS / "colours.jpg", quality=88)


def measured(name: str, original: UInt8Array, scale: int) -> list[tuple[object, ...]]:
    """The rows of a picture."""
    image = Image.fromarray(original)
    small = image.resize((image.width // scale, image.height // scale), Image.Resampling.BICUBIC)
    plain = psnr_db(original, np.asarray(small.resize(image.size, Image.Resampling.BICUBIC)))
    data = dsncodec.encode(original, scale=scale, entropy_coder="jpegls", threads=1)
    of_quality = dsncodec.encode(original, "dsn", quality=50, effort=0, threads=1)
    shown = [dsncodec.decode(file, preview=True) for file in (data, of_quality)]
    made = dsncodec.downsample(image, scale, threads=1)
    again = psnr_db(original, np.asarray(dsncodec.upsample(made, scale, threads=1)))
    rows: list[tuple[object, ...]] = []
    for model in MODELS[scale]:
        large = dsncodec.upsample(small, scale, model=model, threads=1)
        ours = psnr_db(original, np.asarray(large))
        off = [
            np.abs(np.asarray(p).mean((0, 1)) - original.mean((0, 1))).max() for p in (*shown, made, large)
        ]
        own = f"{again:.2f}" if model == "dsn" else ""
        rows.append(
            (
                name,
                scale,
                model,
                f"{ours:.2f}",
                f"{plain:.2f}",
                f"{ours - plain:.2f}",
                own,
                *(f"{o:.2f}" for o in off),
            )
        )
    print(rows[-1], flush=True)
    return rows


def fit(path: Path) -> None:
    """Measure each published model's map, and put it into its row of the manifest."""
    text = path.read_text("utf-8")
    for model in registry.manifest():
        down, chroma_down = (
            network(registry.checked_path(model, part), 1) for part in ("down", "chroma_down")
        )
        lines = "\n".join(layer_map.rows(layer_map.layer_map(down, chroma_down, model.scale)))
        row = rf'(\nwire_id = "{model.wire_id.hex()}"\n)(?:layer_map.*\n|    \[.*\n|\]\n)*'
        text, count = re.subn(row, lambda found: f"{found[1]}{lines}\n", text)
        assert count == 1, model.name
    path.write_text(text, "utf-8")
