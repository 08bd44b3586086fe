"""dsncodec upsample: pictures enlarged by Up-SNet."""

from __future__ import annotations

import argparse
from typing import Any

import dsncodec

from .. import weights
from .common import (
    PICTURES,
    Job,
    add_files,
    add_format,
    add_output,
    add_threads,
    load,
    picture_suffix,
    plan,
    run_all,
)
from .decode import describe
from .writing import write


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    add_files(parser, "pictures that Pillow reads")
    add_output(parser, "beside the input, NAME-upSCALE.png")
    add_format(parser)
    parser.add_argument("--scale", type=int, default=3, metavar="2..4", help="(default 3)")
    add_threads(parser)


def run(args: argparse.Namespace) -> int:
    """Enlarge everything."""
    weights.for_scale(args.scale)
    args.suffix = picture_suffix(args)
    return run_all(args, plan(args, PICTURES, args.suffix, f"-up{args.scale}"), enlarge, describe)


def enlarge(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    """One picture."""
    pictures = load("pictures")
    image = dsncodec.upsample(pictures.open_picture(job), args.scale, threads=args.threads)
    write(str(job.target), pictures.to_bytes(image, args.suffix), args.force)
    return {"width": image.width, "height": image.height, "mode": image.mode}
