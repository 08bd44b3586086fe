"""The workers of a Dask cluster as an executor. Needs the extra [cluster]."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import Executor

import distributed

from ..errors import DsnError


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
    with client:
        yield client


def executor(client: distributed.Client) -> Executor:
    """All its workers. No result of an earlier run is taken for one of ours."""
    found: Executor = client.get_executor(pure=False)
    return found


def capacity(client: distributed.Client) -> int:
    """Two tasks for each thread there is now, so that none waits for the network."""
    return 2 * max(1, sum(client.nthreads().values()))
