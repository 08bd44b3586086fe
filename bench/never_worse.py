"""The method restored, tuned for squared error, beside the codec inside: no PSNR below its own, no SSIM, and what the file says
it won; and the time that it takes to know.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from typing import get_type_hints

import numpy as np

import dsncodec
from dsncodec import carriers
from dsncodec.methods.restored.half_size import doubled
from dsncodec.metrics import luma, psnr_db, ssim

from .common import UInt8Array, image_paths, in_parallel, photographs, rgb_of
from .results import RESULTS, GrowingTable, table, write_report

Task = tuple[str, str, int, int]  # picture, base codec, effort, quality
KEYS = 4

QUALITIES = tuple(range(5, 100, 5))
EFFORTS = (4, 5)
TIMED_QUALITIES = (20, 50, 75, 90)
TIMED_EFFORTS = (5, 7)
MOST_PIXELS = 800_000  # photographs are halved until they have no more
SSIM_LOSS = 0.0005
GAIN_ERROR_DB = 0.03  # a step of the file's, and half of one


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument("--pictures", type=int, default=8, help="how many (default %(default)s)")
    parser.add_argument(
        "--all-efforts", action="store_true", help="each quality at both efforts (default: in turn)"
    )
    parser.add_argument("--every", type=int, default=1, metavar="N", help="avif at every Nth quality")
    parser.add_argument(
        "--others-every", type=int, default=1, metavar="N", help="the other base codecs at every Nth"
    )
    parser.add_argument("--runs", type=int, default=3, help="of the times; 0: none are taken")
    parser.add_argument("--timed-efforts", type=int, nargs="+", default=TIMED_EFFORTS)


@dataclass(frozen=True)
class Case:
    """A file of ours beside the plain codec's: at the same quality of its own, or if ours has half the size, the best
    at full size with no more bytes.
    """

    picture: str
    base: str
    effort: int
    quality: int
    own_quality: int
    scale: int
    strength: float
    base_bytes: int
    psnr_plain: float
    psnr: float
    ssim_plain: float
    ssim: float
    gain_said: float
    gain: float

    @property
    def faults(self) -> list[str]:
        """What is worse than promised."""
        found = {
            "PSNR": self.psnr < self.psnr_plain,
            "SSIM": self.ssim < self.ssim_plain - SSIM_LOSS,
            "gain": abs(self.gain_said - self.gain) > GAIN_ERROR_DB,
        }
        return [name for name, wrong in found.items() if wrong]


def pictures(data: str, count: int) -> dict[str, UInt8Array]:
    """Three of Urban100, and photographs, halved until they have at most MOST_PIXELS."""
    urban = image_paths(data, "Urban100 (first 50)", 3)
    found = {path.stem: rgb_of(path) for path in urban}
    found |= photographs(data, max(0, count - len(found)), MOST_PIXELS)
    return dict(list(found.items())[:count])


def plain(rgb: UInt8Array, base: str, effort: int, quality: int) -> tuple[int, UInt8Array]:
    """Bytes and picture of the codec alone."""
    payload = carriers.encode_base(rgb, quality, base, effort, 1)
    return len(payload), carriers.eight_bits(carriers.decode_base(payload, rgb.shape))


def best_plain(rgb: UInt8Array, base: str, effort: int, limit: int) -> UInt8Array | None:
    """The codec's best picture at full size in no more bytes, if there is any: of the last qualities that fit, as PSNR
    need not rise with each."""
    qualities = carriers.BASE_CODECS[base].qualities
    low, high = -1, len(qualities)
    while high - low > 1:
        middle = (low + high) // 2
        fits = plain(rgb, base, effort, qualities[middle])[0] <= limit
        low, high = (middle, high) if fits else (low, middle)
    shown = [plain(rgb, base, effort, q)[1] for q in qualities[max(0, low - 1) : low + 1]]
    return max(shown, key=lambda one: psnr_db(rgb, one), default=None)


def judged(rgb: UInt8Array, name: str, base: str, effort: int, quality: int) -> Case:
    """One file."""
    data = dsncodec.encode(rgb, "restored", base=base, tune="psnr", effort=effort, quality=quality, threads=1)
    info, shown = dsncodec.read_info(data), np.asarray(dsncodec.decode(data, threads=1))
    own = np.asarray(dsncodec.decode(data, preview=True))
    base_bytes = info.sections["BASE"]
    beside: UInt8Array | None = own
    if info.scale == 2:
        own = doubled(own, rgb.shape)
        beside = best_plain(rgb, base, effort, base_bytes)
    if beside is None:
        beside = own
    grey = luma(rgb)
    return Case(
        name,
        base,
        effort,
        quality,
        info.base_quality or 0,
        info.scale,
        info.strength or 0.0,
        base_bytes,
        psnr_db(rgb, beside),
        psnr_db(rgb, shown),
        ssim(grey, luma(beside)),
        ssim(grey, luma(shown)),
        info.gain_db or 0.0,
        psnr_db(rgb, shown) - psnr_db(rgb, own),
    )


def run(args: argparse.Namespace) -> int:
    """Measure, print, and write never-worse.csv and .md."""
    shown, tasks = pictures(args.data, args.pictures), []
    for base in carriers.BASE_CODECS:
        for i, quality in enumerate(QUALITIES):
            every = args.every if base == "avif" else args.others_every
            if i % every == 0:
                efforts = EFFORTS if args.all_efforts else (EFFORTS[i // every % 2],)
                tasks += [(name, base, effort, quality) for effort in efforts for name in shown]
    cases = _cases(tasks, shown)
    text = "# Never worse than the codec inside\n\n" + _report(cases, shown)
    if args.runs:
        text += "\n## What it takes to know\n\n" + _times(shown, args.timed_efforts, args.runs)
    write_report("never-worse.md", text, args.command)
    return 0


def _cases(tasks: list[Task], shown: dict[str, UInt8Array]) -> list[Case]:
    """All files, those among them that earlier runs have judged: they are read from never-worse.csv."""
    types = get_type_hints(Case)
    rows = GrowingTable(RESULTS / "never-worse.csv", list(types), KEYS)
    missing = [task for task in tasks if rows.find(_key(task)) is None]
    for at in range(0, len(missing), 2):
        for case in in_parallel(lambda task: judged(shown[task[0]], *task), missing[at : at + 2]):
            rows.add([f"{v:.5f}" if isinstance(v, float) else str(v) for v in astuple(case)])
    found = [row for row in map(rows.find, map(_key, tasks)) if row is not None]
    return [Case(**{name: types[name](value) for name, value in row.items()}) for row in found]


def _key(task: Task) -> tuple[str, ...]:
    return tuple(map(str, task))


def _report(cases: list[Case], shown: dict[str, UInt8Array]) -> str:
    sizes = ", ".join(f"{name} {rgb.shape[1]} x {rgb.shape[0]}" for name, rgb in shown.items())
    rows = []
    for base in carriers.BASE_CODECS:
        of = [case for case in cases if case.base == base]
        gains = [case.psnr - case.psnr_plain for case in of]
        rows.append(
            (
                base,
                len(of),
                sum(case.scale == 2 for case in of),
                sum(case.gain_said == 0 for case in of),
                f"{statistics.mean(gains):.2f}",
                f"{min(gains):.3f}",
                f"{statistics.mean(case.ssim - case.ssim_plain for case in of):.4f}",
                f"{min(case.ssim - case.ssim_plain for case in of):.4f}",
                f"{max(abs(case.gain_said - case.gain) for case in of):.3f}",
                sum(bool(case.faults) for case in of),
            )
        )
    named: dict[str, Case] = {
        "least gain of PSNR": min(cases, key=lambda case: case.psnr - case.psnr_plain),
        "least SSIM": min(cases, key=lambda case: case.ssim - case.ssim_plain),
        "gain told worst": max(cases, key=lambda case: abs(case.gain_said - case.gain)),
    }
    if halves := [case for case in cases if case.scale == 2]:
        named["least gain at half the size"] = min(halves, key=lambda case: case.psnr - case.psnr_plain)
        named["least SSIM at half the size"] = min(halves, key=lambda case: case.ssim - case.ssim_plain)
    named |= {f"fault: {', '.join(case.faults)}": case for case in cases if case.faults}
    worst = [
        (
            what,
            case.picture,
            case.base,
            case.effort,
            case.quality,
            case.scale,
            f"{case.psnr_plain:.2f}",
            f"{case.psnr:.2f}",
            f"{case.ssim_plain:.4f}",
            f"{case.ssim:.4f}",
            f"{case.gain_said:.2f}",
            f"{case.gain:.3f}",
        )
        for what, case in named.items()
    ]
    return (
        f"{sizes}. Beside each file the plain codec at the same quality of its own; where ours has half the size, the best "
        f"plain file at full size with no more bytes. RGB PSNR in dB, SSIM of luma. Faults: PSNR below the plain codec's, "
        f"SSIM by more than {SSIM_LOSS} below it, or a gain in the file more than {GAIN_ERROR_DB} dB from the one reached.\n\n"
        + table(
            [
                "base",
                "files",
                "half the size",
                "no network",
                "mean gain, dB",
                "least",
                "mean of SSIM",
                "least",
                "gain told to",
                "faults",
            ],
            rows,
        )
        + "\nThe worst of them:\n\n"
        + table(
            [
                "what",
                "picture",
                "base",
                "effort",
                "quality",
                "scale",
                "PSNR, plain",
                "ours",
                "SSIM, plain",
                "ours",
                "gain said",
                "reached",
            ],
            worst,
        )
    )


def _times(shown: dict[str, UInt8Array], efforts: Sequence[int], runs: int) -> str:
    """CPU seconds, so that what else the machine does counts little."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    parts = [np.ascontiguousarray(rgb[:512, :768]) for rgb in list(shown.values())[-3:]]
    rows = []
    for effort in efforts:
        for quality in TIMED_QUALITIES:
            own, ours = [], []
            for rgb in parts:
                point = carriers.BASE_CODECS["avif"].own_quality(quality)
                module = carriers.load_base("avif")
                one, other = cpu_seconds(
                    partial(module.encode, rgb, point, effort, 1),
                    partial(dsncodec.encode, rgb, tune="psnr", quality=quality, effort=effort, threads=1),
                    runs=runs,
                )
                own.append(one)
                ours.append(other)
            more = [b / a - 1 for a, b in zip(own, ours)]
            rows.append(
                (
                    effort,
                    quality,
                    f"{1000 * statistics.mean(own):.0f}",
                    f"{1000 * statistics.mean(ours):.0f}",
                    f"{statistics.mean(more):+.0%}",
                    f"{min(more):+.0%} to {max(more):+.0%}",
                )
            )
    return (
        f"The first 768 columns and 512 rows of the last {len(parts)} pictures, one core; CPU time, the least of {runs} interleaved "
        "runs after a warm-up, means over pictures.\n\n"
        + table(["effort", "quality", "AVIF, ms", "ours, ms", "more", "from, to"], rows)
    )


def cpu_seconds(*calls: Callable[[], object], runs: int) -> list[float]:
    """The least CPU seconds of each call, taken in turn after a warm-up."""
    for call in calls:
        call()
    least = [float("inf")] * len(calls)
    for _ in range(runs):
        for i, call in enumerate(calls):
            start = time.process_time()
            call()
            least[i] = min(least[i], time.process_time() - start)
    return least
