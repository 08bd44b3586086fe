"""python -m bench STUDY: run one study and write its tables to bench/results/."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

STUDIES = {
    "dsn-4": ("bench.tables.dsn4", "the paper's Table 4: luma PSNR and SSIM of x2, x3, x4"),
    "dsn-5": (
        "bench.tables.dsn5",
        "the paper's Table 5, and luma SSIM curves beside JPEG, JPEG 2000, AVIF",
    ),
    "twins": (
        "bench.twins",
        "Down-SNet and Up-SNet against average pooling and bicubic or Lanczos",
    ),
    "quality": (
        "bench.quality",
        "build models/quality.toml on the tuning set, and check that it is monotone",
    ),
    "speed": ("bench.speed", "encode and decode speed beside eager torch, AVIF and JPEG XL"),
    "memory": ("bench.memory", "peak memory and region cost of a 12-megapixel photo"),
    "readme": ("bench.readme", "copy the tables into README.md"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one study; the modules come in only when they are asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="study", required=True)
    modules = {}
    wanted = list(argv if argv is not None else sys.argv[1:])
    for name, (module, help_text) in STUDIES.items():
        command = commands.add_parser(name, help=help_text, description=help_text)
        command.add_argument(
            "--data", default="../shared/data", help="folder of image sets (default: %(default)s)"
        )
        if name in wanted:
            modules[name] = importlib.import_module(module)
            modules[name].add_arguments(command)
    args = parser.parse_args(wanted)
    args.command = " ".join(["python -m bench", *wanted])
    return int(modules[args.study].run(args))


if __name__ == "__main__":
    sys.exit(main())
