"""dsncodec info: what a file says of itself."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

import dsncodec

from ..methods import parser
from .common import DSN, Job, add_files, plan, run_all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    add_files(parser, ".dsn files")


def run(args: argparse.Namespace) -> int:
    """Read all headers."""
    return run_all(args, plan(args, DSN), read, describe)


def read(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    """One file's header."""
    return asdict(dsncodec.read_info(job.read()))


def describe(report: dict[str, Any]) -> str:
    """The picture, and one aligned line for each other property."""
    rows = [
        ("file", f"{report['size_bytes']:,} bytes, {report['bpp']:.3f} bits per pixel"),
        ("method", f"{report['method']}, {parser(report['method']).summary(report)}"),
    ]
    if report["model"]:
        named = f" (id {report['model_id']})" if report["model_id"] else ""
        rows.append(("model", report["model"] + named))
    for tag, length in report["sections"].items():
        backend = report["backends"].get(tag, "")
        rows.append((f"section {tag.strip()}", f"{length:>9,} bytes  {backend}".rstrip()))
    lines = [f"  {name:<14}{value}" for name, value in rows]
    return "\n".join([f"{report['width']} x {report['height']} {report['mode']}", *lines])
