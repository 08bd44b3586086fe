"""dsncodec stylize: pictures as if painted in the style of another."""

from __future__ import annotations

import argparse
from typing import Any

import dsncodec

from ..errors import SettingError
from ..networks import registry
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
    add_output(parser, "beside the input, NAME-stylized.png")
    add_format(parser)
    parser.add_argument(
        "--style",
        default="udnie",
        metavar="NAME|FILE",
        help="a style that ships (default udnie; a wrong name lists them); with --method optimise a picture",
    )
    parser.add_argument(
        "--method",
        choices=("network", "optimise"),
        default="network",
        help="a network trained for the style (default), or changing the pixels step by step: any style, a thousand "
        "times slower (needs torch)",
    )
    parser.add_argument(
        "--loss-networks",
        metavar="DIR",
        help="of --method optimise: the loss networks' weights, see docs/style.md",
    )
    parser.add_argument(
        "--steps", type=whole(1), metavar="N", help="of --method optimise (default 500, if no --seconds)"
    )
    parser.add_argument(
        "--seconds", type=positive, metavar="S", help="of --method optimise: stop after so long"
    )
    add_threads(parser)


def run(args: argparse.Namespace) -> int:
    """Stylize everything."""
    if args.method == "optimise":
        load("gatys")
    elif any(value is not None for value in (args.loss_networks, args.steps, args.seconds)):
        raise SettingError("--loss-networks, --steps and --seconds are of --method optimise")
    else:
        registry.image_network("style", args.style)
    args.suffix = picture_suffix(args)
    style = args.style if args.method == "optimise" else None
    jobs = plan(args, load("reading").suffixes(), args.suffix, "-stylized", read=[style])
    return run_all(args, jobs, stylize, describe)


def stylize(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    """One picture."""
    pictures = load("pictures")
    image = dsncodec.stylize(
        pictures.open_picture(job),
        args.style,
        method=args.method,
        loss_networks=args.loss_networks,
        steps=args.steps,
        seconds=args.seconds,
        threads=args.threads,
        progress=fit_line(args, "loss {:.3f}".format),
    )
    report: dict[str, Any] = pictures.written(args, job, image)
    return report
