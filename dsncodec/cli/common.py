"""What the verbs share: arguments, the plan of inputs and outputs, and the loop over them."""

from __future__ import annotations

import argparse
import concurrent.futures
import errno
import importlib
import json
import math
import os
import re
import shutil
import stat
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import extras
from ..errors import SettingError, heard, reason
from ..files import STDOUT, check_free, survey
from ..processes import process_pool

if TYPE_CHECKING:
    from .. import methods

STDIN = "-"
EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130

DSN = frozenset({".dsn"})

# What only a running verb needs -> its module
_PARTS = {
    "batch": "dsncodec.batch.run",
    "cluster": "dsncodec.batch.dask",
    "comparison": "dsncodec.comparison",
    "pictures": "dsncodec.cli.pictures",
    "planes": "dsncodec.planes",
    "reading": "dsncodec.reading",
    "enhancement": "dsncodec.processing.enhancement",
    "noise": "dsncodec.processing.noise",
    "bench.measure": "dsncodec.bench.measure",
    "bench.peers": "dsncodec.bench.peers",
    "bench.referees": "dsncodec.bench.referees",
    "bench.report": "dsncodec.bench.report",
    "bench.samples": "dsncodec.bench.samples",
    "bench.store": "dsncodec.bench.store",
    "fit": "dsncodec.methods.coconet.compress",
    "gatys": "dsncodec.processing.style_optimisation",
    "data": "dsncodec.train.data.images",
    "tasks": "dsncodec.train.tasks",
    "loop": "dsncodec.train.trainer",
    "export": "dsncodec.train.export.onnx",
    "recipe": "dsncodec.train.recipe",
    "inits": "dsncodec.train.tasks.latentgrid_init",
    "init_files": "dsncodec.train.export.latentgrid_init",
}


def load(part: str) -> Any:
    """Import a part when it is used, so that ``--help`` waits for nothing.

    Raises:
        MissingComponent: it needs an extra that is not installed.
    """
    module = _PARTS[part]
    return extras.load(module) if module in extras.MODULES else importlib.import_module(module)


# --- arguments ------------------------------------------------------------------------------------


def add_files(parser: argparse.ArgumentParser, what: str) -> None:
    """The inputs, and the options of every verb that takes several files."""
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help=f"{what}; a folder stands for all of them below it, - for stdin",
    )
    parser.add_argument("-j", "--jobs", type=whole(1), default=1, metavar="N", help="processes (default 1)")
    parser.add_argument("--json", action="store_true", help="one line of JSON per file on stdout")
    add_links(parser)
    add_talk(parser)


def add_links(parser: argparse.ArgumentParser) -> None:
    """Whether links in folders are followed."""
    parser.add_argument(
        "--follow-links", action="store_true", help="in folders, take what links to files point at, too"
    )


def add_output(parser: argparse.ArgumentParser, default: str) -> None:
    """Where results go. ``default`` says it for the help."""
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE|DIR|-",
        help=f"where to write (default: {default}); - is stdout",
    )
    parser.add_argument("--force", action="store_true", help="overwrite existing files")


def add_times(parser: argparse.ArgumentParser) -> None:
    """Whose times a result has; ``keep_times`` sets them."""
    parser.add_argument("--preserve-times", action="store_true", help="give the file the times of its input")


def keep_times(args: argparse.Namespace, job: Job, target: str) -> None:
    """Give a result the times of its input, if that was asked for and both are files."""
    if args.preserve_times and job.source != STDIN and target != STDOUT:
        times = os.stat(job.source)
        os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))


def add_format(parser: argparse.ArgumentParser) -> None:
    """The format of resulting pictures."""
    parser.add_argument("--format", metavar="NAME", help="png, jpg, webp, ... (default: as -o ends, or png)")


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Threads of the networks."""
    parser.add_argument(
        "--threads",
        type=whole(1),
        metavar="N",
        help="of the networks (default: all CPUs; 1 with -j)",
    )


def add_fit(parser: argparse._ActionsContainer, ours: str, what: str, trained: str = "") -> None:
    """The budget and the method of a fit; ``ours`` is the default, ``what`` says it for the help. ``trained`` says what is the default in
    its place where no budget is given, the method "network"."""
    parser.add_argument(
        "--seconds",
        type=positive,
        metavar="S",
        help="how long the fit may take (default 60; of --method paper 3000 epochs, which may be hours)",
    )
    parser.add_argument("--steps", type=whole(1), metavar="N", help="and how many steps (default: no limit)")
    parser.add_argument(
        "--method",
        choices=("network", ours, "paper") if trained else (ours, "paper"),
        help=f"{trained} (default without --seconds and --steps), {what}, or the paper's network of coordinates"
        if trained
        else f"{what} (default), or the paper's network of coordinates",
    )
    add_old_variant(parser, ours)


def add_old_variant(parser: argparse._ActionsContainer, ours: str) -> None:
    """``--method`` by the name it had before 0.3, when ``ours`` was called "sine"."""
    parser.add_argument(
        "--variant",
        dest="method",
        type=lambda name: ours if name == "sine" else name,
        choices=(ours, "paper"),
        metavar="NAME",
        help=f"the former name of --method, and its sine of {ours}",
    )


def decibels(mse: float) -> str:
    """A mean squared error as a PSNR."""
    return f"{-10 * math.log10(max(mse, 1e-10)):.2f} dB"


def fit_line(
    args: argparse.Namespace, quality: Callable[[float], str] = decibels
) -> methods.OnProgress | None:
    """What shows on a terminal how far a fit or other work is, how good in ``quality``'s words where that is known, and the bits per
    pixel where they are said; None where nobody looks."""
    bar = Progress("", args.quiet or args.jobs > 1)
    if bar.silent:
        return None
    mean = 0.0

    def show(progress: methods.Progress) -> None:
        nonlocal mean
        mean = 0.95 * mean + 0.05 * progress.mse if mean else progress.mse
        text = "" if math.isnan(mean) else quality(mean)
        if progress.bpp is not None:
            text += f"  {progress.bpp:.3f} bpp"
        bar.part(progress.done, text)

    return show


def add_limit(parser: argparse.ArgumentParser) -> None:
    """The largest picture that is decoded; ``limit_of`` reads it."""
    parser.add_argument(
        "--max-pixels", type=whole(1), metavar="N", help="refuse larger pictures (default 178956970)"
    )


def add_patience(parser: argparse.ArgumentParser) -> None:
    """How long a decode may take; ``limit_of`` reads it."""
    parser.add_argument("--max-seconds", type=float, metavar="S", help="end a decode that takes longer")


def limit_of(args: argparse.Namespace) -> dict[str, Any]:
    """The keywords of ``dsncodec.decode`` that are given."""
    found = {name: getattr(args, name, None) for name in ("max_pixels", "max_seconds")}
    return {name: value for name, value in found.items() if value is not None}


def add_talk(parser: argparse.ArgumentParser) -> None:
    """How much is said."""
    parser.add_argument("--quiet", action="store_true", help="print errors and warnings only")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def whole(low: int) -> Callable[[str], int]:
    """A whole number of at least ``low``."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {low}")
        return value

    return parse


def positive(text: str) -> float:
    """A positive, finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return value


def fraction(text: str) -> float:
    """A number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


def byte_count(text: str) -> int:
    """A number of bytes, with k, M, G for thousands or Ki, Mi, Gi for 1024s.

    >>> byte_count("20k"), byte_count("1.5M"), byte_count("2Ki"), byte_count("700")
    (20000, 1500000, 2048, 700)
    """
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*(?:([kmg])(i?))?b?", text.strip(), re.IGNORECASE)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of bytes, such as 20k or 1.5M")
    number, prefix, binary = match.groups()
    value = float(number) * (1024 if binary else 1000) ** " kmg".index((prefix or " ").lower())
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is less than one byte")
    return int(value)


# --- inputs and outputs ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """One input and the place of its result; ``target`` None: the verb writes no file. ``refused`` says why nothing may be
    written there, whatever --force says."""

    source: str
    target: str | None = None
    refused: str = ""

    def read(self) -> bytes | str:
        """The input as the library takes it: its path, or all of stdin."""
        return sys.stdin.buffer.read() if self.source == STDIN else self.source


def take_last_as_output(args: argparse.Namespace, reads_dsn: bool) -> None:
    """Read ``encode photo.png photo.dsn``, and ``decode`` the other way, as if -o were there."""
    if args.output is None and len(args.inputs) == 2:
        first, last = (Path(text).suffix.lower() in DSN for text in args.inputs)
        if first == reads_dsn and last != reads_dsn and not os.path.isdir(args.inputs[1]):
            args.output = args.inputs.pop()


def picture_suffix(args: argparse.Namespace) -> str:
    """The suffix that resulting pictures get: from --format, from -o, or .png.

    Raises:
        SettingError: no such format can be written.
    """
    suffix = ".png"
    if args.format:
        suffix = "." + args.format.lower().lstrip(".")
    elif args.output not in (None, STDOUT) and not _output_is_folder(args):
        suffix = Path(args.output).suffix.lower()
    load("pictures").format_of(suffix)
    return suffix


def plan(
    args: argparse.Namespace,
    wanted: frozenset[str],
    suffix: str | None = None,
    tag: str = "",
    other: str = "",
    read: Sequence[str | None] = (),
) -> list[Job]:
    """One job for each file that the inputs name.

    Args:
        wanted: suffixes of the files that are taken from folders.
        suffix: of the results; None: there are none.
        tag: stands before the suffix of a result that lies beside its input.
        other: the tag of a result whose place beside its input is taken, by the original perhaps.
        read: files that the verb reads beside its inputs.
    Raises:
        SettingError: -o does not fit these inputs.
    """
    found = [pair for text in args.inputs for pair in _files(args, text, wanted)]
    if args.inputs.count(STDIN) > 1:
        raise SettingError("- (stdin) can be read only once")
    if suffix is None:
        return [Job(source) for source, _ in found]
    jobs = [Job(source, _target(args, source, name, suffix, tag)) for source, name in found]
    places = Counter(_place(job) for job in jobs)
    jobs = [  # a.jpg beside a.png: both keep their whole names
        job
        if places[_place(job)] == 1
        else Job(source, _target(args, source, name, suffix, tag, whole_name=True))
        for job, (source, name) in zip(jobs, found)
    ]
    if other and args.output is None and not args.force:
        taken = [job.target != STDOUT and os.path.exists(str(job.target)) for job in jobs]
        jobs = [_beside(job, suffix, other) if one else job for job, one in zip(jobs, taken)]
    _check_targets(args, jobs)
    inputs = {_identity(name) for name in [*(source for source, _ in found), *read]} - {None}
    return [_spared(job, inputs) for job in jobs]


def _beside(job: Job, suffix: str, tag: str) -> Job:
    """The job with another target, as its own is taken."""
    other = os.path.splitext(job.source)[0] + tag + suffix
    both = f"{job.target} and {other} exist: name the result with -o" if os.path.exists(other) else ""
    return replace(job, target=other, refused=both)


def _spared(job: Job, inputs: set[tuple[int, int] | None]) -> Job:
    """The job, refused if its result would replace a file that this command reads."""
    if job.target in (None, STDOUT) or job.refused:
        return job
    target = _identity(job.target)
    if target not in inputs or target == _identity(job.source):  # which ``check_free`` names better
        return job
    return replace(job, refused=f"cannot write {job.target}: this command reads it")


def _identity(path: str | None) -> tuple[int, int] | None:
    """Which regular file stands under a name, whatever links lead there, and however case is written."""
    try:
        found = os.stat(path) if path not in (None, STDIN) else None
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino) if found is not None and stat.S_ISREG(found.st_mode) else None


def _files(args: argparse.Namespace, text: str, wanted: frozenset[str]) -> list[tuple[str, str]]:
    """(path, path below the folder) of what one input stands for; hidden files and folders are left alone, and links unless
    they are to be followed: a folder may be a stranger's."""
    if text == STDIN or not os.path.isdir(text):
        return [(text, os.path.basename(text))]
    paths, others = survey(text, wanted)
    if wanted != DSN:
        skipped_of(args).extend(tell_others(text, others, args.quiet))
    if not args.follow_links and (links := sum(path.is_symlink() for path in paths)):
        skipped_of(args).append(complain_of_links(links, text))
        paths = [path for path in paths if not path.is_symlink()]
    found = [(str(path), str(path.relative_to(text))) for path in paths]
    return found or [(text, "")]


def skipped_of(args: argparse.Namespace) -> list[str]:
    """What of its folders a run has left out, in words, for the lines at the end."""
    if not hasattr(args, "skipped"):
        args.skipped = []
    found: list[str] = args.skipped
    return found


def tell_others(folder: str, others: Sequence[str | os.PathLike[str]], quiet: bool) -> list[str]:
    """Say which files of a folder are taken for no pictures: how many of each kind, and what some need to be some. Gives it in
    few words, or nothing."""
    kinds = Counter(Path(name).suffix.lower() or "without suffix" for name in others)
    plugins = load("reading").PLUGINS
    shown_kinds = {
        kind: count
        for kind, count in kinds.items()
        if kind not in DSN and (not quiet or kind in plugins or kind in load("reading").RAW_SUFFIXES)
    }
    if not shown_kinds:
        return []
    said = ", ".join(f"{count} {shown(kind)}" for kind, count in sorted(shown_kinds.items()))
    needed = sorted({plugins[kind] for kind in shown_kinds if kind in plugins})
    hint = f" (for some: pip install {' '.join(needed)})" if needed else ""
    if shown_kinds.keys() & load("reading").RAW_SUFFIXES:
        hint += " (raw files of cameras: develop them to .tif or .png first)"
    complain(f"{shown(folder)}: files left out as no pictures: {said}{hint}")
    return [f"no pictures: {said}"]


def _output_is_folder(args: argparse.Namespace) -> bool:
    ends = tuple(filter(None, (os.sep, os.altsep)))
    many = len(args.inputs) > 1 or os.path.isdir(args.inputs[0])
    return many or os.path.isdir(args.output) or args.output.endswith(ends)


def _target(
    args: argparse.Namespace, source: str, name: str, suffix: str, tag: str, whole_name: bool = False
) -> str:
    """Where a result goes; ``whole_name``: with the suffix of its input before its own."""
    source_stem, stem = (text if whole_name else os.path.splitext(text)[0] for text in (source, name))
    if args.output == STDOUT or (args.output is None and source == STDIN):
        return STDOUT
    if args.output is None:
        return source_stem + tag + suffix
    if not _output_is_folder(args):
        return str(args.output)
    if source == STDIN:
        raise SettingError(f"-o must name a file for stdin, not the folder {args.output}")
    if os.path.isfile(args.output):
        raise SettingError(f"-o must name a folder for several inputs, and {args.output} is a file")
    return os.path.join(args.output, stem + suffix)


def _place(job: Job) -> str:
    """What tells targets apart, whatever links lead there."""
    return STDOUT if job.target == STDOUT else os.path.realpath(str(job.target))


def _check_targets(args: argparse.Namespace, jobs: list[Job]) -> None:
    sources: dict[str, str] = {}
    for job in jobs:
        place = _place(job)
        if place in sources:
            where = "stdout" if job.target == STDOUT else job.target
            raise SettingError(f"{sources[place]} and {job.source} would both become {where}")
        sources[place] = job.source
    if STDOUT in sources:
        if args.json:
            raise SettingError("--json and the result cannot both go to stdout")
        if sys.stdout.isatty():
            raise SettingError("a terminal cannot show this file: redirect stdout, or give -o FILE")


# --- the loop -------------------------------------------------------------------------------------

Work = Callable[[argparse.Namespace, Job], dict[str, Any]]


class Stopped(Exception):
    """Ctrl-C was pressed in a job that failed for another reason, this exception's cause."""


@dataclass(frozen=True)
class Outcome:
    """What became of a job: the verb's report, or the reason why there is none; and what was lost on the way."""

    job: Job
    report: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    stopped: bool = False
    warnings: tuple[str, ...] = ()

    def as_json(self) -> str:
        """One line for --json."""
        named: dict[str, Any] = {"file": self.job.source, "ok": not self.error}
        if self.warnings:
            named["warnings"] = list(self.warnings)
        if self.error:
            return json.dumps({**named, "error": self.error})
        if self.job.target is not None:
            named["output"] = self.job.target
        return json.dumps({**named, **self.report}, allow_nan=False)


def run_all(
    args: argparse.Namespace, jobs: list[Job], work: Work, describe: Callable[[dict[str, Any]], str]
) -> int:
    """Do all jobs, go on when one fails, and say what became of each.

    Args:
        work: does one job and returns its report, which --json prints; a module's function, so that
            other processes can be given it. Of reports with ``source_bytes`` and ``size_bytes`` the sums are said at the end.
        describe: a report in words, to follow the file's name.
    Returns:
        The exit code.
    """
    status, losses, tally = EXIT_DONE, 0, Tally()
    answers = sys.stderr if any(job.target == STDOUT for job in jobs) else sys.stdout
    for outcome in _with_progress(args, jobs, _outcomes(args, jobs, work)):
        if outcome.error:
            complain(f"{shown(outcome.job.source)}: {outcome.error}")
            status = EXIT_FAILED
            tally.failed(outcome.error, outcome.job.target, outcome.job.source)
        elif "source_bytes" in outcome.report:
            tally.done(outcome.report["source_bytes"], outcome.report["size_bytes"])
        if args.json:
            print(outcome.as_json(), flush=True)
        elif not outcome.error and not args.quiet:
            print(f"{_headline(outcome)}: {describe(outcome.report)}", file=answers, flush=True)
        left_out = [f"{name} is left out: {why}" for name, why in outcome.report.get("left_out", {}).items()]
        for said in [*outcome.warnings, *left_out]:
            complain(f"{shown(outcome.job.source)}: {said}")
        losses += bool(outcome.warnings or left_out)
        if outcome.stopped or outcome.report.get("interrupted"):
            return EXIT_INTERRUPTED
    if losses and len(jobs) > 1:
        complain(f"{losses} of {len(jobs)} files with warnings, above")
    if tally.files and len(jobs) > 1 and not args.quiet and not args.json:
        skipped = tally.left_out(skipped_of(args))
        print(
            "\n".join([tally.summary(), *([f"left out: {skipped}"] if skipped else [])]),
            file=answers,
            flush=True,
        )
    return status


def _headline(outcome: Outcome) -> str:
    source, target = outcome.job.source, outcome.report.get("output", outcome.job.target)
    names = ["stdin" if source == STDIN else shown(source)]
    if target is not None:
        names.append("stdout" if target == STDOUT else shown(target))
    return " -> ".join(names)


def _outcomes(args: argparse.Namespace, jobs: list[Job], work: Work) -> Iterator[Outcome]:
    """The outcomes in the order of the jobs, from this process or from several."""
    processes = min(args.jobs, len(jobs))
    if processes < 2:
        yield from (attempt(work, args, job) for job in jobs)
        return
    settings = argparse.Namespace(**{"threads": None, **vars(args)})
    settings.threads = settings.threads or 1
    with process_pool(processes) as pool:
        futures = [pool.submit(attempt, work, settings, job) for job in jobs]
        try:
            for job, future in zip(jobs, futures):
                try:
                    yield future.result()
                except concurrent.futures.BrokenExecutor:
                    yield Outcome(job, error="its process died, perhaps for want of memory")
        finally:
            pool.shutdown(cancel_futures=True)


def attempt(work: Work, args: argparse.Namespace, job: Job) -> Outcome:
    """Do one job. Whatever goes wrong becomes one line, in the process where it went wrong."""
    with heard() as said:
        try:
            if os.path.isdir(job.source):
                raise IsADirectoryError(errno.EISDIR, "the folder holds no file for this verb")
            if job.refused:
                raise FileExistsError(errno.EEXIST, job.refused)
            if job.target not in (None, STDOUT):
                check_free(str(job.target), args.force, job.source)
            outcome = Outcome(job, work(args, job))
        except BrokenPipeError:
            raise
        except Exception as exc:
            if args.debug:
                traceback.print_exc()
            stopped = isinstance(exc, Stopped)
            outcome = Outcome(job, error=reason(exc.__cause__ or exc if stopped else exc), stopped=stopped)
    return replace(outcome, warnings=tuple(dict.fromkeys(said)))


# --- what is said ---------------------------------------------------------------------------------


def complain(message: str) -> None:
    """One line on stderr."""
    print(f"dsncodec: {_escaped(message)}", file=sys.stderr, flush=True)


def complain_of_links(count: int, folder: str) -> str:
    """Say that links in a folder are left out. Gives it in few words."""
    complain(f"{count} links in {shown(folder)} are not followed: --follow-links")
    return f"links: {count}"


def shown(path: str) -> str:
    r"""A path as it can be printed, whatever bytes it is made of: no character of it moves a terminal's cursor.

    >>> shown("a\x1b]0;b\n.png")
    'a\\x1b]0;b\\n.png'
    """
    return _escaped(os.fsencode(path).decode("utf-8", "backslashreplace"))


def _escaped(text: str) -> str:
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def _with_progress(
    args: argparse.Namespace, jobs: list[Job], outcomes: Iterator[Outcome]
) -> Iterator[Outcome]:
    """On a terminal, a line that says which file is being worked on, and a bar where there are several, until there is an
    outcome."""
    progress = Progress("", args.quiet)
    for done, job in enumerate(jobs):
        progress.show(done, len(jobs), job.source)
        outcome = next(outcomes)
        progress.clear()
        yield outcome


def on_terminal() -> bool:
    """Whether somebody may be looking at stderr."""
    return sys.stderr.isatty()


class Progress:
    """One line on a terminal: how far, how long still, and what is at hand. Elsewhere nothing, or a plain line every ``line_every_s``
    seconds."""

    REDRAW_S = 0.1

    def __init__(self, name: str, quiet: bool, line_every_s: float = math.inf) -> None:
        self.name, self._bar = name, not quiet and on_terminal()
        self.silent = quiet or (not self._bar and line_every_s == math.inf)
        self._every_s = self.REDRAW_S if self._bar else line_every_s
        self.start = time.monotonic()
        # lines come after a while, a bar at once
        self._last = -math.inf if self._bar else self.start
        # where this began, and where it was last; what begins again, counts from there
        self._first = self._share = math.inf

    def show(self, done: int, total: int, what: str) -> None:
        """So many of all; one of one has no bar."""
        if not self.silent:
            self._draw(done / max(total, 1), f"{done}/{total}" if total > 1 else "", what, bar=total > 1)

    def part(self, share: float, what: str) -> None:
        """So much of all, 0..1."""
        if not self.silent:
            share = min(share, 1.0)
            self._draw(share, f"{share:4.0%}", what)

    def _draw(self, share: float, counted: str, what: str, bar: bool = True) -> None:
        now = time.monotonic()
        if share < self._share:
            self._first, self.start = share, now
        self._share = share
        if now - self._last < self._every_s and (share < 1 or not self._bar):
            return
        self._last = now
        filled = int(24 * share)
        parts = [
            shown(self.name),
            "[" + "#" * filled + "-" * (24 - filled) + "]" if bar and self._bar else "",
        ]
        parts += [counted, self._left(share, now), shown(what)]
        line = " ".join(part for part in parts if part)
        if self._bar:
            line = f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}"
        print(line, end="" if self._bar else "\n", file=sys.stderr, flush=True)

    def _left(self, share: float, now: float) -> str:
        """How long still, where something is known of it."""
        gone = share - self._first
        if gone <= 0 or now - self.start < 1:
            return ""
        seconds = (now - self.start) * (1 - share) / gone
        return f"{seconds / 60:.0f} min left" if seconds > 90 else f"{seconds:.0f} s left"

    def clear(self) -> None:
        """Leave the terminal as it was."""
        if self._bar:
            self._last = -math.inf
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


# --- how much, for people -------------------------------------------------------------------------


def amount(size_bytes: int) -> str:
    """A number of bytes in few digits.

    >>> amount(812), amount(4_240), amount(91_499), amount(1_250_000)
    ('812 bytes', '4.2 KB', '91 KB', '1.2 MB')
    """
    if size_bytes < 1000:
        return f"{size_bytes} bytes"
    value, units = size_bytes / 1000, ["KB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.1f} {units[0]}" if value < 9.95 else f"{value:.0f} {units[0]}"


def share(before: int, after: int) -> str:
    """One number of bytes in percent of another.

    >>> share(91_000, 19_000), share(1000, 4), share(0, 7)
    ('21 %', '0.4 %', '')
    """
    if not before:
        return ""
    percent = 100 * after / before
    return f"{percent:.1f} %" if percent < 9.95 else f"{percent:.0f} %"


class Tally:
    """What became of many files, for the lines at the end."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.files = self.before = self.after = 0
        self.errors: Counter[str] = Counter()

    def done(self, before: int, after: int) -> None:
        """One file, and its bytes."""
        self.files, self.before, self.after = self.files + 1, self.before + before, self.after + after

    def failed(self, error: str, *names: str | None) -> None:
        """One that came to nothing; ``names`` are of this file alone, and stand for all like it."""
        for name in sorted(filter(None, names), key=len, reverse=True):
            error = error.replace(name, "its file")
        self.errors[error] += 1

    def summary(self) -> str:
        """Files, bytes, what is saved, seconds.

        >>> tally = Tally()
        >>> tally.done(90_000, 30_000), tally.summary().rpartition(",")[0]
        (None, '1 file, 90 KB -> 30 KB, 67 % saved')
        """
        saved = self.before - self.after
        words = [
            f"{self.files} file{'s' if self.files != 1 else ''}",
            f"{amount(self.before)} -> {amount(self.after)}",
        ]
        if self.before:
            words.append(f"{share(self.before, abs(saved))} {'saved' if saved >= 0 else 'more'}")
        return ", ".join([*words, f"{time.monotonic() - self.start:.1f} s"])

    def left_out(self, skipped: Sequence[str] = ()) -> str:
        """What was not done, and why; empty: nothing. ``skipped`` are files that were left out before."""
        failed = [f"{count} failed: {shown(error)}" for error, count in self.errors.most_common()]
        return "; ".join([*skipped, *failed])
