"""Add this release's golden files: one per backend and scale, and one per mode."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image

import dsncodec
from dsncodec import container
from dsncodec.api import read_structure
from dsncodec.backends import BACKENDS
from dsncodec.codecs.layer import read_layer

HERE = Path(__file__).parent


def picture(mode: str) -> Image.Image:
    """53 x 41 pixels of a photo: the astronaut's collar, with edges, skin and flag."""
    with Image.open(HERE.parent / "photos" / "astronaut.webp") as photo:
        crop = photo.convert("RGB").crop((180, 60, 233, 101))
    if mode.endswith("A"):
        ramp = np.linspace(0, 255, 53 * 41).astype(np.uint8).reshape(41, 53)
        crop.putalpha(Image.fromarray(ramp))
    return crop.convert(mode)


def main() -> None:
    """Write the files, their decoded pictures, and their rows."""
    cases = [("RGB", 3, 64, name) for name in BACKENDS]
    cases += [("RGB", scale, 256, "jxl") for scale in (2, 4)]
    cases += [(mode, 3, 16, "jpegls") for mode in ("L", "LA", "RGBA")]
    rows = []
    for mode, scale, levels, backend in cases:
        data = dsncodec.encode(picture(mode), scale=scale, levels=levels, backend=backend)
        name = f"{dsncodec.__version__}-{mode.lower()}-x{scale}-{levels}-{backend}"
        path = HERE / f"{name}.dsn"
        if path.exists():
            raise SystemExit(f"{path.name} exists: golden files are never regenerated")
        path.write_bytes(data)
        dsncodec.decode(data).save(HERE / f"{name}.png")
        stream = io.BytesIO(data)
        header, sections, _ = read_structure(stream, None)
        layer = read_layer(header, dict(container.iter_payloads(stream, sections)))
        symbols = hashlib.sha256(layer.luma.tobytes() + layer.chroma.tobytes()).hexdigest()
        rows.append(
            f'[[file]]\nname = "{name}.dsn"\ndecoded = "{name}.png"\n'
            f'sha256 = "{hashlib.sha256(data).hexdigest()}"\nsha256_symbols = "{symbols}"\n'
        )
    with open(HERE / "golden.toml", "a", encoding="utf-8") as file:
        file.write("\n".join([*rows, ""]))


if __name__ == "__main__":
    main()
