"""Method "zero_shot" of upsample: a network learns from a picture's own halves what bicubic upsampling lacks.

docs/decisions/0013-coconet.md has what each part brings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..methods.coconet.fit import Budget, Clock, Report, threads_of
from .local_network import BATCH, RING, STRIP, Networks, through, turned

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]

LR_ENLARGING = 3e-3, 6e-5  # from, to, along a cosine
STEPS_ENLARGING = 1200
PARENT_SCALES = (
    1.0,
    0.8,
    0.64,
    0.5,
)  # sizes of the picture from which a network learns what is lost in halves
EXAMPLES = 2**14  # small pixels of a parent, at most
EXAMPLE_JITTER = 0.0125  # noise in the neighbours while learning, of 0..1: a picture has few examples
GAIN = 4.0  # differences of colours are small numbers
ROUNDS = 5  # of making the large picture shrink to what it came from


def resized(colours: FloatArray, height: int, width: int) -> FloatArray:
    """(H, W, planes) by Pillow's bicubic filter, which is antialiased where it shrinks."""
    planes = [
        Image.fromarray(np.ascontiguousarray(plane)).resize((width, height), Image.Resampling.BICUBIC)
        for plane in colours.transpose(2, 0, 1)
    ]
    return np.stack([np.asarray(plane) for plane in planes], -1)


def matched(large: FloatArray, small: FloatArray) -> FloatArray:
    """The large picture changed until it shrinks to the small one (Irani and Peleg, 1991)."""
    height, width = small.shape[:2]
    for _ in range(ROUNDS):
        large = large + resized(small - resized(large, height, width), *large.shape[:2])
    return large


def corners(small: FloatArray) -> Iterator[tuple[int, int, FloatArray]]:
    """Inputs of each quarter of a small picture's pixels, seen twice, the second time transposed.

    Yields:
        (y, x), which quarter; and (planes * 8, H * W): the neighbours' differences from the pixel, turned so that the quarter is
        always the same one.
    """
    height, width, planes = small.shape
    framed = np.pad(small, ((1, 1), (1, 1), (0, 0)), "edge")
    for turn in range(8):
        apart = []
        for offset in RING:
            y, x = turned(offset, turn)
            apart.append(framed[1 + y : 1 + y + height, 1 + x : 1 + x + width] - small)
        inputs = np.stack(apart).transpose(3, 0, 1, 2).reshape(planes * len(RING), height * width)
        y, x = turned((1, 1), turn)
        yield int(y > 0), int(x > 0), inputs * np.float32(GAIN)


def examples(picture: FloatArray, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Training pairs of a picture and its own halves: inputs (inputs, n), and what bicubic upsampling lacks there, (planes, n)."""
    height, width, planes = picture.shape
    seen, lacking = [np.empty((planes * len(RING), 0), np.float32)], [np.empty((planes, 0), np.float32)]
    for size in PARENT_SCALES:
        rows, columns = (int(side * size) // 2 for side in (height, width))
        if min(rows, columns) < 2:
            continue
        parent = resized(picture, 2 * rows, 2 * columns)
        small = np.round(resized(parent, rows, columns) * 255) / np.float32(255)
        lack = (parent - resized(small, 2 * rows, 2 * columns)) * np.float32(GAIN)
        some = generator.permutation(rows * columns)[:EXAMPLES]
        for y, x, inputs in corners(small):
            seen.append(inputs[:, some])
            lacking.append(lack[y::2, x::2].reshape(-1, planes).T[:, some])
    return tuple(torch.from_numpy(np.concatenate(parts, 1)) for parts in (seen, lacking))  # type: ignore[return-value]


def upsample2x(picture: FloatArray, guess: Callable[[Tensor], Tensor]) -> FloatArray:
    """Twice as large: bicubic, and what the network says is lacking; the mean of its two views of each quarter."""
    height, width, planes = picture.shape
    large = resized(picture, 2 * height, 2 * width)
    for y, x, inputs in corners(picture):
        parts = [
            guess(torch.from_numpy(inputs[:, at : at + STRIP])[None])
            for at in range(0, height * width, STRIP)
        ]
        lacking = torch.cat(parts, -1)[0].numpy().T.reshape(height, width, planes)
        large[y::2, x::2] += lacking / np.float32(2 * GAIN)
    return large


def enlarged(
    pixels: UInt8Array,
    scale: int,
    budget: Budget,
    threads: int = 1,
    report: Report | None = None,
    seed: int = 0,
) -> UInt8Array:
    """A picture (H, W, planes) at ``scale`` times its size.

    A network learns from the picture's own halves what bicubic enlargement lacks, in each quarter of a pixel, and doubles the
    picture; the rest is bicubic, for of a blurred picture it has learned nothing. Each time the result is changed until it shrinks
    to the picture again.

    Source: Glasner, Bagon and Irani, "Super-resolution from a single image", 2009; Shocher, Cohen and Irani, "Zero-shot
    super-resolution using deep internal learning", 2018; our network is smaller.
    """
    if scale == 1:
        return pixels
    small = pixels.astype(np.float32) / np.float32(255)
    height, width = pixels.shape[:2]
    with threads_of(threads):
        networks = _trained(small, budget, report, seed)

        @torch.no_grad()
        def guess(inputs: Tensor) -> Tensor:
            return through(networks.mean, inputs)

        large = matched(upsample2x(small, guess), small)
    if scale != 2:
        large = matched(resized(large, height * scale, width * scale), small)
    return np.clip(large * 255 + 0.5, 0, 255).astype(np.uint8)


def _trained(small: FloatArray, budget: Budget, report: Report | None, seed: int) -> Networks:
    """A network that has learned from the picture's halves; where it has none, one that says nothing is lacking."""
    generator = torch.Generator().manual_seed(seed)
    inputs, lacking = examples(small, np.random.default_rng(seed))
    networks = Networks(1, len(inputs), len(lacking), LR_ENLARGING[0], generator)
    count = inputs.shape[1]
    if not count:
        networks.mean[-1].zero_()
        return networks
    clock = Clock(Budget(budget.seconds, min(STEPS_ENLARGING, budget.steps or STEPS_ENLARGING)))
    high, low = LR_ENLARGING
    while (progress := clock.progress) < 1:
        for group in networks.optimizer.param_groups:
            group["lr"] = low + (high - low) * 0.5 * (1 + math.cos(math.pi * progress))
        chosen = torch.randint(count, (min(2 * BATCH, count),), generator=generator)
        some = inputs[:, chosen]
        some = some + GAIN * EXAMPLE_JITTER * torch.randn(some.shape, generator=generator)
        losses = (through(networks.layers, some[None]) - lacking[:, chosen]).square().mean((1, 2))
        networks.learn(losses)
        clock.step += 1
        if report is not None:
            report(clock.progress, float(losses.detach().mean()) / GAIN**2)
    return networks
