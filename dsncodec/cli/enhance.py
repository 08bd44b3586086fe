"""dsncodec enhance: a phone's photos made to look more like a camera's."""

from __future__ import annotations

import argparse
from typing import Any

import dsncodec

from ..networks import registry
from .common import (
    Job,
    add_files,
    add_format,
    add_output,
    add_threads,
    fit_line,
    fraction,
    load,
    picture_suffix,
    plan,
    run_all,
)
from .decode import describe as describe_picture


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
    parser.add_argument(
        "--strength",
        type=fraction,
        metavar="S",
        help="from 0, the picture itself, to 1, all that the network does (default: what the picture needs)",
    )
    add_threads(parser)


def run(args: argparse.Namespace) -> int:
    """Enhance everything."""
    registry.image_network("enhance", args.model)
    args.suffix = picture_suffix(args)
    return run_all(args, plan(args, load("reading").suffixes(), args.suffix, "-enhanced"), enhance, describe)


def enhance(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    """One picture."""
    pictures = load("pictures")
    reading, planes = load("reading"), load("planes")
    picture = reading.read_picture(pictures.open_picture(job))
    strength = args.strength
    if strength is None:
        strength = load("enhancement").need(picture.colour)
    settings = {"strength": strength, "threads": args.threads, "progress": fit_line(args)}
    image = dsncodec.enhance(planes.to_pillow(picture), args.model, **settings)
    report: dict[str, Any] = pictures.written(args, job, image)
    return report | {"strength": round(strength, 3)}


def describe(report: dict[str, Any]) -> str:
    """The line of one picture."""
    return f"{describe_picture(report)}, strength {report['strength']:.2f}"
