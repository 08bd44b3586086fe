"""PPCN: the fast network that enlarges pictures four times.

Source: Hui et al., "Perception-Preserving Convolutional Networks for Image Enhancement on Smartphones", 2018, Fig. 2 and
3.1; the slope of the leaky ReLU and where it stands are those of the code the authors published. Three things are ours,
and docs/decisions/0014-ppcn.md says why: the mean is a local one, the output is added to the bicubic picture, and the
bicubic enlargement is a part of the network.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SCALE = 4
SLOPE = 0.05  # of the leaky ReLU
AROUND = 5  # small pixels on a side of the square over which the mean is taken
DETAIL_GAIN = 8  # what is left without the mean is small
RESIDUAL_GAIN = 0.1  # of the layers that end a residual: at first it does little
TAIL_STD = 0.001


@dataclass(frozen=True)
class SuperResolutionConfig:
    """What fixes the shapes of the network."""

    width: int = 32
    groups: int = 2
    modules: int = 2


class ResidualModule(nn.Module):
    """f + conv(act(conv(f))), twice as wide in between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.widen = _conv(width, 2 * width)
        self.narrow = _conv(2 * width, width, RESIDUAL_GAIN)

    def forward(self, f: Tensor) -> Tensor:
        out: Tensor = f + self.narrow(_act(self.widen(f)))
        return out


class ResidualGroup(nn.Module):
    """Residual modules, a transition convolution, and a skip around all."""

    def __init__(self, width: int, modules: int) -> None:
        super().__init__()
        self.modules_ = nn.Sequential(*(ResidualModule(width) for _ in range(modules)))
        self.transition = _conv(width, width, RESIDUAL_GAIN)

    def forward(self, f: Tensor) -> Tensor:
        out: Tensor = f + self.transition(self.modules_(f))
        return out


class SuperResolution(nn.Module):
    """RGB to RGB four times as large: bicubic, brought back to the small size by strides, residuals, sub-pixels.

    Input (N, 3, h, w) in [0, 1]; output (N, 3, 4h, 4w), not clipped.
    """

    bicubic: Tensor
    scale = SCALE
    unit = 1

    def __init__(self, config: SuperResolutionConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.halve = _conv(3, width, stride=2)
        self.halve_again = _conv(width, 2 * width, stride=2)
        self.head = _conv(2 * width, width)
        self.groups = nn.Sequential(*(ResidualGroup(width, config.modules) for _ in range(config.groups)))
        self.last = _conv(width, width, RESIDUAL_GAIN)
        self.gather = _conv(width, width)
        self.tail = _conv(width, 3 * SCALE**2)
        nn.init.normal_(self.tail.weight, 0.0, TAIL_STD)
        self.register_buffer("bicubic", bicubic_filters(SCALE), persistent=False)

    @property
    def radius(self) -> int:
        """How far, in small pixels, the picture reaches the sixteen pixels of one: the halo of a tile.

        Two for the bicubic filter and for the mean, one for what the strides see of the block before; then each 3 x 3
        convolution adds one.
        """
        return 3 + 4 + self.config.groups * (2 * self.config.modules + 1)

    def forward(self, picture: Tensor) -> Tensor:
        large = enlarged(picture, self.bicubic)  # (N, 3, 4h, 4w)
        mean = F.avg_pool2d(picture, AROUND, 1, AROUND // 2, count_include_pad=False)
        detail = DETAIL_GAIN * (large - F.interpolate(mean, scale_factor=SCALE))
        start = self.head(_act(self.halve_again(_act(self.halve(detail)))))  # (N, 32, h, w)
        f = start + self.last(self.groups(start))
        return large + F.pixel_shuffle(self.tail(self.gather(f)), SCALE)


def bicubic_filters(scale: int) -> Tensor:
    """The bicubic kernel (Keys 1981, a = -1/2, as MATLAB and Pillow have it) at each of the scale * scale sub-pixels.

    Shape (scale * scale, 1, 5, 5): a convolution with them and a pixel shuffle enlarge a plane.
    """
    at = (
        torch.arange(scale, dtype=torch.float64) + 0.5
    ) / scale - 0.5  # of each sub-pixel, from the pixel's middle
    d = (torch.arange(-2, 3)[None] - at[:, None]).abs()  # (scale, 5)
    near, far = 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    taps = torch.where(d <= 1, near, torch.where(d < 2, far, 0.0))
    return torch.einsum("iy,jx->ijyx", taps, taps).reshape(-1, 1, 5, 5).float()


def enlarged(picture: Tensor, filters: Tensor) -> Tensor:
    """Bicubic enlargement, always in float32. Beyond its edges the picture repeats its last rows and columns."""
    count, channels, height, width = picture.shape
    scale = round(len(filters) ** 0.5)
    with torch.autocast(picture.device.type, enabled=False):
        planes = F.pad(picture.reshape(count * channels, 1, height, width), (2, 2, 2, 2), "replicate")
        large = F.pixel_shuffle(F.conv2d(planes, filters), scale)
    return large.reshape(count, channels, scale * height, scale * width)


def _conv(c_in: int, c_out: int, gain: float = 1.0, stride: int = 1) -> nn.Conv2d:
    conv = nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1)
    nn.init.kaiming_normal_(conv.weight, a=SLOPE)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    with torch.no_grad():
        conv.weight.mul_(gain)
    return conv


def _act(x: Tensor) -> Tensor:
    return F.leaky_relu_(x, SLOPE)
