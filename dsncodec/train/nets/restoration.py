"""A restoration network: what a lossy codec decoded, brought nearer to its original.

The body (half resolution, residual) follows what published loop and post filters have in common; the scaled input
is ours. What each choice gained is in docs/decisions/0010-restoration.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.1  # of the leaky ReLU
RESIDUAL_STD = 0.01  # of the layers that end a residual block: at first it does nearly nothing
TAIL_STD = 0.001
HIDDEN = 32  # units between the two numbers and what they scale and shift


@dataclass(frozen=True)
class RestorationConfig:
    """What fixes the shapes of a restoration network."""

    block: int = 2  # pixels (block x block) that the body sees as one
    width: int = 32
    blocks: int = 3
    # corrections to choose from: 1 is one, which is added as it is
    hypotheses: int = 1


class ResidualBlock(nn.Module):
    """f + conv(act(scale * conv(f) + shift)), the scale and the shift from outside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = _conv(width, width), _conv(width, width, RESIDUAL_STD)

    def forward(self, f: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        out: Tensor = f + self.second(_act(self.first(f) * scale + shift))
        return out


class RestorationNet(nn.Module):
    """Decoded RGB, its quality and its RMSE to restored RGB.

    Two numbers stand beside the picture. ``quality`` is the codec's setting / 100: about how coarse its steps are.
    ``rmse`` is how far the decoded picture is from its original, on the picture's scale of 0..1: the encoder knows it,
    and one byte of log(rmse) carries it.

    The body never sees the picture itself. It sees what rises above the local mean, in units of twice the RMSE and
    softly bounded: what a codec did to a pixel is small beside the picture, and a network that has to find it first
    trains several times slower. The residual comes out in units of the RMSE too.

    Input (N, 3, H, W) in [0, 1], H and W multiples of ``block``, quality and rmse (N, 1, 1, 1), rmse above 0;
    output (N, 3, H, W), not clipped.
    """

    def __init__(self, config: RestorationConfig) -> None:
        super().__init__()
        self.config = config
        side, width = 3 * config.block**2, config.width
        self.head = _conv(side + 3, width)
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(config.blocks))
        self.last = _conv(width, width)
        self.tail = _conv(width, side, TAIL_STD)
        self.others = nn.ModuleList(_point(width, side) for _ in range(config.hypotheses - 1))
        self.known = nn.Linear(2, HIDDEN)
        self.scales = nn.ModuleList(
            _nothing(width) for _ in range(1 + config.blocks)
        )  # of the head and each block
        self.shifts = nn.ModuleList(_nothing(width) for _ in range(1 + config.blocks))

    @property
    def radius(self) -> int:
        """How far from its block, in pixels, the picture reaches a restored pixel: the halo of a tile.

        Each convolution sees one block more, and so does the local mean.
        """
        return self.config.block * (2 * len(self.blocks) + 4)

    def forward(
        self, picture: Tensor, quality: Tensor, rmse: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """The restored picture; ``weights`` (N, hypotheses) of the corrections, by default 1 for the first, 0 for others."""
        if weights is None:
            return picture + self.corrections(picture, quality, rmse)[:, 0]
        weights = weights[:, :, None, None, None]
        return picture + (self.corrections(picture, quality, rmse) * weights).sum(1)

    def corrections(self, picture: Tensor, quality: Tensor, rmse: Tensor) -> Tensor:
        """What may be added to the picture, (N, hypotheses, 3, H, W).

        The encoder, which has the original, finds each correction's weight; some bytes carry them. The first is a whole
        correction, as good as one can be for all pictures; the others lead from there to what this picture needs.
        """
        return torch.stack(self._corrections(picture, quality, rmse), 1)

    def stacked_corrections(self, picture: Tensor, quality: Tensor, rmse: Tensor) -> Tensor:
        """``corrections`` one behind the other, (N, 3 * hypotheses, H, W), as the encoder takes them."""
        return torch.cat(self._corrections(picture, quality, rmse), 1)

    def _corrections(self, picture: Tensor, quality: Tensor, rmse: Tensor) -> list[Tensor]:
        """The corrections, (N, 3, H, W) each."""
        block = self.config.block
        low = F.avg_pool2d(F.avg_pool2d(picture, block), 3, 1, 1, count_include_pad=False)  # (N, 3, h, w)
        detail = (picture - F.interpolate(low, scale_factor=block)) / (2 * rmse)  # (N, 3, H, W)
        f = torch.cat([F.pixel_unshuffle(detail / (1 + detail.abs()), block), low - 0.5], 1)

        numbers = torch.cat([4 * quality.flatten(1) - 2, torch.log(rmse).flatten(1) + 4], 1)
        known = F.relu(self.known(numbers))
        scales = [1 + scale(known)[:, :, None, None] for scale in self.scales]  # (N, width, 1, 1) each
        shifts = [shift(known)[:, :, None, None] for shift in self.shifts]
        f = self.head(f) * scales[0] + shifts[0]  # (N, width, h, w)
        for residual, scale, shift in zip(self.blocks, scales[1:], shifts[1:]):
            f = residual(f, scale, shift)
        f = _act(self.last(_act(f)))
        found = [self.tail(f), *(other(f) for other in self.others)]  # (N, 3 * block * block, h, w) each
        return [F.pixel_shuffle(one * rmse, block) for one in found]

    def load_from(self, smaller: Mapping[str, Tensor]) -> None:
        """Start from the weights of a network of at most this width and this many blocks, and compute the same.

        Channels and blocks beyond theirs keep their fresh weights, but feed nothing that was there before. Of their corrections
        those beyond ours are left out.
        """
        ours = self.state_dict()
        kept = {name: of for name, of in smaller.items() if name in ours or not name.startswith("others.")}
        for name, theirs in kept.items():
            mine, corner = ours[name], tuple(slice(n) for n in theirs.shape)
            if mine.dim() == 4:
                mine[: len(theirs)] = 0  # what new channels give to old ones
            mine[corner] = theirs
        for name in ours.keys() - kept.keys():
            # of a new block
            if ".second." in name:
                ours[name].zero_()
        self.load_state_dict(ours)


def _conv(c_in: int, c_out: int, std: float | None = None) -> nn.Conv2d:
    conv = nn.Conv2d(c_in, c_out, 3, padding=1)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    if std is None:
        nn.init.kaiming_normal_(conv.weight)
    else:
        nn.init.normal_(conv.weight, 0.0, std)
    return conv


def _point(c_in: int, c_out: int) -> nn.Conv2d:
    conv = nn.Conv2d(c_in, c_out, 1)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    nn.init.normal_(conv.weight, 0.0, RESIDUAL_STD)
    return conv


def _nothing(width: int) -> nn.Linear:
    linear = nn.Linear(HIDDEN, width)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


def _act(x: Tensor) -> Tensor:
    return F.leaky_relu_(x, SLOPE)
