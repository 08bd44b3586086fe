"""dsncodec bench: codecs x settings x pictures, raw rows and a report. Needs the extra [bench]."""

from __future__ import annotations

import argparse
import itertools
import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import SettingError
from ..files import Written
from .common import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    Progress,
    add_talk,
    complain,
    load,
    positive,
    shown,
    whole,
)

NONE = "none"
# pictures to choose from in the before/after view
SHOWN = 3
# where there is no terminal for a bar
LINE_EVERY_S = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument(
        "folders", nargs="*", metavar="FOLDER", help="pictures; each folder is a set of its own"
    )
    parser.add_argument(
        "-o",
        "--output",
        default="bench-report",
        metavar="DIR",
        help="raw rows and report (default %(default)s); a run that was stopped goes on from what is there",
    )
    parser.add_argument("-j", "--jobs", type=whole(1), default=1, metavar="N", help="processes (default 1)")
    parser.add_argument(
        "--codecs",
        type=_names,
        default=[],
        metavar="NAME,...",
        help="codecs, such as avif,jpeg* (default: all that run here; --list says which)",
    )
    parser.add_argument("--list", action="store_true", help="list the codecs, and those that cannot run here")
    parser.add_argument(
        "--limit",
        type=_limits,
        default=[],
        metavar="N,...",
        help="only the first N pictures of each folder; or one N for each",
    )
    parser.add_argument(
        "--settings",
        type=whole(2),
        default=None,
        metavar="N",
        help="only N of each codec's settings, from the smallest files to the largest (default: all, about 9)",
    )
    parser.add_argument(
        "--referees",
        type=_names,
        default=None,
        metavar="NAME,...",
        help="of ssimulacra2, butteraugli, lpips, dists (default: ssimulacra2, the fast one, which needs nothing else)",
    )
    parser.add_argument(
        "--loss-networks",
        default=None,
        metavar="DIR",
        help="weights that lpips and dists need (default: what the environment's DSNCODEC_LOSS_NETWORKS says)",
    )
    parser.add_argument(
        "--repeats", type=whole(1), default=1, metavar="N", help="code each file N times, for steadier times"
    )
    parser.add_argument(
        "--timeout", type=positive, default=600.0, metavar="SECONDS", help="for one file (default 600)"
    )
    parser.add_argument(
        "--anchor",
        default="avif-pillow",
        metavar="NAME",
        help="what others are compared with (default %(default)s, AVIF as Pillow writes it)",
    )
    parser.add_argument(
        "--show",
        action="append",
        default=[],
        metavar="FILE",
        help=f"a picture for the before/after view; may be repeated (default: {SHOWN} of all folders, the first of each at least); {NONE}: no view",
    )
    parser.add_argument(
        "--show-bpp", type=positive, default=0.4, metavar="BPP", help="their rate (default %(default)s)"
    )
    parser.add_argument("--command", default=None, help=argparse.SUPPRESS)  # what the report says made it
    parser.add_argument(
        "--force",
        action="store_true",
        help="replace files in the place of the report that no bench wrote there",
    )
    parser.add_argument("--title", default="Rate-distortion report", help="of the report")
    add_talk(parser)


def _limits(text: str) -> list[int]:
    return [whole(1)(part) for part in text.split(",")]


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def run(args: argparse.Namespace) -> int:
    """Measure and report."""
    parts = ("measure", "peers", "referees", "report", "samples", "store")
    bench = {part: load(f"bench.{part}") for part in parts}
    codecs, missing = bench["peers"].choose(args.codecs)
    if args.list:
        return _list(bench["peers"])
    wanted = bench["referees"].DEFAULT if args.referees is None else args.referees
    panel = bench["referees"].Panel(wanted, args.loss_networks)
    codecs = [(family, _with_settings(codec, args.settings)) for family, codec in codecs]
    missing = {**missing, **panel.missing}
    if not args.folders:
        raise SettingError("give a folder of pictures")
    if not codecs:
        reasons = "; ".join(f"{name}: {why}" for name, why in missing.items())
        raise SettingError(f"none of the codecs can run here: {reasons}")
    # matplotlib, which draws at the end
    bench["report"].check_installed()
    for path in args.show:
        if path != NONE and not os.path.isfile(path):
            raise SettingError(f"--show {path}: no such file")
    # before hours of measuring, not after them
    Written(args.output, args.force).check(*bench["report"].FILES)
    sets = _sets(args, bench["measure"])
    anchor = args.anchor if args.anchor in {codec.key for _, codec in codecs} else codecs[0][1].key
    for name, why in missing.items():
        _say(args, f"{name} is left out: {why}")
    try:
        measured = [_measured(args, bench, pictures, codecs, panel) for pictures in sets]
        progress = _progress(args, "before/after view")
        samples, failures = bench["samples"].code(
            _shown(args, sets),
            codecs,
            args.show_bpp,
            jobs=args.jobs,
            timeout_s=args.timeout,
            progress=progress.show,
        )
        progress.clear()
    except KeyboardInterrupt:
        complain(f"stopped; the same command goes on from the rows in {args.output}")
        return EXIT_INTERRUPTED
    for failure in failures:
        complain(f"before/after view: {failure}")
    found = bench["report"].build(
        measured,
        [codec for _, codec in codecs],
        missing,
        samples,
        title=args.title,
        command=args.command or shlex.join(["dsncodec", *sys.argv[1:]]),
        anchor=anchor,
    )
    bench["report"].write(found, args.output, args.force)
    if not args.quiet:
        for one in found["sets"]:
            print(f"\n{shown(one['name'])}, {one['pictures']} pictures\n")
            print(bench["report"].summary(found, one))
        print(f"{shown(str(Path(args.output, 'index.html')))} has the curves, report.md the tables")
    broken = failures or any(
        m.failures or len(m.pictures.usable) < len(m.pictures.pictures) for m in measured
    )
    return EXIT_FAILED if broken else EXIT_DONE


def _list(peers: Any) -> int:
    found, missing = peers.available()
    for name, codecs in found.items():
        for codec in codecs:
            print(f"{codec.key:16} {name:8} {codec.label}: {codec.detail}; {codec.version}")
    for name, why in missing.items():
        print(f"{name:16} cannot run here: {why}")
    return EXIT_DONE


def _sets(args: argparse.Namespace, measure: Any) -> list[Any]:
    if len(args.limit) not in (0, 1, len(args.folders)):
        raise SettingError(f"--limit has {len(args.limit)} numbers for {len(args.folders)} folders")
    limits = (
        args.limit * len(args.folders) if len(args.limit) == 1 else args.limit or [None] * len(args.folders)
    )
    names: dict[str, str] = {}
    sets = []
    for folder, limit in zip(args.folders, limits):
        pictures = measure.PictureSet.find(folder, limit=limit)
        if pictures.name in names:
            raise SettingError(f"{names[pictures.name]} and {folder} would share rows: give one at a time")
        names[pictures.name] = folder
        for picture in pictures.pictures:
            if picture.reason:
                complain(f"{shown(picture.path)}: {picture.reason}; left out")
        sets.append(pictures)
    return sets


def _with_settings(codec: Any, count: int | None) -> Any:
    """The codec with so many of its settings, evenly spread, both ends among them."""
    have = len(codec.settings)
    if count is None or count >= have:
        return codec
    places = (round(i * (have - 1) / (count - 1)) for i in range(count))
    return replace(codec, settings=tuple(codec.settings[place] for place in places))


def _progress(args: argparse.Namespace, name: str) -> Progress:
    return Progress(name, args.quiet, line_every_s=LINE_EVERY_S)


def _measured(args: argparse.Namespace, bench: dict[str, Any], pictures: Any, codecs: Any, panel: Any) -> Any:
    store = bench["store"].Store(Path(args.output, pictures.name))
    progress = _progress(args, pictures.name)
    rows, failures = bench["measure"].run(
        pictures,
        codecs,
        store,
        panel=panel,
        jobs=args.jobs,
        repeats=args.repeats,
        timeout_s=args.timeout,
        progress=progress.show,
    )
    progress.clear()
    for failure in failures:
        complain(f"{shown(failure.image)}: {failure.codec}: {failure.reason}")
    return bench["report"].Measured(pictures, rows, failures)


def _shown(args: argparse.Namespace, sets: list[Any]) -> list[str]:
    if args.show == [NONE]:
        return []
    if args.show:
        return list(args.show)
    # the first of each folder, then the second of each
    turns = itertools.zip_longest(*([picture.path for picture in one.usable] for one in sets))
    paths = [path for turn in turns for path in turn if path is not None]
    return paths[: max(SHOWN, sum(1 for one in sets if one.usable))]


def _say(args: argparse.Namespace, text: str) -> None:
    if not args.quiet:
        complain(text)
