"""Losses that follow what people see, beside the plain ones.

Pictures are (N, 3, H, W) in [0, 1]; features and feature maps (N, C, H, W) of any range, as a loss network or a
network in training gives them. Every loss is a scalar, a mean over the samples, and computed in float32 (or double, if
that is what it is given), also where autocast is on: variances as differences of means do not survive bf16.

Sources, by name below: PPCN is Hui et al., "Perception-Preserving Convolutional Networks for Image Enhancement on
Smartphones", 2018; Johnson is Johnson et al., "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", 2016.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import SettingError

Given = ParamSpec("Given")


def _in_full_precision(loss: Callable[Given, Tensor]) -> Callable[Given, Tensor]:
    """``loss`` outside autocast, tensors of half precision made float32."""

    @functools.wraps(loss)
    def wrapped(*args: Given.args, **settings: Given.kwargs) -> Tensor:
        with torch.autocast(_device(args[0]), enabled=False):
            return loss(*map(_widened, args), **settings)

    return wrapped


def _device(value: Any) -> str:
    device: str = value.device.type if isinstance(value, Tensor) else value[0].device.type
    return device


def _widened(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value if value.dtype == torch.float64 else value.float()
    return [_widened(part) for part in value]


# --- two pictures


@_in_full_precision
def pixel_loss(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute error (PPCN Eq. 3), over all samples and channels."""
    return (a - b).abs().mean()


# Wang et al. 2004 and 2003, as in dsncodec.metrics, on a scale of 1
_C1, _C2 = 0.01**2, 0.03**2
_WINDOW, _SIGMA = 11, 1.5
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


@_in_full_precision
def ssim_loss(a: Tensor, b: Tensor) -> Tensor:
    """1 - SSIM (PPCN Eq. 4 and 5), with Wang's Gaussian window of 11 x 11, wherever it fits; mean over channels.

    Raises:
        SettingError: a side is smaller than 11 pixels.
    """
    return 1 - _similarities(a, b)[0].mean()


@_in_full_precision
def ms_ssim_loss(a: Tensor, b: Tensor) -> Tensor:
    """1 - MS-SSIM (Wang et al. 2003, Eq. 7): five scales, or as many as the window fits into.

    With fewer than five, for sides below 161 pixels, the exponents of the finer scales are stretched to their old sum.
    A negative similarity counts as 0; an odd side repeats its last row or column before it is halved.

    Raises:
        SettingError: a side is smaller than 11 pixels.
    """
    count = 1
    while count < len(_SCALE_WEIGHTS) and -(-min(a.shape[-2:]) // 2**count) >= _WINDOW:
        count += 1
    weights = [w * sum(_SCALE_WEIGHTS) / sum(_SCALE_WEIGHTS[:count]) for w in _SCALE_WEIGHTS[:count]]
    score = torch.ones((), dtype=a.dtype, device=a.device)
    for weight in weights[:-1]:
        score = score * _power(_similarities(a, b)[1], weight)
        a, b = _halved(a), _halved(b)
    return 1 - (score * _power(_similarities(a, b)[0], weights[-1])).mean()


def _power(similarity: Tensor, weight: float) -> Tensor:
    return similarity.clamp(min=1e-6) ** weight  # at 0 the slope would be infinite


def _halved(x: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2), "replicate"), 2)


def _similarities(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM and its contrast-structure factor of each plane, (N, C) both."""
    if min(a.shape[-2:]) < _WINDOW:
        raise SettingError(f"SSIM needs sides of at least {_WINDOW} pixels, not {tuple(a.shape[-2:])}")
    at = torch.arange(_WINDOW, dtype=a.dtype, device=a.device) - _WINDOW // 2
    taps = torch.exp(-at.square() / (2 * _SIGMA**2))
    planes = torch.cat([a, b, a.square() + b.square(), a * b], 1)
    mean_a, mean_b, square, product = _blurred(planes, taps / taps.sum()).chunk(4, 1)
    means_square, means_product = mean_a.square() + mean_b.square(), mean_a * mean_b
    structure = (2 * (product - means_product) + _C2) / (square - means_square + _C2)
    similarity = structure * (2 * means_product + _C1) / (means_square + _C1)
    return similarity.mean((2, 3)), structure.mean((2, 3))


def _blurred(planes: Tensor, taps: Tensor, padding: int = 0) -> Tensor:
    """Every plane through the same separable filter."""
    count, size = planes.shape[1], len(taps)
    down, across = (taps.view(1, 1, *shape).expand(count, 1, *shape) for shape in ((size, 1), (1, size)))
    return F.conv2d(
        F.conv2d(planes, down, padding=(padding, 0), groups=count), across, padding=(0, padding), groups=count
    )


@_in_full_precision
def blurred_colour_loss(a: Tensor, b: Tensor) -> Tensor:
    """The squared distance between the blurred pictures (PPCN Eq. 9 and 10): colours, where edges may lie elsewhere.

    A sum over channels and pixels, as printed. G(k, l) = 0.053 exp(-(k^2 + l^2) / (2 * 3)) over 21 x 21, zeros around
    the picture. As printed, 3 stands where a variance would: with it, 0.053 makes the filter sum to 1.
    """
    at = torch.arange(21, dtype=a.dtype, device=a.device) - 10
    taps = 0.053**0.5 * torch.exp(-at.square() / (2 * 3))
    return _blurred(a - b, taps, padding=10).square().sum((1, 2, 3)).mean()


# --- one picture


@_in_full_precision
def total_variation(x: Tensor) -> Tensor:
    """The mean squares of the steps to the next row and to the next column, summed (PPCN Eq. 11; Johnson, 3.3).

    Eq. 11 prints a norm without an exponent around the sum of both; its weight, 2000, is that of the squared form in
    Ignatov et al., "DSLR-quality photos on mobile devices", 2017, from which it comes.
    """
    return x.diff(dim=2).square().mean() + x.diff(dim=3).square().mean()


# --- features of a loss network


@_in_full_precision
def feature_loss(a: Tensor, b: Tensor) -> Tensor:
    """Feature reconstruction (Johnson Eq. 2): the squared distance between one layer's features, over C*H*W."""
    return (a - b).square().mean()


def gram(features: Tensor) -> Tensor:
    """Which features go together (Johnson Eq. 3): (N, C, H, W) to (N, C, C), sums of products over C*H*W."""
    return _gram(features)


@_in_full_precision
def _gram(features: Tensor) -> Tensor:
    flat = features.flatten(2)  # (N, C, H*W)
    return flat @ flat.transpose(1, 2) / flat[0].numel()


def style_loss(features: Mapping[str, Tensor], grams: Mapping[str, Tensor]) -> Tensor:
    """Style reconstruction (Johnson Eq. 4): squared Frobenius distances of Gram matrices, summed over layers.

    Args:
        features: of a loss network; more layers than are wanted do no harm.
        grams: the wanted ones by layer, (N, C, C), or (1, C, C) of one style for all samples.
    """
    distances = [
        (gram(features[name]) - wanted).square().sum((1, 2)).mean() for name, wanted in grams.items()
    ]
    return torch.stack(distances).sum()


@_in_full_precision
def contextual_loss(a: Tensor, b: Tensor, *, h: float = 0.5) -> Tensor:
    """How many of b's features are some feature of a, wherever it lies (PPCN Eq. 1 and 2).

    Cosine distances between all pairs of positions, both sides centred by the mean of b's features as in Mechrez et al.,
    "The contextual loss for image transformation with non-aligned data", 2018; epsilon is 1e-5.
    The cost grows with the square of the number of positions: give it a coarse layer.

    Args:
        a, b: features of the made and of the wanted picture, (N, C, H, W); sizes may differ, C may not.
        h: the bandwidth: small values ask for one close match.
    """
    centre = b.mean((2, 3), keepdim=True)
    x = F.normalize((a - centre).flatten(2), dim=1)  # (N, C, positions of a)
    y = F.normalize((b - centre).flatten(2), dim=1)
    distance = 1 - x.transpose(1, 2) @ y  # (N, i, j)
    relative = distance / (distance.amin(2, keepdim=True) + 1e-5)
    affinity = torch.softmax((1 - relative) / h, 2)
    return -affinity.amax(1).mean(1).log().mean()


# --- two networks


@_in_full_precision
def adversarial_loss(logits_of_fakes: Tensor) -> Tensor:
    """-log D(G(x)) (PPCN Eq. 8), a mean: what the discriminator says of made pictures, before its sigmoid, any shape."""
    return F.softplus(-logits_of_fakes).mean()


@_in_full_precision
def discriminator_loss(logits_real: Tensor, logits_fake: Tensor) -> Tensor:
    """-log D(y) - log(1 - D(G(x))): the discriminator's own loss (Goodfellow et al. 2014, Eq. 1)."""
    return F.softplus(-logits_real).mean() + F.softplus(logits_fake).mean()


@_in_full_precision
def distillation_loss(student_maps: Sequence[Tensor], teacher_maps: Sequence[Tensor]) -> Tensor:
    """Knowledge transfer (PPCN Eq. 12): distances between mean feature maps of length 1, summed over the pairs.

    Args:
        student_maps, teacher_maps: (N, C, H, W) each, pair by pair of one height and width; channels may differ.
    """
    return torch.stack(
        [
            torch.linalg.vector_norm(_mean_map(ours) - _mean_map(theirs), dim=1).mean()
            for ours, theirs in zip(student_maps, teacher_maps, strict=True)
        ]
    ).sum()


def _mean_map(features: Tensor) -> Tensor:
    return F.normalize(features.mean(1).flatten(1), dim=1)  # (N, H*W)
