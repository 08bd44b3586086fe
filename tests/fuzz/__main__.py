"""python -m tests.fuzz: what the test suite does a handful of, done a thousand times; reports go to bench/results/.

python -m tests.fuzz hostile [...]        broken files, lies and bombs at every entry point
python -m tests.fuzz dear [...]           the dearest legal files, against their budget
python -m tests.fuzz interrupted [...]    commands that are killed at random moments, and run again
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from . import campaigns, dear, interrupted

PARTS = {
    "dear": (dear, "the dearest legal files of each method and coder, against their budget"),
    "hostile": (campaigns, "broken files, lies and bombs at every entry point: a picture or a DsnError"),
    "interrupted": (interrupted, "kill encode, batch, train and bench at random moments, and run them again"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of them; 1 if it found anything."""
    wanted = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="WHAT")
    for name, (module, help_text) in PARTS.items():
        command = commands.add_parser(name, help=help_text, description=help_text)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    args = parser.parse_args(wanted)
    args.command = " ".join(["python -m tests.fuzz", *wanted])
    return int(args.run(args))


if __name__ == "__main__":
    sys.exit(main())
