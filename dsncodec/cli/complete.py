"""dsncodec complete: missing regions of pictures filled in by a network fitted to the rest of each."""

from __future__ import annotations

import argparse
from typing import Any

import dsncodec

from ..folders import PICTURES
from .common import (
    Job,
    add_files,
    add_fit,
    add_format,
    add_output,
    add_threads,
    load,
    picture_suffix,
    plan,
    run_all,
)
from .decode import describe
from .denoise import fit_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    add_files(parser, "pictures that Pillow reads")
    parser.add_argument(
        "--mask", required=True, metavar="FILE",
        help="a picture of the same size: what is not black in it is missing",
    )  # fmt: skip
    add_output(parser, "beside the input, NAME-completed.png")
    add_format(parser)
    add_fit(parser)
    add_threads(parser)


def run(args: argparse.Namespace) -> int:
    """Complete everything."""
    load("fit")
    args.suffix = picture_suffix(args)
    return run_all(
        args, plan(args, PICTURES, args.suffix, "-completed", read=[args.mask]), complete, describe
    )


def complete(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    """One picture."""
    pictures = load("pictures")
    mask = pictures.open_picture(Job(args.mask))
    image = dsncodec.complete(pictures.open_picture(job), mask, **fit_settings(args))
    report: dict[str, Any] = pictures.written(args, job, image)
    return report
