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
from dataclasses import dataclass

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
