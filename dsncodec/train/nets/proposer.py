"""The network that proposes the latents of method "latentgrid": a picture in, the latents of its seven grids out.

One pass takes the place of a fit's first steps, as in N-O Cool-chic (EUSIPCO 2024). Only the encoder runs it; a file says nothing of
it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...methods.latentgrid.entropy_model import GRIDS
from ...methods.latentgrid.weights import Weights


@dataclass(frozen=True)
class ProposerConfig:
    """What fixes the shapes: ``widths`` and residual ``blocks`` of each level, the finest first; and how many ``decoders`` there are,
    with a synthesis of which width."""

    widths: tuple[int, ...] = (16, 32, 48, 64, 64, 64, 64)
    blocks: tuple[int, ...] = (0, 1, 2, 2, 2, 1, 1)
    conditioning: int = 32
    decoders: int = 5
    synthesis: int = 32


class Proposer(nn.Module):
    """RGB (N, 3, H, W) in [0, 1] and ``price`` (N, 1), see ``methods.latentgrid.proposer``, to seven latents (N, 1, H / 2^k, W / 2^k).

    H and W are multiples of ``unit``. Features are taken from fine to coarse, then latents from coarse to fine, so that each grid knows
    what the coarser ones are about. About 23 kMAC a pixel.
    """

    unit = 2 ** (GRIDS - 1)

    def __init__(self, config: ProposerConfig) -> None:
        super().__init__()
        self.config = config
        self.hidden = nn.Linear(1, config.conditioning)
        levels = [Level(config, k) for k in range(GRIDS)]
        self.levels: Iterable[Level] = nn.ModuleList(levels)  # type: ignore[assignment]

    def forward(self, picture: Tensor, price: Tensor) -> tuple[Tensor, ...]:
        f, price = picture - 0.5, F.relu(self.hidden(price))
        looked: list[tuple[Level, Tensor]] = []
        for level in self.levels:
            f = level.look(f, price)
            looked.append((level, f))
        latents: list[Tensor] = []
        coarser = None
        for level, f in reversed(looked):
            coarser = level.decide(f, coarser, price)
            latents.append(level.latents(coarser))
        return tuple(reversed(latents))


class Level(nn.Module):
    """What belongs to grid k: its features, and what it is told of the coarser ones."""

    def __init__(self, config: ProposerConfig, k: int) -> None:
        super().__init__()
        width, finer = config.widths[k], (3, *config.widths)[k]
        self.down = nn.Conv2d(finer, width, 3, 2 if k else 1, 1)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(config.blocks[k])))
        self.up = nn.Conv2d(config.widths[k + 1], width, 1) if k + 1 < GRIDS else None
        self.fuse = nn.Conv2d(width, width, 3, 1, 1)
        self.tail = nn.Conv2d(width, 1, 3, 1, 1)
        self.modulation = nn.Linear(config.conditioning, 4 * width)
        nn.init.normal_(self.tail.weight, 0.0, 0.1 / width**0.5)
        nn.init.normal_(self.modulation.weight, 0.0, 0.02)
        for bias in (self.tail.bias, self.modulation.bias):
            assert bias is not None
            nn.init.zeros_(bias)

    def look(self, finer: Tensor, price: Tensor) -> Tensor:
        """Features (N, C, h, w), of those of the finer level, or of the picture."""
        scale, shift = self._modulated(price)[:2]
        out: Tensor = self.blocks(F.relu(self.down(finer) * (1 + scale) + shift))
        return out

    def decide(self, features: Tensor, coarser: Tensor | None, price: Tensor) -> Tensor:
        """The same, with what the coarser level has decided."""
        if self.up is not None and coarser is not None:
            features = features + F.interpolate(self.up(coarser), scale_factor=2.0)
        scale, shift = self._modulated(price)[2:]
        return F.relu(self.fuse(features) * (1 + scale) + shift)

    def latents(self, decided: Tensor) -> Tensor:
        """(N, 1, h, w), in single precision: half would be as coarse as the noise."""
        with torch.autocast(decided.device.type, enabled=False):
            found: Tensor = self.tail(decided.float())
        return found

    def _modulated(self, price: Tensor) -> tuple[Tensor, ...]:
        return self.modulation(price)[:, :, None, None].chunk(4, 1)


class ProposerNets(nn.Module):
    """A proposer, and for each of several lmbdas the weights of a decoder, one vector as ``Weights.flat``."""

    def __init__(self, config: ProposerConfig) -> None:
        super().__init__()
        self.proposer, self.width = Proposer(config), config.synthesis
        self.decoders = nn.Parameter(torch.zeros(config.decoders, Weights.zeros(self.width).flat.size))

    def weights(self, number: int) -> Weights:
        """Of the decoder for a lmbda."""
        return Weights(self.width, self.decoders[number].detach().float().cpu().numpy().copy())


class Block(nn.Module):
    """f + conv(relu(conv(f))), 3 x 3 both."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(width, width, 3, 1, 1), nn.Conv2d(width, width, 3, 1, 1)
        nn.init.normal_(self.second.weight, 0.0, 0.1 / (9 * width) ** 0.5)

    def forward(self, f: Tensor) -> Tensor:
        out: Tensor = f + self.second(F.relu(self.first(f)))
        return out
