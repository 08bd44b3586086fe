"""Super-resolution networks that the DSN paper retrains beside Up-SNet: SRCNN and VDSR.

Both work on the picture after bicubic enlargement: (N, 1, H, W) in [0, 1] to the same shape.
"""

from __future__ import annotations

from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Net = TypeVar("Net", bound=nn.Module)

RESIDUAL_STD = 0.001  # of VDSR's last layer, as of Up-SNet's: training starts from the bicubic picture


def _conv(c_in: int, c_out: int, kernel: int) -> nn.Conv2d:
    conv = nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv


def channels_last(net: Net) -> Net:
    """The network with its weights in torch's faster layout, changed in place."""
    # torch's types lack this overload of Module.to
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class SRCNN(nn.Module):
    """Patches, a mapping, reconstruction: 9 x 9 to 64 maps, 5 x 5 (or 1 x 1) to 32, 5 x 5 to the picture.

    Source: Dong et al., "Image super-resolution using deep convolutional networks", TPAMI 2016, the
    9-5-5 network, whose 32.75 dB the DSN paper quotes, and the smaller 9-1-5. Zeros are padded; the original shrinks the
    picture.
    """

    def __init__(self, planes: int = 1, mapping: int = 5) -> None:
        super().__init__()
        self.patches, self.mapping, self.picture = (
            _conv(planes, 64, 9),
            _conv(64, 32, mapping),
            _conv(32, planes, 5),
        )

    def forward(self, x: Tensor) -> Tensor:
        f = F.relu_(self.patches(x))  # (N, 64, H, W)
        return self.picture(F.relu_(self.mapping(f)))


class VDSR(nn.Module):
    """Twenty 3 x 3 layers of 64 maps that predict what the bicubic picture lacks.

    Source: Kim et al., "Accurate image super-resolution using very deep convolutional networks", CVPR 2016.
    """

    def __init__(self, layers: int = 20) -> None:
        super().__init__()
        self.head = _conv(1, 64, 3)
        self.body = nn.ModuleList(_conv(64, 64, 3) for _ in range(layers - 2))
        self.tail = _conv(64, 1, 3)
        nn.init.normal_(self.tail.weight, 0.0, RESIDUAL_STD)

    def forward(self, x: Tensor) -> Tensor:
        f = F.relu_(self.head(x))
        for conv in self.body:
            f = F.relu_(conv(f))  # (N, 64, H, W)
        return x + self.tail(f)
