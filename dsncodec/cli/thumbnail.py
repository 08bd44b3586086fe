"""dsncodec thumbnail: the low-resolution layer as a small picture."""

from __future__ import annotations

import argparse
from typing import Any

import dsncodec

from ..files import write
from .common import (
    DSN,
    Job,
    add_files,
    add_format,
    add_limit,
    add_output,
    add_patience,
    limit_of,
    load,
    picture_suffix,
    plan,
    run_all,
    take_last_as_output,
    whole,
)
from .decode import describe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    add_files(parser, ".dsn files")
    add_output(parser, "beside the input, NAME-thumbnail.png")
    add_format(parser)
    add_limit(parser)
    add_patience(parser)
    parser.add_argument(
        "--size",
        type=whole(1),
        metavar="N",
        help="longest side, in pixels (default: the layer's own)",
    )


def run(args: argparse.Namespace) -> int:
    """Make all thumbnails."""
    take_last_as_output(args, reads_dsn=True)
    args.suffix = picture_suffix(args)
    return run_all(args, plan(args, DSN, args.suffix, "-thumbnail"), shrink, describe)


def shrink(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    """One file's thumbnail; it is never enlarged."""
    image = dsncodec.decode(job.read(), preview=True, **limit_of(args))
    if args.size is not None:
        image.thumbnail((args.size, args.size))
    write(str(job.target), load("pictures").to_bytes(image, args.suffix), args.force)
    return {"width": image.width, "height": image.height, "mode": image.mode}
