"""Latents that a network proposes for a picture: where a fit begins, and with no step at all, what a file holds.

The network is the encoder's alone: files name the init of the weights only.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...networks import registry
from ...networks.inference import Window, network, tiles
from ...planes import crop_padded
from .bitstream import grid_shapes
from .entropy_model import GRIDS

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]

# Sides of the network's input are multiples: one cell of the coarsest grid
UNIT = 2 ** (GRIDS - 1)
# Pixels of a side of a tile, and what it sees around: the network sees further, but not much depends on it
TILE, HALO = 1024, 2 * UNIT
# What the network sees of lmbda, see ``train.nets.proposer``
MIDDLE, SPREAD = math.log2(2e-3), 3.3


@dataclass(frozen=True)
class Proposal:
    """Latents, one array for each grid, and the weights' init that they were trained with."""

    width: int
    init: bytes
    latents: list[FloatArray]


def price_of(lmbda: float) -> float:
    """What the network sees of lmbda."""
    return (math.log2(lmbda) - MIDDLE) / SPREAD


def propose(colour: UInt8Array, lmbda: float, tune: str, threads: int) -> Proposal | None:
    """For a picture (H, W, 1 or 3); None if no network is published for this tune. The same latents for any number of threads.

    Raises:
        MissingComponent: the weight file is absent or was changed.
    """
    row = registry.proposer(tune)
    if row is None:
        return None
    init = min(row.inits, key=lambda init: abs(math.log(init.lmbda / lmbda)))
    net, price = network(registry.checked_file(row), 1), np.array([price_of(lmbda)], np.float32)
    rows, columns = colour.shape[:2]
    latents = [np.zeros(shape, np.float32) for shape in grid_shapes((rows, columns))]
    bounds = -(-rows // UNIT) * UNIT, -(-columns // UNIT) * UNIT
    everything: Window = (slice(0, bounds[0]), slice(0, bounds[1]))

    def fill(tile: Window, outer: Window, crop: Window) -> None:
        rgb = crop_padded(colour, *outer)
        if rgb.shape[2] == 1:
            rgb = rgb.repeat(3, 2)
        planes = np.ascontiguousarray(rgb.transpose(2, 0, 1), np.float32) / np.float32(255)
        for k, found in enumerate(net.outputs(planes, price)):
            there, here = _coarser(tile, k), _coarser(crop, k)
            into = latents[k][there]
            into[:] = found[0][here][: into.shape[0], : into.shape[1]].clip(-127, 127)

    with ThreadPoolExecutor(threads) as pool:
        jobs = [
            pool.submit(fill, tile.inner, tile.outer, tile.crop)
            for tile in tiles(everything, bounds, TILE, HALO)
        ]
        for job in jobs:
            job.result()
    return Proposal(init.width, init.wire_id[:4], latents)


def _coarser(window: Window, k: int) -> Window:
    """The cells of grid k in a window."""
    y, x = window
    return slice(y.start >> k, y.stop >> k), slice(x.start >> k, x.stop >> k)
