"""The command ``dsncodec``: one file per verb. The only part that prints and exits."""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import os
import shutil
import signal
import sys
import textwrap
import threading
import traceback
from collections.abc import Sequence
from typing import Any

from .. import __version__
from ..errors import SettingError, reason
from .common import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, complain, shown

GROUPS = {  # what a person is about -> name -> module, what it is for
    "Everyday": {
        "encode": ("dsncodec.cli.encode", "turn pictures into .dsn files"),
        "decode": ("dsncodec.cli.decode", "turn .dsn files into pictures"),
        "info": ("dsncodec.cli.info", "say what .dsn files hold, without decoding them"),
        "verify": ("dsncodec.cli.verify", "check the structure and the checksums of .dsn files"),
        "thumbnail": (
            "dsncodec.cli.thumbnail",
            "take the small picture out of .dsn files, running no network",
        ),
        "extract": ("dsncodec.cli.extract", "take a coded plane out of .dsn files as an ordinary file"),
        "batch": (
            "dsncodec.cli.batch",
            "encode a folder of pictures by many processes or machines; can be stopped at any moment",
        ),
        "completion": ("dsncodec.cli.completion", "print what lets a shell complete verbs and options"),
    },
    "Compare": {
        "compare": ("dsncodec.cli.compare", "say how far a picture is from another, and show where"),
        "bench": ("dsncodec.cli.bench", "compare codecs over folders of pictures, and write a report"),
    },
    "Restore and change pictures": {
        "upsample": ("dsncodec.cli.upsample", "enlarge pictures with Up-SNet, or a network fitted to them"),
        "downsample": ("dsncodec.cli.downsample", "shrink pictures with Down-SNet"),
        "denoise": ("dsncodec.cli.denoise", "remove noise from pictures with networks fitted to them"),
        "inpaint": ("dsncodec.cli.inpaint", "fill in missing regions of pictures from the rest of each"),
        "enhance": ("dsncodec.cli.enhance", "make a phone's photos look more like a camera's"),
        "stylize": ("dsncodec.cli.stylize", "show pictures in the style of a painting"),
    },
    "Research": {
        "train": ("dsncodec.cli.train", "train the networks of a recipe"),
        "export": ("dsncodec.cli.export", "turn a training checkpoint into weight files"),
    },
}
VERBS = {name: row for group in GROUPS.values() for name, row in group.items()}

# former name -> name; it goes in 0.4
OLD_VERBS = {"complete": "inpaint"}

_STYLE: dict[str, Any] = {  # an abbreviated option breaks when another one is added
    "allow_abbrev": False,
    "formatter_class": functools.partial(argparse.HelpFormatter, max_help_position=30),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Args:
        argv: the arguments; default: those of the process.
    Returns:
        0 done, 1 something failed, 2 bad usage, 130 interrupted.
    """
    _open_closed_streams()
    _print_anything()
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    try:
        _heed_termination()
        if not arguments:
            _parser(arguments).print_help()
            return EXIT_DONE
        args = _parser(arguments).parse_args(arguments)
        if args.verb in OLD_VERBS:
            complain(f"{args.verb} is now called {OLD_VERBS[args.verb]}; the old name goes in 0.4")
        status: int = args.run(args)
        sys.stdout.flush()
        return status
    except SystemExit as exc:  # argparse has said why
        return exc.code if isinstance(exc.code, int) else EXIT_USAGE
    except KeyboardInterrupt:
        complain("interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # who read our output has seen enough
        _discard_stdout()
        return EXIT_FAILED
    except Exception as exc:
        if debug:
            traceback.print_exc()
        where = f"{shown(str(exc.filename))}: " if isinstance(exc, OSError) and exc.filename else ""
        complain(where + reason(exc))
        _discard_stdout()
        return EXIT_USAGE if isinstance(exc, SettingError) else EXIT_FAILED


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """All verbs by name; only the module of the one that is asked for is imported."""
    parser = argparse.ArgumentParser(
        prog="dsncodec",
        usage="dsncodec [-h] [-V] VERB ...",
        description="Learned image compression.\n\n" + _verbs_in_groups(),
        epilog="Exit codes: 0 done, 1 failed, 2 bad usage. 'dsncodec VERB --help' explains a verb.",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-V", "--version", action="version", version=f"dsncodec {__version__}")
    # the description lists them
    verbs = parser.add_subparsers(
        prog="dsncodec", metavar="VERB", required=True, dest="verb", help=argparse.SUPPRESS
    )
    for name, (module_name, purpose) in VERBS.items():
        sentence = purpose[0].upper() + purpose[1:] + "."
        former = [old for old, new in OLD_VERBS.items() if new == name]
        verb = verbs.add_parser(name, aliases=former, description=sentence, **_STYLE)
        if not {name, *former}.isdisjoint(arguments):
            module = importlib.import_module(module_name)
            module.add_arguments(verb)
            verb.set_defaults(run=module.run)
    return parser


def _verbs_in_groups() -> str:
    """The verbs for the help, under what a person is about."""
    indent = 4 + max(map(len, VERBS))
    width = shutil.get_terminal_size().columns - 2
    parts = []
    for title, verbs in GROUPS.items():
        lines = [f"{title}:"]
        for name, (_, purpose) in verbs.items():
            lines += textwrap.wrap(
                purpose,
                max(width, indent + 20),
                initial_indent=f"  {name}".ljust(indent),
                subsequent_indent=" " * indent,
            )
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def verb_parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of every verb, with all its options: their modules are imported."""
    parser = _parser(list(VERBS))
    action = next(one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
    return {name: action.choices[name] for name in VERBS}


def _heed_termination() -> None:
    """SIGTERM, by which schedulers end a job, is an interrupt: what is half written is removed."""
    mine = threading.current_thread() is threading.main_thread()
    if mine and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def _open_closed_streams() -> None:
    """A standard stream that the caller closed, and Python set to None, is as if it were /dev/null."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115


def _print_anything() -> None:
    """What a stream's encoding lacks, as in a file's name in the POSIX locale, is printed as an escape: a line that says
    what was done must not end it."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(
            stream, "reconfigure", None
        )  # a program that calls this may have streams of its own
        if reconfigure is not None:
            with contextlib.suppress(ValueError, OSError):
                reconfigure(errors="backslashreplace")


def _discard_stdout() -> None:
    """Keep what could not be written from failing again when the interpreter flushes it."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
