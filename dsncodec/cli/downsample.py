"""dsncodec downsample: pictures shrunk by Down-SNet."""

from __future__ import annotations

import argparse

from . import resample
from .resample import run

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    resample.add_arguments(parser, "down")
