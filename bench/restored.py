"""The method restored: what its network costs beside the base codec alone, and what half the size wins at low rates."""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import dsncodec
from dsncodec import carriers
from dsncodec.methods.restored.codec import BEST_FROM_EFFORT
from dsncodec.metrics import psnr_db

from .common import UInt8Array, image_paths, rgb_of
from .results import table, write_csv, write_report
from .speed import MEGAPIXELS, interleaved, picture

BASES = {"avif": 46, "jpeg": 75, "jxl": 77, "j2k": 44}  # the codecs' own qualities of quality 75
LOW_BPP = (0.08, 0.1, 0.15, 0.2)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--limit", type=int, help="pictures of the tuning set (default: all)")


def run(args: argparse.Namespace) -> int:
    """Measure, print, and write restored.md."""
    text = (
        "# A network over a standard codec, tuned for squared error\n\n"
        + _times(args)
        + "\n"
        + _low_rates(args)
    )
    write_report("restored.md", text, args.command)
    return 0


def _times(args: argparse.Namespace) -> str:
    rgb = picture(args.data)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    calls: dict[str, Callable[[], object]] = {}
    for base, quality in BASES.items():
        for effort in (5, BEST_FROM_EFFORT["psnr"]) if base == "avif" else (5,):
            asked: dict[str, Any] = {
                "base": base,
                "tune": "psnr",
                "base_quality": quality,
                "effort": effort,
                "threads": 1,
            }
            data = dsncodec.encode(rgb, "restored", **asked)
            payload = carriers.encode_base(rgb, quality, base, effort, 1)
            own = carriers.base_file(payload, rgb.shape)
            module = carriers.load_base(base)
            name = f"{base}, effort {effort}"
            calls[f"{name}: encode, codec"] = partial(module.encode, rgb, quality, effort, 1)
            calls[f"{name}: encode, ours"] = partial(dsncodec.encode, rgb, "restored", **asked)
            calls[f"{name}: decode, codec"] = partial(module.decode, own, rgb.shape)
            calls[f"{name}: decode, ours"] = partial(dsncodec.decode, data, threads=1)
    times = interleaved(calls, args.runs)
    rows = []
    for name in dict.fromkeys(key.partition(":")[0] for key in times):
        row = [name]
        for verb in ("encode", "decode"):
            codec, ours = (times[f"{name}: {verb}, {who}"] for who in ("codec", "ours"))
            more = statistics.median(b / a - 1 for a, b in zip(codec, ours))
            row += [f"{1000 * statistics.median(t):.0f}" for t in (codec, ours)]
            if verb == "encode":
                row.append(f"{more:+.0%}")
        rows.append(row)
    header = ["base codec", "encode, ms", "ours, ms", "more", "decode, ms", "ours, ms"]
    return (
        f"512 x 768 pixels ({MEGAPIXELS:.2f} megapixels), quality 75, one core; medians of {args.runs} interleaved runs after "
        "a warm-up. Goals: at most 20 % more to encode with the fast network, 120 ms to decode.\n\n"
        + table(header, rows)
    )


def _at(rgb: UInt8Array, bpp: float, scale: int | None) -> tuple[float, int, float] | None:
    """PSNR in dB, scale and bpp of the best file within a rate; None if there is none."""
    try:
        data = dsncodec.encode(rgb, "restored", tune="psnr", target_bpp=bpp, scale=scale, threads=1)
    except dsncodec.SettingError:
        return None
    info = dsncodec.read_info(data)
    return psnr_db(rgb, np.asarray(dsncodec.decode(data, threads=1))), info.scale, info.bpp


def _low_rates(args: argparse.Namespace) -> str:
    paths = image_paths(args.data, "div2k256", args.limit)
    rows, kept = [], []
    for bpp in LOW_BPP:
        full, either, halves, least = [], [], 0, 0.0
        for path in paths:
            rgb = rgb_of(path)
            one, best = _at(rgb, bpp, 1), _at(rgb, bpp, None)
            if one is None or best is None:
                continue
            kept.append((path.name, bpp, *one, *best))
            full.append(one[0])
            either.append(best[0])
            halves += best[1] == 2
            least = min(least, best[0] - one[0])
        gains = np.subtract(either, full)
        won = gains[gains > 0]
        rows.append(
            (
                f"{bpp:g}",
                len(full),
                f"{np.mean(full):.2f}",
                f"{np.mean(either):.2f}",
                f"{halves}",
                f"{won.mean() if len(won) else 0:.2f}",
                f"{least:.2f}",
            )
        )
    write_csv(
        "restored-low-rates.csv",
        ["picture", "target_bpp", "psnr_full", "scale_full", "bpp_full", "psnr", "scale", "bpp"],
        kept,
    )
    return (
        "#### Half the size at low rates\n\nThe best file within a rate (bpp of the whole file), AVIF speed 6 inside, tuning pictures that reach it "
        "at full size; RGB PSNR in dB.\n\n"
        + table(
            [
                "bpp",
                "pictures",
                "full size",
                "the encoder's choice",
                "halves chosen",
                "gain where they are",
                "least gain",
            ],
            rows,
        )
    )
