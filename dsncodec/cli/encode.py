"""dsncodec encode: pictures to .dsn files."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import dsncodec

from ..errors import SettingError
from ..folders import PICTURES
from ..writing import STDOUT, check_free, write
from .common import (
    DSN,
    STDIN,
    Job,
    Stopped,
    add_files,
    add_fit,
    add_output,
    add_threads,
    byte_count,
    fit_line,
    load,
    plan,
    positive,
    run_all,
    take_last_as_output,
    whole,
)

_METADATA = {"icc": "icc_profile", "exif": "exif", "xmp": "xmp"}
_TARGETS = ("quality", "target_bytes", "target_bpp", "target_psnr_db")
_POINT = ("scale", "levels", "chroma_levels", "base_quality")
_FIT = ("seconds", "steps", "variant", "layers", "width")
_KEPT = ("preview", "checkpoint")
_RESTORED = ("base_psnr_db", "strength", "gain_db")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    add_files(parser, "pictures that Pillow reads")
    add_output(parser, "beside the input, .dsn")
    add_settings(parser)
    parser.add_argument(
        "--preview", metavar="FILE", help="coconet: a .gif, .png or .webp that shows the picture as it grows"
    )
    parser.add_argument(
        "--checkpoint", metavar="FILE", help="coconet: keep the fit there when it is stopped, and go on from there"
    )  # fmt: skip
    parser.add_argument("--preserve-times", action="store_true", help="give the file the times of its input")
    parser.add_argument("--psnr", action="store_true", help="decode the result, and say its PSNR")
    add_threads(parser)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """What decides the bytes of a file; ``settings_of`` reads it."""
    rate = parser.add_argument_group("how small and how good (one of these; default: -q 75)")
    rate.add_argument("-q", "--quality", type=int, metavar="0..100", help="bytes and PSNR rise with it")
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
        "--target-psnr", type=positive, dest="target_psnr_db", metavar="DB",
        help="the smallest file of at least this PSNR",
    )  # fmt: skip
    point = parser.add_argument_group("or the settings themselves")
    point.add_argument(
        "--scale",
        type=int,
        metavar="1..4",
        help="dsn: 2..4, of the low-resolution layer (default 3); restored: 1 or 2, the codec inside at full or half size",
    )
    point.add_argument("--levels", type=int, metavar="2..256", help="of its luma (default 256)")
    point.add_argument("--chroma-levels", type=int, metavar="2..256", help="of its chroma (default: as luma)")
    point.add_argument(
        "--base-quality", type=int, metavar="0..100", help="of the codec inside, its own scale"
    )
    parser.add_argument(
        "--method", choices=("restored", "dsn", "latentgrid", "coconet"),
        help="a standard codec under a network, deep sampling, grids of symbols fitted to the picture, or one network fitted to "
        "it (default: what the settings are of; restored)",
    )  # fmt: skip
    fit = parser.add_argument_group(
        "of methods latentgrid (needs numba), which takes the first two, as effort 9 does; and coconet (needs torch)"
    )
    add_fit(fit, "60; latentgrid: 1 to 180, by effort")
    fit.add_argument("--layers", type=whole(1), metavar="N", help="hidden layers (default 5)")
    fit.add_argument(
        "--width",
        type=whole(1),
        metavar="N",
        help="neurons of a layer (default: what the bytes asked for allow)",
    )
    parser.add_argument(
        "--backend", default="auto", metavar="NAME",
        help="restored: avif (default), jpeg, jxl, j2k; of method dsn: 7z, lzma2, j2k, jxl, jpegls, webp, or the "
        "smallest (default)",
    )  # fmt: skip
    parser.add_argument(
        "--effort",
        type=int,
        default=5,
        metavar="0..9",
        help="time spent for fewer bytes (default 5)",
    )
    parser.add_argument(
        "--strip", type=_kinds, default=(), metavar="icc,exif,xmp", help="metadata to leave out"
    )


def _kinds(text: str) -> tuple[str, ...]:
    kinds = tuple(text.split(","))
    if unknown := set(kinds) - set(_METADATA):
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)!r} is none of {', '.join(_METADATA)}")
    return kinds


def run(args: argparse.Namespace) -> int:
    """Encode everything."""
    take_last_as_output(args, reads_dsn=False)
    check(args)
    jobs = plan(args, PICTURES, ".dsn")
    _check_names(jobs)
    kept = [name for name in _KEPT if getattr(args, name) is not None]
    if kept and (args.method != "coconet" or len(jobs) != 1):
        raise SettingError(f"--{kept[0]} is of --method coconet, and of one picture")
    if kept:
        _check_apart(jobs[0], {f"--{name}": getattr(args, name) for name in kept})
    if args.preview is not None:
        check_free(args.preview, args.force, jobs[0].source)
    return run_all(args, jobs, code, describe)


def _check_names(jobs: list[Job]) -> None:
    """Raises SettingError: a result would have the name of another kind of picture."""
    known = (
        PICTURES | {".jxl", ".heic", ".heif", ".svg"} | set(load("pictures").Image.registered_extensions())
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


def check(args: argparse.Namespace) -> None:
    """An impossible setting is bad usage, whatever the pictures are: one pixel shows it."""
    targets = [name for name in _TARGETS if getattr(args, name) is not None]
    settings = [name for name in _POINT if name != "scale" or args.method != "restored"]
    point = any(getattr(args, name) is not None for name in settings)
    if len(targets) + point > 1:
        raise SettingError("give one of a quality, a target, or the settings themselves")
    pixel = load("pictures").Image.new("L", (1, 1))
    reachable = {name: value for name, value in settings_of(args).items() if not name.startswith("target_")}
    once = {"steps": 1} if _fits(args) else {}
    dsncodec.encode(pixel, **reachable | once)


def _fits(args: argparse.Namespace) -> bool:
    """Whether a fit, which is long, may be a part of the work."""
    if args.method is None and args.effort == 9 and args.backend == "auto":
        return all(getattr(args, name) is None for name in ("scale", "levels", "chroma_levels"))
    return args.method in ("coconet", "latentgrid")


class _Progress:
    """Shows the reports of a fit by ``line``, and keeps what the fit says of Ctrl-C."""

    def __init__(self, line: Callable[..., None] | None) -> None:
        self.line, self.interrupted = line, False

    def __call__(self, spent: float, mse: float, *bpp: float) -> None:
        if self.line is not None:
            self.line(spent, mse, *bpp)

    def stop(self) -> None:
        """Ctrl-C ended the fit."""
        self.interrupted = True


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """The keywords of ``dsncodec.encode``."""
    names = (*_TARGETS, "method", *_POINT, "backend", "effort", "threads", *_FIT)
    return {name: getattr(args, name) for name in names} | {_METADATA[kind]: b"" for kind in args.strip}


def code(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    """One picture to one file; reports what was reached.

    Raises:
        Stopped: Ctrl-C was pressed, and nothing came of the picture for another reason.
    """
    progress = _Progress(fit_line(args)) if _fits(args) else None
    try:
        return _coded(args, job, progress)
    except Exception as exc:
        if progress is not None and progress.interrupted:
            raise Stopped from exc
        raise


def _coded(args: argparse.Namespace, job: Job, progress: _Progress | None) -> dict[str, Any]:
    pictures = load("pictures")
    image = pictures.open_picture(job)
    heard: dict[str, Any] = {name: getattr(args, name) for name in _KEPT}
    if progress is not None:
        heard["report"] = progress
        if args.method != "coconet":
            heard["interrupted"] = progress.stop
    data = dsncodec.encode(image, **settings_of(args), **heard)
    info = asdict(dsncodec.read_info(data))
    names = (
        "width",
        "height",
        "mode",
        "method",
        "size_bytes",
        "bpp",
        *_POINT,
        "backends",
        "model",
        *_RESTORED,
    )
    report = {name: info[name] for name in names}
    if args.psnr or args.target_psnr_db is not None:
        psnr = pictures.psnr_db(image, dsncodec.decode(data, max_pixels=None, threads=args.threads))
        report["psnr_db"] = psnr if math.isfinite(psnr) else None
    if progress is not None and progress.interrupted:
        report["interrupted"] = True
    write(str(job.target), data, args.force)
    if args.preserve_times and job.source != STDIN and job.target != STDOUT:
        times = os.stat(job.source)
        os.utime(str(job.target), ns=(times.st_atime_ns, times.st_mtime_ns))
    return report


def describe(report: dict[str, Any]) -> str:
    """The report in words."""
    words = [f"{report['size_bytes']:,} bytes", f"{report['bpp']:.3f} bpp"]
    if report["method"] == "dsn":
        levels = "/".join(str(report[name]) for name in ("levels", "chroma_levels") if report[name])
        words += [f"scale {report['scale']}", f"levels {levels}"]
    elif report["method"] in ("coconet", "latentgrid"):
        words.append(report["model"])
    else:
        words.append(f"base quality {report['base_quality']}")
        if report["scale"] != 1:
            words.append(f"scale {report['scale']}")
    if report["backends"]:
        words.append("+".join(dict.fromkeys(report["backends"].values())))
    if report["gain_db"]:
        words.append(f"{report['model']} +{report['gain_db']:.2f} dB")
    if "psnr_db" in report:
        psnr = report["psnr_db"]
        words.insert(2, "lossless" if psnr is None else f"{psnr:.2f} dB")
    if report.get("interrupted"):
        words.append("interrupted: the best so far")
    return ", ".join(words)
