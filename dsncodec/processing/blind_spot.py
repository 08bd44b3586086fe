"""Method "blind_spot" of denoise: networks that see a pixel's neighbours and not the pixel, fitted to the one picture at hand.

CocoNet's coordinates say where a pixel is; a few of its neighbours say far more of its colour, and a picture has enough
pixels to learn how. docs/decisions/0013-coconet.md has what each part brings.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..methods.coconet.fit import Budget, Clock, Report, threads_of
from .local_network import BATCH, RING, STRIP, Networks, through, turned
from .noise import LEAST_SIGMA, sigma_of

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]

COPIES = 2  # networks of a picture, each kept from other pixels
HELD = 0.1  # part of the pixels that a network is kept from
EVERY = 10  # steps between two looks at what was held out
PATIENCE = 5  # looks without anything better, and a fit ends
RING_SIDES = (5, 9)  # sides of the squares whose means a network gets, in pixels
OCTAVES = 1  # of the coordinates' sines and cosines
LR_DENOISING = 6e-3
JITTER = 1.0  # noise added to the neighbours while fitting, in parts of the picture's own
FIRST_SPREAD = 0.3  # of the colours that a network thinks possible, at the start; the picture's spread is 1
PROBES = 256  # pixels whose error is reported


class BlindSpot:
    """Networks that guess a pixel's colour from its surroundings, without a look at the pixel itself.

    Inputs are the eight neighbours, the means of wider squares without the pixel, and its coordinates; outputs are the mean and the
    covariance of a normal distribution of the colour. Noise that differs from pixel to pixel cannot be guessed, so the guess is of
    the true colour. What the noisy pixel says is then joined with it by the rule of Bayes.

    Source: Laine et al., "High-quality self-supervised deep image denoising", 2019, with coordinates, and a network each picture.

    Args:
        pictures: (N, H, W, planes) uint8.
        sigmas: of the noise, (N,), in grey levels.
    """

    def __init__(self, pictures: UInt8Array, sigmas: FloatArray, copies: int, seed: int) -> None:
        self.count, self.height, self.width, self.planes = pictures.shape
        self.copies = copies
        colours = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2), np.float32))
        self.middle = colours.mean((2, 3), keepdim=True)
        self.spread = (colours - self.middle).square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=1)
        colours = (colours - self.middle) / self.spread
        self.sigmas = torch.from_numpy(sigmas) / self.spread.flatten()
        self.noise = torch.eye(self.planes) * self.sigmas[:, None, None, None] ** 2  # (N, 1, planes, planes)
        self.noise = self.noise.repeat_interleave(copies, 0)
        self.colours = colours.flatten(2)
        self.framed = F.pad(colours, (1, 1, 1, 1), "replicate").flatten(2)
        self.ring_means = torch.cat([_mean_around(colours, side).flatten(2) for side in RING_SIDES], 1)
        self.generator = torch.Generator().manual_seed(seed)
        inputs = self.planes * (len(RING) + len(RING_SIDES)) + 2 + 4 * OCTAVES
        outputs = self.planes + self.planes * (self.planes + 1) // 2
        self.networks = Networks(self.count * copies, inputs, outputs, LR_DENOISING, self.generator)
        self.seen = torch.rand(copies, self.height * self.width, generator=self.generator) >= HELD

    def _inputs(self, at: Tensor, turn: int, jitter: float) -> tuple[Tensor, Tensor]:
        """Inputs of pixels, (N copies, inputs, n), and the neighbours' mean (N copies, planes, n).

        Args:
            at: numbers of the pixels, (n,).
            turn: 0..7: how the neighbours are turned and mirrored; the guess must not depend on it.
        """
        row, column = at // self.width, at % self.width
        offsets = torch.tensor([y * (self.width + 2) + x for y, x in (turned(o, turn) for o in RING)])
        places = (row + 1) * (self.width + 2) + column + 1 + offsets[:, None]
        ring = self.framed[:, :, places].repeat_interleave(self.copies, 0)  # (N copies, planes, 8, n)
        if jitter:
            strength = jitter * self.sigmas.repeat_interleave(self.copies)[:, None, None, None]
            ring = ring + strength * torch.randn(ring.shape, generator=self.generator)
        where = torch.stack([(column + 0.5) / self.width, (row + 0.5) / self.height]) * 2 - 1
        waves = [where * (math.pi * 2**octave) for octave in range(OCTAVES)]
        coordinates = torch.cat([where, *(part for wave in waves for part in (wave.sin(), wave.cos()))])
        inputs = [
            ring.flatten(1, 2),
            self.ring_means[:, :, at].repeat_interleave(self.copies, 0),
            coordinates.expand(len(ring), -1, -1),
        ]
        return torch.cat(inputs, 1), ring.mean(2)

    def guesses(
        self, layers: list[Tensor] | list[nn.Parameter], at: Tensor, turn: int = 0, jitter: float = 0
    ) -> tuple[Tensor, Tensor]:
        """Mean (N copies, n, planes) and covariance (N copies, n, planes, planes) of the true colours."""
        inputs, around = self._inputs(at, turn, jitter)
        outputs = through(layers, inputs).transpose(1, 2)
        rows, columns = torch.tril_indices(self.planes, self.planes)
        root = torch.zeros(*outputs.shape[:2], self.planes, self.planes)
        root[..., rows, columns] = outputs[..., self.planes :]
        root = root + FIRST_SPREAD * torch.eye(self.planes)
        return around.transpose(1, 2) + outputs[..., : self.planes], root @ root.transpose(-1, -2)

    def nll(
        self,
        layers: list[Tensor] | list[nn.Parameter],
        at: Tensor,
        counted: Tensor,
        turn: int = 0,
        jitter: float = 0,
    ) -> Tensor:
        """How unlikely the noisy pixels are under the guesses, (N copies,): twice their mean negative log likelihood.

        Args:
            counted: which of the pixels each copy is judged by, (copies, n) bool.
        """
        mean, covariance = self.guesses(layers, at, turn, jitter)
        weights = counted.float().repeat(self.count, 1)
        root = torch.linalg.cholesky(covariance + self.noise)
        apart = (self._noisy(at) - mean)[..., None]
        each = torch.linalg.solve_triangular(root, apart, upper=False)[..., 0].square().sum(-1)
        each = each + 2 * root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return (each * weights).sum(1) / weights.sum(1).clamp(min=1)

    def _noisy(self, at: Tensor) -> Tensor:
        """(N copies, n, planes)."""
        return self.colours[:, :, at].transpose(1, 2).repeat_interleave(self.copies, 0)

    def chosen(self, most: int) -> Tensor:
        """Numbers of pixels: all, or as many as ``most``, drawn."""
        count = self.height * self.width
        return (
            torch.arange(count) if count <= most else torch.randint(count, (most,), generator=self.generator)
        )

    def fit(self, clock: Clock, report: Report | None) -> list[Tensor]:
        """The weights with which each picture's held out pixels are likeliest."""
        looked_at = self.chosen(4 * BATCH)
        kept = [layer.clone() for layer in self.networks.mean]
        least, stale = torch.full((self.count,), math.inf), torch.zeros(self.count)
        while clock.progress < 1 and bool((stale < PATIENCE).any()):
            at = self.chosen(BATCH)
            losses = self.nll(self.networks.layers, at, self.seen[:, at], turn=clock.step % 8, jitter=JITTER)
            self.networks.learn(losses)
            clock.step += 1
            if report is not None:
                report(clock.progress, self._squared_error(at[:PROBES]))
            if clock.step > 1 and clock.step % EVERY:
                continue
            with torch.no_grad():
                found = self.nll(self.networks.mean, looked_at, ~self.seen[:, looked_at])
            found = found.reshape(self.count, self.copies).mean(1)
            better = found < least
            least, stale = torch.where(better, found, least), torch.where(better, 0.0, stale + 1)
            for old, new in zip(kept, self.networks.mean):
                old.copy_(torch.where(better.repeat_interleave(self.copies)[:, None, None], new, old))
        return kept

    @torch.no_grad()
    def _squared_error(self, at: Tensor) -> float:
        """Between guesses and noisy pixels, of colours in 0..1."""
        apart = (self.guesses(self.networks.layers, at)[0] - self._noisy(at)) * self.spread.repeat_interleave(
            self.copies, 0
        )[..., 0]
        return float((apart / 255).square().mean())

    @torch.no_grad()
    def picture(self, layers: list[Tensor]) -> UInt8Array:
        """(N, H, W, planes): guesses joined with the noisy pixels; the mean of all copies and turns."""
        parts = []
        count = self.height * self.width
        for start in range(0, count, STRIP):
            at = torch.arange(start, min(start + STRIP, count))
            noisy, total = self._noisy(at), torch.zeros(())
            for turn in range(8):
                mean, covariance = self.guesses(layers, at, turn)
                root = torch.linalg.cholesky(covariance + self.noise)
                moved = covariance @ torch.cholesky_solve((noisy - mean)[..., None], root)
                total = total + mean + moved[..., 0]
            parts.append((total / 8).reshape(self.count, self.copies, len(at), self.planes).mean(1))
        colours = (
            torch.cat(parts, 1).transpose(1, 2).reshape(self.count, self.planes, self.height, self.width)
        )
        values = (colours * self.spread + self.middle + 0.5).clamp(0, 255).to(torch.uint8)
        return np.ascontiguousarray(values.permute(0, 2, 3, 1).numpy())


def _mean_around(colours: Tensor, side: int) -> Tensor:
    """Means of squares (N, planes, H, W) without their middle pixels; beyond the edge the picture goes on as it ends."""
    framed = F.pad(colours, (side // 2,) * 4, "replicate")
    return (F.avg_pool2d(framed, side, 1) * side**2 - colours) / (side**2 - 1)


def denoised(
    pictures: UInt8Array,
    budget: Budget,
    sigma: float | None = None,
    copies: int = COPIES,
    threads: int = 1,
    report: Report | None = None,
    seed: int = 0,
) -> UInt8Array:
    """Pictures of one size (N, H, W, planes) without their noise.

    Args:
        sigma: of the noise, in grey levels; default: what ``sigma_of`` says of each picture.
    """
    sigmas = [sigma_of(pixels) if sigma is None else sigma for pixels in pictures]
    with threads_of(threads):
        blind = BlindSpot(pictures, np.maximum(np.array(sigmas, np.float32), LEAST_SIGMA), copies, seed)
        return blind.picture(blind.fit(Clock(budget), report))
