"""Small networks from a pixel's neighbours to what is to be known of it, fitted to the one picture at hand."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]

WIDTHS = (64, 64)  # of the hidden layers
LATELY = 0.02  # how much of the weights' mean is the last step's
BATCH = 4096  # pixels of a step, at most
STRIP = 16_384  # pixels that are drawn at a time
RING = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]  # offsets of the 8 neighbours


class Networks:
    """N networks of one shape, and the mean of each one's latest weights, which is what counts in the end."""

    def __init__(self, count: int, inputs: int, outputs: int, lr: float, generator: torch.Generator) -> None:
        sides = [inputs, *WIDTHS, outputs]
        self.layers: list[nn.Parameter] = []
        for columns, rows in zip(sides, sides[1:]):
            spread = (6 / columns) ** 0.5 * (0.1 if len(self.layers) == len(WIDTHS) else 0.5**0.5)
            weights = (2 * torch.rand(count, rows, columns, generator=generator) - 1) * spread
            self.layers.append(nn.Parameter(torch.cat([weights, torch.zeros(count, rows, 1)], -1)))
        self.mean = [layer.detach().clone() for layer in self.layers]
        self.optimizer = torch.optim.Adam(self.layers, lr, betas=(0.9, 0.99))
        self.steps = 0

    def learn(self, losses: Tensor) -> None:
        """One step down the losses (N,)."""
        losses.sum().backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.steps += 1
        with torch.no_grad():
            latest = [layer.detach() for layer in self.layers]
            torch._foreach_lerp_(self.mean, latest, max(LATELY, 1 / self.steps))


def through(layers: list[Tensor] | list[nn.Parameter], h: Tensor) -> Tensor:
    """(N, inputs, n) to (N, outputs, n); SiLU between."""
    for at, layer in enumerate(layers):
        h = torch.baddbmm(layer[:, :, -1:], layer[:, :, :-1], h)
        if at < len(layers) - 1:
            h = F.silu(h)
    return h


def turned(offset: tuple[int, int], turn: int) -> tuple[int, int]:
    """An offset (y, x) in one of the eight positions of a square."""
    y, x = offset
    y, x = (-y if turn & 1 else y), (-x if turn & 2 else x)
    return (x, y) if turn & 4 else (y, x)
