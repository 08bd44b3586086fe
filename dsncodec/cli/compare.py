"""dsncodec compare: two pictures side by side, in numbers and where they differ most."""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import sys
from typing import Any

from ..errors import DsnError, SettingError, heard, reason, warn
from ..files import STDOUT, check_free, write
from .common import (
    STDIN,
    Job,
    add_limit,
    add_patience,
    add_talk,
    add_threads,
    complain,
    limit_of,
    load,
    run_all,
    share,
    shown,
    whole,
)

# What a SSIMULACRA 2 of at least so much means, by its authors
_WORDS = (
    (90, "visually lossless"),
    (70, "high quality"),
    (50, "medium quality"),
    (30, "low quality"),
    (-math.inf, "bad"),
)
_SHEET = ".png"
# In this order: of the report, for people, unit
_SCORES = (
    ("psnr_db", "PSNR", "dB"),
    ("psnr_y_db", "PSNR of luma", "dB"),
    ("ssim", "SSIM", ""),
    ("ssim_y", "SSIM of luma", ""),
    ("ms_ssim", "MS-SSIM", ""),
    ("ssimulacra2", "SSIMULACRA 2", ""),
    ("butteraugli", "Butteraugli", ""),
    ("lpips", "LPIPS", ""),
    ("dists", "DISTS", ""),
    ("alpha_psnr_db", "PSNR of alpha", "dB"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("reference", metavar="REFERENCE", help="a picture, the original; - for stdin")
    parser.add_argument("other", metavar="OTHER", help="a picture of the same size: a .dsn file, or another")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE|-",
        help="write a picture of the places where they differ most, side by side",
    )
    parser.add_argument("--force", action="store_true", help="overwrite existing files")
    parser.add_argument(
        "--places", type=whole(1), default=4, metavar="N", help="how many places (default %(default)s)"
    )
    parser.add_argument(
        "--referees",
        type=lambda text: [name.strip() for name in text.split(",") if name.strip()],
        default=[],
        metavar="NAME,...",
        help="ask butteraugli, lpips or dists too, as bench does; needs the extra [bench]",
    )
    parser.add_argument(
        "--loss-networks",
        metavar="DIR",
        help="weights that lpips and dists need (default: what the environment's DSNCODEC_LOSS_NETWORKS says)",
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON on stdout")
    add_limit(parser)
    add_patience(parser)
    add_threads(parser)
    add_talk(parser)
    parser.set_defaults(jobs=1)


def run(args: argparse.Namespace) -> int:
    """Compare."""
    pictures = (args.reference, args.other)
    if pictures == (STDIN, STDIN):
        raise SettingError("- (stdin) can be read only once")
    args.suffix = _SHEET
    if args.output == STDOUT:
        if args.json:
            raise SettingError("--json and the sheet cannot both go to stdout")
        if sys.stdout.isatty():
            raise SettingError("a terminal cannot show this file: redirect stdout, or give -o FILE")
    elif args.output is not None:
        args.suffix = os.path.splitext(args.output)[1].lower()
        load("pictures").format_of(args.suffix)
        for source in pictures:
            check_free(args.output, args.force, source)
    panel = load("bench.referees").Panel(args.referees, args.loss_networks) if args.referees else None
    for name, why in {} if panel is None else panel.missing.items():
        complain(f"{name} is left out: {why}")
    args.panel = panel
    return run_all(args, [Job(args.reference, args.output)], compare, describe)


def compare(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    """Both pictures; reports how far they are apart."""
    comparison = load("comparison")
    limits = {**limit_of(args), "threads": args.threads}
    one = comparison.read(job.read(), "stdin", **limits)
    try:
        with heard() as said:
            two = comparison.read(Job(args.other).read(), "stdin", **limits)
    except (DsnError, OSError) as exc:  # the line begins with the other name
        raise DsnError(f"{args.other}: {reason(exc)}") from exc
    for message in said:
        warn(f"{args.other}: {message}")
    pair = comparison.Pair(one, two)
    found = pair.compared(args.places)
    if args.output is not None:
        write(args.output, load("pictures").to_bytes(found.sheet, args.suffix), args.force)
    names = [field.name for field in dataclasses.fields(found) if field.name != "sheet"]
    report = {name: getattr(found, name) for name in (*names, "reference_bpp", "other_bpp")}
    if args.panel is not None:
        report |= args.panel.scores(
            *(colours.repeat(3 // colours.shape[2], 2) for colours in (pair.reference, pair.other))
        )
    report["places"] = [list(box) for box in found.places]
    equal = not found.differing and found.alpha_psnr_db in (None, math.inf)
    finite = {name: None if value == math.inf else value for name, value in report.items()}
    return {"other": args.other, "equal": equal, **finite}


def describe(report: dict[str, Any]) -> str:
    """The report in words, one aligned line for each thing."""
    rows = [
        (
            "bytes",
            f"{report['reference_bytes']:,} and {report['other_bytes']:,}, {share(report['reference_bytes'], report['other_bytes'])}",
        ),
        ("bits per pixel", f"{report['reference_bpp']:.3f} and {report['other_bpp']:.3f}"),
    ]
    if report["equal"]:
        rows.append(("pixels", "all equal"))
    else:
        rows += [(label, said) for name, label, unit in _SCORES if (said := _said(report, name, unit))]
        rows.append(("pixels", f"{100 * report['differing']:.1f} % differ, by {report['largest']} at most"))
        corners = [f"{left},{top}" for left, top, _, _ in report["places"]]
        rows.append(("most at x,y", "  ".join(corners)))
    lines = [f"  {name:<16}{said}" for name, said in rows]
    head = f"beside {shown(report['other'])}, {report['width']} x {report['height']}"
    return "\n".join([head, *lines])


def _said(report: dict[str, Any], name: str, unit: str) -> str:
    """A score; nothing of one that is not there. None of a PSNR is an infinite one."""
    value = report.get(name)
    if value is None:
        return "equal" if name in report and unit == "dB" and name != "alpha_psnr_db" else ""
    text = f"{value:.2f} dB" if unit == "dB" else f"{value:.4g}"
    if name == "ssimulacra2":
        text += f", {next(words for least, words in _WORDS if value >= least)}"
    return text
