"""The method "latentgrid": symbols on grids of seven sizes, an integer probability model, and a small synthesis, all
fitted to one picture.

Fitting needs numba; reading does not, and is in ``bitstream``.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ... import container, extras, kernels
from ...container import Header
from ...errors import FitWarning, MissingComponent, SettingError, warn
from ...metrics import METRICS, SSIMULACRA2_SMALLEST
from ...networks import registry
from ...options import LatentGrid
from ...processes import thread_count
from .. import DEFAULT_EFFORT, Job, Progress, rate_control
from ..animation import Animation
from ..sections import encode_alpha
from . import texture, texture_fit
from .bitstream import ZERO_INIT, Nets, nets_of, pack_sections, reconstruct
from .checkpoint import Checkpoint
from .entropy_model import Int8Array

if TYPE_CHECKING:
    from .fit import Budget, Fit, Fitted, RateTarget

__all__ = ["Encoder", "Point", "encode", "encoder_of", "fitter"]

UInt8Array = NDArray[np.uint8]
Sections = list[tuple[str, bytes]]
Report = Callable[[float, float, float], None]

MAX_FIT_PIXELS = 2**25
# By effort
SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 90.0, 120.0, 180.0)
# A picture of a few pixels converges long before the seconds of its effort are over
MAX_STEPS = 20_000
# Of the synthesis, without a published init
WIDTH = 32
# lmbda of quality 0 and 100, and in equal ratios between
LMBDAS = (0.06, 5e-5)
# With tune="visual", quality is about the SSIMULACRA 2 of photographs: lmbda is VISUAL_LMBDA where the score lacks LACK to 100, and
# goes with a power of that, of LEAST_LACK at least
VISUAL_LMBDA, LACK, VISUAL_POWER, LEAST_LACK = 2.5e-3, 36.0, 2.1, 3.0
# lmbda of photographs at one bit per pixel, about, by tune
BPP_LMBDA = {"psnr": 3e-4, "visual": 6.5e-4}

# Steps of one fit, for any picture: what is left of the budget goes to more fits, and the best is kept
ENOUGH_STEPS = 12_000
# Of the budget of one fit: with less left, no other one begins
LEAST_SHARE = 0.5
# A fit of fewer steps is larger than AVIF's file. Who gives a budget of seconds to a picture from so many pixels on is told
BREAK_EVEN_STEPS, LARGE_PIXELS = 200, 2**20
# Of the seconds: weights are rounded, RDOQ moves symbols, and the file is written
FINISH_SHARE = 0.08
# Towards a target: how many pilot fits find lmbda, and the part of the budget of each
PILOTS, PILOT_SHARE = 2, 0.06
# Of a pilot fit: with fewer, its correction of lmbda counts less
SURE_STEPS = 100
# A file that misses its target: where in its schedule the fit goes on, one time after the other; the part of the budget, and the
# steps at least, of each time
AGAIN = (0.85, 0.8, 0.7, 0.5, 0.4, 0.3)
RETRY_SHARE = 0.1
LEAST_RETRY_STEPS = 60
# lmbda, over that of the whole fit: beyond, a picture becomes flat rather than small
MOST_RAISED = 30.0
# The part of the bytes allowed that a fit aims at
CLOSE = 0.98
# Texture for readers that ask for it: in fits for the eye, below so many bits per pixel, where it takes no more than this part of the
# bytes; about as many bytes, and steps for each second of a fit's budget
TEXTURE_BELOW, TEXTURE_SHARE = 0.3, 0.025
TEXTURE_BYTES, TEXTURE_PACE = 64, 3
# Of the bytes allowed: what is kept free for it
TEXTURE_SPARE = 0.015


@dataclass(frozen=True)
class Measure:
    """A measure that a target may name.

    Args:
        unit: as messages have it.
        clear: what a fit aims at above the value asked for.
        further: the same, for each file that has missed.
        tenfold: units for a tenth of lmbda.
    """

    unit: str
    clear: float
    further: float
    tenfold: float


# By the names of metrics
MEASURES = {
    "psnr_db": Measure("dB", 0.03, 0.02, 6),
    "ssimulacra2": Measure("points of SSIMULACRA 2", 0.2, 0.2, 33),
}


def fitter() -> ModuleType:
    """The module that fits, its loops compiled.

    Raises:
        MissingComponent: numba is not installed.
    """
    if not kernels.available():
        raise MissingComponent(
            "method latentgrid fits with numba, which is not installed or turned off: pip install dsncodec[fit]"
        )
    return _compiled()


@functools.cache
def _compiled() -> ModuleType:
    """As ``fitter``. The first call takes seconds, which count for no picture."""
    kernels.insist()
    fit = extras.load("dsncodec.methods.latentgrid.fit")
    job = fit.Fit(np.zeros((2, 2, 1), np.uint8), WIDTH, ZERO_INIT, 1)
    job.run(fit.RateTarget(LMBDAS[0]), fit.Budget(None, 2))
    job.finished()
    return fit


@dataclass(frozen=True)
class Point:
    """What a fit aims at: ``lmbda`` is what a bit per pixel counts in distortion, on the scale of the squared error of samples in
    0..1. A fit only begins with it, if the bytes of the whole file or the level of a measure are given."""

    lmbda: float
    max_bytes: int | None = None
    level: float | None = None
    measure: str = "psnr_db"


@dataclass(frozen=True)
class Coded:
    """A picture as a file would hold it: its sections but alpha's, and the colours a reader gets. ``nets`` and ``grids`` are what
    the sections say."""

    sections: Sections
    colour: UInt8Array
    nets: Nets
    grids: Sequence[Int8Array]


class Encoder:
    """One picture on its way into a file.

    Args:
        threads: of the fit; default: the CPUs this process may use.
        effort: 0..9: seconds, where the options give neither them nor steps.
        report: called now and then with the part of the budget spent, the mean squared error, samples in 0..1, and the
            bits per pixel; a last time with 1, unless the fit was interrupted or missed its target.
        interrupted: called where Ctrl-C has ended a fit early, whatever becomes of it then.
    Raises:
        SettingError: too large a picture.
        MissingComponent: numba is not installed.
    """

    def __init__(
        self,
        header: Header,
        pixels: UInt8Array,
        threads: int | None,
        options: LatentGrid,
        effort: int = DEFAULT_EFFORT,
        report: Report | None = None,
        interrupted: Callable[[], None] | None = None,
    ) -> None:
        self._tell_interrupted, self._interrupted = interrupted, False
        self.header, self.effort, self.threads, self.report = header, effort, thread_count(threads), report
        if header.width * header.height > MAX_FIT_PIXELS:
            raise SettingError(
                f"{header.width} x {header.height} pixels are too many for method latentgrid, which takes "
                f"{MAX_FIT_PIXELS}; the methods restored and dsn take them"
            )
        self.colour = np.ascontiguousarray(pixels[..., : header.colour_planes])
        self.seconds, self.steps, self.init = options.seconds, options.steps, options.init
        self.tune = options.tune
        shape = self.colour.shape[:2]
        self.checkpoint = options.checkpoint
        self._animation = None if options.preview is None else Animation(str(options.preview), shape)
        if self.seconds is None and self.steps is None:
            self.seconds, self.steps = SECONDS[effort], MAX_STEPS
        self._alpha: Sections = []
        if header.has_alpha:
            self._alpha = [("ALPH", encode_alpha(pixels[..., -1], effort))]
        self._extra: Sections = []
        self._kept: Checkpoint | None = None
        self._coded: dict[Point, Coded] = {}
        fitter()

    def point_for_target(self, target: rate_control.Target, extra: Sequence[tuple[str, bytes]]) -> Point:
        """The one point that serves a target: a fit is too long to try several.

        Args:
            extra: the other sections of the file.
        """
        self._extra = list(extra)
        pixels = self.header.width * self.header.height
        if target.psnr_db is not None:
            return self.point_for_level("psnr_db", target.psnr_db)
        if target.ssimulacra2 is not None:
            if min(self.header.width, self.header.height) < SSIMULACRA2_SMALLEST:
                raise SettingError(
                    f"SSIMULACRA 2 is of pictures of at least {SSIMULACRA2_SMALLEST} pixels a side"
                )
            return self.point_for_level("ssimulacra2", target.ssimulacra2)
        if (max_bytes := target.bytes_for(pixels)) is not None:
            # of photographs, about; pilot fits correct it
            guess = _limited(BPP_LMBDA[self.tune] * (8 * max(max_bytes, 1) / pixels) ** -1.5)
            return Point(guess, max_bytes=max_bytes)
        return self.point_of_quality(
            rate_control.DEFAULT_QUALITY if target.quality is None else target.quality
        )

    def point_for_level(self, measure: str, level: float) -> Point:
        """The point that serves a level of one of MEASURES: lmbda is that of photographs, about."""
        if measure == "psnr_db":
            return Point(_limited(2 * 10 ** (-level / 10)), level=level)
        return Point(_limited(_visual_lmbda(level)), level=level, measure=measure)

    def sections(self, point: Point) -> Sections:
        """The coded picture as (tag, payload). The fit happens here, once for each point."""
        return self._fitted(point).sections + self._alpha

    def reconstruct(self, point: Point) -> UInt8Array:
        """The colour planes a reader gets, (H, W, 1 or 3)."""
        return self._fitted(point).colour

    def point_of_quality(self, quality: int) -> Point:
        """The lmbda of a quality."""
        if self.tune == "visual":
            return Point(_visual_lmbda(quality))
        first, last = LMBDAS
        return Point(first * (last / first) ** (quality / 100))

    def _fitted(self, point: Point) -> Coded:
        if point not in self._coded:
            found = self._coded[point] = self._textured(self._fit(point), point)
            if self._animation is not None:
                self._animation.add(found.colour, last=True)
        return self._coded[point]

    def _warn_of_few_steps(self, job: Fit) -> None:
        """That a budget of seconds is too short for so large a picture."""
        if self.seconds is None or job.interrupted or job.steps >= BREAK_EVEN_STEPS:
            return
        pixels = self.header.width * self.header.height
        if pixels >= LARGE_PIXELS:
            wanted = BREAK_EVEN_STEPS * job.seconds_per_step
            warn(
                f"{self.seconds:g} s were {job.steps} steps for {pixels / 1e6:.1f} megapixels, and with fewer than {BREAK_EVEN_STEPS} "
                f"AVIF is smaller: give the fit some {math.ceil(wanted / 10) * 10} s, or take method restored",
                FitWarning,
            )

    def _textured(self, coded: Coded, point: Point) -> Coded:
        """With texture, where the file is to have it and has room for it. Not of a fit that was interrupted: somebody waits."""
        size = self._size(coded.sections)
        if self._interrupted or not self._wants_texture(size):
            return coded
        seed = zlib.crc32(dict(coded.sections)["LATS"])
        found = texture_fit.fitted(self.colour, coded.nets, coded.grids, seed, self._texture_steps)
        if found is None:
            return coded
        sections = [*coded.sections, (texture.TAG, found.pack())]
        larger = self._size(sections)
        fits = larger - size <= TEXTURE_SHARE * size and larger <= (point.max_bytes or larger)
        return replace(coded, sections=sections) if fits else coded

    def _wants_texture(self, size: int) -> bool:
        """Whether a file of so many bytes is to have it."""
        if self.tune != "visual" or self._texture_steps < texture_fit.FEWEST:
            return False
        bpp = 8 * size / (self.header.width * self.header.height)
        return bpp < TEXTURE_BELOW and TEXTURE_SHARE * size >= TEXTURE_BYTES

    @property
    def _texture_steps(self) -> int:
        return (
            texture_fit.STEPS
            if self.seconds is None
            else min(int(TEXTURE_PACE * self.seconds), texture_fit.STEPS)
        )

    def _fit(self, point: Point) -> Coded:
        """Fit until the real file is what was asked for; or until Ctrl-C, which may leave it short of a PSNR.

        Raises:
            SettingError: it is not, however often one goes on.
            KeyboardInterrupt: a second one, after the fit's own.
        """
        fit, self._begun, self._said = fitter(), time.monotonic(), 0.0
        self._kept = None if self.checkpoint is None else Checkpoint(str(self.checkpoint), self._name(point))
        level = None if point.level is None else point.level + MEASURES[point.measure].clear
        target, done = fit.RateTarget(point.lmbda, self._room(point.max_bytes), level, point.measure), 0.0
        if self._kept is not None and self._kept.state is not None:
            target = replace(target, lmbda=self._kept.number("first_lmbda"))
            return self._best(target, point, self._kept.number("done"))
        for _ in range(PILOTS if not target.fixed else 0):
            with self._opened(target) as job:
                job.run(
                    fit.RateTarget(target.lmbda),
                    self._budget(PILOT_SHARE),
                    self._reporting(job, done, PILOT_SHARE),
                    pilot=True,
                )
                done += PILOT_SHARE
                if job.interrupted:
                    return self._finished(job, target, point)
                predicted = job.predict_rate_level(target.measure, target.lmbda)
                wanted = target.corrected_lmbda(target.lmbda, *predicted) / target.lmbda
                target = replace(
                    target, lmbda=_limited(target.lmbda * wanted ** min(job.steps / SURE_STEPS, 1))
                )
        return self._best(target, point, done)

    def _best(self, target: RateTarget, point: Point, done: float) -> Coded:
        """Of a fit, and where it needs only a part of the budget, of others that follow. Ctrl-C ends those at once.

        Args:
            done: the part of the budget that is gone.
        """
        best, number, going = None, 0, True
        while going:
            begun = time.monotonic()
            try:
                with self._opened(target, number) as job:
                    budget = self._budget(1 - done)
                    budget.steps = min(budget.steps or ENOUGH_STEPS, ENOUGH_STEPS)
                    share = ENOUGH_STEPS / self.steps if self.steps else 0.0
                    report = self._reporting(job, done, min(share, 1 - done))
                    if best is None and self._kept is not None:
                        self._run_kept(job, target, budget, report, done)
                        begun -= budget.earlier
                    else:
                        job.run(target, budget, report)
                    steps = job.steps
                    if best is None:
                        best = self._finished(job, target, point)
                        self._warn_of_few_steps(job)
                    elif not job.interrupted:
                        coded = self._finished(job, target, point, ())
                        best = min(best, coded, key=lambda one: self._worth(one, point))
            except (SettingError, KeyboardInterrupt) as ended:
                if best is None:
                    raise
                if isinstance(ended, KeyboardInterrupt):
                    self._was_interrupted()
                    return best
            if job.interrupted:
                return best
            gone = max(steps / self.steps if self.steps else 0.0, self._part(time.monotonic() - begun))
            done, number = done + gone, number + 1
            going = steps == ENOUGH_STEPS and 1 - done >= LEAST_SHARE * gone
        assert best is not None
        self._say_done(best)
        return best

    def _run_kept(
        self, job: Fit, target: RateTarget, budget: Budget, report: Report | None, done: float
    ) -> None:
        """The first whole fit, from the state in the checkpoint, which is written now and then and when the fit ends or is stopped.

        Args:
            done: the part of all work that is gone.
        """
        kept = self._kept
        assert kept is not None
        if kept.state is not None:
            budget.earlier = kept.number("seconds")
            try:
                job.go_on(kept.state)
            except (KeyError, ValueError, TypeError) as exc:
                raise kept.broken() from exc
            self._begun -= budget.earlier

        def write() -> None:
            if state := job.state():
                own = {"first_lmbda": target.lmbda, "done": done, "seconds": budget.seconds_gone()}
                kept.write({**state, **{name: np.array(value) for name, value in own.items()}})

        def keep() -> None:
            if kept.is_due():
                write()

        try:
            job.run(target, budget, report, keep=keep)
        finally:
            write()

    def _name(self, point: Point) -> str:
        """Of the fit: what a checkpoint must be the same of. A budget may change."""
        about = repr((self.colour.shape, self.tune, self.init, point)).encode()
        return hashlib.sha256(about + self.colour.tobytes()).hexdigest()

    @contextlib.contextmanager
    def _opened(self, target: RateTarget, number: int = 0) -> Iterator[Fit]:
        """A fit from the init made for such a lmbda, every other one from the zero init, in a context that closes it, and says
        whether it was interrupted."""
        init = (WIDTH, ZERO_INIT) if number % 2 or self.init == "zero" else init_for(target.lmbda, self.tune)
        job = fitter().Fit(self.colour, *init, self.threads, seed=number, visual=self.tune == "visual")
        try:
            yield job
        finally:
            job.close()
            if job.interrupted:
                self._was_interrupted()

    def _was_interrupted(self) -> None:
        self._interrupted = True
        if self._tell_interrupted is not None:
            self._tell_interrupted()

    def _worth(self, coded: Coded, point: Point) -> tuple[bool, float]:
        """The least one is best: a target that is met, then the other one of bytes and distortion, or distortion + lmbda * rate."""
        error = self._distortion(coded.colour)
        size = self._size(coded.sections)
        if point.max_bytes is not None:
            return self._missed(coded, point) > 0, error
        if point.level is not None:
            return self._missed(coded, point) > 0, size
        return False, error + point.lmbda * 8 * size / (self.header.width * self.header.height)

    def _distortion(self, colour: UInt8Array) -> float:
        """What the fit lessens, of a picture."""
        if self.tune == "psnr":
            return float(np.mean(np.square(colour.astype(np.float32) - self.colour))) / 255**2
        found: float = fitter().visual_distortion(self.colour, colour)
        return found

    def _finished(self, job: Fit, target: RateTarget, point: Point, again: Sequence[float] = AGAIN) -> Coded:
        """The file of a fit that has run; where it misses its target, of one that goes on, see AGAIN.

        Raises:
            SettingError: the target is missed in the end.
        """
        coded = self._packed(job.finished(self._finish_seconds()))
        reached, first = [self._missed(coded, point)], job.lmbda
        for begin in again:
            if reached[-1] <= 0 or (job.interrupted and point.max_bytes is None):
                break
            target = self._further(replace(target, lmbda=job.lmbda), reached, coded, first)
            budget = self._budget(RETRY_SHARE, LEAST_RETRY_STEPS, job.seconds_per_step)
            job.run(target, budget, self._reporting(job, 0, 0), begin)
            coded = self._packed(job.finished(self._finish_seconds()))
            reached.append(self._missed(coded, point))
        if reached[-1] > 0 and (point.max_bytes is not None or not job.interrupted):
            raise SettingError(self._out_of_reach(point, min(reached)))
        return coded

    def _budget(self, share: float, least_steps: int = 1, seconds_per_step: float = 0.0) -> Budget:
        """Such a part of what there is for moving: what comes at the end has seconds of its own."""
        seconds = None
        if self.seconds is not None:
            seconds = max(self.seconds * (1 - FINISH_SHARE) * share, least_steps * seconds_per_step)
        steps = None if self.steps is None else max(round(self.steps * share), least_steps)
        return fitter().Budget(seconds, steps)

    def _reporting(self, job: Fit, done: float, share: float) -> Report | None:
        """The report of a fit that is a part of the work."""
        report, animation = self.report, self._animation
        if report is None and animation is None:
            return None

        def say(spent: float, error: float, bpp: float) -> None:
            steps = done + share * spent if self.steps else 0.0
            self._said = min(max(self._said, steps, self._part(time.monotonic() - self._begun)), 0.99)
            if report is not None:
                report(self._said, error, bpp)
            if animation is not None and job.begun and animation.wants(self._said):
                animation.add(self._planes_of(job.objective.picture(job.weights)))

        return say

    def _planes_of(self, rgb: UInt8Array) -> UInt8Array:
        """As many as the picture has: a fit of a grey one has three that hardly differ."""
        return rgb if self.colour.shape[2] == 3 else rgb.mean(2, keepdims=True).round().astype(np.uint8)

    def _part(self, seconds: float) -> float:
        """Of the seconds that there are."""
        return seconds / self.seconds if self.seconds else 0.0

    def _say_done(self, coded: Coded) -> None:
        if self.report is not None:
            error = np.mean(np.square(coded.colour.astype(np.float32) - self.colour)) / 255**2
            bits = 8 * self._variable(coded.sections)
            self.report(1.0, float(error), bits / (self.header.width * self.header.height))

    def _finish_seconds(self) -> float:
        """What RDOQ of the weights and the symbols may take."""
        return math.inf if self.seconds is None else 0.75 * FINISH_SHARE * self.seconds

    def _further(self, target: RateTarget, reached: list[float], coded: Coded, first: float) -> RateTarget:
        """A target beyond that of the file by what the file was short of it, and a little more. lmbda goes there at once, and further
        each time: a retry is short.

        Args:
            reached: by how much each file so far missed.
            first: the lmbda that the fit ended with before.
        """
        missed, urge = reached[-1], len(reached)
        if target.max_bytes is not None:
            share = 1 + missed / max(self._variable(coded.sections), 1)
            least = max(int(target.max_bytes - 1.05 * missed), 1)
            lmbda = target.lmbda * 1.03**urge * share ** (2 * urge)
            return replace(target, max_bytes=least, lmbda=min(lmbda, MOST_RAISED * first))
        assert target.level is not None
        measure = MEASURES[target.measure]
        more = missed + measure.further * urge
        lmbda = target.lmbda * 10 ** (-more * urge / measure.tenfold)
        return replace(target, level=target.level + more, lmbda=lmbda)

    def _missed(self, coded: Coded, point: Point) -> float:
        """How many bytes, or units of a measure, a file is away from what was asked for; none if 0 or less."""
        if point.max_bytes is not None:
            return self._size(coded.sections) - point.max_bytes
        if point.level is not None:
            one, other = (
                image[..., 0] if image.shape[2] == 1 else image for image in (self.colour, coded.colour)
            )
            return point.level - METRICS[point.measure].function(one, other)
        return 0

    def _out_of_reach(self, point: Point, missed: float) -> str:
        if point.max_bytes is not None:
            least = round(point.max_bytes + missed)
            return (
                f"the fit reached {least} bytes, not {point.max_bytes}: give it more seconds, or more bytes"
            )
        assert point.level is not None
        best, unit = point.level - missed, MEASURES[point.measure].unit
        return (
            f"the fit reached {best:.2f} {unit}, not {point.level:g}: give it more seconds, or ask for less"
        )

    def _room(self, max_bytes: int | None) -> int | None:
        """Of a file's bytes, those to aim at for weights and symbols.

        Raises:
            SettingError: there are none.
        """
        if max_bytes is None:
            return None
        others = self._size([("PARM", bytes(8)), ("NETW", b""), ("LATS", b"")])
        if self._wants_texture(max_bytes):
            # and what a fit is above its aim: no other one follows for the texture's sake
            others += TEXTURE_BYTES + round(TEXTURE_SPARE * max_bytes)
        if others >= max_bytes:
            raise SettingError(f"no fit reaches {max_bytes} bytes: all but the picture takes {others} bytes")
        return max(int(CLOSE * (max_bytes - others)), 1)

    def _size(self, sections: Sections) -> int:
        """Bytes of the whole file."""
        return len(container.pack(self.header, sections + self._alpha + self._extra))

    def _variable(self, sections: Sections) -> int:
        return sum(len(payload) for tag, payload in sections if tag != "PARM")

    def _packed(self, fitted: Fitted) -> Coded:
        sections = pack_sections(self.header, fitted.parameters, fitted.differences, fitted.grids)
        nets = nets_of(fitted.parameters, fitted.differences)
        colour = reconstruct(self.header, nets, fitted.grids, self.threads)
        return Coded(sections, colour, nets, fitted.grids)


def encode(job: Job, options: LatentGrid) -> bytes:
    """A whole codestream, see ``dsncodec.encode``.

    Raises:
        SettingError: the target is out of reach, or too large a picture.
        MissingComponent: numba is not installed.
    """
    header = job.header(options.method)
    encoder = encoder_of(job, options)
    point = encoder.point_for_target(job.target, job.metadata)
    return container.pack(header, encoder.sections(point) + job.metadata)


def encoder_of(job: Job, options: LatentGrid) -> Encoder:
    """The encoder of a job, which reports to it."""
    header, tell = job.header(options.method), job.progress
    if tell is None:
        return Encoder(header, job.picture.pixels, job.threads, options, job.effort)
    last = Progress(0.0, math.nan)

    def report(done: float, mse: float, bpp: float) -> None:
        nonlocal last
        last = Progress(done, mse, bpp)
        tell(last)

    def interrupted() -> None:
        tell(replace(last, interrupted=True))

    return Encoder(header, job.picture.pixels, job.threads, options, job.effort, report, interrupted)


def init_for(lmbda: float, tune: str) -> tuple[int, bytes]:
    """Width and id of the published init made for the nearest lmbda, or of the zero init: of those trained for this tune, or if
    there are none, of those for squared error."""
    published = [row for row in registry.inits() if row.default]
    rows = [row for row in published if row.tune == tune] or [row for row in published if row.tune == "psnr"]
    if not rows:
        return WIDTH, ZERO_INIT
    row = min(rows, key=lambda row: abs(math.log(row.lmbda / lmbda)))
    return row.width, row.wire_id[:4]


def _visual_lmbda(score: float) -> float:
    """The lmbda where photographs have such a SSIMULACRA 2, about."""
    return VISUAL_LMBDA * (max(100 - score, LEAST_LACK) / LACK) ** VISUAL_POWER


def _limited(lmbda: float) -> float:
    return min(max(lmbda, LMBDAS[1] / 10), LMBDAS[0])
