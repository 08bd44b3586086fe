"""Codecs x settings x pictures -> raw rows: one run over one set of pictures.

A task is one codec on one picture, in a process of its own: peak memory is that of one codec, and codecs
take turns, so that a machine whose speed drifts drifts for all of them alike.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import files
from ..errors import DsnError, SettingError
from ..metrics import bpp, luma, ms_ssim, psnr_db, ssim
from ..reading import read_picture, suffixes
from . import processes, referees
from .peers import Codec, find
from .store import Row, Store

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

UInt8Array = NDArray[np.uint8]

WARM_UP = 64  # pixels of a side: what is coded once before the clock runs


# --- pictures


@dataclass(frozen=True)
class Picture:
    """A file of a set; ``reason`` is why it is left out, if it is."""

    name: str  # its path below the set's folder
    path: str
    width: int = 0
    height: int = 0
    sha256: str = ""
    reason: str = ""


@dataclass(frozen=True)
class PictureSet:
    """The pictures of a folder, looked at once."""

    name: str
    pictures: tuple[Picture, ...]

    @property
    def usable(self) -> list[Picture]:
        """The pictures that can be read."""
        return [picture for picture in self.pictures if not picture.reason]

    @classmethod
    def find(cls, folder: str | os.PathLike[str], name: str = "", limit: int | None = None) -> PictureSet:
        """The pictures in a folder and below it, sorted by name, hidden ones left out.

        Args:
            name: of the set; default: the folder's.
            limit: take the first so many only.
        Raises:
            SettingError: there is no such folder, or no picture in it.
        """
        root = Path(folder)
        paths = files.find(root, suffixes())[:limit]
        if not paths:
            raise SettingError(f"no pictures in {folder}" if root.is_dir() else f"no such folder: {folder}")
        pictures = tuple(_looked_at(path, path.relative_to(root).as_posix()) for path in paths)
        return cls(name or root.resolve().name, pictures)


def _looked_at(path: Path, name: str) -> Picture:
    try:
        rgb = read_rgb(path)
    except Exception as exc:  # whatever a decoder says about a broken file, the run goes on
        lines = str(exc).splitlines() or [type(exc).__name__]
        return Picture(name, str(path), reason=lines[0])
    return Picture(name, str(path), rgb.shape[1], rgb.shape[0], digest(rgb))


def read_rgb(path: str | os.PathLike[str]) -> UInt8Array:
    """A picture as every codec is given it: (H, W, 3) uint8; alpha is left out, grey is tripled.

    Raises:
        SettingError: it has more than 8 bits a sample.
        OSError: it cannot be read.
    """
    pixels = read_picture(path).pixels
    colour = pixels[..., :1].repeat(3, 2) if pixels.shape[2] < 3 else pixels[..., :3]
    return np.ascontiguousarray(colour)


def digest(data: bytes | UInt8Array) -> str:
    """16 hex digits of the SHA-256: enough to see that two things are the same."""
    return hashlib.sha256(data).hexdigest()[:16]


# --- one file


def measure(
    codec: Codec, image: str, picture: UInt8Array, setting: float, repeats: int
) -> tuple[Row, UInt8Array]:
    """Code a picture, decode the file, compare.

    Returns:
        The row without scores of referees, and the decoded picture for them.
    Raises:
        DsnError: the decoded picture has another shape.
    """
    _forget_peak_memory()
    encode_s, data = _timed(lambda: codec.encode(picture, setting), repeats)
    decode_s, decoded = _timed(lambda: codec.decode(data), repeats)
    peak_mib = _peak_memory_mib()
    if decoded.shape != picture.shape or decoded.dtype != np.uint8:
        raise DsnError(f"decodes to {decoded.dtype} {decoded.shape}, not {picture.shape}")
    height, width = picture.shape[:2]
    grey, decoded_grey = luma(picture), luma(decoded)
    row = Row(
        image=image,
        width=width,
        height=height,
        image_sha256=digest(picture),
        codec=codec.key,
        version=codec.version,
        setting=setting,
        size_bytes=len(data),
        boxes_bytes=codec.boxes(data) if codec.boxes else 0,
        bpp=bpp(len(data), width, height),
        psnr_db=psnr_db(picture, decoded),
        psnr_y_db=psnr_db(grey, decoded_grey),
        ssim_y=_or_nan(lambda: ssim(grey, decoded_grey)),
        ms_ssim=_or_nan(lambda: ms_ssim(picture, decoded)),
        **dict.fromkeys(referees.REFEREES, math.nan),
        encode_s=encode_s,
        decode_s=decode_s,
        peak_mib=peak_mib,
        file_sha256=digest(data),
    )
    return row, decoded


def _timed(call: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    times = []
    for _ in range(repeats):
        start = _cpu_seconds()
        result = call()
        times.append(_cpu_seconds() - start)
    return statistics.median(times), result


def _cpu_seconds() -> float:
    """Of this process and of the programs it has run: other work on the machine does not count."""
    if resource is None:
        return time.process_time()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _or_nan(metric: Callable[[], float]) -> float:
    try:
        return metric()
    except SettingError:  # the picture is smaller than the window
        return math.nan


def _forget_peak_memory() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: from here on, the peak is a new one


def _peak_memory_mib() -> float:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return math.nan
    ours = next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), math.nan)
    programs = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # KiB on Linux, where /proc is
    return max(ours, programs) / 1024


# --- one set


@dataclass(frozen=True)
class Task:
    """Some settings of one codec on one picture."""

    family: str
    codec: str
    image: str
    path: str
    settings: tuple[float, ...]
    repeats: int


@dataclass(frozen=True)
class Failure:
    """A codec that gave up on a picture."""

    image: str
    codec: str
    reason: str


def rows_of(task: Task) -> Iterator[tuple[Row, UInt8Array]]:
    """Measure a task's files, after a warm-up, as ``measure`` returns them; runs in a process of its own."""
    codec = find(task.family, task.codec)
    picture = read_rgb(task.path)
    codec.decode(codec.encode(np.ascontiguousarray(picture[:WARM_UP, :WARM_UP]), task.settings[0]))
    for setting in task.settings:
        yield measure(codec, task.image, picture, setting, task.repeats)


def run(
    pictures: PictureSet,
    codecs: Sequence[tuple[str, Codec]],
    store: Store,
    *,
    panel: referees.Panel | None = None,
    jobs: int = 1,
    repeats: int = 1,
    timeout_s: float = 600.0,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> tuple[dict[str, list[Row]], list[Failure]]:
    """Measure what the store does not have yet, and return the rows of this set by codec.

    Rows are kept as they come, so a run that was stopped goes on from there. A row counts as had if its
    picture's pixels, its codec's version and its setting are the same, and it lacks no referee's score; others of the
    same picture and setting are replaced. Scores of the same file from another run are kept.

    Args:
        codecs: (family, codec), as ``peers.choose`` returns them.
        panel: the referees; they judge in this process. None: those of DEFAULT.
        jobs: processes at a time; times are cleanest with one.
        timeout_s: for one file.
        progress: called with files done, files in all, and what is at hand.
    Raises:
        SettingError: the store's folder has a file that is not a store's.
        OSError: a row cannot be written; those before it are kept.
    """
    panel = panel or referees.Panel()
    wanted = {
        codec.key: {
            (p.name, p.sha256, codec.version, setting) for p in pictures.usable for setting in codec.settings
        }
        for _, codec in codecs
    }
    rows: dict[str, list[Row]] = {}
    others: dict[str, list[Row]] = {}  # of other pictures and settings: kept, and not ours
    scored: dict[str, dict[str, Row]] = {}  # by codec and file: what another run's referees said
    for key, ours in wanted.items():
        stored = store.read(key)
        rows[key] = [row for row in stored if _identity(row) in ours and not panel.lacks(row)]
        scored[key] = {row.file_sha256: row for row in stored}
        replaced = {(image, setting) for image, _, _, setting in ours}
        others[key] = [row for row in stored if (row.image, row.setting) not in replaced]
        store.replace(key, others[key] + rows[key])
    tasks = _tasks(pictures, codecs, rows, repeats)
    total, done = sum(map(len, wanted.values())), sum(map(len, rows.values()))
    failures = []
    reference = lru_cache(maxsize=jobs)(read_rgb)
    for event in processes.run(rows_of, tasks, jobs, timeout_s * repeats):
        if event.kind == "result":
            row, decoded = event.value
            try:
                row = panel.judged(row, reference(event.task.path), decoded)
            except DsnError as exc:
                failures.append(Failure(event.task.image, event.task.codec, str(exc)))
            row = referees.kept(row, scored[event.task.codec])
            rows[event.task.codec].append(store.append(row))
            done += 1
        elif event.kind == "failed":
            failures.append(Failure(event.task.image, event.task.codec, event.value))
        progress(done, total, f"{event.task.codec} {event.task.image}")
    for key, found in rows.items():
        found.sort(key=lambda row: (row.image, row.setting))
        store.replace(key, others[key] + found)
    return rows, failures


def _identity(row: Row) -> tuple[str, str, str, float]:
    return row.image, row.image_sha256, row.version, row.setting


def _tasks(
    pictures: PictureSet, codecs: Sequence[tuple[str, Codec]], rows: dict[str, list[Row]], repeats: int
) -> list[Task]:
    """What is left to do, picture by picture."""
    tasks = []
    for picture in pictures.usable:
        for family_name, codec in codecs:
            have = {row.setting for row in rows[codec.key] if row.image == picture.name}
            left = tuple(setting for setting in codec.settings if setting not in have)
            if left:
                tasks.append(Task(family_name, codec.key, picture.name, picture.path, left, repeats))
    return tasks
