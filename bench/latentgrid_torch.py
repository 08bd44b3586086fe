"""A step of the fit of latent grids by torch, as one would write it there: what our loops are compared with."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dsncodec.methods.latentgrid.bitstream import grid_shapes
from dsncodec.methods.latentgrid.entropy_model import NEIGHBOURS
from dsncodec.methods.latentgrid.weights import random_weights

GRIDS = 7


def contexts(q: list[Tensor], k: int) -> Tensor:
    """(16, cells) of a grid; pictures of one band only."""
    h, w = q[k].shape
    padded = F.pad(q[k], (3, 3, 3, 0))
    rows = [padded[3 + y : 3 + y + h, 3 + x : 3 + x + w] for y, x in NEIGHBOURS]
    for level in (k + 1, k + 2):
        if level >= GRIDS:
            rows += [torch.zeros_like(q[k])] * (3 if level == k + 1 else 1)
            continue
        if level == k + 1:
            more = F.pad(q[level], (1, 1, 1, 1))
            rows += [enlarged(more[1:-1, 1:-1], 2, h, w), beside(more, 1, h, w), beside(more, 0, h, w)]
        else:
            rows.append(enlarged(q[level], 4, h, w))
    return torch.stack(rows).reshape(16, -1)


def enlarged(x: Tensor, times: int, h: int, w: int) -> Tensor:
    return x.repeat_interleave(times, 0)[:h].repeat_interleave(times, 1)[:, :w]


def beside(padded: Tensor, axis: int, h: int, w: int) -> Tensor:
    """Of each cell the neighbour of its parent that it lies next to, along an axis."""
    inner = padded[1:-1] if axis == 1 else padded[:, 1:-1]
    before, behind = (inner[:-2], inner[2:]) if axis == 0 else (inner[:, :-2], inner[:, 2:])
    both = torch.stack([before, behind], axis + 1).flatten(axis, axis + 1)
    return (both.repeat_interleave(2, 1) if axis == 0 else both.repeat_interleave(2, 0))[:h, :w]


def bits(q: list[Tensor], n: dict[str, Tensor]) -> Tensor:
    """Of all symbols."""
    total = torch.zeros((), dtype=q[0].dtype)
    for k in range(GRIDS):
        x = contexts(q, k)
        h1 = F.relu(torch.addmm(n["b1"][k][:, None], n["w1"], x))
        h2 = h1 + F.relu(torch.addmm(n["b2"][:, None], n["w2"], h1))
        location, octaves = torch.addmm(n["b3"][:, None], n["w3"], h2)
        scale = 0.02 * 2 ** octaves.clamp(0, 11.875)
        a = (q[k].reshape(-1) - location).abs()
        near = 1 - 0.5 * (torch.exp(-(0.5 - a).clamp_min(0) / scale) + torch.exp(-(0.5 + a) / scale))
        far = (a - 0.5) / scale / math.log(2) - torch.log2(0.5 * (1 - torch.exp(-1 / scale)))
        total = total + torch.where(a < 0.5, -torch.log2(near.clamp_min(1e-30)), far).sum()
    return total


def upsample2x(x: Tensor, taps: Tensor, rows: int, columns: int) -> Tensor:
    """(n, h, w) to (n, rows, columns)."""
    for axis, size in ((1, rows), (2, columns)):
        length = x.shape[axis]
        first, last = x.narrow(axis, 0, 1), x.narrow(axis, length - 1, 1)
        p = torch.cat([first, first, x, last, last], axis)
        even = sum(taps[i] * p.narrow(axis, i, length) for i in range(4))
        odd = sum(taps[3 - i] * p.narrow(axis, i + 1, length) for i in range(4))
        # four summands each: neither is the 0 of an empty sum, which mypy allows for
        x = torch.stack([even, odd], axis + 1).flatten(axis, axis + 1).narrow(axis, 0, size)  # type: ignore[list-item]
    return x


def squared(q: list[Tensor], n: dict[str, Tensor], target: Tensor) -> Tensor:
    """The squared error of the colours, clipped on the way out and not on the way back."""
    planes = q[-1][None]
    for k in range(GRIDS - 2, -1, -1):
        planes = torch.cat([q[k][None], upsample2x(planes, n["taps"][k], *q[k].shape)])
    v = planes.reshape(GRIDS, -1)
    hidden = F.relu(torch.addmm(n["pb"][:, None], n["p"], v))
    g = (n["q"] @ hidden + torch.addmm(n["qb"][:, None], n["s"], v)).reshape(1, 3, *q[0].shape)
    rgb = (g + F.conv2d(F.pad(g, (1, 1, 1, 1), mode="replicate"), n["k"]))[0]
    clipped = rgb + (rgb.clamp(0, 1) - rgb).detach()
    return (clipped - target).square().sum()


def soft_round(x: Tensor, temperature: float) -> Tensor:
    r = x - x.detach().floor() - 0.5
    return x.detach().floor() + 0.5 + torch.tanh(r / temperature) * (0.5 / math.tanh(0.5 / temperature))


def stepper(rgb: NDArray[np.uint8], threads: int, lmbda: float = 0.01) -> Callable[[], None]:
    """A function that does one step for a picture, (H, W, 3), H at most 512."""
    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    latents = [
        torch.tensor(rng.normal(0, 2, shape).astype(np.float32), requires_grad=True)
        for shape in grid_shapes(rgb.shape[:2])
    ]
    nets = {
        name: torch.tensor(part, requires_grad=True) for name, part in random_weights(32, 0).parts.items()
    }
    target = torch.tensor(rgb.transpose(2, 0, 1) / np.float32(255))
    pixels = rgb.shape[0] * rgb.shape[1]
    mover = torch.optim.Adam([*latents, *nets.values()], 0.01, fused=True)

    def step() -> None:
        q = []
        for y in latents:
            soft = soft_round(y, 0.3)
            q.append(soft_round(soft + 0.2 * torch.randn_like(soft), 0.3))
        loss = squared(q, nets, target) / (3 * pixels) + lmbda * bits(q, nets) / pixels
        mover.zero_grad()
        loss.backward()
        mover.step()

    return step
