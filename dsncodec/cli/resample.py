"""What downsample and upsample share: they differ in the function of the package and in names."""

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
    run_all,
)
from .decode import describe
from .denoise import fit_settings


def add_arguments(parser: argparse.ArgumentParser, way: str) -> None:
    """The options of ``way``, "down" or "up"."""
    add_files(parser, "pictures that Pillow reads")
    add_output(parser, f"beside the input, NAME-{way}SCALE.png")
    add_format(parser)
    parser.add_argument("--scale", type=int, default=3, metavar="2..4", help="(default 3)")
    add_threads(parser)
    parser.set_defaults(way=way)


def run(args: argparse.Namespace) -> int:
    """Resample everything."""
    model = getattr(args, "model", "dsn")
    if model == "dsn":
        registry.for_scale(args.scale)
    elif model != "coconet":
        registry.image_network(model, f"x{args.scale}")
    elif not 1 <= args.scale <= 16:
        raise SettingError(f"scale must be a whole number from 1 to 16, not {args.scale}")
    args.suffix = picture_suffix(args)
    return run_all(
        args,
        plan(args, load("reading").suffixes(), args.suffix, f"-{args.way}{args.scale}"),
        resample,
        describe,
    )


def resample(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    """One picture."""
    pictures = load("pictures")
    source = pictures.open_picture(job)
    if args.way == "down":
        image = dsncodec.downsample(source, args.scale, threads=args.threads)
    elif args.model == "coconet":
        image = dsncodec.upsample(source, args.scale, model=args.model, **fit_settings(args))
    else:
        settings = {"threads": args.threads, "progress": fit_line(args)}
        image = dsncodec.upsample(source, args.scale, model=args.model, **settings)
    report: dict[str, Any] = pictures.written(args, job, image)
    return report
