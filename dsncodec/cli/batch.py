"""dsncodec batch: a folder of pictures to a folder of .dsn files, by many processes or machines."""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from functools import partial
from typing import Any

from ..errors import SettingError
from ..processes import cpu_count, process_pool
from .common import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    Progress,
    Tally,
    add_links,
    add_talk,
    complain,
    complain_of_links,
    load,
    shown,
    tell_others,
    whole,
)
from .encode import add_settings, check, settings_of

Workers = tuple[Callable[[], Executor], Callable[[], int]]  # as Batch.run takes them


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument(
        "source", metavar="SRC", help="the folder of pictures: a path, file://, or a URL that fsspec knows"
    )
    parser.add_argument(
        "target",
        metavar="DST",
        help="the folder of .dsn files and manifest.jsonl; a run that was stopped goes on there",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "-j", "--jobs", type=whole(1), metavar="N", help="processes (default: as many as CPUs)"
    )
    where.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="of a Dask scheduler, such as tcp://host:8786, or its scheduler file",
    )
    parser.add_argument(
        "--force", action="store_true", help="encode again what is done, and replace what no batch wrote"
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON per picture on stdout")
    add_links(parser)
    add_settings(parser)
    parser.add_argument(
        "--threads", type=whole(1), default=1, metavar="N", help="of the networks of one picture (default 1)"
    )
    add_talk(parser)


def run(args: argparse.Namespace) -> int:
    """Encode what is new or changed."""
    check(args)
    for url in (args.source, args.target):
        if url.startswith("memory://"):
            raise SettingError(f"{url} lives and dies with one process: use it from Python, with threads")
    batch = load("batch").Batch(args.source, args.target, settings_of(args), args.force, args.follow_links)
    skipped = tell_others(args.source, batch.others, args.quiet)
    if batch.links:
        skipped.append(complain_of_links(len(batch.links), args.source))
    counts, losses = {"encoded": 0, "unchanged": 0, "failed": 0}, 0
    progress, tally = Progress(args.target, args.quiet), Tally()
    try:
        with _workers(args) as (executor, capacity):
            for row in batch.run(executor, capacity):
                counts["failed" if row.error else "unchanged" if row.unchanged else "encoded"] += 1
                progress.clear()
                if row.error:
                    complain(f"{shown(row.picture)}: {row.error}")
                    tally.failed(row.error, row.output, row.picture)
                else:
                    tally.done(row.source_bytes, row.output_bytes)
                if not row.unchanged:
                    losses += bool(row.warnings)
                    for said in row.warnings:
                        complain(f"{shown(row.picture)}: {said}")
                if args.json:
                    print(row.as_json(), flush=True)
                progress.show(sum(counts.values()), len(batch.tasks), row.picture)
    except KeyboardInterrupt:
        complain("stopped; the same command goes on from there")
        return EXIT_INTERRUPTED
    finally:
        progress.clear()
    if losses:
        complain(f"{losses} of {len(batch.tasks)} files with warnings, above")
    if not args.quiet and not args.json:
        rate = counts["encoded"] / max(time.monotonic() - tally.start, 1e-9)
        said = ", ".join(f"{count} {what}" for what, count in counts.items())
        print(f"{shown(args.source)} -> {shown(args.target)}: {said}; {rate:.1f} a second")
        print(tally.summary())
        if said := tally.left_out(skipped):
            print(f"left out: {said}")
    return EXIT_FAILED if counts["failed"] else EXIT_DONE


@contextlib.contextmanager
def _workers(args: argparse.Namespace) -> Iterator[Workers]:
    if args.cluster is None:
        jobs = args.jobs or cpu_count()
        yield partial(process_pool, jobs), lambda: jobs + 1
        return
    cluster: Any = load("cluster")
    with cluster.connected(args.cluster) as client:
        yield partial(cluster.executor, client), cluster.watched(client)
