"""A 12-megapixel photo: peak memory of a decode, equality with the untiled pixels, cost of a region."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

import dsncodec

from .common import image_paths, rgb_of
from .results import table, write_report

REGION = 256
SIZE = (4000, 3000)
# Linux: VmHWM starts anew with the program, where getrusage's maximum would include the parent's
_CHILD = """
import json, sys, dsncodec
image = dsncodec.decode(sys.argv[1], region=json.loads(sys.argv[2]), threads=int(sys.argv[3]))
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) / 1024)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument("--dry-run", action="store_true", help="print, but keep no results")


def photo(data: str) -> Image.Image:
    """12 megapixels of real texture: pictures of Urban100 side by side, then cut to size."""
    width, height = SIZE
    canvas = Image.new("RGB", SIZE)
    x = y = row = 0
    for path in image_paths(data, "Urban100 (first 50)"):
        tile = Image.fromarray(rgb_of(path))
        canvas.paste(tile, (x, y))
        row = max(row, tile.height) if x else tile.height
        x += tile.width
        if x >= width:
            x, y = 0, y + row
        if y >= height:
            break
    return canvas


def _child_mib(path: Path, region: object, threads: int) -> float:
    command = [sys.executable, "-c", _CHILD, str(path), json.dumps(region), str(threads)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _median_s(call: object, runs: int = 5) -> float:
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()  # type: ignore[operator]
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def run(args: argparse.Namespace) -> int:
    """Measure, print, and write memory.md."""
    image = photo(args.data)
    rows = []
    x, y = SIZE[0] // 2 + 13, SIZE[1] // 2 + 7
    region = (x, y, x + REGION, y + REGION)
    for scale in (2, 3, 4):
        data = dsncodec.encode(image, scale=scale, levels=128)
        full = np.asarray(dsncodec.decode(data))
        crop = np.asarray(dsncodec.decode(data, region=region))
        same = bool((crop == full[y : y + REGION, x : x + REGION]).all())
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "photo.dsn"
            path.write_bytes(data)
            peak, region_peak = _child_mib(path, None, 2), _child_mib(path, region, 2)
        for threads in (1, 2):
            whole = _median_s(lambda: dsncodec.decode(data, threads=threads), 3)
            part = _median_s(lambda: dsncodec.decode(data, region=region, threads=threads))
            rows.append(
                (
                    f"x{scale}",
                    threads,
                    f"{len(data):,}",
                    f"{peak:.0f}",
                    f"{region_peak:.0f}",
                    f"{whole:.2f}",
                    f"{part:.3f}",
                    f"{part / whole:.3f}",
                    "yes" if same else "NO",
                )
            )
            print(rows[-1], flush=True)
    header = [
        "scale",
        "threads",
        "bytes",
        "peak MiB",
        "region peak MiB",
        "decode s",
        "region s",
        "ratio",
        "region equals crop",
    ]
    text = f"""# A photo of 12 megapixels ({SIZE[0]} x {SIZE[1]})

{table(header, rows)}
Peak: resident memory of a fresh process that decodes the file and holds the picture (goal: under 700 MB = 667 MiB).
Ratio: decode of a {REGION} x {REGION} region over the whole decode (goal: under 0.1). The picture is a mosaic of
Urban100 pictures. That tiles give the untiled pixels is a test, `tests/test_inference.py`.
"""
    if args.dry_run:
        print(text)
    else:
        write_report("memory.md", text, "python -m bench memory")
    return 0
