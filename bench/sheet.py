"""Crops of codecs at equal bytes, side by side: the original, AVIF as Pillow writes it, JPEG XL, and ours.

With ``--fitted STEPS`` ours are latent grids, fitted for squared error and for the eye to each rate, these with texture too.
"""

from __future__ import annotations

import argparse
from functools import cache

import numpy as np
import skimage.data
from PIL import Image, ImageDraw

import dsncodec
from dsncodec.bench.peers import Codec, choose
from dsncodec.bench.samples import nearest_file
from dsncodec.methods.latentgrid import texture
from dsncodec.metrics import bpp, psnr_db, ssimulacra2

from . import results
from .common import UInt8Array

# Pictures that may be shown, NASA's, in the public domain, and CC0; the rows and columns of what is shown of them
SHOWN = {
    "astronaut": (slice(24, 176), slice(140, 320)),
    "chelsea": (slice(76, 228), slice(120, 300)),
    "coffee": (slice(90, 242), slice(150, 330)),
}
ZOOM = 2  # pixel by pixel
TITLE_ROWS = 16
CODECS = ("avif-pillow", "jxl", "restored")
RATES = (0.15, 0.3, 0.6)
HEADING = ["picture", "wanted bpp", "codec", "setting", "bpp", "SSIMULACRA 2", "RGB PSNR, dB"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument("--pictures", nargs="+", choices=SHOWN, default=[*SHOWN], metavar="NAME")
    parser.add_argument("--rates", nargs="+", type=float, default=[*RATES], metavar="BPP")
    parser.add_argument(
        "--codecs", nargs="+", metavar="NAME", help=f"default: {' '.join(CODECS)}; with --fitted no restored"
    )
    parser.add_argument("--fitted", type=int, metavar="STEPS", help="show latent grids, of fits so long")
    parser.add_argument(
        "--quality", type=int, default=82, help="of the sheets, which are JPEG (default %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Write sheet-NAME.jpg, and sheet.md with the scores."""
    found = {codec.key: codec for _, codec in choose(args.codecs or [*CODECS])[0]}
    wanted = args.codecs or (CODECS[:-1] if args.fitted else CODECS)
    codecs = [found[key] for key in wanted]
    start = "latentgrid-sheet" if args.fitted else "sheet"
    results.RESULTS.mkdir(parents=True, exist_ok=True)
    rows: list[list[str]] = []
    for name in args.pictures:
        sheet = Image.fromarray(_sheet(name, codecs, args.rates, rows, args.fitted))
        sheet.save(
            results.RESULTS / f"{start}-{name}.jpg", quality=args.quality, subsampling="4:4:4", optimize=True
        )
    links = ", ".join(f"[{name}]({start}-{name}.jpg)" for name in args.pictures)
    text = (
        "# Crops at equal bytes\n\nWhole pictures of scikit-image are coded to the rates below; parts of them are shown, each pixel "
        f"{ZOOM} x {ZOOM}: {links}. Scores are of whole pictures.\n\n{results.table(HEADING, rows)}"
    )
    results.write_report(f"{start}.md", text, args.command)
    return 0


def _sheet(
    name: str, codecs: list[Codec], rates: list[float], rows: list[list[str]], fitted: int | None
) -> UInt8Array:
    """A row of crops for each rate, under their names; adds a row to ``rows`` for each file."""
    original = np.ascontiguousarray(getattr(skimage.data, name)()[..., :3])
    height, width = original.shape[:2]
    encoders = [cache(lambda setting, codec=codec: codec.encode(original, setting)) for codec in codecs]
    lines = []
    most = 1 + len(codecs) + (3 if fitted else sum(codec.key == "restored" for codec in codecs))
    for rate in rates:
        crops = [titled(original[SHOWN[name]], f"original, {rate:g} bpp:")]
        for codec, encode in zip(codecs, encoders):
            setting, data = nearest_file(codec, encode, rate * width * height / 8)
            shown = codec.decode(data)
            reached, score = bpp(len(data), width, height), ssimulacra2(original, shown)
            crops.append(
                titled(shown[SHOWN[name]], f"{codec.label}: {reached:.2f} bpp, SSIMULACRA 2 {score:.0f}")
            )
            if codec.key == "restored":
                other = np.asarray(dsncodec.decode(data, decoder="perceptual"))
                score = ssimulacra2(original, other)
                crops.append(titled(other[SHOWN[name]], f"the same, perceptual: SSIMULACRA 2 {score:.0f}"))
            said = [f"{reached:.3f}", f"{score:.1f}", f"{psnr_db(original, shown):.2f}"]
            rows.append([name, f"{rate:g}", codec.label, f"{setting:g}", *said])
        for tune in ("psnr", "visual") if fitted else ():
            data = dsncodec.encode(original, dsncodec.LatentGrid(steps=fitted, tune=tune), target_bpp=rate)
            decoders = ["fidelity"]
            if texture.TAG in dsncodec.read_info(data).sections:
                decoders.append("perceptual")
            for decoder in decoders:
                shown = dsncodec.decode(data, decoder=decoder, as_array=True)
                reached, score = bpp(len(data), width, height), ssimulacra2(original, shown)
                label = f"latent grids, {'with texture' if decoder == 'perceptual' else f'tune={tune}'}"
                crops.append(titled(shown[SHOWN[name]], f"{label}: {reached:.2f} bpp, {score:.0f}"))
                said = [f"{reached:.3f}", f"{score:.1f}", f"{psnr_db(original, shown):.2f}"]
                rows.append([name, f"{rate:g}", label, f"{fitted} steps", *said])
                print(*rows[-1], flush=True)
        lines.append(np.concatenate([*crops, *[np.full_like(crops[0], 255)] * (most - len(crops))], 1))
    return np.concatenate(lines)


def titled(pixels: UInt8Array, text: str) -> UInt8Array:
    """A crop, each pixel ``ZOOM`` times as large, under its title."""
    large = pixels.repeat(ZOOM, 0).repeat(ZOOM, 1)
    canvas = Image.new("RGB", (large.shape[1] + 4, large.shape[0] + TITLE_ROWS + 2), "white")
    canvas.paste(Image.fromarray(large), (2, TITLE_ROWS))
    ImageDraw.Draw(canvas).text((4, 2), text, fill="black")
    return np.asarray(canvas)
