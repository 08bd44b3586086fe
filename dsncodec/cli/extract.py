"""dsncodec extract: what a .dsn file carries as an ordinary file: a base codec's picture, a coded plane, a network."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import dsncodec

from ..errors import SettingError
from ..files import STDOUT, check_free, write
from .common import (
    DSN,
    Job,
    add_files,
    add_limit,
    add_output,
    add_times,
    keep_times,
    limit_of,
    plan,
    run_all,
    take_last_as_output,
)

_OWN = ".own"  # stands for the payload's suffix until the file is read
_PICTURES = ("picture", "network")  # what is pixels, and not symbols
_FORMATS = {  # suffix -> format
    ".avif": "avif",
    ".jpg": "jpeg",
    ".jxl": "jxl",
    ".j2k": "j2k",
    ".jls": "jpegls",
    ".webp": "webp",
    ".7z": "7z",
    ".lzma2": "lzma2",
    ".onnx": "onnx",
    ".png": "png",
    ".jp2": "jp2",
    _OWN: "own",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    add_files(parser, ".dsn files")
    add_output(parser, "beside the input, NAME-layer with the payload's suffix")
    add_times(parser)
    parser.add_argument(
        "--plane",
        choices=("picture", "luma", "chroma", "alpha", "network"),
        help="(default: the base codec's picture; of method dsn, luma; of coconet, the network, as .onnx)",
    )
    parser.add_argument(
        "--format",
        choices=("own", "png", "jp2"),
        help="own: the payload's kind; png, jp2: symbols as grey (default: as -o ends, or own)",
    )
    parser.add_argument(
        "--bare",
        action="store_true",
        help="without ICC, EXIF, XMP and alpha (default: with all that this kind of file can carry; the others are named)",
    )
    parser.add_argument("--stretch", action="store_true", help="png, jp2: spread the symbols over 0..255")
    add_limit(parser)


def run(args: argparse.Namespace) -> int:
    """Extract everything."""
    take_last_as_output(args, reads_dsn=True)
    suffix = "." + (args.format or "own")
    jobs = plan(args, DSN, suffix, f"-{args.plane or 'layer'}")
    for job in jobs:
        ending = _suffix(args, job)
        if ending not in _FORMATS:
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
    suffix, target = _suffix(args, job), str(job.target)
    found = dsncodec.extract(
        job.read(),
        args.plane or "auto",
        format=_FORMATS[suffix],
        bare=args.bare,
        stretch=args.stretch,
        **limit_of(args),
    )
    if target.endswith(_OWN):
        target = target.removesuffix(_OWN) + found.suffix
        check_free(target, args.force, job.source)
    write(target, found.data, args.force)
    keep_times(args, job, target)
    return {
        "output": target,
        "plane": found.part,
        "backend": found.backend,
        "format": found.format,
        "levels": found.levels,
        "width": found.width,
        "height": found.height,
        "size_bytes": len(found.data),
        "left_out": dict(found.left_out),
    }


def describe(report: dict[str, Any]) -> str:
    """The report in words."""
    size = f"{report['width']} x {report['height']}"
    what = f"{size} pixels" if report["plane"] in _PICTURES else f"{size} symbols, {report['levels']} levels"
    return f"{report['plane']} of {what}, {report['backend']}, {report['size_bytes']:,} bytes"
