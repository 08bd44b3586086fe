"""A picture to the symbols and weights of a file of method "latentgrid".

Latents and networks minimise mean squared error + lmbda * bits per pixel together: first with soft rounding and noise, both
annealed, then the networks alone with rounded latents. Then RDOQ works on the networks' differences from their init, and
on the symbols.

Source: the ideas are those of Ladune et al., "COOL-CHIC", 2023, and of Kim et al., "C3", 2024 (soft rounding).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...entropy import adaptive_coder
from ...planes import squeezed
from ...processes import release_memory
from .bitstream import LISTS, TAPS, UNITS, Parameters, init_lists, split
from .entropy_model import GRIDS
from .objective import RDObjective
from .soap import Soap
from .visual import distortion_of, planes_of
from .weights import Weights, random_weights

FloatArray = NDArray[np.float32]
Int8Array = NDArray[np.int8]
Int32Array = NDArray[np.int32]
UInt8Array = NDArray[np.uint8]
Report = Callable[[float, float, float], None]


# Steer lmbda towards a rate or PSNR target (docs/decisions/0018-latentgrid.md): between these parts of the schedule, once in
# LOOK_EVERY of it; by a factor of MOST_STEERED at most from where it began. Latents follow lmbda within FOLLOWING of the schedule
STEERED, LOOK_EVERY, FOLLOWING, MOST_STEERED = (0.25, 0.9), 0.02, 0.12, 4.0
# d log(lmbda) / d log(bytes), of photographs
LMBDA_BY_BYTES = 2.0
# Correction of the predicted rate: latents rounded at progress p of the schedule need BYTES_TO_FALL (1 - p)^1.5 more bytes than
# at its end, as a part of those; VISUAL_TO_FALL in a fit for the eye
BYTES_TO_FALL, VISUAL_TO_FALL = 0.45, 0.25
# With long = min(LONG_WAY / lmbda, MOST_LONG), that of the bytes is divided by 1 + long, that of the PSNR multiplied by 1 + 4 long
LONG_WAY, MOST_LONG = 2.5e-4, 2.0
# Nearly what a file can hold; a picture that does not need a weight lets it drift
MAX_WEIGHT = 15.0
# Steps of the context network's weights, over the others'
CONTEXT_PACE = np.float32(3)
# From this lmbda on, for 2^16 pixels, W2 of a published init stays as it is
HELD_FROM = 1.5e-3
# In a fit for the eye coarse grids go first in smooth areas: on the finest one they would become plateaus with edges, see
# docs/decisions/0021-visual-fit.md
VISUAL_STARTS = (0.15, 0.08, 0.04)
# and everywhere the finest grids move in smaller steps
VISUAL_PACES = (0.5, 0.7, 1.0, 1.0, 1.0, 1.0, 1.0)
# A fit of fewer steps than FEW_STEPS begins with pictures of half the size and a quarter, of so many pixels at least: as many steps
# there, finest first, and each within such a part of the budget. A step takes SECONDS_A_PIXEL, about
COARSE_PIXELS, COARSE_STEPS, COARSE_SHARE = 2**12, (40, 60), 0.25
SECONDS_A_PIXEL = 8e-8
# A fit of fewer than FEW_STEPS, for the eye than VISUAL_FEW_STEPS, has a schedule on the way to that of FEWEST_STEPS, whose noise, weights'
# steps and memory these are
FEW_STEPS, VISUAL_FEW_STEPS, FEWEST_STEPS = 700, 120, 40
FEWEST_NOISE, FEWEST_WEIGHTS, FEWEST_MEMORY = (0.07, 0.03), (4e-3, 1e-4), (0.4, 0.95)
# What is tried of the colours that least squares finds at the end of a fit that began with smaller pictures, until it helps
SOLVED_SHARES = (1.0, 0.5)
# Of the seconds, at most: RDOQ of the symbols before the last steps of the networks
RDOQ_SHARE = 0.04
# and what it takes before it moves the first of them, in steps, about
RDOQ_STEPS = 15
# What stands for a larger picture where weights are rounded and RDOQ works on them: squares of so many pixels a side, along its diagonal, one
# below the other. A side is of whole cells of the coarsest grid, and so large that most of a square is as it is in the picture
SQUARE, SQUARES = 8 * 2 ** (GRIDS - 1), 2
# Of the proximal step towards the init, docs/decisions/0018-latentgrid.md
SHRINK, SHRINK_UNIT = 8.0, 2.0**-6


def cosine_schedule(pair: Sequence[float], progress: float) -> float:
    """From the first value of a pair to the last, along half a wave of the cosine."""
    return pair[1] + (pair[0] - pair[1]) * (0.5 + 0.5 * math.cos(math.pi * progress))


def held(starts: Sequence[float], progress: float) -> int:
    """How many of the finest grids have not begun to move, of a schedule's ``starts``."""
    return sum(progress < start for start in starts)


@dataclass(frozen=True)
class Schedule:
    """What changes while the fit runs: pairs are first and last values of a ``cosine_schedule``. ``rounded`` is the part of the
    budget, at its end, in which latents are rounded and the networks alone move. ``starts``: from where on latents of the finest
    grids move in smooth areas, 0..1, finest first; all others move from the beginning. ``paces``: of the steps of each grid's
    latents, finest first. ``memory``: beta of the mean of the latents' gradients, and of that of their squares.
    ``below``: fits of fewer steps have another one, see ``of_few``."""

    temperature: tuple[float, float] = (0.3, 0.1)
    noise: tuple[float, float] = (0.22, 0.17)
    latents: tuple[float, float] = (0.15, 0.001)
    weights: tuple[float, float] = (6e-3, 1e-4)
    rounded: float = 0.08
    rounded_weights: float = 5e-4
    starts: tuple[float, ...] = ()
    paces: tuple[float, ...] = (1.0,) * GRIDS
    memory: tuple[float, float] = (0.8, 0.99)
    below: int = FEW_STEPS

    def of_few(self, steps: float) -> Schedule:
        """For a fit of fewer steps than ``below``: less noise, as it is never averaged out; weights that move less, and a shorter memory.
        From the values of FEWEST_STEPS on evenly by the logarithm of the steps."""
        few = math.log(self.below / max(steps, FEWEST_STEPS)) / math.log(self.below / FEWEST_STEPS)
        if few <= 0:
            return self

        def between(many: Sequence[float], fewest: Sequence[float]) -> tuple[float, float]:
            first, last = (a * (b / a) ** few for a, b in zip(many, fewest))
            return first, last

        return replace(
            self,
            noise=between(self.noise, FEWEST_NOISE),
            weights=between(self.weights, FEWEST_WEIGHTS),
            memory=between(self.memory, FEWEST_MEMORY),
        )


@dataclass
class Budget:
    """Seconds, steps, or both: whichever ends first."""

    seconds: float | None
    steps: int | None
    # that were gone when it began, of a fit that goes on
    earlier: float = 0.0

    def __post_init__(self) -> None:
        self._begin = time.monotonic()

    def seconds_gone(self) -> float:
        """Since it began, and those before."""
        return self.earlier + time.monotonic() - self._begin

    def alarm(self, share: float) -> Callable[[], bool]:
        """Says when such a part of the seconds is gone, from now on."""
        if self.seconds is None:
            return lambda: False
        end = time.monotonic() + share * self.seconds
        return lambda: time.monotonic() > end

    def spent(self, step: float) -> float:
        """The part of it that is gone after so many steps."""
        parts = [0.0]
        if self.seconds is not None:
            parts.append(self.seconds_gone() / self.seconds)
        if self.steps is not None:
            parts.append(step / self.steps)
        return max(parts)


@dataclass(frozen=True)
class Slope:
    """How a measure goes with lmbda and with the schedule, on photographs.

    Args:
        lmbda: - d log(lmbda) / d measure.
        to_rise: what latents rounded at progress p of the schedule have less than at its end, over (1 - p)^1.5.
        after_pilot: the same, at the end of a pilot fit.
        long: how much more that is, see LONG_WAY.
    """

    lmbda: float
    to_rise: float
    after_pilot: float
    long: float


# By the names of metrics
SLOPES = {
    "psnr_db": Slope(math.log(10) / 6, 0.25, 0.5, 4),
    "ssimulacra2": Slope(0.07, 6, 4, 0),
}


@dataclass(frozen=True)
class RateTarget:
    """What a run goes for: ``lmbda``, distortion (as a squared error of samples in 0..1) for a bit per pixel. It is steered
    towards the bytes of symbols and weights, or ``level`` of a measure, which is one of SLOPES, where one is set.
    """

    lmbda: float
    max_bytes: int | None = None
    level: float | None = None
    measure: str = "psnr_db"

    @property
    def fixed(self) -> bool:
        """Whether lmbda stays as it is."""
        return self.max_bytes is None and self.level is None

    def corrected_lmbda(self, lmbda: float, bytes_: float, level: float) -> float:
        """An estimate of the lmbda that meets the target, where this one led to these bytes and this level."""
        more = 0.0
        if self.max_bytes is not None:
            more = LMBDA_BY_BYTES * math.log(max(bytes_, 1) / max(self.max_bytes, 1))
        elif self.level is not None:
            more = SLOPES[self.measure].lmbda * (level - self.level)
        return lmbda * math.exp(min(max(more, -2), 2))


@dataclass
class Standing:
    """Where a run stands.

    Args:
        lmbda: at present.
        look: from where in the schedule on lmbda is steered.
        step: how many there were at the picture's own size.
        worked: what smaller pictures have taken before, in such steps, and ``gone`` as a part of the budget.
        rounded: whether latents are.
    """

    lmbda: float
    look: float
    step: int = 0
    worked: float = 0.0
    gone: float = 0.0
    rounded: bool = False


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
    return distortion_of(planes_of(original)).value(planes_of(colour))


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
        width: of the synthesis; the init's, if it is a published one.
        init_id: of a published init, 4 bytes, or four zeros.
        latents: initial ones, as ``RDObjective`` takes them.
        seed: of the noise, and of the networks where no init is published.
        init: the weights of an init that is in training, in the place of a published one's.
        visual: what is optimised is the distortion for the eye, and not the squared error.
    """

    def __init__(
        self,
        colour: UInt8Array,
        width: int,
        init_id: bytes,
        threads: int,
        latents: Sequence[FloatArray] | None = None,
        seed: int = 0,
        init: Weights | None = None,
        visual: bool = False,
    ) -> None:
        self.init_id, self.width = init_id, width
        self.init = init or weights_of(init_lists(Parameters(width, init_id, (0,) * LISTS)), width)
        self._published = init is not None or any(init_id)
        if self._published:
            self.weights = self.init.copy()
        else:
            mean = colour.reshape(-1, colour.shape[2]).mean(0) / 255
            self.weights = random_weights(width, seed, tuple(np.broadcast_to(mean, 3)))
        self.schedule = Schedule()
        if visual:
            self.schedule = Schedule(starts=VISUAL_STARTS, paces=VISUAL_PACES, below=VISUAL_FEW_STEPS)
        self.seed = seed
        self.objective = RDObjective(colour, threads, latents, visual)
        self._colour, self._threads = colour, threads
        self.seconds_per_step = 0.0
        self.begun = latents is not None
        self.interrupted = False
        self._optimiser, self._at = Soap(self.weights), Standing(0.0, 0.0)
        self._goes_on = False

    def run(
        self,
        target: RateTarget,
        budget: Budget,
        report: Report | None = None,
        begin: float = 0.0,
        keep: Callable[[], None] | None = None,
        pilot: bool = False,
    ) -> None:
        """Latents and weights, until the budget is spent or Ctrl-C: then what there is goes on to ``finished``.

        Args:
            report: called now and then with the part of the budget spent, the mean squared error, samples in 0..1, and the
                bits per pixel.
            begin: where in the schedule, 0..1: a fit that goes on begins late, with little noise and small steps.
            keep: called after each step, when ``state`` may be taken.
            pilot: the fit stands for a longer one, and has the schedule of one.
        Raises:
            KeyboardInterrupt: the second one of this fit.
        """
        objective, schedule, weights = self.objective, self.schedule, self.weights
        if begin == 0 and not pilot:
            schedule = schedule.of_few(self._steps_in(budget))
        if not self._goes_on:
            self._optimiser = Soap(weights)
            self._at = Standing(target.lmbda, math.inf if target.fixed else STEERED[0])
        at, optimiser, pace, self._goes_on = self._at, self._optimiser, self._pace(target.lmbda), False
        soft = 1 - schedule.rounded
        try:
            if begin == 0 and not self.begun and self._steps_in(budget) < FEW_STEPS:
                at.worked = self._begin_coarse(target.lmbda, budget, report, pilot)
                # the smaller pictures' arrays are a fifth of what the whole one takes
                release_memory()
                at.gone = budget.spent(at.worked)
            self.begun = True
            while (spent := budget.spent(at.worked + at.step)) < 1:
                progress = min(begin + (1 - begin) * max(spent - at.gone, 0) / max(soft - at.gone, 1e-9), 1)
                if progress < 1:
                    # with a larger budget than before a fit that was rounded moves latents again
                    at.rounded = False
                    if at.look <= progress < STEERED[1]:
                        at.lmbda = self._steer_lmbda(target, at.lmbda, progress)
                        at.look = progress + LOOK_EVERY
                    objective.soft_round(
                        cosine_schedule(schedule.temperature, progress),
                        cosine_schedule(schedule.noise, progress),
                        at.step + 1_000_003 * self.seed,
                    )
                elif not at.rounded:
                    at.rounded = True
                    objective.round_latents()
                    self.seconds_per_step = budget.seconds_gone() / max(at.step, 1)
                    if self._has_time_for_rdoq(RDOQ_SHARE * (budget.seconds or math.inf)):
                        objective.rdoq(weights, at.lmbda, budget.alarm(RDOQ_SHARE))
                loss, gradient = objective.gradients(weights, at.lmbda, at.step)
                if progress < 1:
                    size = cosine_schedule(schedule.latents, progress)
                    waiting = held(schedule.starts, progress)
                    objective.step(at.lmbda, size, *schedule.memory, held=waiting, paces=schedule.paces)
                    size = cosine_schedule(schedule.weights, progress)
                else:
                    size = schedule.rounded_weights * (1 - spent) / schedule.rounded
                optimiser.step(weights.flat, gradient.flat, size * pace)
                self._shrink(optimiser.square_rms(), size, at.lmbda)
                np.clip(weights.flat, -MAX_WEIGHT, MAX_WEIGHT, out=weights.flat)
                at.step += 1
                if keep is not None:
                    keep()
                if report is not None and at.step % 10 == 0:
                    report(spent, loss.mse(objective.pixels), loss.bits / objective.pixels)
            if at.worked and not pilot:
                self._solve_colours(at.lmbda)
        except KeyboardInterrupt:
            self._interrupt()
        self.lmbda, self.steps = at.lmbda, at.step
        self.seconds_per_step = budget.seconds_gone() / max(at.worked + at.step, 1)
        objective.round_latents()

    def _solve_colours(self, lmbda: float) -> None:
        """The layer that makes colours by least squares, or half of the way there, if what the fit lessens falls by it: few steps
        leave the colours of large areas off."""
        objective, weights = self.objective, self.weights

        def cost() -> float:
            objective.synthesise(weights, None)
            return objective.distortion + lmbda * 8 * self._about_bytes() / objective.pixels

        objective.round_latents()
        objective.upsample(weights)
        old, before = weights.flat.copy(), cost()
        new = np.clip(objective.solved_colours(weights).flat, -MAX_WEIGHT, MAX_WEIGHT)
        for share in SOLVED_SHARES:
            weights.flat[:] = old + np.float32(share) * (new - old)
            if cost() < before:
                return
        weights.flat[:] = old

    def state(self) -> dict[str, NDArray[Any]]:
        """What ``go_on`` needs: nothing before the first step at the picture's own size."""
        if not self._at.step:
            return {}
        found = {f"run.{name}": np.array(value) for name, value in vars(self._at).items()}
        found |= {f"soap.{name}": array for name, array in self._optimiser.state().items()}
        found |= {f"latents.{name}": array for name, array in self.objective.state().items()}
        return {**found, "weights": self.weights.flat}

    def go_on(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Let the next ``run`` go on from a state, as if nothing had been between.

        Raises:
            KeyError, ValueError: it is not one of such a fit.
        """

        def of(part: str) -> dict[str, NDArray[Any]]:
            return {name.removeprefix(part): array for name, array in state.items() if name.startswith(part)}

        self._at = Standing(**{field.name: state[f"run.{field.name}"].item() for field in fields(Standing)})
        self._optimiser.load(of("soap."))
        self.objective.load(of("latents."))
        self.weights.flat[:] = state["weights"]
        if self._at.rounded:
            self.objective.round_latents()
        self.begun = self._goes_on = True

    def _steps_in(self, budget: Budget) -> float:
        """How many steps a budget is of, about."""
        steps = math.inf if budget.steps is None else budget.steps
        if budget.seconds is not None:
            steps = min(steps, budget.seconds / (SECONDS_A_PIXEL * self.objective.pixels))
        return steps

    def _begin_coarse(self, lmbda: float, budget: Budget, report: Report | None, pilot: bool) -> float:
        """Latents and weights from fits of smaller pictures, whose grids are this one's but the finest. The work in steps.

        Raises:
            KeyboardInterrupt: one of those fits was interrupted.
        """
        pictures, inits, found = [self._colour], [self.init], self.weights
        for _ in COARSE_STEPS:
            smaller = _halved(pictures[-1])
            if smaller.shape[0] * smaller.shape[1] < COARSE_PIXELS:
                break
            pictures.append(smaller)
            inits.append(inits[-1].for_half_size())
            found = found.for_half_size()
        worked, latents = 0.0, list[FloatArray]()
        for level in reversed(range(1, len(pictures))):
            visual, init = self.objective.visual is not None, inits[level]
            job = Fit(
                pictures[level], self.width, self.init_id, self._threads, latents, self.seed, init, visual
            )
            job.begun, job._published = True, self._published
            job.weights.flat[:] = found.flat
            shown = GRIDS - level
            paces = self.schedule.paces[:shown] + (0.0,) * level
            job.schedule = replace(self.schedule, paces=paces, rounded=0.0)
            share, per_step = COARSE_SHARE, 4.0**-level
            within = Budget(budget.seconds and share * budget.seconds, COARSE_STEPS[level - 1])
            if budget.steps is not None:
                within.steps = min(COARSE_STEPS[level - 1], int(share * budget.steps / per_step))
            try:
                # bits of all its pixels are for four times as many of the finer picture
                job.run(RateTarget(lmbda * per_step), within, pilot=pilot or visual)
            finally:
                job.close()
            if job.interrupted:
                raise KeyboardInterrupt
            worked += job.steps * per_step
            finer = np.zeros(pictures[level - 1].shape[:2], np.float32)
            latents = [finer, *job.objective.latents[:-1]]
            found = inits[level - 1].of_half_size(job.weights)
            if report is not None:
                loss = job.objective.loss(job.weights)
                pixels = job.objective.pixels
                report(budget.spent(worked), loss.mse(pixels), loss.bits * per_step / pixels)
        for own, given in zip(self.objective.latents, latents):
            np.copyto(own, given)
        self.weights.flat[:] = found.flat
        return worked

    def _pace(self, lmbda: float) -> FloatArray:
        """The step size of each weight, over the others'."""
        pace = Weights(self.width, np.ones_like(self.weights.flat))
        for group in pace.groups[:TAPS]:
            pace.flat[group] = CONTEXT_PACE
        if self._published and lmbda >= HELD_FROM * self.objective.pixels / 2**16:
            pace.parts["w2"][:] = 0
        return pace.flat

    def _interrupt(self) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True

    def _shrink(self, rms: FloatArray, size: float, lmbda: float) -> None:
        """Draw the weights towards their init, as the bits of their differences would, about
        SHRINK log2(1 + |d| / SHRINK_UNIT) each: a proximal step, on the scale that the weight's gradient has."""
        d = self.weights.flat - self.init.flat
        far = np.abs(d)
        slope = SHRINK * lmbda / self.objective.pixels / (math.log(2) * (SHRINK_UNIT + far))
        self.weights.flat[:] = self.init.flat + np.sign(d) * np.maximum(far - size * slope / rms, 0)

    def predict_rate_level(
        self, measure: str, lmbda: float, left: float | None = None
    ) -> tuple[float, float]:
        """An estimate, from latents rounded now, of the end of a fit at this lmbda: bytes of symbols and weights, and the value
        of a measure.

        Args:
            measure: one of SLOPES.
            left: (1 - progress)^1.5; default: after a pilot fit.
        """
        self.objective.round_latents()
        loss, slope = self.objective.loss(self.weights), SLOPES[measure]
        if measure == "ssimulacra2":
            level = self.objective.ssimulacra2(self.weights)
        else:
            level = -10 * math.log10(max(loss.mse(self.objective.pixels), 1e-10))
        long = min(LONG_WAY / lmbda, MOST_LONG)
        falls = BYTES_TO_FALL if self.objective.visual is None else VISUAL_TO_FALL
        fall = 0.0 if left is None else falls * left
        rise = slope.after_pilot if left is None else slope.to_rise * left
        bytes_ = (loss.bits / 8 + self._about_bytes()) / (1 + fall / (1 + long))
        return bytes_, level + rise * (1 + slope.long * long)

    def _steer_lmbda(self, target: RateTarget, lmbda: float, progress: float) -> float:
        """The next lmbda, from what rate and PSNR are predicted to be."""
        left = (1 - progress) ** 1.5
        predicted = self.predict_rate_level(target.measure, lmbda, left)
        wanted = target.corrected_lmbda(lmbda, *predicted)
        moved = lmbda * (wanted / lmbda) ** (LOOK_EVERY / FOLLOWING)
        return min(max(moved, target.lmbda / MOST_STEERED), target.lmbda * MOST_STEERED)

    def _about_bytes(self) -> float:
        """An estimate of the bytes of the weights' differences, by their entropy."""
        d = _nearest((self.weights.flat - self.init.flat) / SHRINK_UNIT)
        counts = np.unique(d, return_counts=True)[1]
        return float(np.sum(counts * np.log2(len(d) / counts))) / 8

    def close(self) -> None:
        """Lets the threads go."""
        self.objective.close()

    # --- what a file holds

    def _standing_for(self) -> RDObjective:
        """The objective, or of a large picture that of some squares, with their symbols."""
        whole = self.objective
        sides = whole.height, whole.width
        if min(sides) < SQUARE or sides[0] * sides[1] < 4 * SQUARES * SQUARE**2:
            return whole
        cells = SQUARE >> GRIDS - 1
        corners = [np.linspace(0, (side >> GRIDS - 1) - cells, SQUARES).astype(int) for side in sides]

        def cut(plane: FloatArray, k: int) -> FloatArray:
            """The squares of a plane (.., rows, columns) whose places are cells of grid k."""
            shift, side = GRIDS - 1 - k, SQUARE >> k
            parts = [
                plane[..., y << shift : (y << shift) + side, x << shift : (x << shift) + side]
                for y, x in zip(*corners)
            ]
            return np.concatenate(parts, -2)

        picture = np.rint(cut(whole.target, 0).transpose(1, 2, 0) * 255).astype(np.uint8)
        latents = [cut(grid, k) for k, grid in enumerate(whole.latents)]
        found = RDObjective(picture, whole.threads, latents, whole.visual is not None)
        found.round_latents()
        return found

    def finished(self, seconds: float = math.inf) -> Fitted:
        """Weights rounded; then RDOQ of the weights, one by one, and of the symbols under these weights. Both end after about
        so many seconds, or at Ctrl-C, wherever they are."""
        begin, standing = time.monotonic(), self._standing_for()
        try:
            parameters, differences, weights = self._rounded(standing)
        except KeyboardInterrupt:
            self._interrupt()
            parameters, differences, weights = self._rounded(standing)
        self.weights = weights
        try:
            self._rdoq_weights(standing, parameters, differences, begin + seconds / 2)
            if standing is not self.objective:
                standing.close()
            if self._has_time_for_rdoq(begin + seconds - time.monotonic()):
                self.objective.rdoq(weights, self.lmbda, lambda: time.monotonic() > begin + seconds)
        except KeyboardInterrupt:
            self._interrupt()
        return Fitted(parameters, differences, self.objective.grids(), self.objective.rate(weights, None))

    def _has_time_for_rdoq(self, seconds: float) -> bool:
        """Whether RDOQ of the symbols would get further than its preparations in so many seconds."""
        return seconds > RDOQ_STEPS * self.seconds_per_step

    def _rounded(self, objective: RDObjective) -> tuple[Parameters, list[Int32Array], Weights]:
        """For each list the exponent of least cost, while the other lists stay as they are."""
        weights = self.weights.copy()
        byte_cost = 8 * self.lmbda / self.objective.pixels
        differences: list[Int32Array] = []
        exponents = []
        for number, group in enumerate(weights.groups):
            init, wished = self.init.flat[group], weights.flat[group].copy()
            objective.upsample(weights)

            def cost(exponent: int) -> tuple[float, int, Int32Array]:
                d = _nearest((wished - init) * 2.0**exponent)
                weights.flat[group] = init + d * np.float32(2.0**-exponent)
                size = len(adaptive_coder.encode(split(d, number, self.width)))
                return self._cost(objective, weights, number) + byte_cost * size, exponent, d

            # exponent 0 is next to no difference at all; the search ends where finer steps have not paid four times
            tried = [cost(0)]
            for exponent in range(4, min(UNITS[number], 14) + 1):
                tried.append(cost(exponent))
                if len(tried) > 5 and min(tried[-4:])[0] > min(tried[:-4])[0] and min(tried)[1]:
                    break
            _, exponent, d = min(tried, key=lambda found: found[0])
            weights.flat[group] = init + d * np.float32(2.0**-exponent)
            exponents.append(exponent)
            differences.append(d)
        return Parameters(self.width, self.init_id, tuple(exponents)), differences, weights

    def _rdoq_weights(
        self, objective: RDObjective, parameters: Parameters, differences: list[Int32Array], end: float
    ) -> None:
        """RDOQ of the weights: each difference moves towards zero by one as long as lmbda times the bits that this saves
        exceeds the distortion."""
        weights, bit_cost = self.weights, self.lmbda / self.objective.pixels
        for number, (group, d, exponent) in enumerate(zip(weights.groups, differences, parameters.exponents)):
            unit = np.float32(2.0**-exponent)
            objective.upsample(weights)
            now = self._cost(objective, weights, number, sampled=True)
            lists = weights.flat[group], self.init.flat[group], d
            for flat, init, part in zip(*(split(values, number, self.width) for values in lists)):
                bits = _bits_of(part)
                for at in np.argsort(np.abs(part), kind="stable")[np.sum(part == 0) :]:
                    if time.monotonic() > end:
                        return
                    old, kept = part[at], flat[at]
                    new = old - np.sign(old)
                    flat[at] = init[at] + new * unit
                    then = self._cost(objective, weights, number, sampled=True)
                    if then + bit_cost * (bits(new) - bits(old)) < now:
                        part[at], now = new, then
                        bits = _bits_of(part)
                    else:
                        flat[at] = kept

    def _cost(self, objective: RDObjective, weights: Weights, number: int, sampled: bool = False) -> float:
        """The part of the loss that a list of weights decides: rate for the first two, squared error for the others,
        of planes that were upsampled before unless it is the list of the taps."""
        if number < 2:
            return self.lmbda * objective.rate(weights, None, sampled) / objective.pixels
        if number == TAPS:
            objective.upsample(weights)
        if objective.visual is None:
            return objective.synthesise(weights, None, sampled) / (3 * objective.pixels)
        # it looks at the whole picture: rows would not do
        objective.synthesise(weights, None)
        return objective.distortion


def _halved(colour: UInt8Array) -> UInt8Array:
    """(H, W, 1 or 3) at half the size: means of 2 x 2 pixels; an odd side repeats its last row or column."""
    small = np.asarray(Image.fromarray(squeezed(colour)).reduce(2))
    return small.reshape(*small.shape[:2], colour.shape[2])


def _nearest(x: FloatArray) -> Int32Array:
    """Rounded, away from zero only from a remainder of 0.6 on: small differences cost more bits than they save distortion."""
    limit = 2**15 - 1
    return np.clip(np.sign(x) * np.floor(np.abs(x) + np.float32(0.4)), -limit, limit).astype(np.int32)


def _bits_of(d: Int32Array) -> Callable[[int], float]:
    """An estimate of an integer's bits, by the counts of its list."""
    values, counts = np.unique(d, return_counts=True)
    found = dict(zip(values.tolist(), counts.tolist()))
    return lambda value: -math.log2((found.get(int(value), 0) + 0.3) / (len(d) + 1))
