"""dsncodec enhance: a phone's photos made to look more like a camera's."""

from __future__ import annotations

import argparse
from typing import Any

import dsncodec

from .. import weights
from ..folders import PICTURES
from .common import (
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    add_files(parser, "pictures that Pillow reads")
    add_output(parser, "beside the input, NAME-enhanced.png")
    add_format(parser)
    parser.add_argument(
        "--model",
        default="student",
        metavar="NAME",
        help="student (default), or teacher: better, four times as slow",
    )
    add_threads(parser)


def run(args: argparse.Namespace) -> int:
    """Enhance everything."""
    weights.picture_network("enhance", args.model)
    args.suffix = picture_suffix(args)
    return run_all(args, plan(args, PICTURES, args.suffix, "-enhanced"), enhance, describe)


def enhance(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    """One picture."""
    pictures = load("pictures")
    image = dsncodec.enhance(pictures.open_picture(job), args.model, threads=args.threads)
    report: dict[str, Any] = pictures.written(args, job, image)
    return report
