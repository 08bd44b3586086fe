"""Pictures for looking at: one picture coded by every codec to the same number of bytes."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..metrics import SSIMULACRA2_SMALLEST, bpp, psnr_db, ssimulacra2
from . import processes
from .measure import UInt8Array, read_rgb
from .peers import Codec, find

LARGEST = (768, 1024)  # rows, columns: of a larger picture the centre is shown
CLOSE = 0.01  # relative distance from the wanted bytes at which the search ends
TRIALS = 10


@dataclass(frozen=True)
class Task:
    """One codec on one picture."""

    family: str
    codec: str
    path: str
    target_bpp: float


def code(
    paths: Sequence[str],
    codecs: Sequence[tuple[str, Codec]],
    target_bpp: float,
    *,
    jobs: int,
    timeout_s: float,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Samples as the page shows them, and what went wrong.

    A codec whose nearest file is more than a quarter away from the wanted bytes is left out: two pictures
    at other rates cannot be compared.

    Args:
        progress: called with versions done, versions in all, and what is at hand.
    Returns:
        For each picture its name, size and pixels, and for each codec setting, bytes, bpp, SSIMULACRA 2, PSNR and pixels;
        pixels are lossless WebP in data URLs.
    """
    tasks = [Task(name, codec.key, path, target_bpp) for path in paths for name, codec in codecs]
    versions: dict[tuple[str, str], dict[str, Any]] = {}
    failures, done = [], 0
    for event in processes.run(versions_of, tasks, jobs, timeout_s * TRIALS):
        if event.kind == "result":
            versions[event.task.path, event.task.codec] = event.value
        elif event.kind == "failed":
            failures.append(f"{event.task.codec} on {event.task.path}: {event.value}")
        done += event.is_last
        progress(done, len(tasks), f"{event.task.codec} {Path(event.task.path).name}")
    samples = []
    for path in paths:
        picture = shown_part(read_rgb(path))
        samples.append(
            {
                "name": Path(path).stem,
                "width": picture.shape[1],
                "height": picture.shape[0],
                "target_bpp": target_bpp,
                "original": data_url(picture),
                "versions": {c.key: versions[path, c.key] for _, c in codecs if (path, c.key) in versions},
            }
        )
    return samples, failures


def versions_of(task: Task) -> Iterator[dict[str, Any]]:
    """One codec's version of a picture, if it comes near the rate; runs in a process of its own."""
    codec = find(task.family, task.codec)
    picture = shown_part(read_rgb(task.path))
    pixels = picture.shape[0] * picture.shape[1]
    wanted = task.target_bpp * pixels / 8
    setting, data = nearest_file(codec, lambda at: codec.encode(picture, at), wanted)
    if abs(math.log(len(data) / wanted)) > math.log(1.25):
        return
    decoded = codec.decode(data)
    yield {
        "setting": f"{setting:g}",
        "bytes": len(data),
        "bpp": bpp(len(data), picture.shape[1], picture.shape[0]),
        "ssimulacra2": ssimulacra2(picture, decoded)
        if min(picture.shape[:2]) >= SSIMULACRA2_SMALLEST
        else None,
        "psnr_db": psnr_db(picture, decoded),
        "src": data_url(decoded),
    }


def nearest_file(codec: Codec, encode: Callable[[float], bytes], wanted_bytes: float) -> tuple[float, bytes]:
    """The setting whose file is nearest to a number of bytes, found by bisection, and that file."""
    files: dict[float, bytes] = {}

    def distance(setting: float) -> float:
        if setting not in files:
            files[setting] = encode(setting)
        return math.log(len(files[setting]) / wanted_bytes)

    places = np.arange(len(codec.settings))
    low, high = 0.0, float(places[-1])  # places in the list of settings, and between them
    for _ in range(TRIALS):
        middle = (low + high) / 2
        between = float(np.interp(middle, places, codec.settings))
        setting = round(round(between / codec.step) * codec.step, 6)
        away = distance(setting)
        if abs(away) < CLOSE:
            break
        low, high = (middle, high) if away < 0 else (low, middle)
    best = min(files, key=lambda setting: abs(distance(setting)))
    return best, files[best]


def shown_part(picture: UInt8Array) -> UInt8Array:
    """The picture, or the centre of a large one."""
    rows, columns = (min(side, most) for side, most in zip(picture.shape, LARGEST))
    top, left = (picture.shape[0] - rows) // 2, (picture.shape[1] - columns) // 2
    return np.ascontiguousarray(picture[top : top + rows, left : left + columns])


def data_url(picture: UInt8Array) -> str:
    """Lossless WebP, for the src of an image."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "WEBP", lossless=True, quality=80, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
