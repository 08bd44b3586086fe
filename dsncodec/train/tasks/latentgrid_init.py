"""Training the inits of method "latentgrid": networks that suit many pictures, one set for each lmbda.

Each crop has latents of its own, which stay while the crops take turns; the networks are shared. A step is what a fit
does, for a batch of crops side by side. In the end inits of a large lmbda move to where whole fits go from them: the mean
of their weights (Reptile: Nichol, Achiam and Schulman, "On First-Order Meta-Learning Algorithms", 2018). Needs the extra
[fit], not torch. The same run goes on with what is not finished.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import math
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...errors import SettingError
from ...methods.latentgrid.bitstream import (
    LISTS,
    MAX_WIDTH,
    MIN_WIDTH,
    WIDTH_STEP,
    ZERO_INIT,
    Parameters,
    init_lists,
)
from ...methods.latentgrid.encoder import init_for
from ...methods.latentgrid.fit import Budget, Fit, RateTarget, cosine_schedule, held, weights_of
from ...methods.latentgrid.objective import Loss, RDObjective
from ...methods.latentgrid.weights import Weights, random_weights
from ..data.images import find_images
from ..export.latentgrid_init import Info, TrainedInit, short
from ..optim.adam import Adam
from ..recipe import fill, read_table
from ..watch import Watch

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]
Pair = tuple[float, ...]  # first and last value

MEANS = (0.9, 0.999)  # of the latents' steps: longer than a fit's, as a crop's turn comes seldom
LOG = ("lambda", "step", "seconds", "loss", "psnr_db", "bpp")
TUNES, BEGINS = ("psnr", "visual"), ("random", "published")
# How far the training of one lmbda is, as its file says: the chains, other crops, whole fits
CHAINED, AGAIN, FITTED = range(3)


@dataclass(frozen=True)
class CropSettings:
    """What there is to see: ``crops`` squares of ``size`` pixels, taken from the folders in turn, ``shares`` of each."""

    train: tuple[str, ...] = ("data/train/hq", "data/train/bsd200", "data/train/t91")
    shares: tuple[int, ...] = (6, 3, 1)
    crops: int = 80
    size: int = 192
    again: int = 72  # others, of another seed, for the last phase


@dataclass(frozen=True)
class PhaseSettings:
    """How latents and networks move for one lmbda: ``visits`` of each crop, and what changes meanwhile; ``starts`` as in a fit's
    ``Schedule``."""

    visits: int = 480
    temperature: Pair = (0.3, 0.1)
    noise: Pair = (0.22, 0.17)
    latents: Pair = (0.1, 0.004)
    weights: Pair = (4e-3, 2e-4)
    starts: tuple[float, ...] = ()


@dataclass(frozen=True)
class FitsSettings:
    """Whole fits, for each lmbda from ``least_lmbda`` on: of ``crops`` new squares of ``size`` pixels, ``steps`` long."""

    least_lmbda: float = 6e-3
    crops: int = 48
    size: int = 256
    steps: int = 1500


@dataclass(frozen=True)
class InitsRecipe:
    """All inits of one width, one for each of ``lmbdas``; ``first`` is the one that is trained from random weights.

    ``tune``: what is lessened, as in ``options.LatentGrid``. ``begin``: "published" leaves the chains out, and begins each
    lmbda with the published init that fits for squared error begin with.
    """

    name: str
    task: str = "latentgrid"
    tune: str = "psnr"
    begin: str = "random"
    width: int = 32
    lmbdas: tuple[float, ...] = (2e-4, 6e-4, 2e-3, 6e-3, 2e-2)
    first: float = 2e-3
    batch: int = 4
    threads: int = 2
    seed: int = 0
    data: CropSettings = field(default_factory=CropSettings)
    middle: PhaseSettings = field(default_factory=PhaseSettings)
    outwards: PhaseSettings = field(
        default_factory=lambda: PhaseSettings(240, (0.25, 0.1), (0.2, 0.17), (0.06, 0.004), (3e-3, 2e-4))
    )
    again: PhaseSettings = field(
        default_factory=lambda: PhaseSettings(330, (0.3, 0.1), (0.22, 0.17), (0.1, 0.002), (2e-3, 5e-5))
    )
    fits: FitsSettings = field(default_factory=FitsSettings)

    def __post_init__(self) -> None:
        for wrong, says in (
            (
                self.first not in self.lmbdas or min(self.lmbdas) <= 0,
                "first must be one of lmbdas, above 0",
            ),
            (
                not MIN_WIDTH <= self.width <= MAX_WIDTH or self.width % WIDTH_STEP,
                f"width must be a multiple of {WIDTH_STEP}, {MIN_WIDTH}..{MAX_WIDTH}, not {self.width}",
            ),
            (
                self.tune not in TUNES or self.begin not in BEGINS,
                f"tune must be one of {', '.join(TUNES)}, begin one of {', '.join(BEGINS)}",
            ),
            (
                not 1 <= self.batch <= min(self.data.crops, self.data.again),
                "batch must be 1..data.crops and 1..data.again",
            ),
            (
                min(self.threads, self.data.size, self.fits.crops, self.fits.size, self.fits.steps) < 1,
                "threads, data.size, fits.crops, fits.size and fits.steps must be at least 1",
            ),
            (
                len(self.data.train) != len(self.data.shares) or min(self.data.shares, default=0) < 1,
                "data.shares must say a number above 0 for each folder of data.train",
            ),
        ):
            if wrong:
                raise SettingError(f"recipe {self.name}: {says}")

    @property
    def chains(self) -> tuple[list[float], list[float]]:
        """The lmbdas below the first, falling, and those above it, rising."""
        below = sorted((lmbda for lmbda in self.lmbdas if lmbda < self.first), reverse=True)
        return below, sorted(lmbda for lmbda in self.lmbdas if lmbda > self.first)

    @property
    def digest(self) -> str:
        """Tells runs apart that do not lead to the same inits."""
        return hashlib.sha256(repr(replace(self, threads=1)).encode()).hexdigest()

    @property
    def last_phase(self) -> dict[float, int]:
        """Of the training of each lmbda."""
        return {lmbda: FITTED if lmbda >= self.fits.least_lmbda else AGAIN for lmbda in self.lmbdas}


def read(path: str | Path, overrides: Mapping[str, str] = {}) -> InitsRecipe:
    """The recipe of a file; ``overrides`` as ``recipe.read_table`` takes them.

    Raises:
        SettingError: no such file, not TOML, or a key or value that does not fit.
    """
    return fill(InitsRecipe, read_table(path, overrides), str(path))


def read_crops(settings: CropSettings, seed: int) -> list[UInt8Array]:
    """The crops, (size, size, 3) each, of different pictures as long as there are such; small pictures are left out.

    Raises:
        SettingError: a folder has no picture that is large enough.
    """
    rng = np.random.default_rng(seed)
    files = [find_images([folder]) for folder in settings.train]
    piles = [list(rng.permutation(len(paths))) for paths in files]
    turns = [k for k, share in enumerate(settings.shares) for _ in range(share)]
    crops: list[UInt8Array] = []
    size, missed = settings.size, 0
    while len(crops) < settings.crops:
        k = turns[len(crops) % len(turns)]
        if not piles[k]:
            piles[k] = list(rng.permutation(len(files[k])))
        with Image.open(files[k][piles[k].pop()]) as image:
            rgb = np.asarray(image.convert("RGB"))
        rows, columns = rgb.shape[0] - size, rgb.shape[1] - size
        if min(rows, columns) < 0:
            missed += 1
            if missed > 2 * len(files[k]):
                raise SettingError(
                    f"training data: no picture of {settings.train[k]} is as large as {size} pixels"
                )
            continue
        missed = 0
        y, x = rng.integers(0, rows + 1), rng.integers(0, columns + 1)
        crops.append(np.ascontiguousarray(rgb[y : y + size, x : x + size]))
    return crops


class Trainer:
    """One run: ``run`` writes NAME-LAMBDA.npz into ``out`` for each lmbda as it is done, again whenever a later phase is
    over with it, and log.csv. Phases that are over by the files of an interrupted run of this recipe are not run again."""

    def __init__(self, recipe: InitsRecipe, out: str | Path, force: bool = False) -> None:
        """Raises FileExistsError: without ``force``, a file is there that this run would replace, and none of its own."""
        self.recipe, self.out = recipe, Path(out)
        self.watch: Watch | None = None
        self.done: dict[float, TrainedInit] = {}
        self.written = {path for path in [self.out / "log.csv", *map(self._path, recipe.lmbdas)] if force}
        if force:
            return
        for lmbda in recipe.lmbdas:
            if (path := self._path(lmbda)).exists():
                self.done[lmbda] = self._own(path)
                self.written.add(path)
        log = self.out / "log.csv"
        if log.exists():
            with open(log, "rb") as file:
                if file.readline() != (",".join(LOG) + "\n").encode():
                    raise _standing(log)

    def _own(self, path: Path) -> TrainedInit:
        """What an interrupted run of this recipe left."""
        try:
            found = TrainedInit.read(path)
        except SettingError:
            raise _standing(path) from None
        if found.info.settings != self.recipe.digest:
            raise _standing(path)
        return found

    def run(self, log_every: float = 120.0) -> None:
        """Train all; a line on stderr and in the log every ``log_every`` seconds.

        Raises:
            SettingError: no pictures; or the loss is no number any more.
        """
        recipe = self.recipe
        left = sorted(
            (lmbda for lmbda in recipe.lmbdas if self._phase(lmbda) < recipe.last_phase[lmbda]),
            key=lambda lmbda: abs(math.log(lmbda / recipe.first)),
        )
        if not left:
            return
        crops = read_crops(recipe.data, recipe.seed)
        self.out.mkdir(parents=True, exist_ok=True)
        with self._opened_log() as file, ThreadPoolExecutor(recipe.threads) as pool:
            log = csv.writer(file, lineterminator="\n")
            if file.tell() == 0:
                log.writerow(LOG)
            if recipe.begin == "random" and len(self.done) < len(recipe.lmbdas):
                self._chains(crops, pool, log, log_every)
            for lmbda in left:
                self._finish(lmbda, pool, log, log_every)

    def _phase(self, lmbda: float) -> int:
        return self.done[lmbda].info.phase if lmbda in self.done else -1

    def _opened_log(self) -> Any:
        log = self.out / "log.csv"
        mode = "w" if log in self.written else "a" if log.exists() else "x"
        return open(log, mode, newline="", buffering=1)

    def _chains(self, crops: list[UInt8Array], pool: ThreadPoolExecutor, log: Any, log_every: float) -> None:
        """From random weights, the first lmbda and from there the others."""
        recipe = self.recipe
        middle = self._state(crops, random_weights(recipe.width, recipe.seed))
        self._train(middle, recipe.first, recipe.middle, pool, log, log_every)
        self._save(middle, recipe.first, CHAINED)
        for chain in recipe.chains:
            state = middle.copy(crops, recipe.tune)
            for lmbda in chain:
                self._train(state, lmbda, recipe.outwards, pool, log, log_every)
                self._save(state, lmbda, CHAINED)

    def _finish(self, lmbda: float, pool: ThreadPoolExecutor, log: Any, log_every: float) -> None:
        """The phases that each lmbda has to itself."""
        recipe = self.recipe
        steps, seconds = 0, 0.0
        if lmbda in self.done:
            begun = self.done[lmbda]
            weights, steps, seconds = (
                Weights(recipe.width, begun.flat.copy()),
                begun.info.steps,
                begun.info.seconds,
            )
        else:
            weights = _published(lmbda, recipe)
        state = _State([], weights, steps, seconds)
        if self._phase(lmbda) < AGAIN:
            crops = read_crops(replace(recipe.data, crops=recipe.data.again), recipe.seed + 7)
            state = self._state(crops, weights, steps, seconds)
            self._train(state, lmbda, recipe.again, pool, log, log_every)
            self._save(state, lmbda, AGAIN)
        if recipe.last_phase[lmbda] == FITTED:
            self._fit(state, lmbda, pool, log)
            self._save(state, lmbda, FITTED)

    def _state(
        self, crops: list[UInt8Array], weights: Weights, steps: int = 0, seconds: float = 0.0
    ) -> _State:
        """With latents of zero."""
        visual = self.recipe.tune == "visual"
        return _State([RDObjective(crop, visual=visual) for crop in crops], weights, steps, seconds)

    def _train(
        self,
        state: _State,
        lmbda: float,
        phase: PhaseSettings,
        pool: ThreadPoolExecutor,
        log: Any,
        log_every: float,
    ) -> None:
        """One phase for one lmbda."""
        recipe = self.recipe
        begun = last = time.monotonic()
        before = state.seconds
        total = phase.visits * len(state.objectives) // recipe.batch
        optimiser = Adam(state.weights.flat.size)
        losses: list[
            tuple[float, float, float]
        ] = []  # distortion, mean squared error and bits per pixel of each visit
        turns = _turns(len(state.objectives), recipe.batch, recipe.seed + 1)
        for step in range(total):
            temperature, noise, latents, size = (
                cosine_schedule(pair, step / total)
                for pair in (phase.temperature, phase.noise, phase.latents, phase.weights)
            )

            still = held(phase.starts, step / total)

            def visit(number: int) -> tuple[tuple[float, float, float], FloatArray]:
                objective = state.objectives[number]
                objective.soft_round(temperature, noise, step * 31 + number)
                loss, gradient = objective.gradients(state.weights, lmbda)
                objective.step(lmbda, latents, *MEANS, still)
                return _of_pixels(loss, objective), gradient.flat

            found = list(pool.map(visit, next(turns)))
            gradient = np.sum([by_weights for _, by_weights in found], 0) / np.float32(recipe.batch)
            optimiser.step(state.weights.flat, gradient, size)
            state.steps += 1
            state.seconds = before + time.monotonic() - begun
            losses += [values for values, _ in found]
            if self.watch is not None:
                self.watch.part((step + 1) / total, f"lambda {short(lmbda)}")
            if time.monotonic() - last > log_every or step + 1 == total:
                last = time.monotonic()
                self._log(lmbda, (step + 1) / total, state, losses, log)
                losses = []

    def _fit(self, state: _State, lmbda: float, pool: ThreadPoolExecutor, log: Any) -> None:
        """Whole fits from the weights as they are: these become the mean of what the fits end with."""
        recipe, fits = self.recipe, self.recipe.fits
        before, begun = state.seconds, time.monotonic()
        crops = read_crops(replace(recipe.data, crops=fits.crops, size=fits.size), recipe.seed + 13)

        def fitted(crop: UInt8Array) -> tuple[tuple[float, float, float], FloatArray]:
            job = Fit(crop, recipe.width, ZERO_INIT, 1, init=state.weights, visual=recipe.tune == "visual")
            job.run(RateTarget(lmbda), Budget(None, fits.steps))
            return _of_pixels(job.objective.loss(job.weights), job.objective), job.weights.flat

        found = list(pool.map(fitted, crops))
        state.weights.flat[:] = np.mean([flat for _, flat in found], 0)
        state.steps += fits.steps * fits.crops // recipe.batch
        state.seconds = before + time.monotonic() - begun
        self._log(lmbda, 1.0, state, [values for values, _ in found], log)

    def _path(self, lmbda: float) -> Path:
        return self.out / f"{self.recipe.name}-{short(lmbda)}.npz"

    def _save(self, state: _State, lmbda: float, phase: int) -> None:
        if phase <= self._phase(lmbda):
            return  # the chains are only on their way to another one
        recipe = self.recipe
        info = Info(recipe.name, state.steps, state.seconds, recipe.seed, recipe.tune, phase, recipe.digest)
        path = self._path(lmbda)
        self.done[lmbda] = TrainedInit(lmbda, recipe.width, state.weights.flat.copy(), info)
        self.done[lmbda].save(path, path in self.written)
        self.written.add(path)

    def _log(
        self,
        lmbda: float,
        progress: float,
        state: _State,
        losses: list[tuple[float, float, float]],
        log: Any,
    ) -> None:
        distortion, mse, bpp = np.array(losses).T
        values = (
            short(lmbda),
            state.steps,
            round(state.seconds),
            f"{np.mean(distortion + lmbda * bpp):.4e}",
            f"{np.mean(-10 * np.log10(np.maximum(mse, 1e-12))):.2f}",
            f"{bpp.mean():.4f}",
        )
        if not np.isfinite(distortion).all() or not np.isfinite(bpp).all():
            raise SettingError(f"recipe {self.recipe.name}: the loss is no number after {state.steps} steps")
        log.writerow(values)
        line = "  ".join(f"{name} {value}" for name, value in zip(LOG, values))
        if self.watch is not None:
            self.watch.clear()
        print(f"{self.recipe.name}: {progress:6.1%}  {line}", file=sys.stderr, flush=True)


@dataclass
class _State:
    """Objectives and weights, and steps and seconds since the weights were random."""

    objectives: list[RDObjective]
    weights: Weights
    steps: int = 0
    seconds: float = 0.0

    def copy(self, crops: list[UInt8Array], tune: str) -> _State:
        """A state with these latents and weights, and Adam's means at zero."""
        objectives = [
            RDObjective(crop, latents=[grid.copy() for grid in objective.latents], visual=tune == "visual")
            for crop, objective in zip(crops, self.objectives)
        ]
        return _State(objectives, self.weights.copy(), self.steps, self.seconds)


def _of_pixels(loss: Loss, objective: RDObjective) -> tuple[float, float, float]:
    """Distortion, mean squared error, and bits per pixel."""
    return loss.distortion, loss.mse(objective.pixels), loss.bits / objective.pixels


def _published(lmbda: float, recipe: InitsRecipe) -> Weights:
    """Of the init for squared error.

    Raises:
        SettingError: there is none of this width.
    """
    width, init = init_for(lmbda, "psnr")
    if width != recipe.width or init == ZERO_INIT:
        raise SettingError(f"recipe {recipe.name}: no init of width {recipe.width} is published")
    return weights_of(init_lists(Parameters(width, init, (0,) * LISTS)), width)


def _standing(path: Path) -> FileExistsError:
    return FileExistsError(errno.EEXIST, f"{path} exists; --force overwrites it")


def _turns(count: int, batch: int, seed: int) -> Iterator[list[int]]:
    """Which crops are visited together: each once before any comes again, but that a batch has none twice."""
    rng = np.random.default_rng(seed)
    order: list[int] = []
    while True:
        if len(order) < batch:
            order += rng.permutation(count).tolist()
        found = [order.pop() for _ in range(batch)]
        if len(set(found)) < batch:
            found = rng.permutation(count)[:batch].tolist()
        yield found
