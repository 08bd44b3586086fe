"""dsncodec extract: what a .dsn file carries as an ordinary file: a base codec's picture, a coded plane, a network."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import SettingError
from ..writing import STDOUT, write
from .common import (
    DSN,
    Job,
    add_files,
    add_limit,
    add_output,
    limit_of,
    load,
    plan,
    run_all,
    take_last_as_output,
)

_OWN = ".own"  # stands for the payload's suffix until the file is read
_PICTURES = ("picture", "network")  # what is pixels, and not symbols
_PAYLOADS = (".avif", ".jpg", ".jxl", ".j2k", ".jls", ".webp", ".7z", ".lzma2", ".onnx")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    add_files(parser, ".dsn files")
    add_output(parser, "beside the input, NAME-layer with the payload's suffix")
    parser.add_argument(
        "--plane", choices=("picture", "luma", "chroma", "alpha", "network"),
        help="(default: the base codec's picture; of method dsn, luma; of coconet, the network, as .onnx)",
    )  # fmt: skip
    parser.add_argument(
        "--format", choices=("own", "png", "jp2"),
        help="own: the payload's bytes; png, jp2: symbols as grey (default: as -o ends, or own)",
    )  # fmt: skip
    parser.add_argument("--stretch", action="store_true", help="png, jp2: spread the symbols over 0..255")
    add_limit(parser)


def run(args: argparse.Namespace) -> int:
    """Extract everything."""
    take_last_as_output(args, reads_dsn=True)
    suffix = "." + (args.format or "own")
    jobs = plan(args, DSN, suffix, f"-{args.plane or 'layer'}")
    for job in jobs:
        ending = _suffix(args, job)
        if ending not in (_OWN, ".png", ".jp2", *_PAYLOADS):
            raise SettingError(f"{job.target}: a plane can be a .png, a .jp2, or its own payload's kind")
        if args.stretch and ending not in (".png", ".jp2"):
            raise SettingError("--stretch changes the symbols: it needs --format png or jp2")
    return run_all(args, jobs, extract, describe)


def _suffix(args: argparse.Namespace, job: Job) -> str:
    if args.format or job.target == STDOUT:
        return "." + (args.format or "own")
    return Path(str(job.target)).suffix.lower()


def extract(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    """One file's plane."""
    layers = load("layers")
    coded = layers.read_plane(job.read(), args.plane, **limit_of(args))
    suffix, target = _suffix(args, job), str(job.target)
    if suffix == _OWN:
        target = target.removesuffix(_OWN) + (coded.extension if target.endswith(_OWN) else "")
    if suffix in (_OWN, coded.extension):
        data = coded.own_bytes
    elif suffix in _PAYLOADS:
        raise SettingError(
            f"{coded.name} is coded by {coded.backend}: take it out as {coded.extension}, .png or "
            f".jp2, not {suffix}"
        )
    else:
        symbols = coded.symbols()
        if args.stretch:
            symbols = layers.stretched(symbols, coded.levels)
        data = load("jp2").to_jp2(symbols) if suffix == ".jp2" else layers.to_png(symbols)
    write(target, data, args.force)
    rows, columns = (
        coded.shape[:2] if coded.name in _PICTURES else (coded.shape[0] * coded.shape[1], coded.shape[2])
    )
    return {
        "output": target, "plane": coded.name, "backend": coded.backend, "levels": coded.levels,
        "width": columns, "height": rows, "size_bytes": len(data),
    }  # fmt: skip


def describe(report: dict[str, Any]) -> str:
    """The report in words."""
    size = f"{report['width']} x {report['height']}"
    what = f"{size} pixels" if report["plane"] in _PICTURES else f"{size} symbols, {report['levels']} levels"
    return f"{report['plane']} of {what}, {report['backend']}, {report['size_bytes']:,} bytes"
