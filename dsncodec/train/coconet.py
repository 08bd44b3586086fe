"""Fitting coordinate networks: pictures in, weights out. One network each; pictures of one size are fitted as one batch.

Source: Bricman and Ionescu, "CocoNet", 2018: six coordinates, tanh layers, MSE, Adam (variant "paper"). Variant "sine" is
ours to choose: docs/decisions/0013-coconet.md.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..backends import rangecoder
from ..codecs.coordinates import Parameters, Shape, code_of, coordinates, places, step_of
from ..errors import SettingError
from .soap import Soap

FloatArray = NDArray[np.floating]
Int32Array = NDArray[np.int32]
UInt8Array = NDArray[np.uint8]

FIRST = 3.0  # spread of the first sine layer's weights, in radians, times the root of its inputs
OPTIMIZERS = ("adam", "soap")


@dataclass(frozen=True)
class Budget:
    """What a fit may cost: ``seconds`` or ``steps``, whichever ends first."""

    seconds: float | None = None
    steps: int | None = None


@dataclass(frozen=True)
class FitSettings:
    """How a network is fitted. ``lr`` falls to a tenth along a cosine (paper: 1e-4 to 1e-5)."""

    lr: float
    optimizer: str
    batch: int = 8192  # pixels of a step
    first: float = FIRST
    seed: int = 0


SETTINGS = {
    "paper": FitSettings(lr=1e-4, optimizer="adam"),
    "sine": FitSettings(lr=3e-2, optimizer="soap", batch=4096),
}


class Clock:
    """How much of a budget is spent, 0..1."""

    def __init__(self, budget: Budget) -> None:
        if budget.seconds is None and budget.steps is None:
            raise SettingError("a fit needs a budget in seconds or in steps")
        self.budget, self.started, self.step = budget, time.monotonic(), 0

    @property
    def progress(self) -> float:
        """At least 1 when it is spent."""
        seconds, steps = self.budget.seconds, self.budget.steps
        parts = [self.step / steps] if steps else []
        parts += [(time.monotonic() - self.started) / seconds] if seconds else []
        return max(parts)


Report = Callable[[float, float], None]  # progress 0..1, mean squared error of the last step


class Fit:
    """Networks of one shape on their way to N pictures of one size.

    Each layer is one parameter (N, rows, columns + 1), biases last.

    Args:
        colours: (N, planes, n) in 0..1: what they shall be at n places.
        inputs: (inputs, n), as ``coordinates`` gives them; or (inputs, n, m): a colour is the mean of m places.
        seen: (N, 1, n) of 0 and 1: what each network may look at; default: everything.
    """

    def __init__(
        self, shape: Shape, colours: Tensor, inputs: Tensor, settings: FitSettings, seen: Tensor | None = None
    ) -> None:
        self.shape, self.colours, self.inputs, self.settings = shape, colours, inputs, settings
        self.seen = seen
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.layers = [
            nn.Parameter(self._fresh(at, rows, columns).to(colours.device))
            for at, (rows, columns) in enumerate(shape.matrices(colours.shape[1]))
        ]

    def _fresh(self, at: int, rows: int, columns: int) -> Tensor:
        """Sine layers as in Sitzmann et al., 2020; tanh layers as in Glorot and Bengio, 2010."""
        spread = (6 / columns) ** 0.5
        if self.shape.variant == "paper":
            spread = (6 / (rows + columns)) ** 0.5
        elif at == 0:
            spread = self.settings.first / columns**0.5
        elif at == self.shape.layers:
            spread = 0.1 * spread
        weights = (2 * torch.rand(len(self.colours), rows, columns, generator=self.generator) - 1) * spread
        biases = torch.zeros(len(self.colours), rows, 1)
        if at == 0 and self.shape.variant == "sine":
            biases = (2 * torch.rand(biases.shape, generator=self.generator) - 1) * math.pi
        return torch.cat([weights, biases], -1)

    def optimizer(self, lr: float) -> torch.optim.Optimizer:
        """A new one over all layers."""
        if self.settings.optimizer == "adam":
            return torch.optim.Adam(self.layers, lr, betas=(0.9, 0.99))
        return Soap(self.layers, lr)

    def predicted(self, layers: list[Tensor] | list[nn.Parameter], inputs: Tensor) -> Tensor:
        """Colours (N, planes, n), not clipped."""
        h = inputs.flatten(1).expand(len(self.colours), -1, -1)
        paper = self.shape.variant == "paper"
        for at, layer in enumerate(layers):
            h = torch.baddbmm(layer[:, :, -1:], layer[:, :, :-1], h)
            if at < self.shape.layers:
                h = torch.tanh(h) if paper else torch.sin(h)
        h = torch.sigmoid(h) if paper else h + 0.5
        return h if inputs.dim() == 2 else h.reshape(*h.shape[:2], *inputs.shape[1:]).mean(-1)

    def run(
        self,
        clock: Clock,
        until: float = 1.0,
        steps_of: list[Tensor] | None = None,
        lr: tuple[float, float] | None = None,
        report: Report | None = None,
        enough: Callable[[], bool] | None = None,
    ) -> None:
        """Fit until a part of the budget is spent.

        Args:
            steps_of: quantisation steps, one (columns + 1,) for each layer; None: weights are not rounded. Gradients
                pass the rounding as if it were not there.
            lr: from, to; default: the settings' and a tenth of it.
            enough: asked after each step, whether to end already.
        """
        high, low = lr or (self.settings.lr, self.settings.lr / 10)
        optimizer = self.optimizer(high)
        begun, count = clock.progress, self.inputs.shape[1]
        while (progress := clock.progress) < until:
            done = (progress - begun) / (until - begun)
            for group in optimizer.param_groups:
                group["lr"] = low + (high - low) * 0.5 * (1 + math.cos(math.pi * done))
            inputs, colours, seen = self.inputs, self.colours, self.seen
            if self.settings.batch < count:
                chosen = torch.randint(count, (self.settings.batch,), generator=self.generator).to(
                    inputs.device
                )
                inputs, colours = inputs[:, chosen], colours[..., chosen]
                seen = None if seen is None else seen[..., chosen]
            layers = self.layers if steps_of is None else rounded(self.layers, steps_of)
            apart = self.predicted(layers, inputs) - colours
            if seen is not None:
                apart = apart * seen
            loss = apart.square().mean((1, 2))
            loss.sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            clock.step += 1
            if report is not None:
                report(clock.progress, float(loss.detach().mean()))
            if enough is not None and enough():
                return


def rounded(layers: list[nn.Parameter], steps: list[Tensor]) -> list[Tensor]:
    """Weights as a file would hold them, with the gradients of those that are not rounded."""
    return [layer + ((layer / step).round() * step - layer).detach() for layer, step in zip(layers, steps)]


def inputs_of(shape: Shape, size: tuple[int, int], aspect: tuple[int, int]) -> FloatArray:
    """What the network is told of all pixels, row by row, of a picture drawn at a size (width, height)."""
    rows, columns = np.mgrid[: size[1], : size[0]].reshape(2, -1)
    return coordinates(shape, *places(rows, columns, size), aspect)


@contextmanager
def threads_of(count: int) -> Iterator[None]:
    """torch's threads while a fit lasts."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# --- compression ------------------------------------------------------------------------------------

QUANTISED_FROM = 0.5  # of the budget: weights are rounded from here on
LR_QUANTISED = (1.0, 0.02)  # of the first learning rate, begin and end
SAMPLE = 4096  # places at which the weights' sensitivity is looked at
ROUNDS = 3  # of choosing the steps: their sensitivity depends on them


def compressed(
    shape: Shape,
    pixels: UInt8Array,
    max_bytes: int,
    budget: Budget,
    threads: int = 1,
    report: Report | None = None,
) -> tuple[Parameters, bytes]:
    """Fit a network to a picture, and code its weights.

    Args:
        pixels: (H, W, 1 or 3).
        max_bytes: of the coded weights.
    Returns:
        The parameters and the payload of section NETW.
    Raises:
        SettingError: not even the coarsest steps reach ``max_bytes``.
    """
    with threads_of(threads):
        fit = fit_to(shape, pixels, SETTINGS[shape.variant])
        clock = Clock(budget)
        fit.run(clock, QUANTISED_FROM, report=report)
        codes = fitting_codes(fit, max_bytes)
        lr = (LR_QUANTISED[0] * fit.settings.lr, LR_QUANTISED[1] * fit.settings.lr)
        fit.run(clock, 1.0, steps_of_layers(fit, codes), lr, report)
        payload = rangecoder.encode(integers_of(fit, codes))
        if len(payload) > max_bytes:  # the last steps of the fit may have made the weights a little longer
            codes = coarsened(fit, codes, max_bytes)
            payload = rangecoder.encode(integers_of(fit, codes))
    return Parameters(shape, tuple(codes)), payload


def fit_to(shape: Shape, pixels: UInt8Array, settings: FitSettings) -> Fit:
    """A fresh fit of one picture (H, W, 1 or 3)."""
    height, width, planes = pixels.shape
    colours = torch.from_numpy(pixels.reshape(-1, planes).T.astype(np.float32) / 255)
    inputs = torch.from_numpy(inputs_of(shape, (width, height), (width, height)))
    return Fit(shape, colours[None].contiguous(), inputs, settings)


def fitting_codes(fit: Fit, max_bytes: int) -> list[int]:
    """Steps of quantisation, as codes: of equal slope, and as fine as ``max_bytes`` allows.

    A step s costs a layer of n weights n log2(1 / s) bits and a squared error of S s^2, S being its sensitivity:
    the sum of both is least where s^2 is n / S, up to a factor for all layers.
    """
    codes = coarsened(fit, [0] * (len(fit.layers) + 1), max_bytes)  # one step for all
    for _ in range(ROUNDS):
        counts, sensitivities = _sensitivities(fit, codes)
        steps = np.sqrt(counts / sensitivities)
        codes = coarsened(fit, [code_of(step) for step in steps / steps.max() * 2.0**-14], max_bytes)
    return codes


def coarsened(fit: Fit, codes: list[int], max_bytes: int) -> list[int]:
    """All codes raised alike, by as little as ``max_bytes`` allows."""

    def raised(by: int) -> list[int]:
        return [min(code + by, 255) for code in codes]

    def fits(by: int) -> bool:
        return len(rangecoder.encode(integers_of(fit, raised(by)))) <= max_bytes

    by = bisect_left(range(256), True, key=fits)
    if by == 256:
        raise SettingError(f"no setting reaches {max_bytes} bytes for the weights of this network")
    return raised(by)


def _sensitivities(fit: Fit, codes: list[int]) -> tuple[FloatArray, FloatArray]:
    """For each layer's weights, and last for all biases: how many there are, and the squared error that noise like that
    of these steps makes, divided by the noise's variance."""
    count = fit.inputs.shape[1]
    chosen = torch.randint(count, (min(SAMPLE, count),), generator=fit.generator)
    inputs = fit.inputs[:, chosen]
    everything = list(range(len(fit.layers)))
    with torch.no_grad():
        clean = fit.predicted(fit.layers, inputs)

        def error(noisy: list[int], part: slice, step: float) -> tuple[int, float]:
            changed, total = list[Tensor](fit.layers), 0
            for at in noisy:
                changed[at] = fit.layers[at].clone()
                place = changed[at][:, :, part]
                place += step * (torch.rand(place.shape, generator=fit.generator) - 0.5)
                total += place.numel()
            apart = (fit.predicted(changed, inputs) - clean).square().mean()
            return total, max(float(apart) * 12 / step**2, 1e-12)

        found = [error([at], slice(0, -1), step_of(codes[at])) for at in everything]
        found.append(error(everything, slice(-1, None), step_of(codes[-1])))
    counts, sensitivities = np.array(found, np.float64).T
    return counts, sensitivities


def steps_of_layers(fit: Fit, codes: list[int]) -> list[Tensor]:
    """The steps of each layer's columns, (columns + 1,): that of its weights, and behind them that of biases."""
    found = []
    for layer, code in zip(fit.layers, codes):
        steps = torch.full((layer.shape[2],), step_of(code))
        steps[-1] = step_of(codes[-1])
        found.append(steps)
    return found


def integers_of(fit: Fit, codes: list[int]) -> list[Int32Array]:
    """The weights of the first network as a file holds them: a list for each layer, and one for all biases."""
    limit = 2**rangecoder.MAX_BITS - 1
    steps = steps_of_layers(fit, codes)
    whole = [
        (layer.detach()[0] / step).round().clamp(-limit, limit).to(torch.int32).numpy()
        for layer, step in zip(fit.layers, steps)
    ]
    return [*(matrix[:, :-1] for matrix in whole), np.concatenate([matrix[:, -1] for matrix in whole])]


# --- restoration ------------------------------------------------------------------------------------

COPIES = 8  # networks of a picture whose mean is taken; each is kept from another part of the pixels
FOLDS = 10  # one part of so many
EVERY = 10  # steps between two looks at what was held out
PATIENCE = 12  # looks without anything better, and a fit ends
LATELY = 0.05  # how much of the mean is the last step's
PROBES = 16_384  # places that are looked at, at most
STRIP = 16_384  # places that are drawn at a time
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
    settings: FitSettings | None = None,
) -> UInt8Array:
    """Pictures of one size without their noise: what networks see in them before they learn the noise by heart.

    Each network of a picture is kept from a tenth of its pixels. When their error there, which is the true picture's plus a
    constant if the noise of one pixel tells nothing of another's, no longer falls, that is where the picture is taken.

    Args:
        pictures: (N, H, W, planes).
        copies: networks of each picture.
    """
    count, height, width, planes = pictures.shape
    settings = settings or restoring(shape.variant)
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
        if places < FOLDS:  # too few to hold any out
            held = torch.zeros_like(held)
        inputs = torch.from_numpy(inputs_of(shape, (width, height), (width, height)))
        colours = flat.repeat_interleave(copies, 0).contiguous()
        fit = Fit(shape, colours, inputs, settings, (~held).float())
        best = _Best(fit, held, copies)
        fit.run(Clock(budget), lr=(settings.lr, settings.lr), report=report, enough=best.look)
        found = colours_at(fit, best.layers, (width, height), (width, height))
        mean = found.reshape(count, copies, planes, height, width).mean(1)
    return _pixels(mean)


class _Best:
    """The weights with the least error where each network was not looking, for each picture.

    What is looked at is a mean of the latest weights: that is less noisy than any of them.
    """

    def __init__(self, fit: Fit, held: Tensor, copies: int) -> None:
        self.fit, self.copies, self.looks = fit, copies, 0
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
        layers: list[Tensor] = [layer.detach() for layer in fit.layers]
        found = colours_at(fit, layers, (width, height), (width, height))
    drawn = _pixels(found.reshape(1, planes, height, width))[0]
    return np.where(missing[..., None], drawn, pixels)


def enlarged(
    shape: Shape,
    pixels: UInt8Array,
    scale: int,
    budget: Budget,
    threads: int = 1,
    report: Report | None = None,
) -> UInt8Array:
    """A picture (H, W, planes) at ``scale`` times its size.

    A pixel of "sine" is the mean of the scale x scale pixels in its place, as if a camera's sensor had taken it; of "paper" the
    colour at its centre.
    """
    height, width, planes = pixels.shape
    large = width * scale, height * scale
    with threads_of(threads):
        fit = fit_to(shape, pixels, restoring(shape.variant))
        if shape.variant == "sine":
            fine = torch.from_numpy(inputs_of(shape, large, (width, height)))
            blocks = fine.reshape(-1, height, scale, width, scale).permute(0, 1, 3, 2, 4)
            fit.inputs = blocks.reshape(len(fine), height * width, scale * scale).contiguous()
            fit.settings = replace(fit.settings, batch=max(256, fit.settings.batch // scale**2))
        fit.run(Clock(budget), report=report)
        layers: list[Tensor] = [layer.detach() for layer in fit.layers]
        found = colours_at(fit, layers, large, (width, height))
    return _pixels(found.reshape(1, planes, large[1], large[0]))[0]


@torch.no_grad()
def colours_at(fit: Fit, layers: list[Tensor], size: tuple[int, int], aspect: tuple[int, int]) -> Tensor:
    """All pixels of pictures drawn at a size (width, height), (N, planes, width * height), not clipped."""
    rows, columns = np.divmod(np.arange(size[0] * size[1]), size[0])
    parts = []
    for start in range(0, len(rows), STRIP):
        part = slice(start, start + STRIP)
        inputs = coordinates(fit.shape, *places(rows[part], columns[part], size), aspect)
        parts.append(fit.predicted(layers, torch.from_numpy(inputs)))
    return torch.cat(parts, -1)


def _pixels(colours: Tensor) -> UInt8Array:
    """(N, planes, H, W) in 0..1 to (N, H, W, planes) uint8."""
    values = (colours * 255 + 0.5).clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(values.permute(0, 2, 3, 1).numpy())
