"""Networks from pictures to pictures: RGB in, RGB out, tile by tile where the network looks only so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import LimitExceeded
from ..planes import crop_padded
from . import registry
from .inference import Network, Window, common, moved, network, scaled, tiles

UInt8Array = NDArray[np.uint8]
Report = Callable[[float], None]

TILE = 256  # pixels of a side of a tile's output, about
LARGEST_TILE = 768  # of a network that looks far: ten times its halo, so that computing the halo costs less than half again
MAX_WHOLE_PIXELS = 2**24  # of a picture that a network must see all of: some 7 GiB of its memory
SAMPLE_PIXELS = 2**20  # of what moments are taken from: a larger picture stands for itself in parts
SAMPLE_BLOCK = 64  # rows or columns of such a part


def run(
    row: registry.ImageNetwork,
    colour: UInt8Array,
    threads: int,
    report: Report | None = None,
    told: Sequence[NDArray[np.float32]] = (),
) -> UInt8Array:
    """What a network makes of a picture.

    Args:
        colour: (H, W, 3), or (H, W, 1) for grey, which is given as three equal planes.
        report: called after each tile with the part of them that is done.
        told: further inputs of a network that takes some, (C, 1, 1) each.
    Returns:
        (H * scale, W * scale, 3): the same for any size of the tiles, but for rounding.
    Raises:
        LimitExceeded: the network must see the picture whole, and it has more than 2**24 pixels.
        MissingComponent: the weight file is absent or was changed.
    """
    net = network(registry.checked_file(row), threads)
    known = [*told, *_known(row, net, colour, threads)]
    unit, scale = row.unit, row.scale
    height, width = colour.shape[:2]
    whole = row.halo is None or (row.statistics and height * width <= SAMPLE_PIXELS)
    bounds = -(-height // unit) * unit, -(-width // unit) * unit
    everything: Window = (slice(0, bounds[0]), slice(0, bounds[1]))
    if whole:
        if height * width > MAX_WHOLE_PIXELS:
            raise LimitExceeded(
                f"{row.name} sees a picture whole, up to {MAX_WHOLE_PIXELS} pixels; this one has {height * width}",
                asked=height * width,
                limit=MAX_WHOLE_PIXELS,
            )
        parts = tiles(everything, bounds, max(bounds), 0)
    else:
        assert row.halo is not None
        side = max(TILE, min(10 * row.halo * scale, LARGEST_TILE)) // scale
        side = max(unit, side // unit * unit)
        parts = tiles(everything, bounds, side, row.halo)
    out = np.empty((height * scale, width * scale, 3), np.uint8)
    inside: Window = (slice(0, height), slice(0, width))
    every = list(parts)
    for done, tile in enumerate(every, 1):
        planes = _planes(crop_padded(colour, *tile.outer))
        part = common(tile.inner, inside)
        made = net(planes, *known)[:, *scaled(moved(part, tile.outer), scale)].transpose(1, 2, 0)
        out[scaled(part, scale)] = np.clip(made * np.float32(255) + np.float32(0.5), 0, 255).astype(np.uint8)
        if report is not None:
            report(done / len(every))
    return out


def _known(
    row: registry.ImageNetwork, net: Network, colour: UInt8Array, threads: int
) -> list[NDArray[np.float32]]:
    """What a network must know of the whole picture, as its further inputs."""
    if (moments := registry.checked_moments(row)) is not None:
        return [network(moments, threads)(_planes(sampled(colour)))]
    if not row.statistics:
        return []
    own, others = (np.full((1, 1, 1), share, np.float32) for share in (0, 1))
    none = np.zeros((row.statistics, 1, 1), np.float32)
    if colour.shape[0] * colour.shape[1] <= SAMPLE_PIXELS:
        return [none, own]
    part = sampled(colour)
    rows, columns = (slice(0, -(-side // row.unit) * row.unit) for side in part.shape[:2])
    return [net(_planes(crop_padded(part, rows, columns)), none, own, output=1), others]


def sampled(colour: UInt8Array) -> UInt8Array:
    """The picture, or if it has more than 2**20 pixels, strips of its rows and columns at even distances, put together.

    Details keep their size, which they would not in a reduced picture: what each costs is in
    docs/decisions/0015-enhancement.md.
    """
    kept = [np.arange(side) for side in colour.shape[:2]]
    every = [1, 1]
    while len(kept[0]) * len(kept[1]) > SAMPLE_PIXELS:
        axis = int(len(kept[1]) > len(kept[0]))
        every[axis] += 1
        kept[axis] = np.flatnonzero(np.arange(colour.shape[axis]) // SAMPLE_BLOCK % every[axis] == 0)
    return colour if every == [1, 1] else colour[np.ix_(*kept)]


def _planes(rgb: UInt8Array) -> NDArray[np.float32]:
    """(3, H, W) from 0 to 1, of colour or of grey."""
    if rgb.shape[2] == 1:
        rgb = rgb.repeat(3, 2)
    return np.ascontiguousarray(rgb.transpose(2, 0, 1)).astype(np.float32) / np.float32(255)
