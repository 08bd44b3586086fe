"""dsncodec decode: .dsn files to pictures."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import dsncodec

from ..files import write, write_parts
from ..methods import DECODERS, FIDELITY
from .common import (
    DSN,
    Job,
    add_files,
    add_format,
    add_limit,
    add_output,
    add_patience,
    add_threads,
    add_times,
    keep_times,
    limit_of,
    load,
    picture_suffix,
    plan,
    run_all,
    take_last_as_output,
)

_NETPBM = {
    ".pgm": ("L",),
    ".ppm": ("L", "RGB"),
    ".pnm": ("L", "RGB"),
}  # written row by row; the modes they hold


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    add_files(parser, ".dsn files")
    add_output(parser, "beside the input, .png, or .decoded.png where that is taken")
    add_times(parser)
    add_format(parser)
    part = parser.add_mutually_exclusive_group()
    part.add_argument(
        "--preview",
        "--reduce",
        action="store_true",
        help="what needs no network: the low-resolution layer, or the codec inside",
    )
    part.add_argument(
        "--region",
        type=_region,
        metavar="X0,Y0,X1,Y1",
        help="only this part; X1 and Y1 lie outside",
    )
    parser.add_argument(
        "--size", type=_size, metavar="WxH", help="draw a file of method coconet at this size"
    )
    parser.add_argument(
        "--decoder",
        "--look",
        choices=(*DECODERS, "faithful"),
        default=FIDELITY,
        help="fidelity (default): nearest to the original; perceptual: sharper, with texture that is partly invented "
        "(files of method dsn, of method restored with an AVIF inside, and of latentgrid at low rates)",
    )
    add_limit(parser)
    add_patience(parser)
    add_threads(parser)


def _region(text: str) -> tuple[int, ...]:
    try:
        x0, y0, x1, y1 = (int(side) for side in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not four whole numbers, X0,Y0,X1,Y1") from None
    if not (0 <= x0 < x1 and 0 <= y0 < y1):
        raise argparse.ArgumentTypeError(f"{text!r} is empty or negative")
    return x0, y0, x1, y1


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(side) for side in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 640x480") from None
    if min(width, height) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is empty")
    return width, height


def run(args: argparse.Namespace) -> int:
    """Decode everything."""
    take_last_as_output(args, reads_dsn=True)
    args.suffix = picture_suffix(args)
    return run_all(args, plan(args, DSN, args.suffix, other=".decoded"), decode, describe)


def decode(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    """One file to one picture."""
    source, target = job.read(), str(job.target)
    options = {
        **limit_of(args),
        "threads": args.threads,
        "decoder": FIDELITY if args.decoder == "faithful" else args.decoder,
    }
    if args.suffix in _NETPBM and not (args.preview or args.region or args.size):
        rows = dsncodec.decode_rows(source, **options)
        if rows.mode in _NETPBM[args.suffix]:
            write_parts(target, _netpbm(rows), args.force)
            load("pictures").tell_left_out(rows.metadata)
            keep_times(args, job, target)
            return {"width": rows.width, "height": rows.height, "mode": rows.mode}
        image = rows.image()
    else:
        image = dsncodec.decode(source, preview=args.preview, region=args.region, size=args.size, **options)
    write(target, load("pictures").to_bytes(image, args.suffix), args.force)
    keep_times(args, job, target)
    return {"width": image.width, "height": image.height, "mode": image.mode}


def _netpbm(rows: dsncodec.Rows) -> Iterator[bytes]:
    """The picture as a PGM or PPM file, as its rows come."""
    yield b"P%d\n%d %d\n255\n" % (6 if rows.mode == "RGB" else 5, rows.width, rows.height)
    for band in rows:
        yield band.tobytes()


def describe(report: dict[str, Any]) -> str:
    """The report in words; also of the other verbs that write pictures."""
    return f"{report['width']} x {report['height']} {report['mode']}"
