"""Restoration without a training set: networks fitted to the one picture at hand, and what they make of it.

Source: Bricman and Ionescu, "CocoNet", 2018, sections 4.3 to 4.5 (method "paper" of denoise, upsample and inpaint). What networks with
sine layers do otherwise: docs/decisions/0013-coconet.md.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..methods.coconet.bitstream import Shape
from ..methods.coconet.fit import (
    SETTINGS,
    Budget,
    Clock,
    Fit,
    FitSettings,
    Report,
    budget_of,
    colours_at,
    fit_to,
    inputs_of,
    threads_of,
    to_pixels,
)

__all__ = ["Budget", "budget_of", "completed", "denoised", "enlarged", "restoring"]

UInt8Array = NDArray[np.uint8]

COPIES = 8  # networks of a picture whose mean is taken; each is kept from another part of the pixels
FOLDS = 10  # one part of so many
EVERY = 10  # steps between two looks at what was held out
PATIENCE = 12  # looks without anything better, and a fit ends
LATELY = 0.05  # how much of the mean is the last step's
PROBES = 16_384  # places that are looked at, at most
LR_RESTORING = 3e-3
WAVES = 2.0  # spread of the first sine layer here: smoother than what keeps every detail


def restoring(variant: str) -> FitSettings:
    """How networks of restoration are fitted."""
    if variant == "paper":
        return SETTINGS["paper"]
    return FitSettings(lr=LR_RESTORING, optimizer="soap", first=WAVES)


def denoised(
    shape: Shape,
    pictures: UInt8Array,
    budget: Budget,
    copies: int = COPIES,
    threads: int = 1,
    report: Report | None = None,
) -> UInt8Array:
    """Pictures of one size without their noise: what networks see in them before they learn the noise by heart.

    "sine": each network of a picture is kept from a tenth of its pixels. When their error there, which is the true picture's plus a
    constant if the noise of one pixel tells nothing of another's, no longer falls, that is where the picture is taken. "paper": one
    network sees all pixels until the budget is spent, as the paper has it.

    Args:
        pictures: (N, H, W, planes).
        copies: networks of each picture; of "paper" there is one.
    """
    count, height, width, planes = pictures.shape
    settings = restoring(shape.variant)
    if shape.variant == "paper":
        copies = 1
    with threads_of(threads):
        generator = torch.Generator().manual_seed(settings.seed)
        flat = torch.from_numpy(
            pictures.reshape(count, -1, planes).transpose(0, 2, 1).astype(np.float32) / 255
        )
        places = height * width
        fold = torch.stack([torch.randperm(places, generator=generator) % FOLDS for _ in range(count)])
        held = torch.stack([fold == copy % FOLDS for copy in range(copies)], 1).reshape(
            count * copies, 1, places
        )
        if places < FOLDS or shape.variant == "paper":  # too few to hold any out
            held = torch.zeros_like(held)
        inputs = torch.from_numpy(inputs_of(shape, (width, height), (width, height)))
        colours = flat.repeat_interleave(copies, 0).contiguous()
        fit = Fit(shape, colours, inputs, settings, (~held).float())
        if shape.variant == "paper":
            fit.run(Clock(budget), report=report)
            layers = fit.settled()
        else:
            best = _Best(fit, held, copies)
            fit.run(Clock(budget), lr=(settings.lr, settings.lr), report=report, enough=best.look)
            layers = fit.settled(best.layers)
        found = colours_at(fit, layers, (width, height), (width, height))
        mean = found.reshape(count, copies, planes, height, width).mean(1)
    return to_pixels(mean)


class _Best:
    """The weights with the least error where each network was not looking, for each picture.

    What is looked at is a mean of the latest weights: that is less noisy than any of them.
    """

    def __init__(self, fit: Fit, held: Tensor, copies: int) -> None:
        self.fit, self.copies, self.setbacks = fit, copies, 0
        count = fit.inputs.shape[1]
        probes = torch.arange(count)
        if count > PROBES:
            probes = torch.randperm(count, generator=fit.generator)[:PROBES]
        self.inputs, self.colours = fit.inputs[:, probes], fit.colours[..., probes]
        self.held = held[..., probes].float()
        self.mean = [layer.detach().clone() for layer in fit.layers]
        self.layers = [layer.clone() for layer in self.mean]
        pictures = len(held) // copies
        self.least = torch.full((pictures,), math.inf)
        self.stale = torch.zeros(pictures)
        self.steps = 0

    @torch.no_grad()
    def look(self) -> bool:
        """After a step: keep what is better than before; True when no picture has got better for long."""
        self.steps += 1
        if (
            self.fit.guard is not None and self.fit.guard.setbacks != self.setbacks
        ):  # the mean has seen what ran away
            self.setbacks = self.fit.guard.setbacks
            self.mean = [layer.detach().clone() for layer in self.fit.layers]
        torch._foreach_lerp_(
            self.mean, [layer.detach() for layer in self.fit.layers], max(LATELY, 1 / self.steps)
        )
        if self.steps % EVERY and self.steps > 1:
            return False
        apart = (self.fit.predicted(self.mean, self.inputs) - self.colours).square() * self.held
        error = apart.mean((1, 2)).reshape(-1, self.copies).mean(1)
        if not self.held.any():
            error = -torch.full_like(error, float(self.steps))  # nothing to judge by: the last is the best
        better = error < self.least
        self.least = torch.where(better, error, self.least)
        self.stale = torch.where(better, 0.0, self.stale + 1)
        taken = better.repeat_interleave(self.copies)[:, None, None]
        for kept, layer in zip(self.layers, self.mean):
            kept.copy_(torch.where(taken, layer, kept))
        return bool((self.stale >= PATIENCE).all())


def completed(
    shape: Shape,
    pixels: UInt8Array,
    missing: NDArray[np.bool_],
    budget: Budget,
    threads: int = 1,
    report: Report | None = None,
) -> UInt8Array:
    """A picture (H, W, planes) whose ``missing`` pixels (H, W) are what a network makes of the others."""
    height, width, planes = pixels.shape
    known = torch.from_numpy(~missing.reshape(-1))
    with threads_of(threads):
        fit = fit_to(shape, pixels, restoring(shape.variant))
        fit.colours, fit.inputs = fit.colours[..., known].contiguous(), fit.inputs[:, known].contiguous()
        fit.run(Clock(budget), report=report)
        found = colours_at(fit, fit.settled(), (width, height), (width, height))
    drawn = to_pixels(found.reshape(1, planes, height, width))[0]
    return np.where(missing[..., None], drawn, pixels)


def enlarged(
    shape: Shape,
    pixels: UInt8Array,
    scale: int,
    budget: Budget,
    threads: int = 1,
    report: Report | None = None,
) -> UInt8Array:
    """A picture (H, W, planes) at ``scale`` times its size."""
    height, width, planes = pixels.shape
    large = width * scale, height * scale
    with threads_of(threads):
        fit = fit_to(shape, pixels, restoring(shape.variant))
        fit.run(Clock(budget), report=report)
        found = colours_at(fit, fit.settled(), large, (width, height))
    return to_pixels(found.reshape(1, planes, large[1], large[0]))[0]
