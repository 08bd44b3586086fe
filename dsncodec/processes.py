"""What the system lends: processes that work for this one, and that end with it; CPUs; memory."""

from __future__ import annotations

import concurrent.futures
import contextlib
import contextvars
import ctypes
import functools
import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from .validation import whole

T = TypeVar("T")


def cpu_count() -> int:
    """How many CPUs this process may use: those it may run on, or as many as a container's quota is worth, rounded up."""
    affinity = getattr(os, "sched_getaffinity", None)
    allowed = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min(allowed, max(1, math.ceil(min(cpu_quota(), allowed))))


@functools.cache
def cpu_quota(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float:
    """The CPUs that Linux's control groups let this process have, infinite without a limit.

    Each group up to the root may have one: in version 2 ``cpu.max``, "quota period" or "max period"; in version 1 two files.
    """
    least = math.inf
    for line in _lines(own):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / "cpu" if controllers else root
        group = top / path.lstrip("/")
        # a container sees its own group as the root, whatever name it has outside
        for place in dict.fromkeys([group, *group.parents, top]):
            if not place.is_relative_to(top):
                continue
            if controllers:
                said = _lines(place / "cpu.cfs_quota_us") + _lines(place / "cpu.cfs_period_us")
            else:
                said = " ".join(_lines(place / "cpu.max")).split()
            try:
                quota, period = (int(number) for number in said)
            except ValueError:  # "max", or no such file
                continue
            if quota > 0 and period > 0:
                least = min(least, quota / period)
    return least


def release_memory() -> None:
    """Hand what was freed back to the system, where its C library keeps it and can be asked (glibc): many arrays of some
    megabytes stay with the process else."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []


def thread_count(threads: int | None) -> int:
    """As many threads as this process may use, or fewer if ``threads`` says so."""
    return cpu_count() if threads is None else min(whole("threads", threads, 1), cpu_count())


def each(do: Callable[[T], None], items: Sequence[T], threads: int) -> None:
    """``do`` each, on as many threads, at the expense of the caller's budget. The first error ends all."""
    if threads == 1 or len(items) <= 1:
        for item in items:
            do(item)
        return
    with concurrent.futures.ThreadPoolExecutor(min(threads, len(items))) as pool:
        running = [pool.submit(contextvars.copy_context().run, do, item) for item in items]
        try:
            for future in running:
                future.result()
        finally:
            for future in running:
                future.cancel()


def process_pool(processes: int) -> concurrent.futures.ProcessPoolExecutor:
    """An executor of fresh processes. They ignore an interrupt, and do not outlive a parent that is killed."""
    spawn = multiprocessing.get_context("spawn")
    return concurrent.futures.ProcessPoolExecutor(processes, spawn, _begin)


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the parent: what we have begun, we finish
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Without this, a worker would wait for ever for work: it holds both ends of the pipe that brings it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
