"""Add golden files: all that this release has not added yet, or the named ones.

Of method dsn, one per backend and scale, and one per mode; of method restored, one per base codec without a network,
two at half the size, one with metadata, one per network, and tuned for the eye two per network and one without; of method coconet, one per variant;
of method latentgrid, two from the zero init, two of those with texture, and one from each published init.
"""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image

import dsncodec
from dsncodec import carriers, container
from dsncodec.carriers import BACKENDS, BASE_CODECS
from dsncodec.methods.dsn.bitstream import parse
from dsncodec.methods.latentgrid.texture import SEEN, TAG, Texture
from dsncodec.methods.restored.bitstream import NO_MODEL, UNIT_STRENGTH, Parameters
from dsncodec.methods.sections import read_structure
from dsncodec.networks import registry

HERE = Path(__file__).parent
QUALITY = 50
METADATA: dict[str, Any] = {
    # orientation 6, with JPEG's prefix
    "exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0",
    "xmp": b"<x/>",
    "dpi": (300, 150),
}


def picture(mode: str, width: int = 53, height: int = 41) -> Image.Image:
    """53 x 41 pixels of a photo: the astronaut's collar, with edges, skin and flag; or more of it."""
    with Image.open(HERE.parent / "photos" / "astronaut.webp") as photo:
        crop = photo.convert("RGB").crop((180, 60, 180 + width, 60 + height))
    if mode.endswith("A"):
        ramp = np.linspace(0, 255, width * height).astype(np.uint8).reshape(height, width)
        crop.putalpha(Image.fromarray(ramp))
    return crop.convert(mode)


def dsn(mode: str, scale: int, levels: int, backend: str) -> bytes:
    """A file of method dsn."""
    return dsncodec.encode(picture(mode), "dsn", scale=scale, levels=levels, entropy_coder=backend)


def restored(base: str, strength: int, model_id: bytes, scale: int = 1, mode: str = "RGB") -> bytes:
    """A file of method restored, tuned for squared error, as if the encoder had found this strength best."""
    data = dsncodec.encode(
        picture(mode), "restored", base=base, base_quality=QUALITY, scale=scale, tune="psnr"
    )
    header, sections = sections_of(data)
    parameters = replace(
        Parameters.unpack(sections["PARM"]), strength=strength, gain_db=0.0, model_id=model_id
    )
    return container.pack(header, list((sections | {"PARM": parameters.pack()}).items()))


def weighed(
    mode: str,
    weights: tuple[int, ...],
    model_id: bytes,
    scale: int = 1,
    base: str = "avif",
    tune: str = "visual",
) -> bytes:
    """A file of method restored, tuned for the eye or for squared error, as if the encoder had found these weights best; without
    any, no network."""
    data = dsncodec.encode(picture(mode), base=base, base_quality=QUALITY, scale=scale, tune=tune)
    header, sections = sections_of(data)
    parameters = replace(
        Parameters.unpack(sections["PARM"]),
        weights=weights,
        gain_db=0.0,
        gain_points=0.0 if tune == "visual" else None,
        strength=0,
        model_id=model_id,
    )
    return container.pack(header, list((sections | {"PARM": parameters.pack()}).items()))


def lossless(mode: str, codec: str) -> bytes:
    """A picture without loss, as if this codec had made the smaller file."""
    with mock.patch.object(carriers, "LOSSLESS", {codec: carriers.LOSSLESS[codec]}):
        return dsncodec.encode(picture(mode), lossless=True)


def kept(kind: str) -> bytes:
    """A file of another kind, kept: with metadata, a comment, and bytes behind its end."""
    mode = {"jpeg-grey": "L", "avif-alpha": "RGBA"}.get(kind, "RGB")
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112], exif[0x010E] = 6, "a collar"
    settings = {"exif": exif, "icc_profile": bytes(range(256))}
    if kind.startswith("avif"):
        shown = picture(mode)
        if (
            mode == "RGBA"
        ):  # of as many colours as a photo: AVIF then takes fewer bytes than what is without loss
            shown.putalpha(picture("L"))
        shown.save(buffer, "AVIF", quality=60, **settings)
    else:
        picture(mode, 161, 120).save(
            buffer, "JPEG", quality=80, comment="a flag", progressive=mode == "L", **settings
        )
    data = buffer.getvalue()
    if kind == "jpeg-whole":
        # libjxl holds no more: the file itself is inside
        with mock.patch.object(carriers, "_stripped", lambda *_: None):
            return dsncodec.encode(data, keep=True)
    return dsncodec.encode(data + (b"" if kind.startswith("avif") else b"a film"), keep=True)


def coconet(mode: str, variant: str) -> bytes:
    """A file of method coconet. No two machines make the same: what is kept is what this one made."""
    return dsncodec.encode(
        picture(mode), "coconet", variant=variant, steps=300, layers=2, width=12, threads=1
    )


def latentgrid(mode: str) -> bytes:
    """A file of method latentgrid from the zero init. No two machines make the same: what is kept is what this one
    made."""
    with mock.patch.object(registry, "inits", lambda: ()):
        return dsncodec.encode(picture(mode), "latentgrid", steps=300, threads=1)


def latentgrid_from(init: registry.Init) -> bytes:
    """A file of method latentgrid from a published init."""
    with mock.patch.object(registry, "inits", lambda: (init,)):
        return dsncodec.encode(picture("RGB"), "latentgrid", steps=100, threads=1)


def textured(mode: str) -> bytes:
    """A file of method latentgrid with units for texture, as if the encoder had found these."""
    header, sections = sections_of(latentgrid(mode))
    rng = np.random.default_rng(5)
    found = Texture(
        rng.integers(-9, 10, (5, SEEN)).astype(np.int32),
        rng.integers(-9, 10, 5).astype(np.int32),
        rng.integers(-6, 7, (3, 5)).astype(np.int32),
        0,
    )
    return container.pack(header, list((sections | {TAG: found.pack()}).items()))


def sections_of(data: bytes) -> tuple[container.Header, dict[str, bytes]]:
    """The header and the payloads of a file."""
    stream = io.BytesIO(data)
    header, sections, _ = read_structure(stream, None)
    return header, dict(container.iter_payloads(stream, sections))


def cases() -> dict[str, Callable[[], bytes]]:
    """Names, without the version, and what makes the files."""
    points = [("RGB", 3, 64, name) for name in BACKENDS]
    points += [("RGB", scale, 256, "jxl") for scale in (2, 4)]
    points += [(mode, 3, 16, "jpegls") for mode in ("L", "LA", "RGBA")]
    made = {
        f"{mode.lower()}-x{scale}-{levels}-{backend}": partial(dsn, mode, scale, levels, backend)
        for mode, scale, levels, backend in points
    }
    made |= {f"rgb-q{QUALITY}-{base}": partial(restored, base, 0, NO_MODEL) for base in BASE_CODECS}
    # large enough for JPEG's short form to be the shorter one
    made["rgb-161x120-q50-jpeg"] = lambda: dsncodec.encode(
        picture("RGB", 161, 120), "restored", base="jpeg", base_quality=QUALITY
    )
    made["l-q50-j2k-short"] = partial(restored, "j2k", 0, NO_MODEL, 1, "L")
    made |= {
        f"{mode.lower()}-q{QUALITY}-avif-half": partial(restored, "avif", 0, NO_MODEL, 2, mode)
        for mode in ("L", "RGBA")
    }
    made |= {
        f"rgb-q{QUALITY}-{row.base}-{row.name}": partial(
            restored, row.base, UNIT_STRENGTH, row.wire_id, row.scale
        )
        for row in registry.restorations()
        # the others have files of their own time, or no file names them
        if row.default and row.hypotheses == 1 and row.tune != "perceptual"
    }
    made["rgb-q50-jpeg-metadata"] = lambda: dsncodec.encode(
        picture("RGB"), "restored", base="jpeg", base_quality=QUALITY, **METADATA
    )
    made["rgb-q50-avif-deep"] = partial(weighed, "RGB", (), NO_MODEL)
    made |= {
        # by id, for a network trained on keeps its name
        f"{mode.lower()}-q{QUALITY}-{row.base}-{row.name}-{row.wire_id.hex()[:6]}": partial(
            weighed, mode, (24, -12, 6, 40)[: row.hypotheses], row.wire_id, row.scale, row.base, row.tune
        )
        for row in registry.restorations()
        if row.default and row.hypotheses > 1
        for mode in ("RGB", "LA")
    }
    for mode in ("L", "LA", "RGB", "RGBA"):
        for codec in carriers.LOSSLESS:
            made[f"{mode.lower()}-lossless-{codec}"] = partial(lossless, mode, codec)
    made |= {
        f"{kind}-kept": partial(kept, kind)
        for kind in ("jpeg", "jpeg-grey", "jpeg-whole", "avif", "avif-alpha")
    }
    made |= {
        f"{mode.lower()}-coconet-{v}": partial(coconet, mode, v)
        for mode, v in (("RGB", "paper"), ("LA", "sine"))
    }
    made |= {f"{mode.lower()}-latentgrid-plain": partial(latentgrid, mode) for mode in ("RGB", "LA")}
    made |= {f"{mode.lower()}-latentgrid-texture": partial(textured, mode) for mode in ("RGB", "LA")}
    made |= {f"rgb-{init.name}": partial(latentgrid_from, init) for init in registry.inits()}
    return made


def main(wanted: list[str]) -> None:
    """Write the files, their decoded pictures, and their rows."""
    made = cases()
    rows = []
    for case in wanted or made:
        name = f"{dsncodec.__version__}-{case}"
        path = HERE / f"{name}.dsn"
        if path.exists():
            if case in wanted:
                raise SystemExit(f"{path.name} exists: golden files are never regenerated")
            continue
        data = made[case]()
        path.write_bytes(data)
        dsncodec.decode(data).save(HERE / f"{name}.png")
        row = f'[[file]]\nname = "{name}.dsn"\ndecoded = "{name}.png"\nsha256 = "{hashlib.sha256(data).hexdigest()}"\n'
        header, sections = sections_of(data)
        if TAG in sections:
            dsncodec.decode(data, decoder="perceptual").save(HERE / f"{name}-perceptual.png")
            row += f'perceptual = "{name}-perceptual.png"\n'
        if header.method == "dsn":
            layer = parse(header, sections)
            symbols = hashlib.sha256(layer.luma.tobytes() + layer.chroma.tobytes()).hexdigest()
            row += f'sha256_symbols = "{symbols}"\n'
        rows.append(row)
    with open(HERE / "golden.toml", "a", encoding="utf-8") as file:
        file.write("\n".join([*rows, ""]))


if __name__ == "__main__":
    main(sys.argv[1:])
