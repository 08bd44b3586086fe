"""dsncodec upsample: pictures enlarged by Up-SNet, or by a network fitted to each."""

from __future__ import annotations

import argparse

from ..errors import SettingError
from . import resample
from .common import add_fit, load

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    resample.add_arguments(parser, "up")
    parser.add_argument(
        "--model",
        choices=("dsn", "ppcn", "perceptual", "coconet"),
        default="dsn",
        help="Up-SNet (default), PPCN (scale 4), a network trained for looks (4 and 8), or one fitted to the picture "
        "(needs torch; scales 1 to 16)",
    )
    add_fit(parser, "zero_shot", "a network that learns from the picture shrunk")


def run(args: argparse.Namespace) -> int:
    """Enlarge everything."""
    if args.model == "coconet":
        load("fit")
    elif any(value is not None for value in (args.seconds, args.steps, args.method)):
        raise SettingError("--seconds, --steps and --method are of --model coconet")
    return resample.run(args)
