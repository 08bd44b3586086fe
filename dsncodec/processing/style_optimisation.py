"""Style transfer without a trained network: the pixels themselves are changed until the loss is small.

Source: Gatys et al., "Image Style Transfer Using Convolutional Neural Networks", 2016: the baseline of Johnson et al.,
"Perceptual Losses for Real-Time Style Transfer and Super-Resolution", 2016, section 4.1.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import LimitExceeded
from ..train.tasks.style import StyleLoss, StyleLossSettings, with_side
from ..train.trainer import planes

UInt8Array = NDArray[np.uint8]
Report = Callable[[float, float], None]

DEFAULT_STEPS = 500  # the paper's
MAX_PIXELS = 2**20  # the loss network's features and their gradients take 3.3 GiB then
LEAST_SIDE = 32  # for three poolings; a smaller picture is shown with its last row and column repeated
LR = 0.03
STYLE_SIDE = 256


def stylised(
    rgb: UInt8Array,
    style: UInt8Array,
    loss_networks: str,
    *,
    steps: int | None = None,
    seconds: float | None = None,
    threads: int | None = None,
    report: Report | None = None,
) -> UInt8Array:
    """A photograph in the style of a picture, by the loss that networks are trained with, at its default weights: those of the recipes
    have a fourth of the style's.

    Args:
        rgb: the photograph, (H, W, 3).
        style: the picture, (H, W, 3), any size.
        loss_networks: folder of the loss networks' weights.
        steps, seconds: the budget, whichever ends first; default: 500 steps.
        report: called after each step with the part of the budget spent, and the total loss.
    Returns:
        (H, W, 3).
    Raises:
        LimitExceeded: the photograph has more than 2**20 pixels.
        MissingComponent: the folder has no loss networks.
    """
    height, width = rgb.shape[:2]
    if height * width > MAX_PIXELS:
        raise LimitExceeded(
            f"method 'optimise' takes up to {MAX_PIXELS} pixels; this picture has {height * width}",
            asked=height * width,
            limit=MAX_PIXELS,
        )
    if steps is None and seconds is None:
        steps = DEFAULT_STEPS
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        loss = StyleLoss(
            replace(StyleLossSettings(), loss_networks=loss_networks), with_side(style, STYLE_SIDE)
        )
        more = [(0, max(0, LEAST_SIDE - side)) for side in (height, width)]
        photo = np.pad(rgb, [*more, (0, 0)], "edge")
        made = optimised(loss, photo, steps=steps, seconds=seconds, report=report)
    finally:
        torch.set_num_threads(before)
    return made[:height, :width]


def optimised(
    loss: StyleLoss,
    rgb: UInt8Array,
    *,
    steps: int | None = None,
    seconds: float | None = None,
    report: Report | None = None,
    bf16: bool = False,
) -> UInt8Array:
    """The picture (H, W, 3) that minimises a loss, from the photograph on, after so many steps or seconds.

    Adam, with the pixels clipped after each step (the paper has projected L-BFGS from noise: docs/decisions/0016-style.md
    says how they compare).
    """
    photo = planes(torch.from_numpy(rgb[None]))
    pixels = photo.clone().requires_grad_()
    optimizer = torch.optim.Adam([pixels], LR)
    started, step, spent = time.monotonic(), 0, 0.0
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        content = loss.content(photo)
    while spent < 1:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            total = loss(pixels, content)
        optimizer.zero_grad()
        total.backward()
        for group in optimizer.param_groups:
            group["lr"] = LR * max(1 - spent, 0.01)
        optimizer.step()
        with torch.no_grad():
            pixels.clamp_(0, 1)
        step += 1
        spent = max(
            step / steps if steps is not None else 0.0,
            (time.monotonic() - started) / seconds if seconds is not None else 0.0,
        )
        if report is not None:
            report(spent, float(total.detach()))
    out = (pixels.detach()[0].permute(1, 2, 0) * 255).round().byte().numpy()
    return np.ascontiguousarray(out)
