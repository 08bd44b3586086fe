"""What tests of the batch have their workers do: die over a shard, once or each time."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

from dsncodec.batch.run import Row, Shard, encode_shard
from dsncodec.processes import process_pool


def die() -> None:
    """As when memory runs out: no exception, no last words."""
    os.kill(os.getpid(), signal.SIGKILL)


def fatal(shard: Shard) -> list[Row]:
    """Pictures named killer* cost the worker its life; those before them in the shard are written."""
    for task in shard.tasks:
        if "killer" in task.picture:
            die()
        encode_shard(Shard(shard.source, shard.target, shard.settings, (task,)))
    return encode_shard(shard)


def fatal_once(shard: Shard) -> list[Row]:
    """The first worker to get here dies, after its shard's files are written and before anybody has its rows."""
    flag = Path(shard.target) / "died"
    flag.parent.mkdir(exist_ok=True)
    if not flag.exists():
        flag.touch()
        encode_shard(shard)
        die()
    return encode_shard(shard)


def always_fatal(shard: Shard) -> list[Row]:
    """No worker survives."""
    die()
    return []


def slow(shard: Shard) -> list[Row]:
    """Time for a test to end this worker while it works."""
    mark = Path(shard.target) / f"worker-{os.getpid()}"
    mark.parent.mkdir(exist_ok=True)
    mark.touch()
    time.sleep(0.5)
    return encode_shard(shard)


class Doing:
    """A pool of processes that does ``work`` where it is asked for ``encode_shard``."""

    def __init__(self, processes: int, work: Callable[[Shard], list[Row]]) -> None:
        self.pool: ProcessPoolExecutor = process_pool(processes)
        self.work = work

    def submit(self, asked: Callable[[Shard], list[Row]], shard: Shard) -> Future[list[Row]]:
        assert asked is encode_shard
        return self.pool.submit(self.work, shard)

    def shutdown(self, *args: Any, **kwargs: Any) -> None:
        self.pool.shutdown(*args, **kwargs)
