"""The workers of a Dask cluster as an executor. Needs the extra [cluster]."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor

import distributed

from ..errors import DsnError

PATIENCE_S = 30.0  # without any worker
CLOSING_S = 5.0


@contextlib.contextmanager
def connected(address: str, timeout_s: float = 30.0) -> Iterator[distributed.Client]:
    """A client of the scheduler at an address, such as tcp://host:8786, or in a scheduler's file.

    Raises:
        DsnError: nobody answers there.
    """
    where = {"scheduler_file": address} if os.path.isfile(address) else {"address": address}
    try:
        client = distributed.Client(**where, timeout=timeout_s, set_as_default=False)
    except (OSError, ValueError) as exc:
        raise DsnError(f"no Dask scheduler answers at {address}: {exc}") from exc
    with _silent():
        try:
            yield client
        finally:
            # a scheduler that is gone cannot be told
            with contextlib.suppress(Exception):
                client.close(timeout=CLOSING_S)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Without the tracebacks that Dask logs when a connection ends: what is lost is said by an exception."""
    loggers = [logging.getLogger(name) for name in ("distributed", "asyncio", "tornado.application")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before):
            logger.setLevel(level)


def executor(client: distributed.Client) -> Executor:
    """All its workers. No result of an earlier run is taken for one of ours."""
    found: Executor = client.get_executor(pure=False)
    return found


def watched(client: distributed.Client, patience_s: float = PATIENCE_S) -> Callable[[], int]:
    """``capacity``, for as long as there is a cluster.

    What it gives raises DsnError: the scheduler is lost, or for so long there has been no worker.
    """
    seen = time.monotonic()

    def look() -> int:
        nonlocal seen
        lost = "the Dask scheduler is lost: the same command goes on from here"
        if client.status != "running":
            raise DsnError(lost)
        try:
            threads = sum(client.nthreads().values())
        except Exception as exc:
            raise DsnError(lost) from exc
        if threads:
            seen = time.monotonic()
        elif time.monotonic() - seen > patience_s:
            raise DsnError(
                f"the Dask cluster has had no worker for {patience_s:g} s: the same command goes on from here"
            )
        return 2 * max(1, threads)

    return look


def capacity(client: distributed.Client) -> int:
    """Two tasks for each thread there is now, so that none waits for the network."""
    return 2 * max(1, sum(client.nthreads().values()))
