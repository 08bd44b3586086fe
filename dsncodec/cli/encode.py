"""dsncodec encode: pictures to .dsn files."""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import warnings
from collections.abc import Callable, Collection
from dataclasses import asdict
from typing import Any

import dsncodec

from ..errors import SettingError
from ..files import check_free, write
from ..methods import OnProgress, Progress, parser
from ..options import ALL_NAMES, CLASSES, Options, Restored, options_of_call
from ..validation import whole
from .common import (
    DSN,
    Job,
    Stopped,
    add_files,
    add_output,
    add_threads,
    add_times,
    amount,
    byte_count,
    fit_line,
    keep_times,
    load,
    plan,
    positive,
    run_all,
    share,
    take_last_as_output,
)

_METADATA = {"icc": "icc_profile", "exif": "exif", "xmp": "xmp", "dpi": "dpi"}
_TARGETS = ("quality", "target_bytes", "target_bpp", "target_psnr_db", "target_ssimulacra2")
_REPORTED = (
    "width",
    "height",
    "mode",
    "method",
    "size_bytes",
    "bpp",
    "scale",
    "levels",
    "chroma_levels",
    "base_quality",
    "backends",
    "model",
    "base_psnr_db",
    "strength",
    "gain_db",
    "gain_ssimulacra2",
    "lossless",
    "kept",
)
# settings of the default method that stand with quality
_EVERYDAY = ("lossless", "keep")
_READERS: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "str": str}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    add_files(parser, "pictures that Pillow reads")
    add_output(parser, "beside the input, .dsn")
    add_settings(parser)
    add_times(parser)
    parser.add_argument("--psnr", action="store_true", help="decode the result, and say its PSNR")
    add_threads(parser)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """What decides the bytes of a file; ``settings_of`` reads it."""
    rate = parser.add_argument_group("How small and how good (one of these; default: -q 75)")
    rate.add_argument(
        "-q",
        "--quality",
        type=int,
        metavar="0..100",
        help="bytes and quality rise with it; tuned for the eye, about SSIMULACRA 2 of photographs",
    )
    rate.add_argument(
        "--target-bytes",
        type=byte_count,
        metavar="N",
        help="the best file of at most N bytes: 20k, 1.5M",
    )
    rate.add_argument(
        "--target-bpp", type=positive, metavar="X", help="the best file of at most X bits per pixel"
    )
    rate.add_argument(
        "--target-psnr",
        type=positive,
        dest="target_psnr_db",
        metavar="DB",
        help="the smallest file of at least this PSNR",
    )
    rate.add_argument(
        "--target-ssimulacra2",
        type=positive,
        metavar="X",
        help="the smallest file found of at least this SSIMULACRA 2 (90: visually lossless, 70: high quality)",
    )
    parser.add_argument(
        "--method",
        choices=tuple(CLASSES),
        help="how the picture is coded (default: what the settings are of, else restored)",
    )
    added: set[str] = set()
    _add_options(rate, Restored, added, only=_EVERYDAY)
    for cls in CLASSES.values():
        title = f"{cls.title[0].upper()}{cls.title[1:]} (--method {cls.method})"
        _add_options(parser.add_argument_group(title), cls, added)
    parser.add_argument("--backend", metavar="NAME", help="the former name of --base and --entropy-coder")
    parser.add_argument(
        "--effort",
        type=int,
        default=5,
        metavar="0..9",
        help="time spent for fewer bytes (default 5)",
    )
    parser.add_argument(
        "--strip", type=_kinds, default=(), metavar="icc,exif,xmp,dpi", help="metadata to leave out"
    )


def _add_options(
    group: argparse._ArgumentGroup, cls: type[Options], added: set[str], only: Collection[str] = ()
) -> None:
    """A flag for each setting of a method; one that several methods have stands with the first, and says what it is of each."""
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        if field.name in added or (only and field.name not in only):
            continue
        help = field.metadata["help"]
        for other in CLASSES.values():
            twin = other.__dataclass_fields__.get(field.name)  # type: ignore[attr-defined]
            if twin is not None and other is not cls:
                same = twin.metadata["help"] == field.metadata["help"]
                help += (
                    f"; {other.method}: the same" if same else f"; {other.method}: {twin.metadata['help']}"
                )
        names = [f"--{name.replace('_', '-')}" for name in (field.name, *field.metadata.get("aliases", ()))]
        if field.metadata["kind"] == "bool":
            # None where it is not given, as of all settings
            group.add_argument(*names, action="store_const", const=True, dest=field.name, help=help)
        else:
            group.add_argument(
                *names,
                type=_READERS[field.metadata["kind"]],
                metavar=field.metadata["metavar"],
                help=help,
            )
        added.add(field.name)


def _kinds(text: str) -> tuple[str, ...]:
    kinds = tuple(text.split(","))
    if unknown := set(kinds) - set(_METADATA):
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)!r} is none of {', '.join(_METADATA)}")
    return kinds


def run(args: argparse.Namespace) -> int:
    """Encode everything."""
    take_last_as_output(args, reads_dsn=False)
    options = check(args)
    jobs = plan(args, load("reading").suffixes(), ".dsn")
    _check_names(jobs)
    if (single := options.given().keys() & set(options.single)) and len(jobs) != 1:
        raise SettingError(f"--{min(single)} is of one picture, not of {len(jobs)}")
    if kept := {
        f"--{name}": str(options.given()[name]) for name in options.given() if name in options.single
    }:
        _check_apart(jobs[0], kept)
    if (preview := options.given().get("preview")) is not None:
        check_free(str(preview), args.force, jobs[0].source)
    return run_all(args, jobs, code, describe)


def _check_names(jobs: list[Job]) -> None:
    """Raises SettingError: a result would have the name of another kind of picture."""
    reading = load("reading")
    known = (
        reading.suffixes()
        | reading.PLUGINS.keys()
        | {".svg"}
        | set(load("pictures").Image.registered_extensions())
    )
    for job in jobs:
        stem, suffix = os.path.splitext(str(job.target))
        if suffix.lower() in known - DSN:
            raise SettingError(f"{job.target}: encode writes .dsn files, not {suffix}: try -o {stem}.dsn")


def _check_apart(job: Job, kept: dict[str, str]) -> None:
    """Raises SettingError: two of the files that a fit reads and writes are one."""
    named = {"the input": job.source, "the output": str(job.target), **kept}
    places: dict[str, str] = {}
    for what, name in named.items():
        place = os.path.realpath(name)
        twin = next((other for other in places if other == place or _same(other, place)), None)
        if twin is not None:
            raise SettingError(f"{places[twin]} and {what} are the same file, {name}")
        places[place] = what


def _same(one: str, other: str) -> bool:
    return os.path.exists(one) and os.path.exists(other) and os.path.samefile(one, other)


def check(args: argparse.Namespace) -> Options:
    """An impossible setting is bad usage, whatever the pictures are.

    Raises:
        SettingError: it is one.
    """
    from ..methods.rate_control import Target

    whole("effort", args.effort, 0, 9)
    options = options_of_args(args)
    Target.of(**{name: getattr(args, name) for name in _TARGETS}, explicit=options.fixed())
    return options


def options_of_args(args: argparse.Namespace) -> Options:
    """The options that the flags mean."""
    settings = {name: getattr(args, name) for name in (*ALL_NAMES, "backend")}
    with warnings.catch_warnings():
        # flags keep their old names for as long as keywords do, and say so in their help
        warnings.simplefilter("ignore", DeprecationWarning)
        return options_of_call(args.method, settings, args.effort, stacklevel=1)


class _Progress:
    """Shows the reports of a fit by ``line``, and keeps what the fit says of Ctrl-C."""

    def __init__(self, line: OnProgress | None) -> None:
        self.line, self.interrupted = line, False

    def __call__(self, progress: Progress) -> None:
        self.interrupted = self.interrupted or progress.interrupted
        if self.line is not None:
            self.line(progress)


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """The keywords of ``dsncodec.encode``, as plain values."""
    options = options_of_args(args)
    asked = {name: value for name in _TARGETS if (value := getattr(args, name)) is not None}
    stripped = {_METADATA[kind]: b"" for kind in args.strip}
    kept = {"effort": args.effort, "threads": args.threads}
    return {"method": options.method} | options.given() | asked | kept | stripped


def code(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    """One picture to one file; reports what was reached.

    Raises:
        Stopped: Ctrl-C was pressed, and nothing came of the picture for another reason.
    """
    progress = _Progress(fit_line(args))
    try:
        return _coded(args, job, progress)
    except Exception as exc:
        if progress.interrupted:
            raise Stopped from exc
        raise


def _coded(args: argparse.Namespace, job: Job, progress: _Progress) -> dict[str, Any]:
    pictures = load("pictures")
    settings = settings_of(args)
    source = job.read()
    if settings.get("keep"):
        data = dsncodec.encode(source, **settings)
        image = None
    else:
        image = pictures.opened_picture(source)
        data = dsncodec.encode(image, **settings, progress=progress)
    info = asdict(dsncodec.read_info(data))
    report = {"source_bytes": _size(source)} | {name: info[name] for name in _REPORTED}
    if image is not None and (args.psnr or args.target_psnr_db is not None):
        psnr = pictures.psnr_db(image, dsncodec.decode(data, max_pixels=None, threads=args.threads))
        report["psnr_db"] = psnr if math.isfinite(psnr) else None
    if args.target_ssimulacra2 is not None:
        decoded = dsncodec.decode(data, max_pixels=None, threads=args.threads)
        report["ssimulacra2"] = round(pictures.ssimulacra2(image, decoded), 2)
    if progress.interrupted:
        report["interrupted"] = True
    write(str(job.target), data, args.force)
    keep_times(args, job, str(job.target))
    return report


def _size(source: bytes | str) -> int:
    """Bytes of a file; 0 of a pipe by its path."""
    return len(source) if isinstance(source, bytes) else os.path.getsize(source)


def describe(report: dict[str, Any]) -> str:
    """The report in words."""
    before, after = report["source_bytes"], report["size_bytes"]
    smaller = f"{amount(before)} -> {amount(after)}, {share(before, after)}; " if before else ""
    words = [f"{smaller}{after:,} bytes", f"{report['bpp']:.3f} bpp"]
    words.append(parser(report["method"]).summary(report))
    if report["backends"]:
        words.append("+".join(dict.fromkeys(report["backends"].values())))
    if report["model"]:
        words.append(report["model"])
    if "psnr_db" in report:
        psnr = report["psnr_db"]
        words.insert(2, "lossless" if psnr is None else f"{psnr:.2f} dB")
    if "ssimulacra2" in report:
        words.insert(2, f"SSIMULACRA 2 {report['ssimulacra2']:.2f}")
    if report.get("interrupted"):
        words.append("interrupted: the best so far")
    return ", ".join(words)
