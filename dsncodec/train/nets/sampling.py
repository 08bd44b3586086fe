"""Deep Sampling Networks: Down-SNet and Up-SNet for luma, and a small guided pair for chroma.

Source: Cai et al., "Deep Sampling Networks", 2017, Fig. 3 and Table 2. The chroma pair is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.05  # of the leaky ReLU, section 4.1
RESIDUAL_STD = 0.001  # of the layers that predict a residual, Table 2


@dataclass(frozen=True)
class SamplingConfig:
    """What fixes the shapes of one set of sampling networks."""

    scale: int = 3
    width: int = 64
    blocks: int = 3
    chroma_width: int = 48

    @property
    def chroma_scale(self) -> int:
        """Chroma is sampled at half the resolution of luma, as in JPEG 4:2:0."""
        return 2 * self.scale


def _conv(c_in: int, c_out: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    padding = 0 if stride > 1 else kernel // 2
    conv = nn.Conv2d(c_in, c_out, kernel, stride=stride, padding=padding)
    nn.init.kaiming_normal_(conv.weight, a=SLOPE)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv


def _residual(conv: nn.Conv2d) -> nn.Conv2d:
    nn.init.normal_(conv.weight, 0.0, RESIDUAL_STD)
    return conv


def _act(x: Tensor) -> Tensor:
    return F.leaky_relu_(x, SLOPE)


class DownSNet(nn.Module):
    """Down-SNet: average pooling plus a learned super-pixel residual (Eq. 1, Table 2 top).

    Input (N, 1, H, W) in [0, 1], H and W multiples of the scale; output (N, 1, H/s, W/s),
    before Q-BReLU. A pixel of the output depends on its s x s block and 3 pixels around it.
    """

    def __init__(self, config: SamplingConfig) -> None:
        super().__init__()
        self.scale = config.scale
        widths = [1] + [config.width] * 3
        self.features = nn.ModuleList(_conv(a, b, 3) for a, b in zip(widths, widths[1:]))
        self.shrink = _residual(_conv(config.width, 1, self.scale, stride=self.scale))

    def forward(self, x: Tensor) -> Tensor:
        f = x
        for conv in self.features:
            f = _act(conv(f))  # (N, 64, H, W)
        return F.avg_pool2d(x, self.scale) + self.shrink(f)  # (N, 1, H/s, W/s)


class UpSNet(nn.Module):
    """Up-SNet: the input tiled s*s times plus a learned sub-pixel residual (Eq. 4, Table 2 bottom).

    Input (N, 1, h, w) in [0, 1]; output (N, 1, s*h, s*w). Receptive radius: 4 input pixels.
    """

    def __init__(self, config: SamplingConfig) -> None:
        super().__init__()
        self.scale, k = config.scale, config.width
        self.head = _conv(1, k, 3)
        self.squeeze = nn.ModuleList(_conv(k * (i + 1), k, 1) for i in range(config.blocks))
        self.grow = nn.ModuleList(_conv(k, k, 3) for _ in range(config.blocks))
        self.tail = _residual(_conv(k * (config.blocks + 1), self.scale**2, 1))

    def forward(self, x: Tensor) -> Tensor:
        dense = _act(self.head(x))  # (N, 64, h, w)
        for squeeze, grow in zip(self.squeeze, self.grow):
            dense = torch.cat([dense, _act(grow(_act(squeeze(dense))))], 1)  # 64 more each time
        return F.pixel_shuffle(self.tail(dense) + x, self.scale)  # x broadcast over s*s maps


class UpGradient(nn.Module):
    """How Up-SNet's squared error changes with its input: what the encoder refines a latent with.

    Shares an UpSNet's weights; the backward pass is written out, so that it is a graph like any other.
    Input latent (N, 1, h, w) and the wanted luma (N, 1, s*h, s*w); output (N, 1, h, w), the gradient of
    half the sum of squared errors. Receptive radius: 8 latent pixels, 4 forward and 4 back.
    """

    def __init__(self, up: UpSNet) -> None:
        super().__init__()
        self.up = up

    def forward(self, x: Tensor, luma: Tensor) -> Tensor:
        up = self.up
        width = up.head.out_channels
        before_head = up.head(x)  # what each activation saw, for its slope on the way back
        dense = F.leaky_relu(before_head, SLOPE)
        before: list[tuple[Tensor, Tensor]] = []
        for squeeze, grow in zip(up.squeeze, up.grow):
            squeezed = squeeze(dense)
            grown = grow(F.leaky_relu(squeezed, SLOPE))
            before.append((squeezed, grown))
            dense = torch.cat([dense, F.leaky_relu(grown, SLOPE)], 1)
        error = F.pixel_unshuffle(F.pixel_shuffle(up.tail(dense) + x, up.scale) - luma, up.scale)
        back = _transposed(error, up.tail)  # (N, 64 * (blocks + 1), h, w): of each dense feature
        for i in reversed(range(len(before))):
            squeezed, grown = before[i]
            of_grown = back[:, width * (i + 1) :] * _slope(grown)
            of_squeezed = _transposed(of_grown, up.grow[i]) * _slope(squeezed)  # type: ignore[arg-type]
            back = back[:, : width * (i + 1)] + _transposed(of_squeezed, up.squeeze[i])  # type: ignore[arg-type]
        return error.sum(1, keepdim=True) + _transposed(back * _slope(before_head), up.head)


def _slope(x: Tensor) -> Tensor:
    return torch.where(x > 0, 1.0, SLOPE)


def _transposed(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """The gradient of a stride-1 convolution's input, as a convolution with the flipped kernel."""
    weight = conv.weight.flip(2, 3).transpose(0, 1)
    return F.conv2d(x, weight, padding=conv.padding)


class ChromaDown(nn.Module):
    """Chroma planes to their latent: average pooling plus a learned residual.

    Input (N, 2, H, W), H and W multiples of 2s; output (N, 2, H/2s, W/2s). Radius: 2 blocks.
    """

    def __init__(self, config: SamplingConfig) -> None:
        super().__init__()
        self.scale, k = config.chroma_scale, config.chroma_width
        self.blocks = _conv(2, k, self.scale, stride=self.scale)
        self.mix = _conv(k, k, 3)
        self.tail = _residual(_conv(k, 2, 3))

    def forward(self, x: Tensor) -> Tensor:
        f = _act(self.mix(_act(self.blocks(x))))  # (N, k, H/2s, W/2s)
        return F.avg_pool2d(x, self.scale) + self.tail(f)


class ChromaUp(nn.Module):
    """Chroma from its latent and the decoded luma.

    Each latent pixel's block is its own value, plus a sub-pixel residual, plus a gain times the
    luma detail inside the block: within a block colours mostly lie on a line along luma.

    Input latent (N, 2, h, w) and luma (N, 1, 2s*h, 2s*w); output (N, 2, 2s*h, 2s*w).
    Receptive radius: 3 latent pixels.
    """

    def __init__(self, config: SamplingConfig) -> None:
        super().__init__()
        self.scale, k = config.chroma_scale, config.chroma_width
        self.guide = _conv(1, k, self.scale, stride=self.scale)
        self.body = nn.ModuleList([_conv(k + 2, k, 3), _conv(k, k, 3), _conv(k, k, 3)])
        self.tail = _residual(_conv(k, 2 * self.scale**2 + 2, 1))

    def forward(self, x: Tensor, luma: Tensor) -> Tensor:
        s2 = self.scale**2
        f = torch.cat([x, _act(self.guide(luma))], 1)  # (N, k+2, h, w)
        for conv in self.body:
            f = _act(conv(f))
        f = self.tail(f)
        detail = F.pixel_unshuffle(luma, self.scale) - F.avg_pool2d(luma, self.scale)
        cb = f[:, :s2] + x[:, :1] + f[:, -2:-1] * detail  # (N, 4s*s, h, w)
        cr = f[:, s2 : 2 * s2] + x[:, 1:] + f[:, -1:] * detail
        return F.pixel_shuffle(torch.cat([cb, cr], 1), self.scale)


class SamplingNets(nn.Module):
    """The four networks of one scale, as they are trained and shipped together."""

    def __init__(self, config: SamplingConfig) -> None:
        super().__init__()
        self.config = config
        self.down, self.up = DownSNet(config), UpSNet(config)
        self.chroma_down, self.chroma_up = ChromaDown(config), ChromaUp(config)
