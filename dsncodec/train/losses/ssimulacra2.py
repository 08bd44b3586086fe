"""SSIMULACRA 2 as a loss: the sum of weighted errors of ``dsncodec.metrics``, differentiable.

Source: as ``metrics.ssimulacra2``. Errors of weights below LEAST_WEIGHT are left out, and with them the finest scales of
both colour channels: they cost most of the time, and move a score by 0.05. On flat pictures float32 may move it by 0.4.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ... import metrics
from ...errors import SettingError

LEAST_WEIGHT = 0.01
SMALLEST = 96
_RADIUS = len(metrics.SSIMULACRA2_TAPS) - 1


class Seen:
    """A picture that others are compared with; what does not depend on them is computed once.

    All in float32, also where autocast is on.

    Args:
        reference: (N, 3, H, W), sRGB in [0, 1], sides of at least 96.
    Raises:
        SettingError: a side is smaller.
    """

    def __init__(self, reference: Tensor) -> None:
        if min(reference.shape[-2:]) < SMALLEST:
            raise SettingError(
                f"SSIMULACRA 2 as a loss needs sides of at least {SMALLEST} pixels, not {tuple(reference.shape)}"
            )
        self.scales: list[tuple[Tensor, Tensor, Tensor]] = []
        with torch.autocast(reference.device.type, enabled=False), torch.no_grad():
            light = _linear(reference.float())
            for scale, channels in enumerate(_CHANNELS):
                light = light if scale == 0 else _halved(light)
                x = _xyb(light, channels)
                mean, square = _blurred(torch.cat([x, x.square()], 1)).chunk(2, 1)
                self.scales.append((x, mean, square - mean.square()))

    def errors(self, picture: Tensor) -> Tensor:
        """The weighted sum of errors of each sample, (N,): 0 where equal, 2.6 at a score of 70, 6 at 50.

        Gradients flow to ``picture`` (N, 3, H, W), which is cut to [0, 1].
        """
        total = torch.zeros(len(picture), device=picture.device)
        with torch.autocast(picture.device.type, enabled=False):
            light = _linear(picture.float().clamp(0, 1))
            for scale, (channels, (x, mean_x, variance_x)) in enumerate(zip(_CHANNELS, self.scales)):
                light = light if scale == 0 else _halved(light)
                y = _xyb(light, channels)
                mean_y, square, product = _blurred(torch.cat([y, y.square(), x * y], 1)).chunk(3, 1)
                covariance, variance_y = product - mean_x * mean_y, square - mean_y.square()
                quotient = (2 * covariance + _C2) / (variance_x + variance_y + _C2)
                similarity = 1 - (1 - (mean_x - mean_y).square()) * quotient
                edge = (1 + (y - mean_y).abs()) / (1 + (x - mean_x).abs()) - 1
                for i, channel in enumerate(channels):
                    weights = metrics.SSIMULACRA2_WEIGHTS[channel, scale]
                    for j, error in enumerate((similarity, edge, -edge)):
                        mean_weight, fourth_weight = weights[:, j]
                        if max(mean_weight, fourth_weight) < LEAST_WEIGHT:
                            continue
                        positive = error[:, i].clamp(min=0)
                        if mean_weight >= LEAST_WEIGHT:
                            total = total + mean_weight * positive.mean((1, 2))
                        if fourth_weight >= LEAST_WEIGHT:
                            fourth = positive.square().square().mean((1, 2))
                            total = total + fourth_weight * fourth.clamp(min=1e-24) ** 0.25
        return total


def score(errors: Tensor) -> Tensor:
    """What ``metrics.ssimulacra2`` would say of these sums of errors."""
    values = [metrics.ssimulacra2_score(value) for value in errors.flatten().tolist()]
    return torch.tensor(values).view(errors.shape)


def _channels() -> list[list[int]]:
    """Of each scale the channels with errors that count; scales at the end that have none are left out."""
    # (3, scales)
    largest = metrics.SSIMULACRA2_WEIGHTS.max((2, 3))
    found = [[channel for channel in range(3) if of[channel] >= LEAST_WEIGHT] for of in largest.T]
    while not found[-1]:
        found.pop()
    return found


_C2 = metrics.SSIMULACRA2_CONSTANT
_CHANNELS = _channels()


def _linear(srgb: Tensor) -> Tensor:
    curve = ((srgb.clamp(min=0.04) + 0.055) / 1.055) ** 2.4
    return torch.where(srgb <= 0.04045, srgb / 12.92, curve)


def _halved(light: Tensor) -> Tensor:
    return F.avg_pool2d(light, 2, ceil_mode=True, count_include_pad=False)


def _xyb(light: Tensor, channels: list[int]) -> Tensor:
    """The wanted ones of X, Y and B - Y, (N, len(channels), H, W)."""
    matrix = torch.tensor(metrics.OPSIN, dtype=light.dtype, device=light.device)
    # Y needs no short cones
    matrix = matrix if 2 in channels else matrix[:2]
    mixed = F.conv2d(light, matrix[:, :, None, None]) + metrics.OPSIN_BIAS
    cones = mixed.clamp(min=1e-9) ** (1 / 3) - metrics.OPSIN_BIAS ** (1 / 3)
    y = (cones[:, 0] + cones[:, 1]) / 2
    made = {
        0: lambda: (cones[:, 0] - cones[:, 1]) * 7 + 0.42,
        1: lambda: y + 0.01,
        2: lambda: cones[:, 2] - y + 0.55,
    }
    return torch.stack([made[channel]() for channel in channels], 1)


class _Blur(torch.autograd.Function):
    """The Gaussian over planes that are mirrored at their borders. Its slope is the same filter again."""

    @staticmethod
    def forward(ctx: Any, planes: Tensor) -> Tensor:
        return _filtered(_padded(planes))

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        wide = _filtered(F.pad(slopes[0].contiguous(memory_format=torch.channels_last), (2 * _RADIUS,) * 4))
        for dim in (2, 3):
            length = wide.shape[dim] - 2 * _RADIUS
            inner = wide.narrow(dim, _RADIUS, length).clone()
            mirrored = _mirrored(length, wide.device)
            for start, places in ((0, mirrored[:_RADIUS]), (length + _RADIUS, mirrored[-_RADIUS:])):
                inner.index_add_(dim, places, wide.narrow(dim, start, _RADIUS))
            wide = inner
        return wide


def _blurred(planes: Tensor) -> Tensor:
    blurred: Tensor = _Blur.apply(planes)  # type: ignore[no-untyped-call]
    return blurred


def _padded(planes: Tensor) -> Tensor:
    planes = planes.contiguous(memory_format=torch.channels_last)
    if min(planes.shape[-2:]) > _RADIUS:
        return F.pad(planes, (_RADIUS,) * 4, "reflect")
    rows, columns = (_mirrored(length, planes.device) for length in planes.shape[-2:])
    return planes[:, :, rows][:, :, :, columns]


def _mirrored(length: int, device: torch.device) -> Tensor:
    return torch.from_numpy(np.pad(np.arange(length), _RADIUS, "reflect" if length > 1 else "edge")).to(
        device
    )


def _filtered(planes: Tensor) -> Tensor:
    """(N, C, h + 2R, w + 2R) to (N, C, h, w). Depthwise: quick where channels lie together in memory."""
    count = planes.shape[1]
    half = torch.tensor(metrics.SSIMULACRA2_TAPS, dtype=planes.dtype, device=planes.device)
    taps = torch.cat([half[1:].flip(0), half])
    across, down = (taps.view(shape).expand(count, *shape[1:]) for shape in ((1, 1, 1, -1), (1, 1, -1, 1)))
    return F.conv2d(F.conv2d(planes, across, groups=count), down, groups=count)
