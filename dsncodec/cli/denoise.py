"""dsncodec denoise: pictures without their noise, by a trained network or by networks fitted to each of them."""

from __future__ import annotations

import argparse
from typing import Any

import dsncodec

from .common import (
    Job,
    add_files,
    add_fit,
    add_format,
    add_output,
    add_threads,
    fit_line,
    load,
    picture_suffix,
    plan,
    positive,
    run_all,
)
from .decode import describe as describe_picture


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    add_files(parser, "pictures that Pillow reads")
    add_output(parser, "beside the input, NAME-denoised.png")
    add_format(parser)
    parser.add_argument(
        "--sigma",
        type=positive,
        metavar="S",
        help="the noise's standard deviation in grey levels (default: found in the picture)",
    )
    add_fit(parser, "blind_spot", "networks that see a pixel's neighbours", trained="a trained network")
    add_threads(parser)


def run(args: argparse.Namespace) -> int:
    """Denoise everything."""
    args.fits = args.method not in (None, "network") or args.seconds is not None or args.steps is not None
    if args.fits:
        load("fit")
    args.suffix = picture_suffix(args)
    return run_all(args, plan(args, load("reading").suffixes(), args.suffix, "-denoised"), denoise, describe)


def denoise(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    """One picture. What the network took for the noise's strength is reported."""
    pictures = load("pictures")
    source, sigma = pictures.open_picture(job), args.sigma
    if sigma is None and not args.fits:
        sigma = load("noise").strength_of(load("reading").read_picture(source).colour)
    # what was measured is not measured again; 0 is no strength to ask for
    image = dsncodec.denoise(source, sigma=sigma or None, **fit_settings(args))
    report: dict[str, Any] = pictures.written(args, job, image)
    return report if args.fits else report | {"sigma": round(sigma, 2)}


def describe(report: dict[str, Any]) -> str:
    """The line of one picture."""
    noise = f", noise of {report['sigma']:.1f} grey levels" if "sigma" in report else ""
    return describe_picture(report) + noise


def fit_settings(args: argparse.Namespace) -> dict[str, Any]:
    """What the verbs that fit networks hand on."""
    method = {} if args.method is None else {"method": args.method}
    return method | {
        "seconds": args.seconds,
        "steps": args.steps,
        "threads": args.threads,
        "progress": fit_line(args),
    }
