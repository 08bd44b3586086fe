"""The method "coconet": one small network is fitted to one picture, and its quantised weights are the file.

Fitting needs torch; reading does not, and is in ``coordinates``.

Source: Bricman and Ionescu, "CocoNet", 2018.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import container, rate
from ..backends import rangecoder
from ..checks import positive, whole
from ..container import Header
from ..errors import MissingComponent, SettingError
from ..inference import thread_count
from . import DEFAULT_EFFORT
from .coordinates import (
    MAX_WEIGHTS,
    MAX_WIDTH,
    MAX_WORK,
    VARIANTS,
    Parameters,
    Shape,
    check_shape,
    decode,
    network,
    shape_for,
)
from .sections import encode_alpha

__all__ = ["Encoder", "Point", "decode", "fitter"]

UInt8Array = NDArray[np.uint8]
Report = Callable[[float, float], None]

DEFAULT_SECONDS = 60.0
DEFAULT_BPP = 0.3
LAYERS = 5
BITS = 6.0  # of a weight, in the mean: docs/decisions/0013-coconet.md
PREVIEWS = (".gif", ".png", ".webp")


def fitter(name: str) -> Any:
    """The module of dsncodec.train that fits: "compressing" or "fitted".

    Raises:
        MissingComponent: torch is not installed.
    """
    try:
        return importlib.import_module(f"dsncodec.train.{name}")
    except ModuleNotFoundError as exc:
        raise MissingComponent(
            f"the package {exc.name} is not installed: pip install dsncodec[train]"
        ) from exc


@dataclass(frozen=True)
class Point:
    """An operating point: a network's shape, and how many bytes its weights may take."""

    shape: Shape
    max_bytes: int


class Encoder:
    """One picture on its way into a file.

    Args:
        threads: of the fit; default: the CPUs this process may use.
        seconds, steps: the fit's budget, whichever ends first; default: 60 seconds, and of "paper" its 3000 epochs.
        variant: "sine", or "paper": six coordinates, tanh layers, Adam.
        layers, width: of the network; default: 5, and the width that the bytes asked for allow.
        report: called after each step with the part of the budget that is spent, and the mean squared error.
        preview, checkpoint: files, see ``dsncodec.encode``.
    Raises:
        SettingError: an impossible setting.
    """

    def __init__(
        self,
        header: Header,
        pixels: UInt8Array,
        threads: int | None,
        effort: int = DEFAULT_EFFORT,
        seconds: float | None = None,
        steps: int | None = None,
        variant: str | None = None,
        layers: int | None = None,
        width: int | None = None,
        report: Report | None = None,
        preview: str | os.PathLike[str] | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> None:
        self.header, self.effort, self.threads, self.report = header, effort, thread_count(threads), report
        self.colour = np.ascontiguousarray(pixels[..., : header.colour_planes])
        self.alpha = pixels[..., -1] if header.has_alpha else None
        self.seconds = None if seconds is None else positive("seconds", seconds)
        self.steps = None if steps is None else whole("steps", steps, 1)
        self.variant = "sine" if variant is None else variant
        if self.variant not in VARIANTS.values():
            raise SettingError(f"unknown variant {variant!r}; one of {', '.join(VARIANTS.values())}")
        self.layers = LAYERS if layers is None else whole("layers", layers, 1)
        self.width = None if width is None else whole("width", width, 1)
        self.preview = None if preview is None else os.fspath(preview)
        if self.preview is not None and os.path.splitext(self.preview)[1].lower() not in PREVIEWS:
            raise SettingError(f"a preview is a {', '.join(PREVIEWS)} file, not {self.preview}")
        self.checkpoint = None if checkpoint is None else os.fspath(checkpoint)
        self._coded: dict[Point, tuple[Parameters, bytes]] = {}
        self.setbacks, self.is_flat = (
            0,
            False,
        )  # of the last fit, see ``dsncodec.train.compressing.Compressed``

    def aimed(self, target: rate.Target, extra: Sequence[tuple[str, bytes]]) -> rate.Target:
        """The one point that serves a target: a fit is too long to try several.

        Args:
            extra: the other sections of the file.
        Raises:
            SettingError: a PSNR, which only a fit would show; or no network is so small.
        """
        if target.psnr_db is not None:
            raise SettingError(
                "method coconet takes a quality, target_bytes or target_bpp, not target_psnr_db"
            )
        if self.width is not None:
            shape = self._allowed(self._shape(self.width))
            return rate.Target(point=Point(shape, round(shape.weights(self._planes) * BITS / 8)))
        pixels = self.header.width * self.header.height
        asked = int(_bpp(target) * pixels / 8) if target.max_bytes is None else target.max_bytes
        left = asked - self._overhead(extra)
        fitting = [
            width
            for width in range(1, MAX_WIDTH + 1)
            if (count := self._shape(width).weights(self._planes)) * BITS / 8 <= left
            and self._shape(width).weights(3) <= MAX_WEIGHTS
            and count * pixels <= MAX_WORK
        ]
        if fitting:
            return rate.Target(point=Point(self._allowed(self._shape(fitting[-1])), left))
        if target.max_bytes is None and target.max_bpp is None:  # a quality names no limit
            shape = self._allowed(self._shape(1))
            return rate.Target(point=Point(shape, shape.weights(self._planes)))
        least = round(self._shape(1).weights(self._planes) * BITS / 8) + self._overhead(extra)
        raise SettingError(
            f"no setting reaches {asked} bytes: the smallest network of {self.layers} layers makes {least} bytes"
        )

    def sections(self, point: Point, backend: str = "auto") -> list[tuple[str, bytes]]:
        """The coded picture as (tag, payload). The fit happens here, once for each point."""
        parameters, payload = self._fitted(point)
        sections = [("PARM", parameters.pack()), ("NETW", payload)]
        if self.alpha is not None:
            sections.append(("ALPH", encode_alpha(self.alpha, self.effort)))
        return sections

    def reconstruct(self, point: Point, backend: str = "auto") -> UInt8Array:
        """The colour planes a reader gets, (H, W, 1 or 3)."""
        parameters, payload = self._fitted(point)
        matrices = parameters.shape.matrices(self._planes)
        counts = [*(rows * columns for rows, columns in matrices), sum(rows for rows, _ in matrices)]
        net = network(parameters, rangecoder.decode(payload, counts), self.header)
        return net.pixels((self.header.width, self.header.height), threads=self.threads)

    @property
    def points(self) -> list[Point]:
        """None: see ``aimed``."""
        return []

    def point_of_quality(self, quality: int, backend: str = "auto") -> Point:
        """The network that a quality asks for; other sections than the picture's own are not counted."""
        point: Point = self.aimed(rate.Target(quality=quality), []).point  # type: ignore[assignment]
        return point

    def between(self, low: Point, high: Point) -> list[Point]:
        """None: see ``aimed``."""
        return []

    @property
    def _planes(self) -> int:
        return self.header.colour_planes

    def _shape(self, width: int) -> Shape:
        return shape_for(self.variant, self.layers, width, (self.header.width, self.header.height))

    def _allowed(self, shape: Shape) -> Shape:
        return check_shape(shape, self._planes, self.header.width * self.header.height)

    def _overhead(self, extra: Sequence[tuple[str, bytes]]) -> int:
        """Bytes of a file beyond those of its weights."""
        parameters = Parameters(self._shape(1), (0,) * (self.layers + 2)).pack()
        others = [] if self.alpha is None else [("ALPH", encode_alpha(self.alpha, self.effort))]
        empty = container.pack(
            self.header, [("PARM", parameters), ("NETW", bytes(2**14)), *others, *extra]
        )  # whose length takes 3 bytes
        return len(empty) - 2**14

    def _fitted(self, point: Point) -> tuple[Parameters, bytes]:
        if point not in self._coded:
            fit = fitter("compressing")
            pixels = self.header.width * self.header.height
            budget = fit.budget_of(self.variant, pixels, self.seconds, self.steps)
            found = fit.compressed(
                point.shape, self.colour, point.max_bytes, budget, self.threads, self.report, self.preview,
                self.checkpoint,
            )  # fmt: skip
            self.setbacks, self.is_flat = found.setbacks, found.is_flat
            self._coded[point] = found.parameters, found.payload
        return self._coded[point]


def _bpp(target: rate.Target) -> float:
    """Quality 0..100 is 0.02 to 2 bits per pixel, in equal ratios."""
    if target.max_bpp is not None:
        return target.max_bpp
    return DEFAULT_BPP if target.quality is None else float(0.02 * 100 ** (target.quality / 100))
