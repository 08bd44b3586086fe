"""Peak memory: a 12-megapixel photo, and what its regions cost; with --huge, pictures of odd and of huge sizes; with --verbs, what is
done to pictures."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

import dsncodec

from .common import image_paths, rgb_of
from .results import table, write_report

REGION = 256
SIZE = (4000, 3000)
ODD = ((1, 1), (1, 20_000), (20_000, 1))
METHODS: dict[str, dict[str, object]] = {
    "restored, AVIF": {"base": "avif"},
    "dsn x3": {"method": "dsn", "scale": 3, "levels": 96},
    "restored, JPEG": {"base": "jpeg"},
}
# Linux: VmHWM starts anew with the program, where getrusage's maximum would include the parent's
_CHILD = """
import json, sys, dsncodec
image = dsncodec.decode(sys.argv[1], region=json.loads(sys.argv[2]), threads=int(sys.argv[3]))
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) / 1024)
"""

# What a job does, in a process of its own: coded.dsn and the picture lie in the folder that is its first argument
_JOBS = {
    "start": "",
    "encode": "open(f'{folder}/coded.dsn', 'wb').write(dsncodec.encode(f'{folder}/picture.ppm', threads=1, **options))",
    "decode": "image = dsncodec.decode(f'{folder}/coded.dsn', max_pixels=None, threads=1)",
    "decode to .ppm": "main(['decode', f'{folder}/coded.dsn', '-o', f'{folder}/back.ppm', '--threads', '1', '--force', '--quiet'])",
    "region": "image = dsncodec.decode(f'{folder}/coded.dsn', region=options['region'], max_pixels=None, threads=1)",
}
# What is done to a picture of 12 megapixels by --verbs
VERBS = {
    "enhance, student": "dsncodec.enhance(picture, strength=1, threads=threads)",
    "enhance, teacher": "dsncodec.enhance(picture, 'teacher', strength=1, threads=threads)",
    "denoise": "dsncodec.denoise(picture, sigma=10, threads=threads)",
    "stylize": "dsncodec.stylize(picture, threads=threads)",
    "downsample x2": "dsncodec.downsample(picture, 2, threads=threads)",
    "upsample x2": "dsncodec.upsample(picture, 2, threads=threads)",
    "upsample x4, ppcn": "dsncodec.upsample(picture, 4, model='ppcn', threads=threads)",
    "upsample x4, perceptual": "dsncodec.upsample(picture, 4, model='perceptual', threads=threads)",
}
_VERB = """
import json, sys, time, dsncodec
picture, threads, began = sys.argv[1], int(sys.argv[2]), time.perf_counter()
made = {verb}
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps([*made.size, int(status["VmHWM"].split()[0]) / 1024, time.perf_counter() - began]))
"""
_JOB = """
import json, sys, numpy, dsncodec, dsncodec.networks.inference
from dsncodec.cli import main
folder, options = sys.argv[1], json.loads(sys.argv[2])
{work}
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) / 1024)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument(
        "--huge",
        type=int,
        metavar="SIDE",
        help="odd sizes and a square of this side, 10000 for 100 megapixels, instead",
    )
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=list(METHODS), help="of --huge (default: all)"
    )
    parser.add_argument(
        "--verbs", action="store_true", help="enhance, stylize and resample 12 megapixels instead"
    )
    parser.add_argument("--threads", type=int, default=2, help="of --verbs (default %(default)s)")
    parser.add_argument("--effort", type=int, default=0, help="of --huge (default %(default)s)")
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


def _median_s(call: Callable[[], object], runs: int = 5) -> float:
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def run(args: argparse.Namespace) -> int:
    """Measure, print, and write memory.md, memory-huge.md or memory-verbs.md."""
    if args.huge:
        return _huge(args)
    if args.verbs:
        return _verbs(args)
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


def _job_mib(job: str, folder: Path, options: dict[str, object]) -> float:
    command = [sys.executable, "-c", _JOB.format(work=_JOBS[job]), str(folder), json.dumps(options)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _huge(args: argparse.Namespace) -> int:
    """Each job in a process of its own, and what comes out compared: rows on disk, region, whole picture."""
    texture, rows = np.asarray(photo(args.data)), []
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        least = _job_mib("start", folder, {})
        for width, height in (*ODD, (args.huge, args.huge)):
            whole = texture[np.arange(height)[:, None] % len(texture), np.arange(width) % texture.shape[1]]
            Image.fromarray(whole).save(folder / "picture.ppm")
            del whole
            for name, settings in ((name, METHODS[name]) for name in args.methods):
                x, y = max(0, width // 2 - 128), max(0, height // 2 - 128)
                region = (x, y, min(width, x + REGION + 1), min(height, y + REGION + 3))
                options = {"encode": {**settings, "effort": args.effort}, "region": {"region": region}}
                peaks = [_job_mib(job, folder, options.get(job, {})) for job in _JOBS if job != "start"]
                rows.append(
                    (
                        f"{width} x {height}",
                        name,
                        f"{(folder / 'coded.dsn').stat().st_size:,}",
                        *(f"{peak:.0f}" for peak in peaks),
                        *(
                            f"{(peak - least) * 2**20 / (width * height):.1f}"
                            if width * height > 10**6
                            else ""
                            for peak in peaks[:3]
                        ),
                        "yes" if _same(folder, region) else "NO",
                    )
                )
                print(rows[-1], flush=True)
    header = [
        "picture",
        "method",
        "bytes",
        "encode MiB",
        "decode MiB",
        "decode to .ppm MiB",
        "region MiB",
        "encode bytes/pixel",
        "decode bytes/pixel",
        "to .ppm bytes/pixel",
        "exact",
    ]
    report = f"""# Peak memory of odd and huge pictures

{table(header, rows)}
Resident memory at its highest, of a process that does one thing with one thread; {least:.0f} MiB of it are the interpreter and its libraries, and are
left out of bytes/pixel. Effort {args.effort}. The large picture repeats a mosaic of Urban100 pictures. A region is {REGION + 1} x {REGION + 3}. Exact: regions in the
middle and in two corners are what stands there in the .ppm file, which was written row by row.
"""
    if args.dry_run:
        print(report)
    else:
        write_report("memory-huge.md", report, args.command)
    return 0 if all(row[-1] == "yes" for row in rows) else 1


def _verbs(args: argparse.Namespace) -> int:
    """Each in a process of its own."""
    rows = []
    with tempfile.TemporaryDirectory() as text:
        picture = Path(text) / "picture.ppm"
        photo(args.data).save(picture)
        for name, verb in VERBS.items():
            command = [sys.executable, "-c", _VERB.format(verb=verb), str(picture), str(args.threads)]
            found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            width, height, peak, seconds = json.loads(found)
            rows.append((name, f"{width} x {height}", f"{peak:.0f}", f"{seconds:.1f}"))
            print(rows[-1], flush=True)
    report = f"""# What is done to {SIZE[0]} x {SIZE[1]} pixels

{table(["verb", "result", "peak MiB", "seconds"], rows)}
Resident memory at its highest, of a process that does one thing with {args.threads} threads, and seconds from the file to the picture in memory. A mosaic of Urban100 pictures. That
tiles leave no trace is tested in `tests/test_style.py`, `test_denoise.py`, `test_enhance.py`, `test_inference.py` and `test_ppcn.py`.
"""
    if args.dry_run:
        print(report)
    else:
        write_report("memory-verbs.md", report, args.command)
    return 0


def _same(folder: Path, region: tuple[int, int, int, int]) -> bool:
    """Whether a region, and the corners, are those of the rows on disk."""
    coded = folder / "coded.dsn"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(folder / "back.ppm") as written:
            width, height = written.size
            first = (0, 0, min(width, REGION), min(height, REGION))
            last = (max(0, width - REGION), max(0, height - REGION), width, height)
            return all(
                dsncodec.decode(coded, region=box, max_pixels=None, threads=1).tobytes()
                == written.crop(box).tobytes()
                for box in (region, first, last)
            )
