"""dsncodec complete: missing regions of pictures filled in from the rest of each."""

from __future__ import annotations

import argparse
from typing import Any

import dsncodec

from ..files import PICTURES
from .common import (
    Job,
    add_files,
    add_format,
    add_output,
    add_threads,
    fit_line,
    load,
    picture_suffix,
    plan,
    positive,
    run_all,
    whole,
)
from .decode import describe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    add_files(parser, "pictures that Pillow reads")
    parser.add_argument(
        "--mask",
        required=True,
        metavar="FILE",
        help="a picture of the same size: what is not black in it is missing",
    )
    add_output(parser, "beside the input, NAME-completed.png")
    add_format(parser)
    # fmt: off
    parser.add_argument(
        "--variant", choices=("exemplars", "paper"), default="exemplars",
        help="surfaces over thin holes and patches of the picture in wide ones (default), or the paper's network of "
        "coordinates (needs dsncodec[train])",
    )
    parser.add_argument(
        "--steps", type=whole(1), metavar="N",
        help="iterations at each size of a wide hole (default 10); with --variant paper, of the fit (default: no limit)",
    )
    parser.add_argument(
        "--seconds", type=positive, metavar="S",
        help="with --variant paper: how long the fit may take (default 60); exemplars end by themselves",
    )
    # fmt: on
    add_threads(parser)


def run(args: argparse.Namespace) -> int:
    """Complete everything."""
    if args.variant == "paper":
        load("fit")
    args.suffix = picture_suffix(args)
    return run_all(
        args, plan(args, PICTURES, args.suffix, "-completed", read=[args.mask]), complete, describe
    )


def complete(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    """One picture."""
    pictures = load("pictures")
    mask = pictures.open_picture(Job(args.mask))
    image = dsncodec.complete(
        pictures.open_picture(job), mask, variant=args.variant, steps=args.steps, seconds=args.seconds,
        threads=args.threads, report=fit_line(args),
    )  # fmt: skip
    report: dict[str, Any] = pictures.written(args, job, image)
    return report
