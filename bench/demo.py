"""A photo becomes a .dsn file and comes back, beside JPEG at the same size. Needs the base package only."""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import dsncodec
from dsncodec.metrics import psnr_db

QUALITIES = (25, 50, 75, 100)


def jpeg_of_size(image: Image.Image, size_bytes: int) -> bytes:
    """The best optimised progressive JPEG that is not larger, or quality 1 if none is as small."""
    best = b""
    for quality in range(1, 96):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality, optimize=True, progressive=True)
        if best and len(buffer.getvalue()) > size_bytes:
            break
        best = buffer.getvalue()
    return best


def labelled(image: Image.Image, text: str) -> Image.Image:
    """The picture under a line of text."""
    canvas = Image.new("RGB", (image.width, image.height + 20), "white")
    canvas.paste(image, (0, 20))
    ImageDraw.Draw(canvas).text((6, 4), text, fill="black")
    return canvas


def main(source: str, folder: str) -> None:
    """Encode at a few qualities, print what came of it, and write the pictures into ``folder``."""
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    image = Image.open(source).convert("RGB")
    pixels = np.asarray(image)
    dsncodec.decode(dsncodec.encode(image, quality=75))  # load the networks before the clock starts
    print(f"{source}: {image.width} x {image.height}, {pixels.size:,} bytes of RGB\n")
    print("quality   bytes    bpp  PSNR dB  encode ms  decode ms   JPEG at that size: bytes  PSNR dB")
    strips = []
    for quality in QUALITIES:
        start = time.perf_counter()
        data = dsncodec.encode(image, quality=quality)
        middle = time.perf_counter()
        decoded = dsncodec.decode(data)
        end = time.perf_counter()
        jpeg = jpeg_of_size(image, len(data))
        jpeg_image = Image.open(io.BytesIO(jpeg)).convert("RGB")
        ours, theirs = psnr_db(pixels, np.asarray(decoded)), psnr_db(pixels, np.asarray(jpeg_image))
        print(
            f"{quality:7} {len(data):7} {8 * len(data) / (image.width * image.height):6.3f} {ours:8.2f} "
            f"{1000 * (middle - start):10.0f} {1000 * (end - middle):10.0f} {len(jpeg):25} {theirs:8.2f}"
        )
        (out / f"quality-{quality}.dsn").write_bytes(data)
        decoded.save(out / f"quality-{quality}.png")
        (out / f"quality-{quality}.jpg").write_bytes(jpeg)
        pair = [
            labelled(decoded, f"dsncodec quality {quality}: {len(data)} bytes, {ours:.2f} dB"),
            labelled(jpeg_image, f"JPEG: {len(jpeg)} bytes, {theirs:.2f} dB"),
        ]
        strips.append(np.concatenate([np.asarray(part) for part in pair], 1))
    dsncodec.decode(data, preview=True).save(out / f"quality-{quality}-without-network.png")
    Image.fromarray(np.concatenate(strips)).save(out / "comparison.png")
    print(f"\nPictures and files are in {out}/; comparison.png shows all of them side by side.")


if __name__ == "__main__":
    main(*sys.argv[1:])
