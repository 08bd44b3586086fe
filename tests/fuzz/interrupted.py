"""Kill the command at random moments: what is left is whole, and running it again finishes the work."""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

import dsncodec
from dsncodec.bench.store import TIMES, Row, Store

from .results import table, write_report

PICTURES, SIZE = 24, (120, 80)
TRAIN_STEPS = 40
PARTIAL = ".dsncodec-"
_SETTINGS: dict[str, Any] = {"quality": 60, "base": "jpeg", "effort": 0}
_OPTIONS = ["-q", "60", "--backend", "jpeg", "--effort", "0"]


@dataclass(frozen=True)
class Work:
    """A command that writes below ``out``, and what may be found there.

    ``broken`` names what is not whole, at any moment; ``unfinished`` what is missing or wrong in the end.
    """

    command: list[str]
    out: Path
    broken: Callable[[], list[str]]
    unfinished: Callable[[], list[str]]


@dataclass
class Outcome:
    """What became of a command: kills and what they left; ``hidden`` counts files that no reader takes for output."""

    kills: int = 0
    finished: int = 0
    broken: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    hidden: int = 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the kills."""
    parser.add_argument(
        "--kills", type=int, default=25, help="of each command; four of them (default %(default)s)"
    )
    parser.add_argument(
        "--only", choices=WORKS, action="append", help="a command; may be repeated (default: all)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default %(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="print, but keep no results")


# --- the four commands


def pictures(folder: Path, count: int) -> Path:
    """Small pictures with some detail."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        noise = Image.fromarray(rng.integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8))
        noise.filter(ImageFilter.GaussianBlur(1 + i % 4)).save(folder / f"{i:02}.png")
    return folder


def _files(verb: str) -> Callable[[Path, int], Work]:
    """Pictures to .dsn files, by ``encode`` or ``batch``: each is byte for byte what the library writes."""

    def work(folder: Path, count: int) -> Work:
        source, out = pictures(folder / "pictures", count), folder / "out"
        wanted = {
            path.with_suffix(".dsn").name: dsncodec.encode(path, **_SETTINGS) for path in source.glob("*.png")
        }

        def broken() -> list[str]:
            found = {path.name: path for path in out.glob("[!.]*.dsn")}
            return [
                f"{name} is not whole" for name, path in found.items() if path.read_bytes() != wanted[name]
            ]

        def unfinished() -> list[str]:
            missing = [f"{name} is missing" for name in wanted if not (out / name).exists()]
            if verb == "batch":
                rows = [
                    json.loads(line)["output"] for line in (out / "manifest.jsonl").read_text().splitlines()
                ]
                if rows != sorted(wanted):
                    missing.append("the manifest does not have each file once")
            return missing

        places = (
            [str(source), "-o", str(out), "--force"]
            if verb == "encode"
            else [str(source), str(out), "-j", "2"]
        )
        return Work([verb, *places, "--quiet", *_OPTIONS], out, broken, unfinished)

    return work


def _train(folder: Path, count: int) -> Work:
    """A tiny network; the checkpoint is written after each of its steps."""
    import torch  # only this one needs it

    source, out = pictures(folder / "pictures", 3), folder / "out"
    settings = [
        f"data.train=['{source.as_posix()}']",
        f"data.held_out=['{source.as_posix()}']",
        "data.patch=24",
        "data.batch=2",
        "model.width=4",
        "model.chroma_width=4",
        "model.blocks=1",
        "optim.optimizer=adam",
        "optim.bf16=false",
        f"optim.steps={count}",
        "optim.threads=1",
    ]
    overrides = [part for setting in settings for part in ("--set", setting)]

    def steps() -> list[int]:
        with open(out / "log.csv", newline="") as file:
            return [int(row["step"]) for row in csv.DictReader(file)]

    def broken() -> list[str]:
        if (out / "checkpoint.pt").exists():
            try:
                torch.load(out / "checkpoint.pt", weights_only=True)
            except Exception as exc:  # whatever torch says of half a file
                return [f"the checkpoint cannot be read: {exc}"]
        return []

    def unfinished() -> list[str]:
        found = torch.load(out / "checkpoint.pt", weights_only=True)["step"]
        wrong = [] if found == count else [f"the checkpoint is of step {found}"]
        if steps() != sorted(set(steps())) or steps()[-1] != count:
            wrong.append(f"the log has steps {steps()}")
        return wrong

    command = ["train", "dsn-x3", "-o", str(out), "--device", "cpu", "--log-every", "0.001", "--quiet"]
    return Work([*command, *overrides], out, broken, unfinished)


def _bench(folder: Path, count: int) -> Work:
    """Two codecs over some pictures; a killed run may leave half a row, which the next one replaces."""
    source, out = pictures(folder / "pictures", max(2, count // 8)), folder / "out"
    whole: dict[str, set[tuple[object, ...]]] = {}

    def rows() -> dict[str, set[tuple[object, ...]]]:
        store = Store(out / source.name)
        return {
            path.stem: {_lasting(row) for row in store.read(path.stem)}
            for path in (out / source.name).glob("[!.]*.csv")
        }

    def broken() -> list[str]:
        try:
            found = rows()
            for path in out.glob("report.json"):
                json.loads(path.read_text("utf-8"))
        except Exception as exc:  # whatever half a file makes of the parsers
            return [f"a result cannot be read: {exc}"]
        return [f"{codec} has other rows" for codec in found if whole and not found[codec] <= whole[codec]]

    def unfinished() -> list[str]:
        if not whole:  # the run that nobody disturbed
            whole.update(rows())
        names = ("index.html", "report.md", "report.json", "curves.csv")
        missing = [f"{name} is missing" for name in names if not (out / name).exists()]
        return missing + ([] if rows() == whole else ["the rows are not those of an undisturbed run"])

    command = ["bench", str(source), "-o", str(out), "--codecs", "jpeg,webp", "--show", "none", "--quiet"]
    return Work(command, out, broken, unfinished)


def _lasting(row: Row) -> tuple[object, ...]:
    """What does not differ from run to run; nan, which differs from itself, as text."""
    kept = [str(value) for name, value in zip(Row.__annotations__, astuple(row)) if name not in TIMES]
    return tuple(kept)


WORKS: dict[str, tuple[Callable[[Path, int], Work], int]] = {
    "encode": (_files("encode"), PICTURES),
    "batch": (_files("batch"), PICTURES),
    "train": (_train, TRAIN_STEPS),
    "bench": (_bench, PICTURES),
}


# --- killing


def killed(name: str, folder: Path, kills: int, seed: int, count: int | None = None) -> Outcome:
    """Run a command, kill it at random moments of its life, and let it finish; its own files are in ``folder``.

    A run that was killed is run again in the same place, and killed again; one that finished before its moment came
    is begun anew. The last run of all is left alone.
    """
    make, usual = WORKS[name]
    work = make(folder, usual if count is None else count)
    outcome, moments = Outcome(), random.Random(seed)
    start = time.monotonic()
    outcome.unfinished += _finish(work)
    life_s = time.monotonic() - start
    shutil.rmtree(work.out)
    while outcome.kills < kills:
        with _started(work) as process:
            try:
                code = process.wait(moments.uniform(0, life_s))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                outcome.kills += 1
                _wait_for_its_children(work)
                outcome.broken += work.broken()
                continue
        outcome.finished += 1
        outcome.unfinished += work.unfinished() if code == 0 else [f"exit code {code}"]
        outcome.hidden += _hidden(work)
        shutil.rmtree(work.out)
    outcome.unfinished += _finish(work)
    outcome.hidden += _hidden(work)
    return outcome


@contextlib.contextmanager
def _started(work: Work) -> Iterator[subprocess.Popen[bytes]]:
    root = str(Path(dsncodec.__file__).parent.parent)
    environment = os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "dsncodec", *work.command]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        yield process


def _finish(work: Work) -> list[str]:
    with _started(work) as process:
        code = process.wait()
    return work.broken() + work.unfinished() if code == 0 else [f"exit code {code}"]


def _wait_for_its_children(work: Work) -> None:
    """Until nothing is written any more: workers end with their parent, but not in the same instant."""
    before = None
    while (now := _seen(work)) != before:
        before = now
        time.sleep(0.2)


def _seen(work: Work) -> list[tuple[str, int]]:
    return sorted((str(p), p.stat().st_mtime_ns) for p in work.out.rglob("*") if p.is_file())


def _hidden(work: Work) -> int:
    return sum(path.name.startswith(PARTIAL) for path in work.out.rglob("*"))


def run(args: argparse.Namespace) -> int:
    """Kill, print, and write interrupted.md."""
    rows, wrong = [], []
    for name in args.only or WORKS:
        with tempfile.TemporaryDirectory() as folder:
            found = killed(name, Path(folder), args.kills, args.seed)
        wrong += [f"{name}: {what}" for what in found.broken + found.unfinished]
        rows.append(
            (name, found.kills, len(found.broken), found.finished + 1, len(found.unfinished), found.hidden)
        )
        print(rows[-1], flush=True)
    header = [
        "command",
        "kills",
        "outputs half written",
        "runs that finished",
        "wrong in the end",
        "hidden files left",
    ]
    text = f"""# Commands that are killed

{table(header, rows)}
SIGKILL at moments spread evenly over the time that an undisturbed run takes, start of the interpreter included, seed {args.seed}. After each kill
all that has an output's name is read: .dsn files are byte for byte those of `dsncodec.encode`, the checkpoint loads, rows are those of an
undisturbed run. Then the same command runs again in the same place. A hidden file, `{PARTIAL}*`, is what a kill in the middle of a write
leaves beside the place of the output; `batch` removes it in its next run.
"""
    text += "".join(f"\n- {line}" for line in wrong)
    if args.dry_run or args.only:
        print(text)
    else:
        write_report("interrupted.md", text, args.command)
    return 1 if wrong else 0
