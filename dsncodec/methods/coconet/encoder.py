"""The method "coconet": one small network is fitted to one picture, and its quantised weights are the file.

Fitting needs torch; reading does not, and is in ``coordinates``.

Source: Bricman and Ionescu, "CocoNet", 2018.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ... import container, extras
from ...container import Header
from ...entropy import adaptive_coder
from ...errors import SettingError
from ...options import CocoNet
from ...processes import thread_count
from .. import DEFAULT_EFFORT, Job, Progress, rate_control
from ..sections import encode_alpha
from .bitstream import MAX_WEIGHTS, MAX_WIDTH, MAX_WORK, Parameters, Shape, check_shape, network, shape_for

__all__ = ["Encoder", "Point", "encode"]

UInt8Array = NDArray[np.uint8]
Report = Callable[[float, float], None]

DEFAULT_SECONDS = 60.0
DEFAULT_BPP = 0.3
LAYERS = 5
BITS = 6.0  # of a weight, in the mean: docs/decisions/0013-coconet.md


@dataclass(frozen=True)
class Point:
    """An operating point: a network's shape, and how many bytes its weights may take."""

    shape: Shape
    max_bytes: int


class Encoder:
    """One picture on its way into a file.

    Args:
        threads: of the fit; default: the CPUs this process may use.
        report: called after each step with the part of the budget that is spent, and the mean squared error.
    """

    def __init__(
        self,
        header: Header,
        pixels: UInt8Array,
        threads: int | None,
        options: CocoNet,
        effort: int = DEFAULT_EFFORT,
        report: Report | None = None,
    ) -> None:
        self.header, self.effort, self.threads, self.report = header, effort, thread_count(threads), report
        self.colour = np.ascontiguousarray(pixels[..., : header.colour_planes])
        self.alpha = pixels[..., -1] if header.has_alpha else None
        self.options = options
        self.variant = options.variant or "sine"
        self.layers = options.layers or LAYERS
        self._coded: dict[Point, tuple[Parameters, bytes]] = {}
        # of the last fit, see ``dsncodec.methods.coconet.compress.Compressed``
        self.setbacks, self.is_flat = 0, False

    def point_for_target(self, target: rate_control.Target, extra: Sequence[tuple[str, bytes]]) -> Point:
        """The one point that serves a target: a fit is too long to try several.

        Args:
            extra: the other sections of the file.
        Raises:
            SettingError: a PSNR or a SSIMULACRA 2, which only a fit would show; or no network is so small.
        """
        if target.psnr_db is not None or target.ssimulacra2 is not None:
            refused = "target_psnr_db" if target.psnr_db is not None else "target_ssimulacra2"
            raise SettingError(f"method coconet takes a quality, target_bytes or target_bpp, not {refused}")
        if self.options.width is not None:
            shape = self._allowed(self._shape(self.options.width))
            return Point(shape, round(shape.weights(self._planes) * BITS / 8))
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
            return Point(self._allowed(self._shape(fitting[-1])), left)
        if target.max_bytes is None and target.max_bpp is None:  # a quality names no limit
            shape = self._allowed(self._shape(1))
            return Point(shape, shape.weights(self._planes))
        least = round(self._shape(1).weights(self._planes) * BITS / 8) + self._overhead(extra)
        raise SettingError(
            f"no setting reaches {asked} bytes: the smallest network of {self.layers} layers makes {least} bytes"
        )

    def sections(self, point: Point) -> list[tuple[str, bytes]]:
        """The coded picture as (tag, payload). The fit happens here, once for each point."""
        parameters, payload = self._fitted(point)
        sections = [("PARM", parameters.pack()), ("NETW", payload)]
        if self.alpha is not None:
            sections.append(("ALPH", encode_alpha(self.alpha, self.effort)))
        return sections

    def reconstruct(self, point: Point) -> UInt8Array:
        """The colour planes a reader gets, (H, W, 1 or 3)."""
        parameters, payload = self._fitted(point)
        matrices = parameters.shape.matrices(self._planes)
        counts = [*(rows * columns for rows, columns in matrices), sum(rows for rows, _ in matrices)]
        net = network(parameters, adaptive_coder.decode(payload, counts), self.header)
        return net.pixels((self.header.width, self.header.height), threads=self.threads)

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
            fit = extras.load("dsncodec.methods.coconet.compress")
            pixels = self.header.width * self.header.height
            budget = fit.budget_of(self.variant, pixels, self.options.seconds, self.options.steps)
            found = fit.compressed(
                point.shape,
                self.colour,
                point.max_bytes,
                budget,
                self.threads,
                self.report,
                self.options.preview,
                self.options.checkpoint,
            )
            self.setbacks, self.is_flat = found.setbacks, found.is_flat
            self._coded[point] = found.parameters, found.payload
        return self._coded[point]


def encode(job: Job, options: CocoNet) -> bytes:
    """A whole codestream, see ``dsncodec.encode``.

    Raises:
        SettingError: an impossible target.
        MissingComponent: torch is not installed.
    """
    header, tell = job.header(options.method), job.progress
    report = None if tell is None else lambda done, mse: tell(Progress(done, mse))
    encoder = Encoder(header, job.picture.pixels, job.threads, options, job.effort, report)
    point = encoder.point_for_target(job.target, job.metadata)
    return container.pack(header, encoder.sections(point) + job.metadata)


def _bpp(target: rate_control.Target) -> float:
    """Quality 0..100 is 0.02 to 2 bits per pixel, in equal ratios."""
    if target.max_bpp is not None:
        return target.max_bpp
    return DEFAULT_BPP if target.quality is None else float(0.02 * 100 ** (target.quality / 100))
