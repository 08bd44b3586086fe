"""The transformation network of style transfer: a photograph in, the photograph as if painted out.

Source: Johnson et al., "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", 2016, section 3.1, with
instance normalisation in place of batch normalisation (Ulyanov et al., "Instance Normalization", 2016). Ours is
thinner, mirrors at the picture's edge, and enlarges by nearest neighbour and a convolution: a transposed one leaves
the pattern of its stride in the picture (Odena et al., "Deconvolution and Checkerboard Artifacts", 2016).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

OUT = 0.55  # half the range of the output: a little beyond [0, 1], or white would need an infinite input
EPSILON = 1e-5  # of the variance that a channel is divided by


@dataclass(frozen=True)
class StyleConfig:
    """What fixes the shapes of a transformation network.

    ``width`` is the number of channels at full resolution; half of the resolution has twice and a quarter four times
    as many. The paper's is 32, with 5 blocks.
    """

    width: int = 16
    blocks: int = 5


class StyleNet(nn.Module):
    """RGB to RGB of the same size, both in [0, 1] (the output about).

    Input (N, 3, H, W), H and W multiples of ``unit``: smaller ones could not be mirrored. Instance normalisation makes
    every pixel of the output depend on all of the picture; beyond ``radius`` through the means and deviations alone, which
    ``with_statistics`` may be given.
    """

    scale = 1
    unit = 8

    def __init__(self, config: StyleConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.head = Normalised(3, width, 9)
        self.down1 = Normalised(width, 2 * width, stride=2)
        self.down2 = Normalised(2 * width, 4 * width, stride=2)
        self.blocks = nn.ModuleList(ResidualBlock(4 * width) for _ in range(config.blocks))
        self.up1 = Enlarged(4 * width, 2 * width)
        self.up2 = Enlarged(2 * width, width)
        self.tail = nn.Conv2d(width, 3, 3)
        nn.init.normal_(self.tail.weight, 0.0, 0.3 / self.tail.weight[0].numel() ** 0.5)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]

    @property
    def radius(self) -> int:
        """How far a pixel is seen, in whole units of pixels: four of the head, one and two of the next layers, four of each convolution at
        a quarter of the size and of the first enlarging one, two and one of the last."""
        reach = 4 + 1 + 2 + 4 * 2 * len(self.blocks) + 4 + 2 + 1
        return -(-reach // self.unit) * self.unit

    @property
    def statistics(self) -> int:
        """How many numbers ``with_statistics`` takes and gives."""
        return sum(2 * len(layer.scale) for layer in self.modules() if isinstance(layer, Normalised))

    def forward(self, picture: Tensor, statistics: Statistics | None = None) -> Tensor:
        f = F.relu(self.head(picture - 0.5, statistics))  # (N, width, H, W)
        f = F.relu(self.down1(f, statistics))  # (N, 2 width, H/2, W/2)
        f = F.relu(self.down2(f, statistics))  # (N, 4 width, H/4, W/4)
        for block in self.blocks:
            f = block(f, statistics)
        f = F.relu(self.up1(f, statistics))  # (N, 2 width, H/2, W/2)
        f = F.relu(self.up2(f, statistics))  # (N, width, H, W)
        f = self.tail(F.pad(f, (1,) * 4, "reflect"))  # (N, 3, H, W)
        return 0.5 + OUT * torch.tanh(f)

    def with_statistics(self, picture: Tensor, given: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """The output, and the means and deviations of all normalised channels, (1, ``statistics``, 1, 1).

        Args:
            picture: (1, 3, H, W).
            given: such statistics, of a picture that this one is a part of.
            share: (1, 1, 1, 1): of those in the ones used; 1 for them, 0 for the picture's own.
        """
        statistics = Statistics(given, share)
        return self(picture, statistics), torch.cat(statistics.found, 1)


class Statistics:
    """The means and deviations of the channels that are normalised, layer by layer: those found, and those used, which may be given.

    Args:
        given, share: as ``StyleNet.with_statistics`` has them.
    """

    def __init__(self, given: Tensor, share: Tensor) -> None:
        self.given, self.share, self.at = given, share, 0
        self.found: list[Tensor] = []

    def of(self, f: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and the deviation that the next layer's channels (1, C, h, w) are normalised by, (1, C, 1, 1) each."""
        mean = f.mean((2, 3), keepdim=True)
        deviation = torch.sqrt((f - mean).square().mean((2, 3), keepdim=True) + EPSILON)
        used = []
        for own in (mean, deviation):
            self.found.append(own)
            given = self.given[:, self.at : self.at + f.shape[1]]
            used.append(own + self.share * (given - own))
            self.at += f.shape[1]
        return used[0], used[1]


class ResidualBlock(nn.Module):
    """f + norm(conv(relu(norm(conv(f))))): no ReLU after the sum (Gross and Wilber, as the paper has it)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = Normalised(width, width), Normalised(width, width)

    def forward(self, f: Tensor, statistics: Statistics | None = None) -> Tensor:
        out: Tensor = f + self.second(F.relu(self.first(f, statistics)), statistics)
        return out


class Normalised(nn.Module):
    """A convolution whose channels are normalised over each picture, then scaled and shifted."""

    def __init__(self, c_in: int, c_out: int, side: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.reach = side // 2
        self.conv = nn.Conv2d(c_in, c_out, side, stride, bias=False)
        nn.init.kaiming_normal_(self.conv.weight)
        self.scale, self.shift = nn.Parameter(torch.ones(c_out)), nn.Parameter(torch.zeros(c_out))

    def forward(self, f: Tensor, statistics: Statistics | None = None) -> Tensor:
        return self.normalised(self.conv(F.pad(f, (self.reach,) * 4, "reflect")), statistics)

    def normalised(self, f: Tensor, statistics: Statistics | None) -> Tensor:
        """Each channel of each picture to mean 0 and deviation 1, or by ``statistics``; then scaled and shifted."""
        if statistics is not None:
            mean, deviation = statistics.of(f)
            factor = self.scale[:, None, None] / deviation
            return f * factor + (self.shift[:, None, None] - mean * factor)
        # the same, picture by picture: on a CPU, channels last, batch_norm is ten times faster
        return torch.cat([F.batch_norm(one, None, None, self.scale, self.shift, True) for one in f[:, None]])


# Which of three neighbours each of the filter's three taps meets, for the upper and for the lower of two new rows
_TAPS = torch.tensor(
    [[[1.0, 0, 0], [0, 1, 1], [0, 0, 0]], [[0, 0, 0], [1, 1, 0], [0, 0, 1]]]  # (new row, neighbour, tap)
)


class Enlarged(Normalised):
    """Twice the size by nearest neighbour, then ``Normalised``: (N, C, h, w) to (N, c_out, 2h, 2w).

    Nothing is computed at twice the size. Of the enlarged rows that a 3x3 filter meets, two are always the same: the
    four new pixels of each old one are four filters over its old neighbours. Mirrored at the edge, the enlarged picture
    repeats its outermost pixels, and so does the old one here.
    """

    def forward(self, f: Tensor, statistics: Statistics | None = None) -> Tensor:
        weight = self.conv.weight
        taps = _TAPS.to(weight)
        filters = torch.einsum("yak,xbl,oikl->oyxiab", taps, taps, weight).reshape(-1, *weight.shape[1:])
        f = F.conv2d(F.pad(f, (1,) * 4, "replicate"), filters)  # (N, 4 c_out, h, w)
        return self.normalised(F.pixel_shuffle(f, 2), statistics)
