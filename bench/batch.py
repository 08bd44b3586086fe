"""What a batch costs beside the bare codec, and what a second worker brings."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import dsncodec
from dsncodec.batch.run import Batch
from dsncodec.processes import cpu_count, process_pool

from .common import image_paths
from .results import table, write_report

# The fastest there is: the overhead weighs most
SETTINGS: dict[str, Any] = {"base": "jpeg", "effort": 0, "threads": 1}
INSIDE = "1 thread of the same process"
Start = Callable[[], Executor]
_Asked = ParamSpec("_Asked")
_Found = TypeVar("_Found")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the study."""
    parser.add_argument("--pictures", type=int, default=60, help="of div2k256 (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="medians of so many (default %(default)s)")
    parser.add_argument("--no-cluster", action="store_true", help="without the Dask cluster")
    parser.add_argument("--dry-run", action="store_true", help="print, but keep no results")


def _bare(sources: list[Path], target: Path) -> tuple[float, float]:
    """Seconds, by the clock and of this process's CPU, for a loop over the library's own function."""
    start, cpu = time.perf_counter(), time.process_time()
    for path in sources:
        (target / f"{path.stem}.dsn").write_bytes(dsncodec.encode(path, **SETTINGS))
    return time.perf_counter() - start, time.process_time() - cpu


def _batched(source: Path, target: Path, start: Start, workers: int) -> tuple[float, float]:
    """Wall and CPU seconds of a batch by workers that have coded something before, so that their start does not count."""
    began, cpu = time.perf_counter(), time.process_time()
    batch = Batch(str(source), str(target), SETTINGS, force=True)
    rows = list(batch.run(start, lambda: 2 * workers))
    assert not any(row.error for row in rows)
    return time.perf_counter() - began, time.process_time() - cpu


class _Kept(Executor):
    """An executor that stays when a batch is done with it."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def submit(
        self, fn: Callable[_Asked, _Found], /, *args: _Asked.args, **kwargs: _Asked.kwargs
    ) -> Future[_Found]:
        """To the executor that is kept."""
        return self._executor.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Not yet."""


def run(args: argparse.Namespace) -> int:
    """Measure, print, and write batch.md."""
    sources = image_paths(args.data, "div2k256", args.pictures)
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        source = folder / "source"
        source.mkdir()
        for path in sources:
            (source / path.name).write_bytes(path.read_bytes())
        (folder / "bare").mkdir()
        ways: dict[str, tuple[Start, int]] = {}
        with ThreadPoolExecutor(1) as thread, process_pool(1) as one, process_pool(2) as two:
            ways[INSIDE] = (lambda: thread, 1)
            ways["1 process"] = (lambda: one, 1)
            ways["2 processes"] = (lambda: two, 2)
            if args.no_cluster:
                rows = _measured(args, sources, folder, ways)
            else:
                import distributed

                from dsncodec.batch.dask import connected, executor

                with (
                    distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=":0") as cluster,
                    connected(cluster.scheduler_address) as client,
                ):
                    ways["2 workers of a Dask cluster"] = (partial(executor, client), 2)
                    rows = _measured(args, sources, folder, ways)
    header = [
        "way",
        "pictures/s",
        "range",
        "ms/picture",
        "times the bare codec",
        "CPU ms/picture",
        "overhead",
    ]
    report = f"""# Batch beside the bare codec

{table(header, rows)}
{len(sources)} pictures of 256 x 256 (div2k256), `{", ".join(f"{name}={value!r}" for name, value in SETTINGS.items())}`: the fastest way to code, so that
what comes around it weighs most. Median and range of {args.rounds} interleaved rounds, workers warm. The bare codec is a loop of `dsncodec.encode` and a
write in one process. A batch also hashes source and output, renames, and keeps the manifest. Pictures a second are by the wall's clock, and so of what
else the machine did meanwhile; CPU time is of the one process that does all, where there is one, and overhead is what it takes more than the bare codec.
The process might use {cpu_count()} CPU{"s" if cpu_count() > 1 else ", so that a second worker can bring nothing"}.
"""
    if args.dry_run:
        print(report)
    else:
        write_report("batch.md", report, args.command)
    return 0


def _measured(
    args: argparse.Namespace, sources: list[Path], folder: Path, ways: dict[str, tuple[Start, int]]
) -> list[tuple[object, ...]]:
    kept = {way: (partial(_Kept, start()), workers) for way, (start, workers) in ways.items()}
    times: dict[str, list[tuple[float, float]]] = {way: [] for way in ("bare codec", *kept)}
    for turn in range(args.rounds + 1):
        found = {"bare codec": _bare(sources, folder / "bare")}
        for way, (start, workers) in kept.items():
            found[way] = _batched(folder / "source", folder / "target", start, workers)
        if turn:  # the first is the warm-up
            for way, seconds in found.items():
                times[way].append(seconds)
    count = len(sources)
    bare, bare_cpu = (statistics.median(one) for one in zip(*times["bare codec"]))
    rows: list[tuple[object, ...]] = []
    for way, of_rounds in times.items():
        walls, cpus = zip(*of_rounds)
        median, cpu = statistics.median(walls), statistics.median(cpus)
        inside = way in ("bare codec", INSIDE)
        rows.append(
            (
                way,
                f"{count / median:.1f}",
                f"{count / max(walls):.1f} to {count / min(walls):.1f}",
                f"{1000 * median / count:.1f}",
                f"{bare / median:.2f}",
                f"{1000 * cpu / count:.1f}" if inside else "",
                f"{1000 * (cpu - bare_cpu) / count:.1f} ms, {100 * (cpu / bare_cpu - 1):.1f} %"
                if way == INSIDE
                else "",
            )
        )
        print(rows[-1], flush=True)
    return rows
