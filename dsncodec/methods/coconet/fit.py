"""Fitting coordinate networks: pictures in, weights out. One network each; pictures of one size are fitted as one batch.

Source: Bricman and Ionescu, "CocoNet", 2018: six coordinates, tanh layers, MSE, Adam (variant "paper"). Variant "sine" is
ours to choose: docs/decisions/0013-coconet.md.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...entropy import adaptive_coder
from ...errors import SettingError
from .bitstream import Shape, coordinates, places
from .encoder import DEFAULT_SECONDS
from .guard import Guard, least_bad
from .soap import Soap

FloatArray = NDArray[np.floating]
UInt8Array = NDArray[np.uint8]

FIRST = 3.0  # spread of the first sine layer's weights, in radians, times the root of its inputs
POOL = 64  # steps whose places are drawn together
STRIP = 16_384  # places that are drawn at a time
SWEEPS = 4  # times that they are gone through, where there are many of them
MOST = 2**adaptive_coder.MAX_BITS - 1  # of a weight in a file, in steps
PROBES = 2**20  # places at which finished networks are compared, at most
SURE = 0.98  # where these are not all: a network must be better than the mean colour by so much to be taken
PROBE_WORK = 2**33  # weights times places there, at most: a second or so
EPOCHS = 3000  # of the paper: Figure 2


@dataclass(frozen=True)
class Budget:
    """What a fit may cost: ``seconds`` or ``steps``, whichever ends first."""

    seconds: float | None = None
    steps: int | None = None


@dataclass(frozen=True)
class FitSettings:
    """How a network is fitted. ``lr`` falls to a tenth along a cosine (paper: 1e-4 to 1e-5).

    ``epochs`` are how often each pixel is looked at when no budget is given; None: the budget is in seconds.
    """

    lr: float
    optimizer: str
    batch: int = 8192  # pixels of a step
    epochs: int | None = None
    first: float = FIRST
    seed: int = 0


# The paper says Adam, rates between 1e-4 and 1e-5, and 3000 epochs. It does not say how many pixels a step has: 1024 are all
# of its 32 x 32 pictures, and one of two numbers in the code that it links to (the other is the whole picture).
SETTINGS = {
    "paper": FitSettings(lr=1e-4, optimizer="adam", batch=1024, epochs=EPOCHS),
    "sine": FitSettings(lr=3e-2, optimizer="soap", batch=4096),
}


def budget_of(variant: str, pixels: int, seconds: float | None, steps: int | None) -> Budget:
    """What was asked for; where nothing was, the paper's epochs for the paper's networks, and DEFAULT_SECONDS for others.

    >>> budget_of("paper", 256 * 256, None, None)
    Budget(seconds=None, steps=192000)
    """
    settings = SETTINGS[variant]
    if seconds is not None or steps is not None:
        return Budget(seconds, steps)
    if settings.epochs is None:
        return Budget(DEFAULT_SECONDS)
    return Budget(steps=settings.epochs * steps_of_epoch(pixels, settings.batch))


def steps_of_epoch(pixels: int, batch: int) -> int:
    """Steps in which each pixel is looked at once."""
    return max(1, -(-pixels // batch))


class Clock:
    """How much of a budget is spent, 0..1.

    Args:
        step, seconds: what was spent before.
    """

    def __init__(self, budget: Budget, step: int = 0, seconds: float = 0.0) -> None:
        if budget.seconds is None and budget.steps is None:
            raise SettingError("a fit needs a budget in seconds or in steps")
        self.budget, self.step, self.started = budget, step, time.monotonic() - seconds

    @property
    def seconds(self) -> float:
        """Spent so far."""
        return time.monotonic() - self.started

    @property
    def progress(self) -> float:
        """At least 1 when it is spent."""
        seconds, steps = self.budget.seconds, self.budget.steps
        parts = [self.step / steps] if steps else []
        parts += [self.seconds / seconds] if seconds else []
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
        self.guard: Guard | None = None  # of the last run
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
            return torch.optim.Adam(self.layers, lr)
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

    def _batches(self) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        """What each step looks at: inputs, colours, and which of them count.

        Places are drawn for many steps at once, side by side in memory: to gather them anew for each step would take a
        third of its time.
        """
        count, size = self.colours.shape[-1], self.settings.batch
        if size >= count:
            while True:
                yield self.inputs, self.colours, self.seen
        if self.settings.epochs is not None:
            yield from self._epochs()
        sweeps = SWEEPS if count >= 8 * size else 1
        while True:
            if count <= POOL * size:
                chosen = torch.randperm(count, generator=self.generator)
            else:
                chosen = torch.randint(count, (POOL * size,), generator=self.generator)
            inputs, colours = self.inputs[:, chosen], self.colours[..., chosen]
            seen = None if self.seen is None else self.seen[..., chosen]
            for _ in range(sweeps):
                for start in range(0, len(chosen) - size + 1, size):
                    part = slice(start, start + size)
                    yield inputs[:, part], colours[..., part], None if seen is None else seen[..., part]

    def _epochs(self) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        """Batches of whole epochs: each pixel once in an epoch; the last batch of one may be smaller."""
        count, size = self.colours.shape[-1], self.settings.batch
        while True:
            order = torch.randperm(count, generator=self.generator)
            for begin in range(0, count, POOL * size):
                some = order[begin : begin + POOL * size]
                inputs, colours = self.inputs[:, some], self.colours[..., some]
                seen = None if self.seen is None else self.seen[..., some]
                for start in range(0, len(some), size):
                    part = slice(start, start + size)
                    yield inputs[:, part], colours[..., part], None if seen is None else seen[..., part]

    def new_guard(self) -> Guard:
        """One that knows nothing of the weights yet, but how often others had to help before."""
        flat = self._squared(self._mean_colour()[..., None] - self.colours, self.seen)
        if self.guard is None:
            return Guard(self.layers, flat)
        return Guard(self.layers, flat, self.guard.rate, self.guard.setbacks)

    def _mean_colour(self) -> Tensor:
        """(N, planes), of what may be seen, as samples of 8 bits have it."""
        if self.seen is None:
            mean = self.colours.mean(-1, dtype=torch.float64)
        else:
            count = self.seen.sum(-1, dtype=torch.float64).clamp(min=1)
            mean = (self.colours * self.seen).sum(-1, dtype=torch.float64) / count
        return ((mean * 255 + 0.5).floor() / 255).float()

    def _squared(self, apart: Tensor, seen: Tensor | None) -> Tensor:
        """Mean squares (N,) of what is apart (N, planes, n)."""
        return (apart if seen is None else apart * seen).square().mean((1, 2))

    def flat_layers(self) -> list[Tensor]:
        """Weights with which each picture is its mean colour everywhere."""
        layers = [torch.zeros_like(layer) for layer in self.layers]
        mean = self._mean_colour()
        paper = self.shape.variant == "paper"
        layers[-1][:, :, -1] = mean.clamp(1 / 1024, 1 - 1 / 1024).logit() if paper else mean - 0.5
        return layers

    def probes(self) -> Tensor:
        """Numbers of places at which finished networks are compared, drawn where there are many."""
        count, weights = self.colours.shape[-1], self.shape.weights(self.colours.shape[1])
        most = min(PROBES, max(1024, PROBE_WORK // (weights * len(self.colours))))
        if count <= most:
            return torch.arange(count)
        return torch.randint(count, (most,), generator=torch.Generator().manual_seed(self.settings.seed))

    @torch.no_grad()
    def errors_of(self, layers: list[Tensor], probes: Tensor) -> Tensor:
        """Squared errors (N,) of networks at some places, as a picture has them: samples of 8 bits, clipped, in 0..1."""
        total = torch.zeros(len(self.colours))
        for begin in range(0, len(probes), STRIP):
            some = probes[begin : begin + STRIP]
            drawn = (self.predicted(layers, self.inputs[:, some]) * 255 + 0.5).clamp(0, 255).floor() / 255
            seen = None if self.seen is None else self.seen[..., some]
            total += self._squared(drawn - self.colours[..., some], seen) * len(some)
        return total / max(len(probes), 1)

    def settled(self, *candidates: list[Tensor]) -> list[Tensor]:
        """What a fit has come to: for each network the least bad of candidates and its picture's mean colour.

        Args:
            candidates: lists of layers; default: the last weights, and the best that the guard has seen.
        Warns:
            FitWarning: the fit ran away on its way.
        """
        if self.guard is not None:
            self.guard.tell()
        found = [*(candidates or self.last_and_best()), self.flat_layers()]
        probes = self.probes()
        errors = torch.stack([self.errors_of(layers, probes) for layers in found])
        errors[-1] *= self.sure(probes)
        return least_bad(found, errors)

    def last_and_best(self) -> list[list[Tensor]]:
        """The weights as they are, and the best that the guard has seen."""
        last = [layer.detach().clone() for layer in self.layers]
        return [last] if self.guard is None else [last, self.guard.best]

    def sure(self, probes: Tensor) -> float:
        """What the error of a mean colour at these places is multiplied with, before it is compared."""
        return 1.0 if len(probes) == self.colours.shape[-1] else SURE

    def run(
        self,
        clock: Clock,
        until: float = 1.0,
        steps_of: list[Tensor] | None = None,
        lr: tuple[float, float] | None = None,
        report: Report | None = None,
        enough: Callable[[], bool] | None = None,
        begun: float | None = None,
        optimizer: torch.optim.Optimizer | None = None,
        guard: Guard | None = None,
    ) -> None:
        """Fit until a part of the budget is spent. Networks that run away go back, see ``Guard``.

        Args:
            steps_of: quantisation steps, one (columns + 1,) for each layer; None: weights are not rounded. Gradients
                pass the rounding as if it were not there.
            lr: from, to; default: the settings' and a tenth of it.
            enough: asked after each step, whether to end already.
            begun: the part of the budget at which the rate began to fall; default: now.
            optimizer, guard: those that have begun; default: new ones.
        """
        high, low = lr or (self.settings.lr, self.settings.lr / 10)
        optimizer = optimizer or self.optimizer(high)
        begun = clock.progress if begun is None else begun
        batches = self._batches()
        self.guard = guard = guard or self.new_guard()
        while (progress := clock.progress) < until:
            done = (progress - begun) / (until - begun)
            for group in optimizer.param_groups:
                group["lr"] = guard.rate * (low + (high - low) * 0.5 * (1 + math.cos(math.pi * done)))
            inputs, colours, seen = next(batches)
            layers = self.layers if steps_of is None else rounded(self.layers, steps_of)
            loss = self._squared(self.predicted(layers, inputs) - colours, seen)
            error = loss.detach()
            if guard.passed(error, optimizer):
                loss.sum().backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            else:
                error = guard.least
            clock.step += 1
            if report is not None:
                report(clock.progress, float(error.mean()))
            if enough is not None and enough():
                return


def fit_to(shape: Shape, pixels: UInt8Array, settings: FitSettings) -> Fit:
    """A fresh fit of one picture (H, W, 1 or 3)."""
    height, width, planes = pixels.shape
    colours = torch.from_numpy(pixels.reshape(-1, planes).T.astype(np.float32) / 255)
    inputs = torch.from_numpy(inputs_of(shape, (width, height), (width, height)))
    return Fit(shape, colours[None].contiguous(), inputs, settings)


def rounded(layers: list[nn.Parameter], steps: list[Tensor]) -> list[Tensor]:
    """Weights as a file would hold them, with the gradients of those that are not rounded."""
    return [
        layer + ((layer / step).round().clamp(-MOST, MOST) * step - layer).detach()
        for layer, step in zip(layers, steps)
    ]


def inputs_of(shape: Shape, size: tuple[int, int], aspect: tuple[int, int]) -> FloatArray:
    """What the network is told of all pixels, row by row, of a picture drawn at a size (width, height)."""
    rows, columns = np.mgrid[: size[1], : size[0]].reshape(2, -1)
    return coordinates(shape, *places(rows, columns, size), aspect)


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


def to_pixels(colours: Tensor) -> UInt8Array:
    """(N, planes, H, W) in 0..1 to (N, H, W, planes) uint8."""
    values = (colours * 255 + 0.5).clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(values.permute(0, 2, 3, 1).numpy())


@contextmanager
def threads_of(count: int) -> Iterator[None]:
    """torch's threads while a fit lasts."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
