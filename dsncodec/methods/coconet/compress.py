"""Fitting a network to a picture for its file: rounded weights, entropy coded, within so many bytes.

What led to the choices here is in docs/decisions/0013-coconet.md.
"""

from __future__ import annotations

import hashlib
import io
import os
import time
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...entropy import adaptive_coder
from ...errors import SettingError
from ...files import write
from ..animation import Animation
from .bitstream import Parameters, Shape, code_of, step_of
from .fit import (
    MOST,
    SETTINGS,
    Budget,
    Clock,
    Fit,
    Report,
    budget_of,
    colours_at,
    fit_to,
    rounded,
    threads_of,
    to_pixels,
)
from .guard import least_bad

FloatArray = NDArray[np.floating]
Int32Array = NDArray[np.int32]
UInt8Array = NDArray[np.uint8]

QUANTISED_FROM = 0.5  # of the budget: weights are rounded from here on
LR_QUANTISED = (1.0, 0.02)  # of the first learning rate, begin and end
SAMPLE = 4096  # places at which the weights' sensitivity is looked at
ROUNDS = 3  # of choosing the steps: their sensitivity depends on them
FLAT_STEP = 2.0**-10  # of the biases of a mean colour: an eighth of a grey level, or less
KEPT_EVERY = 10.0  # seconds between two checkpoints

__all__ = ["Budget", "Compressed", "budget_of", "compressed"]


class Compressed(NamedTuple):
    """What a file holds, and how the fit went: ``setbacks`` say how often it ran away and went back; ``is_flat``, that the
    picture's mean colour was better than all it found."""

    parameters: Parameters
    payload: bytes
    setbacks: int
    is_flat: bool


def compressed(
    shape: Shape,
    pixels: UInt8Array,
    max_bytes: int,
    budget: Budget,
    threads: int = 1,
    report: Report | None = None,
    preview: str | None = None,
    checkpoint: str | None = None,
) -> Compressed:
    """Fit a network to a picture, and code its weights. However the fit went, the file is no worse than one of the picture's mean
    colour.

    Args:
        pixels: (H, W, 1 or 3).
        max_bytes: of the coded weights.
        preview: a .gif, .png or .webp file that shows the picture as it grows.
        checkpoint: a file that keeps the fit when it is interrupted, and from which it goes on.
    Returns:
        The parameters, the payload of section NETW, and how the fit went.
    Warns:
        FitWarning: the fit ran away on its way.
    Raises:
        SettingError: not even the coarsest steps reach ``max_bytes``, or the checkpoint is of another fit.
    """
    with threads_of(threads):
        run = _Compression(shape, pixels, max_bytes, budget)
        watchers = [report] if report else []
        animation = None if preview is None else Animation(preview, pixels.shape[:2])

        def drawn(layers: list[Tensor]) -> UInt8Array:
            """The picture of such weights, small."""
            assert animation is not None
            size, aspect = animation.size, (pixels.shape[1], pixels.shape[0])
            colours = colours_at(run.fit, layers, size, aspect)
            return to_pixels(colours.reshape(1, -1, size[1], size[0]))[0]

        def grow(progress: float, error: float) -> None:
            if animation is not None and animation.wants(progress):
                animation.add(drawn([layer.detach() for layer in run.fit.layers]))

        watchers.append(grow)
        if checkpoint is None:
            run.run(watchers)
        else:
            run.run_kept(watchers, checkpoint)
        if animation is not None:
            # of the weights that the file holds, which need not be the last ones of the fit
            animation.add(drawn(rounded(run.fit.layers, steps_of_layers(run.fit, run.codes))), last=True)
        run.guard.tell()
        return Compressed(Parameters(shape, tuple(run.codes)), run.payload(), run.guard.setbacks, run.is_flat)


class _Compression:
    """A fit on its way to a file: first with weights as they are, then with rounded ones."""

    def __init__(self, shape: Shape, pixels: UInt8Array, max_bytes: int, budget: Budget) -> None:
        self.fit = fit_to(shape, pixels, SETTINGS[shape.variant])
        self.max_bytes, self.clock = max_bytes, Clock(budget)
        self.codes: list[int] = []  # of the steps of quantisation, once they are chosen
        self.optimizer: torch.optim.Optimizer | None = None
        # whether what stands in the place of the checkpoint is one of this fit
        self.ours = False
        self.guard, self.is_flat = self.fit.new_guard(), False
        named = repr((shape, pixels.shape, max_bytes, self.fit.settings)).encode() + pixels.tobytes()
        self.name = hashlib.sha256(named).hexdigest()

    def run(self, watchers: Sequence[Report]) -> None:
        """To the end of the budget."""
        lr = self.fit.settings.lr

        def report(progress: float, error: float) -> None:
            for watcher in watchers:
                watcher(progress, error)

        if not self.codes:
            self.optimizer = self.optimizer or self.fit.optimizer(lr)
            self.fit.run(
                self.clock,
                QUANTISED_FROM,
                report=report,
                begun=0.0,
                optimizer=self.optimizer,
                guard=self.guard,
            )
            self.codes, self.optimizer = self._first_codes(), None
            self.guard = self.fit.new_guard()
        self.optimizer = self.optimizer or self.fit.optimizer(lr)
        self.fit.run(
            self.clock,
            1.0,
            steps_of_layers(self.fit, self.codes),
            (LR_QUANTISED[0] * lr, LR_QUANTISED[1] * lr),
            report,
            begun=QUANTISED_FROM,
            optimizer=self.optimizer,
            guard=self.guard,
        )
        self._settle()

    def _first_codes(self) -> list[int]:
        """Steps for the better of the last weights and the best that the guard has seen. The mean colour is not asked here: from
        it nothing could be learned, as it has no neuron that does anything."""
        fit, probes = self.fit, self.fit.probes()
        found = fit.last_and_best()
        take(fit, least_bad(found, torch.stack([fit.errors_of(layers, probes) for layers in found])))
        try:
            return fitting_codes(fit, self.max_bytes)
        except SettingError:  # weights that ran away may be too large for any step
            take(fit, fit.flat_layers())
            return fitting_codes(fit, self.max_bytes)

    def _settle(self) -> None:
        """Take the least bad of what a file might hold: the last weights, the best that the guard has seen, and the mean
        colour; each with steps that keep it within ``max_bytes``."""
        fit, probes, found = self.fit, self.fit.probes(), []
        candidates = [[layer.detach().clone() for layer in fit.layers], self.guard.best, fit.flat_layers()]
        for at, layers in enumerate(candidates):
            if not all(layer.isfinite().all() for layer in layers):
                continue
            take(fit, layers)
            codes = self.codes
            if at == 2:
                codes = [0] * (len(fit.layers)) + [code_of(FLAT_STEP)]
            if len(adaptive_coder.encode(integers_of(fit, codes))) > self.max_bytes:
                try:  # the last steps may have made the weights a little longer
                    codes = coarsened(fit, codes, self.max_bytes)
                except SettingError:
                    continue
            error = float(fit.errors_of(rounded(fit.layers, steps_of_layers(fit, codes)), probes))
            found.append((error * fit.sure(probes) if at == 2 else error, at, codes))
        if not found:
            raise SettingError(f"no setting reaches {self.max_bytes} bytes for the weights of this network")
        _, at, self.codes = min(found)
        self.is_flat = at == 2
        take(fit, candidates[at])

    def payload(self) -> bytes:
        """The weights as a file holds them."""
        return adaptive_coder.encode(integers_of(self.fit, self.codes))

    def run_kept(self, watchers: Sequence[Report], path: str) -> None:
        """As ``run``, from the state in a checkpoint file, which is written every KEPT_EVERY seconds and when the fit is stopped."""
        if os.path.exists(path):
            self._resume(path)
            self.ours = True
        saved = time.monotonic()

        def keep(progress: float, error: float) -> None:
            nonlocal saved
            if time.monotonic() - saved > KEPT_EVERY:
                saved = time.monotonic()
                self._save(path)

        try:
            self.run([*watchers, keep])
        finally:
            self._save(path)

    def _save(self, path: str) -> None:
        buffer = io.BytesIO()
        torch.save(
            {
                "name": self.name,
                "layers": [layer.detach() for layer in self.fit.layers],
                "codes": self.codes,
                "optimizer": None if self.optimizer is None else self.optimizer.state_dict(),
                "step": self.clock.step,
                "seconds": self.clock.seconds,
                "generator": self.fit.generator.get_state(),
                "guard": self.guard.state(),
            },
            buffer,
        )
        write(path, buffer.getvalue(), force=self.ours)
        self.ours = True

    def _resume(self, path: str) -> None:
        try:
            with open(path, "rb") as file:
                state = torch.load(io.BytesIO(file.read()), weights_only=True)
            name = state["name"]
        except OSError:
            raise
        except Exception as exc:  # torch.load raises whatever the pickle's first wrong byte leads to
            raise SettingError(f"{path} is not a checkpoint of a fit") from exc
        if name != self.name:
            raise SettingError(f"the checkpoint {path} is of another picture, or of other settings")
        with torch.no_grad():
            for layer, kept in zip(self.fit.layers, state["layers"], strict=True):
                layer.copy_(kept)
        self.codes = state["codes"]
        if state["optimizer"] is not None:
            self.optimizer = self.fit.optimizer(self.fit.settings.lr)
            self.optimizer.load_state_dict(state["optimizer"])
        if "guard" in state:  # which checkpoints of earlier releases lack
            self.guard.load(state["guard"])
        self.clock = Clock(self.clock.budget, state["step"], state["seconds"])
        self.fit.generator.set_state(state["generator"])


@torch.no_grad()
def take(fit: Fit, layers: list[Tensor]) -> None:
    """Give a fit other weights."""
    for layer, other in zip(fit.layers, layers, strict=True):
        layer.copy_(other)


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
    """All codes raised alike, by as little as ``max_bytes`` and the largest integer of a file allow."""

    def raised(by: int) -> list[int]:
        return [min(code + by, 255) for code in codes]

    def fits(by: int) -> bool:
        steps = steps_of_layers(fit, raised(by))
        if any((layer.detach()[0] / step).abs().max() > MOST for layer, step in zip(fit.layers, steps)):
            return False
        return len(adaptive_coder.encode(integers_of(fit, raised(by)))) <= max_bytes

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
    steps = steps_of_layers(fit, codes)
    whole = [
        (layer.detach()[0] / step).round().clamp(-MOST, MOST).to(torch.int32).numpy()
        for layer, step in zip(fit.layers, steps)
    ]
    return [*(matrix[:, :-1] for matrix in whole), np.concatenate([matrix[:, -1] for matrix in whole])]
