"""Hours of mixed work in one process: encode, decode, batch, Pillow and fits; memory, descriptors and threads must stay flat."""

from __future__ import annotations

import argparse
import concurrent.futures
import gc
import io
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import dsncodec
from dsncodec.batch import Batch
from dsncodec.errors import DsnError

from .results import RESULTS, write_report

FLAT_MIB = 64  # what memory may differ by between the second and the last quarter of the hours
SETTINGS: tuple[dict[str, Any], ...] = (
    {"method": "restored", "base": "avif", "effort": 0},
    {"method": "restored", "base": "jpeg", "effort": 0},
    {"method": "restored", "base": "jxl", "effort": 0},
    {"method": "restored", "base": "j2k", "effort": 0},
    {"method": "dsn", "scale": 2, "effort": 0},
    {"method": "dsn", "scale": 3, "effort": 0, "entropy_coder": "lzma2"},
)
FITS: tuple[dict[str, Any], ...] = (
    {"method": "latentgrid", "steps": 20},
    {"method": "coconet", "steps": 20},
)


@dataclass(frozen=True)
class Sample:
    """The process at a moment: seconds since the start, pieces of work done, resident MiB, descriptors, threads."""

    at_s: float
    done: int
    rss_mib: float
    descriptors: int
    threads: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument("--seconds", type=float, default=7200, metavar="S", help="(default: two hours)")
    parser.add_argument("--every", type=float, default=10, metavar="S", help="a sample (default: 10)")
    parser.add_argument("--no-fits", action="store_true", help="without the fits, which need torch and numba")


def run(args: argparse.Namespace) -> int:
    """Work until the time is over; 1 if anything grew."""
    samples: list[Sample] = []
    for one in _samples(args):
        print(one, flush=True)
        samples.append(one)
    found = verdict(samples)
    RESULTS.mkdir(parents=True, exist_ok=True)
    curve = [asdict(one) for one in samples]
    (RESULTS / "soak.json").write_text(json.dumps(curve, indent=1) + "\n", "utf-8")
    write_report("soak.md", report(samples, found, args), args.command)
    for line in found:
        print(line)
    return int(bool(found))


def _samples(args: argparse.Namespace) -> Iterator[Sample]:
    rng = random.Random(1)
    dsncodec.register_pillow()
    work: list[Callable[[random.Random, Path], None]] = [_trip, _by_pillow, _hostile, _batch, _rows]
    if not args.no_fits:
        work.append(_fit)
    start = last = time.monotonic()
    done = 0
    with tempfile.TemporaryDirectory() as folder:
        while last - start < args.seconds:
            rng.choice(work)(rng, Path(folder))
            done += 1
            if (now := time.monotonic()) - last >= args.every or now - start >= args.seconds:
                last = now
                yield sample(start, done)


def sample(start: float, done: int) -> Sample:
    """The process now (Linux)."""
    gc.collect()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return Sample(
        round(time.monotonic() - start, 1),
        done,
        round(int(status["VmRSS"].split()[0]) / 1024, 1),
        len(os.listdir("/proc/self/fd")),
        int(status["Threads"]),
    )


def _picture(rng: random.Random, largest: int = 200) -> Image.Image:
    size = rng.randint(1, largest), rng.randint(1, largest)
    mode = rng.choice(("L", "LA", "RGB", "RGBA"))
    noise = np.random.default_rng(rng.randrange(2**32)).integers(0, 256, (*size[::-1], len(mode)), np.uint8)
    return Image.fromarray(noise[..., 0] if mode == "L" else noise)


def _trip(rng: random.Random, folder: Path) -> None:
    image, settings = _picture(rng), rng.choice(SETTINGS)
    data = dsncodec.encode(image, threads=rng.choice((1, 2)), **settings)
    dsncodec.verify(data)
    dsncodec.decode(data, preview=True)
    width, height = image.size
    dsncodec.decode(data, region=(0, 0, -(-width // 2), -(-height // 2)))
    assert dsncodec.decode(data, threads=rng.choice((1, 2))).size == image.size


def _rows(rng: random.Random, folder: Path) -> None:
    data = dsncodec.encode(_picture(rng), **rng.choice(SETTINGS))
    for _ in dsncodec.decode_rows(data):
        # a reader that goes away in the middle
        if rng.random() < 0.5:
            break


def _by_pillow(rng: random.Random, folder: Path) -> None:
    buffer = io.BytesIO()
    _picture(rng).save(buffer, "DSN", effort=0)
    with Image.open(buffer) as image:
        image.thumbnail((16, 16))


def _hostile(rng: random.Random, folder: Path) -> None:
    data = bytearray(dsncodec.encode(_picture(rng, 20), **rng.choice(SETTINGS)))
    for _ in range(3):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    try:
        dsncodec.decode(bytes(data))
    except DsnError:
        return


def _batch(rng: random.Random, folder: Path) -> None:
    source = folder / "source"
    source.mkdir(exist_ok=True)
    _picture(rng, 60).save(source / f"{rng.randrange(20)}.png")
    batch = Batch(str(source), str(folder / "target"), rng.choice(SETTINGS[:2]))
    for row in batch.run(lambda: concurrent.futures.ThreadPoolExecutor(2), lambda: 2):
        assert not row.error, row.error


def _fit(rng: random.Random, folder: Path) -> None:
    data = dsncodec.encode(_picture(rng, 40).convert("RGB"), **rng.choice(FITS))
    dsncodec.decode(data)


def verdict(samples: list[Sample]) -> list[str]:
    """What grew between the second and the last quarter, a line each."""
    part = max(1, len(samples) // 4)
    early, late = samples[part : 2 * part] or samples, samples[-part:]
    found = []
    for name, allowed in (("rss_mib", FLAT_MIB), ("descriptors", 0), ("threads", 0)):
        before, after = (max(getattr(one, name) for one in some) for some in (early, late))
        if after - before > allowed:
            found.append(f"{name} grew from {before:g} to {after:g}")
    return found


def report(samples: list[Sample], found: list[str], args: argparse.Namespace) -> str:
    """The curve, in twenty rows."""
    step = max(1, len(samples) // 20)
    rows = [*samples[:-1:step], samples[-1]]
    lines = [
        "| minutes | pieces of work | resident MiB | descriptors | threads |",
        "|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {one.at_s / 60:.1f} | {one.done:,} | {one.rss_mib:.0f} | {one.descriptors} | {one.threads} |"
        for one in rows
    ]
    return "\n".join(["# One process, mixed work", "", *lines, "", *(found or ["Flat."])]) + "\n"
