"""JPEG files kept byte for byte: what they save, what the restored view wins where an original exists; and the fit of its strength."""

from __future__ import annotations

import argparse
import hashlib
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import dsncodec
from dsncodec import Restored
from dsncodec.methods.restored import unseen
from dsncodec.methods.restored.bitstream import Parameters
from dsncodec.methods.restored.codec import Restorer
from dsncodec.metrics import luma, psnr_db, ssim, ssimulacra2
from dsncodec.networks import registry

from .common import image_paths, rgb_of
from .results import table, write_csv, write_report

UInt8Array = NDArray[np.uint8]

SUBSAMPLINGS = ("4:2:0", "4:2:2", "4:4:4")
MADE_QUALITIES = (30, 50, 60, 70, 75, 80, 85, 90, 95, 98)
REAL = ("photos", "style", "test/dped/canon", "test/dped/iphone")
FIT_QUALITIES = (15, 35, 55, 72, 84, 92, 95, 97, 99)
# Of the strength by least squares: what overshoots costs more than what falls short
SHARE = 0.75


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The study's options."""
    parser.add_argument("--pictures", type=int, default=20, help="test pictures, ten JPEGs of each")
    parser.add_argument("--fit", type=int, metavar="N", help="fit on N tuning pictures, and measure nothing")


@dataclass(frozen=True)
class Case:
    """One JPEG."""

    name: str
    kind: str
    quality: int
    pixels: int
    jpeg_bytes: int
    dsn_bytes: int
    same: bool
    encode_s: float
    extract_s: float
    strength: float
    psnr_jpeg: float | None = None
    psnr_shown: float | None = None
    ssim_jpeg: float | None = None
    ssim_shown: float | None = None
    ssimulacra2_jpeg: float | None = None
    ssimulacra2_shown: float | None = None


def made(rgb: UInt8Array, number: int, at: int) -> tuple[str, int, bytes]:
    """One of ten JPEGs of a picture: its kind, quality and bytes; subsampling, order and metadata go round."""
    quality, subsampling = MADE_QUALITIES[at], SUBSAMPLINGS[(number + at) % 3]
    progressive, grey = (number + at) % 2 == 1, at == 3
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 1 + number % 8, "a maker"
    every: dict[int, dict[str, Any]] = {
        0: {},
        1: {"exif": exif},
        2: {"exif": exif, "icc_profile": bytes(3000), "comment": "a comment"},
        3: {"xmp": b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>", "restart_marker_blocks": 8},
    }
    options = every[(number + at) % 4]
    image = Image.fromarray(rgb).convert("L" if grey else "RGB")
    buffer = io.BytesIO()
    image.save(
        buffer,
        "JPEG",
        quality=quality,
        progressive=progressive,
        optimize=at % 2 == 0,
        **({} if grey else {"subsampling": subsampling}),
        **options,
    )
    tail = b"behind the end" * 20 if at == 7 else b""
    kind = "grey" if grey else subsampling
    return f"{kind}, {'progressive' if progressive else 'baseline'}", quality, buffer.getvalue() + tail


def kept(name: str, kind: str, quality: int, jpeg: bytes, original: UInt8Array | None) -> Case:
    """One JPEG through the codec and back."""
    start = time.process_time()
    data = dsncodec.encode(jpeg, Restored(keep=True), threads=1)
    encoded = time.process_time()
    back = dsncodec.extract(data).data
    extracted = time.process_time()
    info = dsncodec.read_info(data)
    same = hashlib.sha256(back).digest() == hashlib.sha256(jpeg).digest()
    found: dict[str, float] = {}
    if original is not None:
        wanted = luma(original) if info.mode == "L" else original
        for what, preview in (("jpeg", True), ("shown", False)):
            shown = np.asarray(dsncodec.decode(data, preview=preview, threads=1))
            found[f"psnr_{what}"] = psnr_db(wanted, shown)
            found[f"ssim_{what}"] = ssim(luma(wanted), luma(shown))
            found[f"ssimulacra2_{what}"] = ssimulacra2(wanted, shown)
    return Case(
        name,
        kind,
        quality or info.base_quality or 0,
        info.width * info.height,
        len(jpeg),
        len(data),
        same,
        encoded - start,
        extracted - encoded,
        info.strength or 0.0,
        **found,
    )


def middle(rgb: UInt8Array) -> UInt8Array:
    """480 x 320 pixels of it."""
    top, left = ((side - part) // 2 for side, part in zip(rgb.shape, (320, 480)))
    return np.ascontiguousarray(rgb[top : top + 320, left : left + 480])


def cases(args: argparse.Namespace) -> Iterator[Case]:
    """Made ones, then every real one."""
    for number, path in enumerate(image_paths(args.data, "Urban100 (first 50)", args.pictures)):
        rgb = middle(rgb_of(path))
        for at in range(len(MADE_QUALITIES)):
            kind, quality, jpeg = made(rgb, number, at)
            yield kept(f"{path.stem}-{at}", kind, quality, jpeg, rgb)
    for folder in REAL:
        for path in sorted((Path(args.data) / folder).glob("*.jpg")):
            yield kept(f"{folder}/{path.name}", folder, 0, path.read_bytes(), None)


def run(args: argparse.Namespace) -> int:
    """Measure, print, and write kept.csv and .md; or fit."""
    if args.fit:
        return fit(args)
    found = []
    for case in cases(args):
        print(case.name, case.kind, case.same, flush=True)
        found.append(case)
    names = list(Case.__dataclass_fields__)
    rows = ([getattr(case, name) for name in names] for case in found)
    write_csv(
        "kept.csv",
        names,
        ([f"{v:.5f}" if isinstance(v, float) else "" if v is None else v for v in row] for row in rows),
    )
    write_report("kept.md", "# JPEG files kept byte for byte\n\n" + _report(found), args.command)
    return 0 if all(case.same for case in found) else 1


def _report(found: list[Case]) -> str:
    made_ones = [case for case in found if case.psnr_jpeg is not None]
    real = [case for case in found if case.psnr_jpeg is None]
    groups = {"made by Pillow": made_ones}
    groups |= {
        f"  {kind}": [c for c in made_ones if c.kind == kind] for kind in sorted({c.kind for c in made_ones})
    }
    groups |= {folder: [case for case in real if case.kind == folder] for folder in REAL}
    saved = [
        (
            name,
            len(of),
            sum(case.same for case in of),
            f"{np.mean([1 - case.dsn_bytes / case.jpeg_bytes for case in of]):.1%}",
            f"{min(1 - case.dsn_bytes / case.jpeg_bytes for case in of):.1%}",
            f"{1 - sum(c.dsn_bytes for c in of) / sum(c.jpeg_bytes for c in of):.1%}",
            f"{1e6 * sum(c.encode_s for c in of) / sum(c.pixels for c in of):.2f}",
            f"{1e6 * sum(c.extract_s for c in of) / sum(c.pixels for c in of):.2f}",
        )
        for name, of in groups.items()
        if of
    ]
    shown = []
    for quality in MADE_QUALITIES:
        of = [case for case in made_ones if case.quality == quality]
        if not of:
            continue
        gains = [case.psnr_shown - case.psnr_jpeg for case in of]  # type: ignore[operator]
        similar = [case.ssim_shown - case.ssim_jpeg for case in of]  # type: ignore[operator]
        scores = [case.ssimulacra2_shown - case.ssimulacra2_jpeg for case in of]  # type: ignore[operator]
        shown.append(
            (
                quality,
                f"{np.mean([case.psnr_jpeg for case in of]):.2f}",
                f"{np.mean([case.strength for case in of]):.2f}",
                f"{np.mean(gains):+.2f}",
                f"{min(gains):+.2f}",
                f"{np.mean(similar):+.4f}",
                f"{min(similar):+.4f}",
                f"{np.mean(scores):+.2f}",
                f"{min(scores):+.2f}",
            )
        )
    return (
        f"{len(made_ones)} JPEGs of {len(made_ones) // len(MADE_QUALITIES)} pictures (480 x 320 pixels of Urban100; those of B100 were JPEGs before), made by Pillow: ten qualities, three subsamplings and grey, baseline "
        "and progressive, restart markers, EXIF of eight orientations, ICC, XMP, comments, bytes behind the end; and every JPEG among the image sets. "
        "Same: SHA-256 of what `extract` gives. Seconds are CPU seconds of one thread a megapixel; the smallest pictures pay for fixed costs.\n\n"
        + table(
            ["JPEGs", "files", "same", "saved, mean", "least", "of all bytes", "encode, s", "extract, s"],
            saved,
        )
        + "\nWhat the restored view wins over the JPEG, against the original that nobody had, with a strength predicted from the file alone. RGB "
        "PSNR in dB, SSIM of luma, SSIMULACRA 2; 70 is grey.\n\n"
        + table(
            [
                "quality",
                "PSNR of JPEG",
                "strength",
                "PSNR",
                "least",
                "SSIM",
                "least",
                "SSIMULACRA 2",
                "least",
            ],
            shown,
        )
    )


# --- the fit


def fit(args: argparse.Namespace) -> int:
    """Straight lines of what a file shows: to its PSNR, then to the strength that leaves least of the squared error."""
    features, wanted, files = [], [], []
    for path in image_paths(args.data, "div2k256", args.fit):
        rgb = rgb_of(path)
        for quality in FIT_QUALITIES:
            for subsampling in SUBSAMPLINGS:
                buffer = io.BytesIO()
                Image.fromarray(rgb).save(
                    buffer, "JPEG", quality=quality, subsampling=subsampling, optimize=True
                )
                seen = unseen.look(buffer.getvalue())
                with Image.open(buffer) as image:
                    decoded = np.asarray(image)
                files.append((rgb, decoded, seen.quality))
                features.append(seen.features)
                wanted.append(psnr_db(rgb, decoded))
    lines = np.array(features)
    psnr_line = np.linalg.lstsq(lines, np.array(wanted), rcond=None)[0]
    print("PSNR_DB", psnr_line.round(4).tolist(), "rms", np.std(lines @ psnr_line - wanted).round(3))
    sums = np.array([_sums(*file, float(psnr)) for file, psnr in zip(files, lines @ psnr_line)])
    best, weight = sums[:, 0] / sums[:, 1], np.sqrt(sums[:, 1] / sums[:, 2])
    strength = np.linalg.lstsq(lines * weight[:, None], best * weight, rcond=None)[0]
    for share in (1, SHARE):
        t = np.clip(share * (lines @ strength), 0, 1)
        gains = -10 * np.log10(1 - (2 * t * sums[:, 0] - t**2 * sums[:, 1]) / sums[:, 2])
        print(
            f"{share} of it: {gains.mean():.3f} dB, least {gains.min():.3f}, losing {(gains < -0.005).mean():.2%}"
        )
    print("STRENGTH", (SHARE * strength).round(4).tolist())
    return 0


def _sums(rgb: UInt8Array, decoded: UInt8Array, quality: int, psnr: float) -> tuple[float, float, float]:
    """Of a correction times what is wanted, of its square, and of the wanted's square."""
    model = registry.restoration("jpeg", best=False, weighed=False)
    assert model is not None
    parameters = Parameters(quality, psnr, 64, 0.0, model.wire_id).rounded()
    restorer = Restorer(model, decoded, parameters, 1)
    correction = np.zeros(decoded.shape)
    for tile in restorer.tiles((slice(0, decoded.shape[0]), slice(0, decoded.shape[1]))):
        correction[tile.inner] = restorer.corrections(tile)[0]
    missing = rgb.astype(np.float64) - decoded
    return (correction * missing).sum(), np.square(correction).sum(), np.square(missing).sum()
