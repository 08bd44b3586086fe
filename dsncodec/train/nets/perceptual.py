"""Perceptual super-resolution: a residual network that is trained on what a loss network sees.

Source: Johnson et al., "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", 2016, sections 3.1 and 4.2:
residual blocks at low resolution, then learned enlargement. Ours predicts what a bilinear enlargement lacks, enlarges by
pixel shuffle, is narrower, and has no batch norm: without global statistics it may be run in tiles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import SettingError

RESIDUAL_STD = 0.001  # of the last layer: training starts from the bilinear picture


@dataclass(frozen=True)
class PerceptualConfig:
    """What fixes the shapes. ``width`` channels at low resolution, ``fine`` beyond it; ``scale`` is a power of 2."""

    scale: int = 4
    width: int = 40
    fine: int = 28
    blocks: int = 5


def _conv(c_in: int, c_out: int) -> nn.Conv2d:
    conv = nn.Conv2d(c_in, c_out, 3, padding=1)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))), small at first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = _conv(width, width), _conv(width, width)
        nn.init.normal_(self.second.weight, 0.0, 0.1 * math.sqrt(2 / (9 * width)))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(x)))


class PerceptualNet(nn.Module):
    """RGB (N, 3, H, W) in [0, 1] to (N, 3, scale*H, scale*W) in about [0, 1]."""

    unit = 1

    def __init__(self, config: PerceptualConfig) -> None:
        super().__init__()
        doublings = config.scale.bit_length() - 1
        if config.scale < 2 or config.scale != 2**doublings:
            raise SettingError(f"scale must be a power of 2, not {config.scale}")
        self.config, self.scale = config, config.scale
        self.head = _conv(3, config.width)
        self.body = nn.Sequential(*(ResidualBlock(config.width) for _ in range(config.blocks)))
        widths = [config.width] + [config.fine] * doublings
        self.enlarge = nn.ModuleList(_conv(a, 4 * b) for a, b in zip(widths, widths[1:]))
        self.tail = _conv(config.fine, 3)
        nn.init.normal_(self.tail.weight, 0.0, RESIDUAL_STD)

    @property
    def radius(self) -> int:
        """Pixels of the input around a pixel that its enlargement depends on: a convolution reaches one pixel of the
        resolution it works at."""
        steps = [1.0] * (1 + 2 * self.config.blocks) + [0.5**i for i in range(len(self.enlarge) + 1)]
        return math.ceil(sum(steps)) + 1  # and one for rounding: half a fine pixel is not on the coarse grid

    def forward(self, x: Tensor) -> Tensor:
        f = self.head(x)  # (N, width, H, W)
        f = f + self.body(f)
        for conv in self.enlarge:
            f = F.relu(F.pixel_shuffle(conv(f), 2))  # (N, fine, 2H, 2W), and so on
        return self.tail(f) + F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)
