"""Latent grids of 12 megapixels beside AVIF: bytes at equal scores, memory, seconds, and what a region takes.

A camera's photograph and a mosaic of Urban100. For the eye the anchor is Pillow's default AVIF, by SSIMULACRA 2; for squared
error AVIF of speed 6, tune=psnr, 4:4:4, by PSNR. Each file is made in a process of its own, on two threads.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

import dsncodec
from dsncodec.bench.peers import saved
from dsncodec.metrics import psnr_db, ssimulacra2

from . import results
from .common import UInt8Array, opened, rgb_of
from .latentgrid import of_avif, share_of
from .memory import photo
from .results import GrowingTable, Row, table, write_report

TUNES = ("visual", "psnr")
SCORES = {"visual": "ssimulacra2", "psnr": "psnr_db"}
THREADS = 2
REGION = 512
AVIF_QUALITIES = (15, 30, 45, 60, 75, 88)
QUALITIES = {"visual": (30, 60), "psnr": (35, 60)}
HEADER = (
    "picture", "tune", "codec", "seconds", "quality", "bytes", "bpp", "ssimulacra2", "psnr_db", "encode_s", "decode_s", "region_s",
    "memory_mib",
)  # fmt: skip
# Of the report, and where they are in the CSV file
COLUMNS = {
    "picture": "picture",
    "tune": "tune",
    "seconds allowed": "seconds",
    "bpp": "bpp",
    "SSIMULACRA 2": "ssimulacra2",
    "PSNR, dB": "psnr_db",
    "bytes against AVIF at this score, %": None,
    "encode, s": "encode_s",
    "memory, MiB": "memory_mib",
    "decode, s": "decode_s",
    f"region of {REGION} x {REGION}, s": "region_s",
}
_JOB = """
import json, sys, time, dsncodec
from dsncodec.methods.latentgrid.encoder import fitter
path, out, said = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
if __name__ == "__main__":
    fitter()
    begun = time.perf_counter()
    data = dsncodec.encode(path, **said)
    seconds = time.perf_counter() - begun
    open(out, "wb").write(data)
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    print(json.dumps([seconds, int(status["VmHWM"].split()[0]) / 1024]))
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument("--out", metavar="DIR", help="default: bench/results/VERSION/latentgrid")
    parser.add_argument("--pictures", nargs="+", choices=("photo", "mosaic"), default=("photo", "mosaic"))
    parser.add_argument("--seconds", type=int, nargs="+", default=(60,), help="(default: %(default)s)")
    parser.add_argument("--tunes", nargs="+", choices=TUNES, default=TUNES)
    parser.add_argument("--qualities", type=int, nargs="+", metavar="Q", help="default: two for each tune")


def run(args: argparse.Namespace) -> int:
    """What is not in the CSV file yet, and the report."""
    out = Path(args.out) if args.out else results.RESULTS / "latentgrid"
    out.mkdir(parents=True, exist_ok=True)
    rows = GrowingTable(out / "large.csv", HEADER, 5)
    for name in args.pictures:
        rgb = _picture(name, args.data)
        for tune in args.tunes:
            for quality in AVIF_QUALITIES:
                key = (name, tune, "avif", "", str(quality))
                if rows.find(key) is None:
                    data = of_avif(rgb, quality) if tune == "psnr" else saved(rgb, "AVIF", quality=quality)
                    _add(rows, key, rgb, data, ("", "", "", ""))
            for seconds in args.seconds:
                for quality in args.qualities or QUALITIES[tune]:
                    key = (name, tune, "latentgrid", str(seconds), str(quality))
                    if rows.find(key) is None:
                        data, taken, memory = _fitted(rgb, tune, seconds, quality)
                        times = (taken, *_read_seconds(data))
                        cells = (*(f"{value:.2f}" for value in times), f"{memory:.0f}")
                        _add(rows, key, rgb, data, cells)
    write_report("large.md", report(rows.rows), args.command, out)
    return 0


def _picture(name: str, data: str) -> UInt8Array:
    if name == "mosaic":
        return np.asarray(photo(data).convert("RGB"))
    return rgb_of(Path(data) / "photos" / "issue_525.jpg")


def _fitted(rgb: UInt8Array, tune: str, seconds: int, quality: int) -> tuple[bytes, float, float]:
    """A file; the seconds and MiB that it took."""
    with tempfile.TemporaryDirectory() as folder:
        picture, coded = Path(folder, "picture.ppm"), Path(folder, "coded.dsn")
        Image.fromarray(rgb).save(picture)
        said = {
            "method": "latentgrid",
            "tune": tune,
            "seconds": seconds,
            "quality": quality,
            "threads": THREADS,
        }
        command = [sys.executable, "-c", _JOB, str(picture), str(coded), json.dumps(said)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        taken, memory = json.loads(done.stdout.splitlines()[-1])
        return coded.read_bytes(), taken, memory


def _read_seconds(data: bytes) -> tuple[float, float]:
    """Of the whole picture, and of a region in its middle; caches are warm."""
    width, height = dsncodec.decode(data, threads=THREADS).size
    begun = time.perf_counter()
    dsncodec.decode(data, threads=THREADS)
    whole = time.perf_counter() - begun
    middle = (width // 2, height // 2, width // 2 + REGION, height // 2 + REGION)
    begun = time.perf_counter()
    dsncodec.decode(data, threads=THREADS, region=middle)
    return whole, time.perf_counter() - begun


def _add(
    rows: GrowingTable, key: tuple[str, ...], rgb: UInt8Array, data: bytes, cells: tuple[str, ...]
) -> None:
    found = opened(data)
    rate = 8 * len(data) / (rgb.shape[0] * rgb.shape[1])
    judged = f"{ssimulacra2(rgb, found):.3f}", f"{psnr_db(rgb, found):.3f}"
    rows.add((*key, str(len(data)), f"{rate:.4f}", *judged, *cells))


def report(rows: list[Row]) -> str:
    """One line a file."""
    body = []
    for row in rows:
        if row["codec"] == "avif":
            continue
        score = SCORES[row["tune"]]
        anchor = sorted(
            (float(other["bpp"]), float(other[score]))
            for other in rows
            if other["codec"] == "avif" and (other["picture"], other["tune"]) == (row["picture"], row["tune"])
        )
        share = share_of(anchor, float(row["bpp"]), float(row[score]))
        less = "-" if share is None else f"{100 * share - 100:+.1f}"
        body.append([less if column is None else row[column] for column in COLUMNS.values()])
    return (
        "# Latent grids of 12 megapixels\n\nOn two threads. visual: by SSIMULACRA 2, beside Pillow's default AVIF; psnr: by PSNR, "
        "beside AVIF of speed 6, tune=psnr, 4:4:4. A photograph (4032 x 3024) and a mosaic of Urban100 (4000 x 3000).\n\n"
        + table(list(COLUMNS), body)
    )
