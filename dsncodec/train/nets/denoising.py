"""A network that takes noise out of pictures: the body of the restoration networks, told how strong the noise is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .restoration import RestorationConfig, RestorationNet

# What restoration networks are told of a codec's quality; noise has none
QUALITY = 0.5


@dataclass(frozen=True)
class DenoisingConfig:
    """What fixes the shapes of a denoising network."""

    block: int = 2  # pixels (block x block) that the body sees as one
    width: int = 64
    blocks: int = 4


class DenoisingNet(nn.Module):
    """Noisy RGB and the standard deviation of its noise to RGB without it.

    Input (N, 3, H, W) in [0, 1], H and W multiples of ``unit``, and (N, 1, 1, 1), on the same scale and above 0; output (N, 3, H, W),
    not clipped. Source: a map of the noise's strength beside the picture, and half the resolution, are those of Zhang et al., "FFDNet", 2018; the rest is ``RestorationNet``'s.
    """

    scale = 1

    def __init__(self, config: DenoisingConfig) -> None:
        super().__init__()
        self.config = config
        self.body = RestorationNet(RestorationConfig(config.block, config.width, config.blocks))
        self.unit = config.block

    @property
    def radius(self) -> int:
        """How far a pixel is seen, in pixels."""
        return self.body.radius

    def forward(self, picture: Tensor, sigma: Tensor) -> Tensor:
        out: Tensor = self.body(picture, torch.full_like(sigma, QUALITY), sigma)
        return out

    def load_from(self, weights: Mapping[str, Tensor]) -> None:
        """Weights of such a network of at most this width and this many blocks."""
        self.body.load_from({name.removeprefix("body."): value for name, value in weights.items()})
