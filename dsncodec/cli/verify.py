"""dsncodec verify: is a file whole?"""

from __future__ import annotations

import argparse
from typing import Any

import dsncodec

from .common import DSN, Job, add_files, add_limit, add_patience, add_threads, limit_of, plan, run_all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    add_files(parser, ".dsn files")
    parser.add_argument("--decode", action="store_true", help="decode the pictures, too")
    add_limit(parser)
    add_patience(parser)
    add_threads(parser)


def run(args: argparse.Namespace) -> int:
    """Verify everything; a broken file makes the exit code 1."""
    return run_all(args, plan(args, DSN), check, lambda report: "OK")


def check(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    """Verify one file; the first thing that is wrong is raised."""
    source = job.read()
    if args.decode:  # which checks all that verify does
        for _ in dsncodec.decode_rows(source, **limit_of(args), threads=args.threads):
            pass
    else:
        dsncodec.verify(source)
    return {"decoded": args.decode}
