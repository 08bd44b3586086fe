"""How fast the products of small matrices run that the fit of latent grids is made of, when they do nothing else."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from dsncodec.kernels.elementary import jit
from dsncodec.methods.latentgrid.kernels.matmul import dense, outer_add

SIDE, LENGTH = 16, 768  # of a matrix, and of the rows it is multiplied with, as long as those of the fit
LOOPS = 4_000


@jit
def _dense_loop(w: Any, b: Any, x: Any, out: Any, loops: int) -> None:
    for _ in range(loops):
        dense(w, b, x, out, x.shape[1])


@jit
def _outer_loop(d: Any, x: Any, out: Any, loops: int) -> None:
    for _ in range(loops):
        outer_add(d, x, out, x.shape[1])


def mac_rates() -> tuple[float, float]:
    """MACs a second of this thread: of a matrix with rows, and of rows with rows, as for the gradient of a matrix."""
    rng = np.random.default_rng(0)
    w = rng.normal(0, 0.1, (SIDE, SIDE)).astype(np.float32)
    b = np.zeros(SIDE, np.float32)
    x, out = (rng.normal(0, 1, (SIDE, LENGTH)).astype(np.float32) for _ in range(2))
    macs = SIDE * SIDE * LENGTH * LOOPS
    found = []
    for loop, arguments in ((_dense_loop, (w, b, x, out)), (_outer_loop, (x, out, w))):
        loop(*arguments, 1)
        seconds = []
        for _ in range(3):
            w[:] = 0.1  # sums that are added to do not overflow
            begun = time.perf_counter()
            loop(*arguments, LOOPS)
            seconds.append(time.perf_counter() - begun)
        found.append(macs / min(seconds))
    return found[0], found[1]
