"""dsncodec inpaint: missing regions of pictures filled in from the rest of each."""

from __future__ import annotations

import argparse
from typing import Any

import dsncodec

from .common import (
    Job,
    add_files,
    add_format,
    add_old_variant,
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
    add_output(parser, "beside the input, NAME-inpainted.png")
    add_format(parser)
    # fmt: off
    parser.add_argument(
        "--method", choices=("exemplars", "paper"), default="exemplars",
        help="surfaces over thin holes and patches of the picture in wide ones (default), or the paper's network of "
        "coordinates (needs dsncodec[train])",
    )
    parser.add_argument(
        "--steps", type=whole(1), metavar="N",
        help="iterations at each size of a wide hole (default 10); with --method paper, of the fit (default: no limit)",
    )
    parser.add_argument(
        "--seconds", type=positive, metavar="S",
        help="with --method paper: how long the fit may take (default 60); exemplars end by themselves",
    )
    # fmt: on
    add_old_variant(parser, "exemplars")
    add_threads(parser)


def run(args: argparse.Namespace) -> int:
    """Inpaint everything."""
    if args.method == "paper":
        load("fit")
    args.suffix = picture_suffix(args)
    # by its former name the verb writes what it wrote
    tag = "-completed" if args.verb == "complete" else "-inpainted"
    return run_all(
        args, plan(args, load("reading").suffixes(), args.suffix, tag, read=[args.mask]), inpaint, describe
    )


def inpaint(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    """One picture."""
    pictures = load("pictures")
    mask = pictures.open_picture(Job(args.mask))
    image = dsncodec.inpaint(
        pictures.open_picture(job),
        mask,
        method=args.method,
        steps=args.steps,
        seconds=args.seconds,
        threads=args.threads,
        progress=fit_line(args),
    )
    report: dict[str, Any] = pictures.written(args, job, image)
    return report
