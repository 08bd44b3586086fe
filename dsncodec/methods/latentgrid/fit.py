"""A picture to the symbols and weights of a file of method "latentgrid".

Latents and networks move together on mean squared error + trade * bits per pixel: first with soft rounding and noise,
both less and less, then with rounded latents for the networks alone. Then the networks' differences from their start
are rounded as coarsely as pays.

Source: the ideas are those of Ladune et al., "COOL-CHIC", 2023, and of Kim et al., "C3", 2024 (soft rounding).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...entropy import adaptive_coder
from .bitstream import LISTS, TAPS, UNITS, Parameters, split, start_lists
from .objective import RDObjective
from .soap import Soap
from .visual import Distortion, planes_of
from .weights import Weights, random_weights

FloatArray = NDArray[np.float32]
Int8Array = NDArray[np.int8]
Int32Array = NDArray[np.int32]
UInt8Array = NDArray[np.uint8]
Report = Callable[[float, float, float], None]


# A price that follows a target, docs/decisions/0018-latentgrid.md: from where to where in the schedule, how often, and how
# much of it latents take to follow the price; how far from the first price, either way
STEERED, LOOK_EVERY, FOLLOWING, MOST_STEERED = (0.25, 0.9), 0.02, 0.12, 4.0
# How the logarithm of a photograph's price goes with that of its bytes
PRICE_BY_BYTES = 2.0
# What latents have still to gain that are rounded early in a schedule, as a part of the bytes at its end; of a fit for the
# eye less. Below the price LONG_WAY latents are long on their way, and PSNR has more to rise
BYTES_TO_FALL, VISUAL_TO_FALL = 0.45, 0.25
LONG_WAY, MOST_LONG = 2.5e-4, 2.0
MAX_WEIGHT = 15.0  # nearly what a file can hold; pictures that leave a weight free let it drift
CONTEXT_PACE = np.float32(3)  # steps of the context network's weights, over the others'
HELD_FROM = 1.5e-3  # a published start's second layer of contexts is left as it is from this price on, for 2^16 pixels
REFINING = 0.04  # of the seconds, at most: symbols are moved one by one, before the networks' last steps and at the end
SHRINK, SHRINK_UNIT = 8.0, 2.0**-6  # docs/decisions/0018-latentgrid.md


def eased(pair: Sequence[float], progress: float) -> float:
    """Between a first and a last value, along half a wave of the cosine."""
    return pair[1] + (pair[0] - pair[1]) * (0.5 + 0.5 * math.cos(math.pi * progress))


@dataclass(frozen=True)
class Schedule:
    """What changes while the fit runs, first and last value, along half a wave of the cosine."""

    temperature: tuple[float, float] = (0.3, 0.1)
    noise: tuple[float, float] = (0.22, 0.17)
    latents: tuple[float, float] = (0.15, 0.001)
    weights: tuple[float, float] = (6e-3, 1e-4)
    rounded: float = 0.08  # of the budget, at its end: latents are rounded, and the networks alone move
    rounded_weights: float = 5e-4


@dataclass
class Budget:
    """Seconds, steps, or both: whichever ends first."""

    seconds: float | None
    steps: int | None

    def __post_init__(self) -> None:
        self._begin = time.monotonic()

    def seconds_gone(self) -> float:
        """Since it began."""
        return time.monotonic() - self._begin

    def alarm(self, share: float) -> Callable[[], bool]:
        """Says when such a part of the seconds is gone, from now on."""
        if self.seconds is None:
            return lambda: False
        end = time.monotonic() + share * self.seconds
        return lambda: time.monotonic() > end

    def spent(self, step: int) -> float:
        """The part of it that is gone after so many steps."""
        parts = [0.0]
        if self.seconds is not None:
            parts.append(self.seconds_gone() / self.seconds)
        if self.steps is not None:
            parts.append(step / self.steps)
        return max(parts)


@dataclass(frozen=True)
class Rising:
    """How a measure of quality goes with a fit.

    Args:
        price: how the logarithm of a photograph's price falls with each unit.
        to_rise: in units, what latents have still to gain that are rounded early in a schedule.
        after_pilot: what a fit of some hundred steps has.
        long: how much more that is where latents are long on their way.
    """

    price: float
    to_rise: float
    after_pilot: float
    long: float


# By the names of metrics
RISING = {
    "psnr_db": Rising(math.log(10) / 6, 0.25, 0.5, 4),
    "ssimulacra2": Rising(0.07, 6, 4, 0),
}


@dataclass(frozen=True)
class Aim:
    """What a run goes for. ``trade``, the distortion (as a squared error of samples in 0..1) for a bit per pixel, is the
    price; it follows one of the others a little, if that is set: bytes of symbols and weights, or ``level`` of a measure,
    which is one of RISING.
    """

    trade: float
    max_bytes: int | None = None
    level: float | None = None
    measure: str = "psnr_db"

    @property
    def fixed(self) -> bool:
        """Whether the price is all there is."""
        return self.max_bytes is None and self.level is None

    def corrected(self, trade: float, bytes_: float, level: float) -> float:
        """The price that would have met the target where this one led to so many bytes, and such a level; about."""
        more = 0.0
        if self.max_bytes is not None:
            more = PRICE_BY_BYTES * math.log(max(bytes_, 1) / max(self.max_bytes, 1))
        elif self.level is not None:
            more = RISING[self.measure].price * (level - self.level)
        return trade * math.exp(min(max(more, -2), 2))


@dataclass(frozen=True)
class Fitted:
    """What a file holds: parameters, differences of the weights in six lists, symbols finest first; and the bits that the
    model says the symbols take."""

    parameters: Parameters
    differences: list[Int32Array]
    grids: list[Int8Array]
    bits: float


def visual_distortion(original: UInt8Array, colour: UInt8Array) -> float:
    """What a fit for the eye lessens, of two pictures (H, W, 1 or 3)."""
    return Distortion(planes_of(original)).value(planes_of(colour))


def weights_of(lists: Sequence[NDArray[np.int64]], width: int) -> Weights:
    """Integers of six lists as floats."""
    return Weights(
        width,
        np.concatenate([(numbers * 2.0**-unit).astype(np.float32) for numbers, unit in zip(lists, UNITS)]),
    )


class Fit:
    """One picture on its way.

    Args:
        colour: (H, W, 1 or 3) uint8.
        width: of the synthesis; the start's, if it is a published one.
        start: the id of a published start, 4 bytes, or four zeros.
        latents: to begin with, as ``RDObjective`` takes them.
        seed: of the noise, and of the networks where no start is published.
        begin: the weights of a start that is to be published, in the place of a published one's.
        visual: what is optimised is the distortion for the eye, and not the squared error.
    """

    def __init__(
        self,
        colour: UInt8Array,
        width: int,
        start: bytes,
        threads: int,
        latents: list[FloatArray] | None = None,
        seed: int = 0,
        begin: Weights | None = None,
        visual: bool = False,
    ) -> None:
        self.start_id, self.width = start, width
        self.start = begin or weights_of(start_lists(Parameters(width, start, (0,) * LISTS)), width)
        self._published = begin is not None or any(start)
        if self._published:
            self.weights = self.start.copy()
        else:
            mean = colour.reshape(-1, colour.shape[2]).mean(0) / 255
            self.weights = random_weights(width, seed, tuple(np.broadcast_to(mean, 3)))
        self.schedule, self.seed = Schedule(), seed
        self.objective = RDObjective(colour, threads, latents, visual)
        self.interrupted = False

    def run(self, aim: Aim, budget: Budget, report: Report | None = None, begin: float = 0.0) -> None:
        """Latents and weights, until the budget is spent or Ctrl-C: then what there is goes on to ``finished``.

        Args:
            report: called now and then with the part of the budget spent, the mean squared error, samples in 0..1, and the
                bits per pixel.
            begin: where in the schedule, 0..1: what has been fitted is not to be shaken up again.
        Raises:
            KeyboardInterrupt: the second one of this fit.
        """
        objective, schedule, weights = self.objective, self.schedule, self.weights
        mover, pace = Soap(weights), self._pace(aim.trade)
        trade, step = aim.trade, 0
        look = math.inf if aim.fixed else STEERED[0]
        soft = 1 - schedule.rounded
        rounded = False
        try:
            while (spent := budget.spent(step)) < 1:
                progress = min(begin + (1 - begin) * spent / soft, 1)
                if progress < 1:
                    if look <= progress < STEERED[1]:
                        trade = self._steered(aim, trade, progress)
                        look = progress + LOOK_EVERY
                    objective.soft_round(
                        eased(schedule.temperature, progress),
                        eased(schedule.noise, progress),
                        step + 1_000_003 * self.seed,
                    )
                elif not rounded:
                    rounded = True
                    objective.round_latents()
                    objective.rdoq(weights, trade, budget.alarm(REFINING))
                loss, gradient = objective.gradients(weights, trade, step)
                if progress < 1:
                    objective.step(trade, eased(schedule.latents, progress))
                    size = eased(schedule.weights, progress)
                else:
                    size = schedule.rounded_weights * (1 - spent) / schedule.rounded
                mover.step(weights.flat, gradient.flat, size * pace)
                self._shrink(mover.square_rms(), size, trade)
                np.clip(weights.flat, -MAX_WEIGHT, MAX_WEIGHT, out=weights.flat)
                step += 1
                if report is not None and step % 10 == 0:
                    report(spent, loss.mse(objective.pixels), loss.bits / objective.pixels)
        except KeyboardInterrupt:
            self._interrupt()
        self.trade, self.steps = trade, step
        self.seconds_per_step = budget.seconds_gone() / max(step, 1)
        objective.round_latents()

    def _pace(self, trade: float) -> FloatArray:
        """How fast each weight moves, over the others."""
        pace = Weights(self.width, np.ones_like(self.weights.flat))
        for group in pace.groups[:TAPS]:
            pace.flat[group] = CONTEXT_PACE
        if self._published and trade >= HELD_FROM * self.objective.pixels / 2**16:
            pace.parts["w2"][:] = 0
        return pace.flat

    def _interrupt(self) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True

    def _shrink(self, rms: FloatArray, size: float, trade: float) -> None:
        """Draw the weights towards their start, as the bits of their differences would, about
        SHRINK log2(1 + |d| / SHRINK_UNIT) each: a proximal step, on the scale that the weight's gradient has."""
        d = self.weights.flat - self.start.flat
        far = np.abs(d)
        slope = SHRINK * trade / self.objective.pixels / (math.log(2) * (SHRINK_UNIT + far))
        self.weights.flat[:] = self.start.flat + np.sign(d) * np.maximum(far - size * slope / rms, 0)

    def outlook(self, aim: Aim, trade: float, left: float | None = None) -> tuple[float, float]:
        """What rounded latents would come to by the end of a fit at such a price: bytes of symbols and weights, and the
        level of the aim's measure, about.

        Args:
            left: the part of the way that is left; default: all of it, after a fit of some hundred steps.
        """
        self.objective.round_latents()
        loss, rising = self.objective.loss(self.weights), RISING[aim.measure]
        if aim.measure == "ssimulacra2":
            level = self.objective.ssimulacra2(self.weights)
        else:
            level = -10 * math.log10(max(loss.mse(self.objective.pixels), 1e-10))
        long = min(LONG_WAY / trade, MOST_LONG)
        falls = BYTES_TO_FALL if self.objective.visual is None else VISUAL_TO_FALL
        fall = 0.0 if left is None else falls * left
        rise = rising.after_pilot if left is None else rising.to_rise * left
        bytes_ = (loss.bits / 8 + self._about_bytes()) / (1 + fall / (1 + long))
        return bytes_, level + rise * (1 + rising.long * long)

    def _steered(self, aim: Aim, trade: float, progress: float) -> float:
        """The price after one more look at what latents, rounded as they are, would make."""
        left = (1 - progress) ** 1.5
        wanted = aim.corrected(trade, *self.outlook(aim, trade, left))
        moved = trade * (wanted / trade) ** (LOOK_EVERY / FOLLOWING)
        return min(max(moved, aim.trade / MOST_STEERED), aim.trade * MOST_STEERED)

    def _about_bytes(self) -> float:
        """What the differences of the weights take, about."""
        d = _nearest((self.weights.flat - self.start.flat) / SHRINK_UNIT)
        counts = np.unique(d, return_counts=True)[1]
        return float(np.sum(counts * np.log2(len(d) / counts))) / 8

    def close(self) -> None:
        """Lets the threads go."""
        self.objective.close()

    # --- what a file holds

    def finished(self, seconds: float = math.inf) -> Fitted:
        """Weights rounded, and then made cheaper one by one; and symbols moved by what these weights make of them. Both
        end after about so many seconds, or Ctrl-C, wherever they are."""
        begin = time.monotonic()
        try:
            parameters, differences, weights = self._rounded()
        except KeyboardInterrupt:
            self._interrupt()
            parameters, differences, weights = self._rounded()
        self.weights = weights
        try:
            self._cheapened(parameters, differences, begin + seconds / 2)
            self.objective.rdoq(weights, self.trade, lambda: time.monotonic() > begin + seconds)
        except KeyboardInterrupt:
            self._interrupt()
        return Fitted(parameters, differences, self.objective.grids(), self.objective.rate(weights, None))

    def _rounded(self) -> tuple[Parameters, list[Int32Array], Weights]:
        """For each list the steps that pay best: the other weights stay as they are meanwhile."""
        weights = self.weights.copy()
        price = 8 * self.trade / self.objective.pixels
        differences: list[Int32Array] = []
        exponents = []
        for number, group in enumerate(weights.groups):
            start, wished = self.start.flat[group], weights.flat[group].copy()
            self.objective.upsample(weights)

            def cost(exponent: int) -> tuple[float, int, Int32Array]:
                d = _nearest((wished - start) * 2.0**exponent)
                weights.flat[group] = start + d * np.float32(2.0**-exponent)
                size = len(adaptive_coder.encode(split(d, number, self.width)))
                return self._cost(weights, number) + price * size, exponent, d

            # exponent 0 is next to no difference at all; the search ends where finer steps have not paid four times
            tried = [cost(0)]
            for exponent in range(4, min(UNITS[number], 14) + 1):
                tried.append(cost(exponent))
                if len(tried) > 5 and min(tried[-4:])[0] > min(tried[:-4])[0] and min(tried)[1]:
                    break
            _, exponent, d = min(tried, key=lambda found: found[0])
            weights.flat[group] = start + d * np.float32(2.0**-exponent)
            exponents.append(exponent)
            differences.append(d)
        return Parameters(self.width, self.start_id, tuple(exponents)), differences, weights

    def _cheapened(self, parameters: Parameters, differences: list[Int32Array], end: float) -> None:
        """Differences moved towards zero, one weight after the other, where the bits that this saves are worth more than
        what it spoils."""
        weights, price = self.weights, self.trade / self.objective.pixels
        for number, (group, d, exponent) in enumerate(zip(weights.groups, differences, parameters.exponents)):
            unit = np.float32(2.0**-exponent)
            self.objective.upsample(weights)
            now = self._cost(weights, number, sampled=True)
            lists = weights.flat[group], self.start.flat[group], d
            for flat, start, part in zip(*(split(values, number, self.width) for values in lists)):
                bits = _bits_of(part)
                for at in np.argsort(np.abs(part), kind="stable")[np.sum(part == 0) :]:
                    if time.monotonic() > end:
                        return
                    old, kept = part[at], flat[at]
                    new = old - np.sign(old)
                    flat[at] = start[at] + new * unit
                    then = self._cost(weights, number, sampled=True)
                    if then + price * (bits(new) - bits(old)) < now:
                        part[at], now = new, then
                        bits = _bits_of(part)
                    else:
                        flat[at] = kept

    def _cost(self, weights: Weights, number: int, sampled: bool = False) -> float:
        """The part of the loss that a list of weights decides: rate for the first two, squared error for the others,
        of planes that were doubled before unless it is the list of the taps."""
        objective = self.objective
        if number < 2:
            return self.trade * objective.rate(weights, None, sampled) / objective.pixels
        if number == TAPS:
            objective.upsample(weights)
        if objective.visual is None:
            return objective.synthesise(weights, None, sampled) / (3 * objective.pixels)
        # it looks at the whole picture: rows would not do
        objective.synthesise(weights, None)
        return objective.distortion


def _nearest(x: FloatArray) -> Int32Array:
    """Rounded, with a wider zero: a small difference costs more bits than it is worth."""
    limit = 2**15 - 1
    return np.clip(np.sign(x) * np.floor(np.abs(x) + np.float32(0.4)), -limit, limit).astype(np.int32)


def _bits_of(d: Int32Array) -> Callable[[int], float]:
    """About what an integer costs beside the others of its list."""
    values, counts = np.unique(d, return_counts=True)
    found = dict(zip(values.tolist(), counts.tolist()))
    return lambda value: -math.log2((found.get(int(value), 0) + 0.3) / (len(d) + 1))
