"""The rate-distortion objective of one picture: squared error and bits of its latents under a set of weights, and their
gradients by both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .bitstream import BAND, band_rows, grid_shapes
from .entropy_model import GRIDS
from .kernels import distortion, shown
from .kernels import latents as latent_loops
from .kernels import rate as rate_loops
from .kernels import rdoq as rdoq_loops
from .kernels.latents import LEFT, Rows, RowSample
from .kernels.ssimulacra2_gradient import Rows as SharedRows
from .kernels.ssimulacra2_gradient import Ssimulacra2
from .visual import distortion_of, slab_rows
from .weights import Weights

FloatArray = NDArray[np.float32]
T = TypeVar("T")

ALL = RowSample(1, 0)
# Large pictures: the gradient by matrices is taken from one row in so many, another one at each step
LEARN_EVERY = 4
# Pixels of an estimate of the loss, about, and rows that it takes at a time
SAMPLE = 2**15
STRIPE = 8
# Rows, at least, and what it takes off, of the samples' energy, where colours are solved for
LEAST_ROWS, COLOUR_RIDGE = 16, 1e-2
# Grids that RDOQ works on: in the coarser ones hardly any move pays
RDOQ_GRIDS = 4
# Grids, the finest ones, that know which of their cells lie in smooth areas
SMOOTH_GRIDS = 3
# Cells that a thread works on between two looks at the clock
CELLS = 2**12
# Numbers between two arrays, see ``_apart``
BETWEEN = 64
# Rows of a grid between the rows of two parts in RDOQ: no symbol of one is a context of the other's
APART = 12
# Pixels from which on rows are cut into two parts and into four: of fewer, threads wait for each other longer than they work, and each
# part has gradients of the rate of its own. Sums go part by part, whatever the threads
TWO_PARTS, FOUR_PARTS = 2**16, 2**20
# Parts are of whole bands where none is larger than the mean by more
MOST_UNEVEN = 1.4


@dataclass(frozen=True)
class Loss:
    """``squared`` is summed over samples in 0..1, ``bits`` over symbols; ``distortion`` is what the fit lessens, on the scale of
    the mean squared error."""

    squared: float
    bits: float
    distortion: float

    def mse(self, pixels: int) -> float:
        return self.squared / (3 * pixels)


class RDObjective:
    """The objective of one picture, and its buffers.

    Args:
        target: (H, W, 1 or 3) uint8.
        latents: initial latents, one (rows, columns) float32 array for each grid; default: zeros.
        visual: the distortion is that of ``visual.Distortion``, and not the mean squared error.
        parts: into how many the work is cut; default: by the pixels alone, so that threads do not change a bit.
    """

    def __init__(
        self,
        target: NDArray[np.uint8],
        threads: int = 1,
        latents: Sequence[FloatArray] | None = None,
        visual: bool = False,
        parts: int | None = None,
    ) -> None:
        height, width = target.shape[:2]
        self.height, self.width, self.pixels = height, width, height * width
        self.threads = threads
        self.parts = parts or (1 if self.pixels < TWO_PARTS else 2 if self.pixels < FOUR_PARTS else 4)
        colour = target if target.shape[2] == 3 else np.repeat(target, 3, 2)
        self.target = np.ascontiguousarray(colour.transpose(2, 0, 1), np.float32) / np.float32(255)
        self.shapes = grid_shapes((height, width))
        self.latents = [_apart(shape) for shape in self.shapes]
        for own, given in zip(self.latents, latents or ()):
            np.copyto(own, given)
        self.slopes = [_apart(shape) for shape in self.shapes]
        self.means = [_apart(shape) for shape in self.shapes]
        self.squares = [_apart(shape) for shape in self.shapes]
        self.symbols = [_padded(shape) for shape in self.shapes]
        arrays = self.latents, self.symbols, self.slopes, self.means, self.squares
        self._state = latent_loops.LatentState(*map(tuple, arrays))
        self._none = np.zeros((2, latent_loops.row_length(-(-self.shapes[-1][1] // 2))), np.float32)
        # parts of whole bands have no context in common: their gradients lie in one array
        self._whole_bands = _evenly_shared(height, self.parts)
        arrays_of_parts = 1 if self._whole_bands else self.parts
        self.grad_rate = [np.zeros((arrays_of_parts, *symbols.shape), np.float32) for symbols in self.symbols]
        self._grad_none = np.zeros((self.parts, *self._none.shape), np.float32)
        # planes[k][level]: grid k upsampled to the size of grid level
        self.planes = [[_apart(shape) for shape in self.shapes[: k + 1]] for k in range(GRIDS)]
        row = -(-width // latent_loops.LANES) * latent_loops.LANES + latent_loops.LANES
        self.finest = np.zeros((GRIDS, height, row), np.float32)
        border = latent_loops.row_length(width)
        self.mixed = np.zeros((3, height + 2, border), np.float32)
        self.grad_rgb = np.zeros((3, height + 2, border), np.float32)
        # planes[k][k]: the gradient of the squared error by the symbols of grid k, after a pass
        self._grad_error = tuple(planes[k] for k, planes in enumerate(self.planes))
        self._steps = 0
        workers = min(threads, self.parts)
        self._pool = ThreadPoolExecutor(workers) if workers > 1 else None
        self._over_rows = _sharing(self._pool, self.parts, slab_rows(height, width))
        self.visual = distortion_of(self.target, self._over_rows) if visual else None
        self.distortion = 0.0
        self._judge: Ssimulacra2 | None = None
        # what RDOQ takes for the original, and the weights of squared errors
        self._wanted = self.target, np.empty((3, 0, 0), np.float32)
        self._smooth: list[NDArray[np.bool_]] = []
        if self.visual is not None:
            smooth = self.visual.smooth()
            self._smooth = [_cells_within(smooth, k, self.shapes[k]) for k in range(SMOOTH_GRIDS)]
            self.shown, self._grad_shown = np.empty_like(self.target), np.empty_like(self.target)
            self._wanted = np.empty_like(self.target), np.empty_like(self.target)
        self._shares = [self._shares_of(part) for part in range(self.parts)]
        self._rate_tasks = self._cut_rows()
        one_in = max(1, self.pixels // SAMPLE)
        self._stripes = _striped(0, height, one_in)
        self._sampled_tasks = [_sampled(tasks, one_in) for tasks in self._rate_tasks]

    def _shares_of(self, part: int) -> NDArray[np.int64]:
        """First row and last + 1 of a part of each grid."""
        return np.array([self._share(k, part) for k in range(GRIDS)], np.int64)

    def _cut_rows(self) -> list[NDArray[np.void]]:
        """The rate's work, for each part."""
        tasks: list[list[tuple[object, ...]]] = [[] for _ in range(self.parts)]
        bands = list(self._bands())
        for number, rows in enumerate(bands):
            for k in range(GRIDS):
                band = _band(rows, k)
                if self._whole_bands:
                    takers = range(_taker(number, len(bands), self.parts), self.parts)
                    cuts = [rows[k].start, rows[k].stop]
                else:
                    takers = range(self.parts)
                    cuts = np.linspace(rows[k].start, rows[k].stop, self.parts + 1).astype(int).tolist()
                for part, first, last in zip(takers, cuts, cuts[1:]):
                    if first < last:
                        tasks[part].append((k, first, last, self.shapes[k][1], band, 1.0))
        return [np.array(rows, rate_loops.RATE_TASK) for rows in tasks]

    def _bands(self) -> Iterator[list[slice]]:
        """The rows of each grid, band by band, and those of two more grids that have none."""
        for number in range(-(-self.height // BAND)):
            yield [*band_rows((self.height, self.width), number), slice(0, 0), slice(0, 0)]

    def run(self, work: Callable[[int], float | None], items: Iterable[int] | None = None) -> float:
        """Work on items side by side, or once on each part; the sum of what it gives, in their order."""
        items = range(self.parts) if items is None else items
        if self._pool is None:
            return sum(work(item) or 0.0 for item in items)
        jobs = [self._pool.submit(work, item) for item in items]
        try:
            return sum(job.result() or 0.0 for job in jobs)
        finally:
            wait(jobs)  # Ctrl-C leaves nobody at work on what the next stage changes

    def close(self) -> None:
        """Lets the threads go."""
        if self._pool is not None:
            self._pool.shutdown()

    def state(self) -> dict[str, NDArray[Any]]:
        """Latents, and what ``step`` knows of their gradients: what ``load`` takes."""
        found = {"steps": np.array(self._steps)}
        for name, arrays in self._kept.items():
            found |= {f"{name}.{k}": array for k, array in enumerate(arrays)}
        return found

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a state of the same picture."""
        self._steps = int(state["steps"])
        for name, arrays in self._kept.items():
            for k, array in enumerate(arrays):
                np.copyto(array, state[f"{name}.{k}"])

    @property
    def _kept(self) -> dict[str, list[FloatArray]]:
        return {"values": self.latents, "means": self.means, "squares": self.squares}

    # --- the stages of a pass

    def soft_round(self, temperature: float, noise: float, seed: int) -> None:
        """Latents to soft symbols."""

        self.run(
            lambda part: latent_loops.soft_round(self._state, self._shares[part], temperature, noise, seed)
        )

    def round_latents(self) -> None:
        """Latents to symbols, rounded: nothing for a ``step`` to follow."""
        self.run(lambda part: latent_loops.round_latents(self._state, self._shares[part]))

    def _share(self, k: int, part: int) -> tuple[int, int]:
        rows = self.shapes[k][0]
        return rows * part // self.parts, rows * (part + 1) // self.parts

    def rate(
        self, weights: Weights, gradient: Weights | None, sampled: bool = False, learn_from: RowSample = ALL
    ) -> float:
        """Bits of the symbols; with ``gradient``, grad_rate is set and its context network added to, an estimate from some
        rows; ``sampled``: so are the bits, from others."""
        n = weights.parts
        w3, b3 = np.zeros((4, 16), np.float32), np.zeros(4, np.float32)
        w3[:2], b3[:2] = n["w3"], n["b3"]
        transposed = (np.ascontiguousarray(m.T) for m in (n["w1"], n["w2"], w3))
        net = rate_loops.ContextNet(n["w1"], n["b1"], n["w2"], n["b2"], w3, b3, *transposed)
        tasks = self._sampled_tasks if sampled else self._rate_tasks
        symbols = *self.symbols, self._none, self._none
        per_part = [_context_gradients() for _ in range(self.parts)]
        backward = gradient is not None

        def clear(part: int) -> None:
            for k, by_symbols in enumerate(self.grad_rate):
                if self._whole_bands:
                    first, last = self._share(k, part)
                    # the row above the grid gets what is of no row
                    by_symbols[0, first + bool(first) : last + 1].fill(0)
                else:
                    by_symbols[part].fill(0)

        def work(part: int) -> float:
            none = self._grad_none[part]
            grads = *(g[0 if self._whole_bands else part] for g in self.grad_rate), none, none
            mine = tasks[part]
            bits = rate_loops.rate(symbols, net, mine, grads, per_part[part], learn_from, backward)
            return sum(weight * found for weight, found in zip(mine["weight"].tolist(), bits.tolist()))

        if backward:
            self.run(clear)
        bits = self.run(work)
        if gradient is not None:
            for by_net in per_part:
                found = by_net._replace(w3=by_net.w3[:2], b3=by_net.b3[:2])
                for name, value in found._asdict().items():
                    gradient.parts[name] += value * np.float32(learn_from.every)
        return bits

    def upsample(self, weights: Weights) -> None:
        """Symbols to seven planes of the picture's size."""
        taps = weights.parts["taps"]

        def chain(k: int) -> None:
            symbols = self.symbols[k][1:, LEFT : LEFT + self.shapes[k][1]]
            if k == 0:
                self.finest[0, :, : self.width] = symbols
                return
            planes = self.planes[k]
            np.copyto(planes[k], symbols)
            for level in range(k - 1, 0, -1):
                distortion.upsample2x(planes[level + 1], taps[level], planes[level], *self.shapes[level])
            distortion.upsample2x(planes[1], taps[0], self.finest[k], self.height, self.width)

        self.run(chain, range(GRIDS - 1, -1, -1))

    def upsample_back(self, weights: Weights, gradient: Weights) -> None:
        """From the gradient by the seven planes to those by symbols, which take the planes' place."""
        taps = weights.parts["taps"]
        per_chain = [np.zeros((GRIDS - 1, 4), np.float32) for _ in range(GRIDS)]

        def chain(k: int) -> None:
            planes = self.planes[k]
            if k == 0:
                np.copyto(planes[0], self.finest[0, :, : self.width])
                return
            by_finer = self.finest[k]
            for level in range(k):
                by = _apart(self.shapes[level + 1], np.empty)
                distortion.upsample2x_back(
                    planes[level + 1], taps[level], by_finer, *self.shapes[level], by, per_chain[k][level]
                )
                by_finer = by
            np.copyto(planes[k], by_finer)

        self.run(chain, range(GRIDS - 1, -1, -1))
        gradient.parts["taps"][:] += sum(per_chain)

    def synthesise(
        self, weights: Weights, gradient: Weights | None, sampled: bool = False, learn_from: RowSample = ALL
    ) -> float:
        """Planes to colours: the squared error; what is optimised goes to ``distortion``. With ``gradient``, which is added to,
        an estimate from some rows, that of the distortion by planes takes their place; ``sampled``: so is the error, from
        others, and ``distortion`` stays as it is."""
        net = _synthesis_net(weights)
        if sampled and len(self._stripes) > 1:
            return self._synthesise_stripes(net)
        shares = [Rows(*self._share(0, part), self.width) for part in range(self.parts)]
        per_part = [_synthesis_gradients(weights.width) for _ in shares]
        scale = 1 / (3 * self.pixels)

        def forward(part: int) -> None:
            distortion.synthesis_mlp(self.finest, net, shares[part], self.mixed)

        def compare(part: int) -> float:
            return float(
                distortion.squared_error(
                    self.mixed, net.k, self.target, shares[part], scale, self.grad_rgb, per_part[part].k
                )
            )

        def show(part: int) -> float:
            return float(shown.show(self.mixed, net.k, self.target, shares[part], self.shown))

        def show_back(part: int) -> None:
            of = self.grad_rgb, per_part[part].k
            shown.show_back(self.mixed, self._grad_shown, self.shown, shares[part], *of)

        def back(part: int) -> None:
            distortion.synthesis_back(
                self.finest, self.grad_rgb, net, shares[part], per_part[part], learn_from
            )

        self.run(forward)
        if self.visual is None:
            squared = self.run(compare)
            self.distortion = squared * scale
        else:
            squared = self.run(show)
            if gradient is None:
                self.distortion = self.visual.value(self.shown)
            else:
                self.distortion = self.visual.value_and_gradient(self.shown, self._grad_shown)
                self.run(show_back)
        if gradient is None:
            return squared
        self.run(back)
        d = gradient.parts
        rows = np.float32(learn_from.every)
        for by in per_part:
            d["k"] += by.k
            d["p"] += by.p[:, :GRIDS] * rows
            d["pb"] += by.p[:, GRIDS] * rows
            d["q"] += by.q[:3] * rows
            d["qb"] += by.qb[:3] * rows
            d["s"] += by.s[:3, :GRIDS] * rows
        return squared

    def solved_colours(self, weights: Weights) -> Weights:
        """The same with the layer that makes colours, Q, S and q, of least squared error, from some rows and as if the last filter only
        scaled: what few steps left undone. ``upsample`` and ``synthesise`` went before."""
        size = weights.width + GRIDS + 1
        count = min(max(SAMPLE // self.width, LEAST_ROWS), self.height)
        rows = (np.arange(count) * self.height + self.height // 2) // count
        net, a, b = _synthesis_net(weights), np.zeros((size, size)), np.zeros((size, 3))
        for y in rows.tolist():
            shown.colour_equations(self.finest, net, self.mixed, self.target, y, a, b)
        a += np.tril(a, -1).T
        ridge = COLOUR_RIDGE * a.diagonal() + 1e-9 * self.width * count
        by_filter = np.eye(3) + weights.parts["k"].sum((2, 3))
        more = np.linalg.solve(a + np.diag(ridge), b) @ np.linalg.pinv(by_filter).T
        found = weights.copy()
        for name, part in zip(("q", "s", "qb"), np.split(more, [weights.width, size - 1])):
            found.parts[name] += part.T.reshape(found.parts[name].shape)
        return found

    def grids(self) -> list[NDArray[np.int8]]:
        """The symbols, which are rounded."""
        return [
            symbols[1:, LEFT : LEFT + shape[1]].astype(np.int8)
            for symbols, shape in zip(self.symbols, self.shapes)
        ]

    def _synthesise_stripes(self, net: distortion.SynthesisNet) -> float:
        """The squared error, from stripes of rows."""
        unused, scale = np.zeros_like(net.k), 1 / (3 * self.pixels)

        def work(part: int) -> float:
            found = 0.0
            for first, last in self._stripes[part :: self.parts]:
                around = Rows(max(first - 1, 0), min(last + 1, self.height), self.width)
                distortion.synthesis_mlp(self.finest, net, around, self.mixed)
                rows = Rows(first, last, self.width)
                found += distortion.squared_error(
                    self.mixed, net.k, self.target, rows, scale, self.grad_rgb, unused
                )
            return found

        rows = sum(last - first for first, last in self._stripes)
        return self.run(work) * self.height / rows

    # --- RDOQ

    def rdoq(self, weights: Weights, lmbda: float, late: Callable[[], bool] = lambda: False) -> int:
        """Rounded symbols moved by one, each once, coarser grids first, wherever the loss of these weights falls; the
        latents follow. How many were moved.

        Args:
            late: asked now and then; the symbols stay as they are once it says so.
        """
        net, biases, picture = self._rdoq_layers(weights)
        heights, widths = (np.array(sides, np.int64) for sides in zip(*self.shapes))
        bits = [np.empty(shape, np.float32) for shape in self.shapes]
        none = rdoq_loops.Grid(self._none, bits[0], biases[0], np.zeros(5, np.int64), 0)
        costs = rdoq_loops.Costs(lmbda / self.pixels, 1 / (3 * self.pixels))
        if self.visual is not None:
            costs = costs._replace(error=1.0)
            before = self.loss(weights), [symbols.copy() for symbols in self.symbols]

        def stacks_of(band: Sequence[slice]) -> list[rdoq_loops.GridStack]:
            grids = [
                rdoq_loops.Grid(self.symbols[k], bits[k], biases[k], _band(band, k), band[k].stop)
                for k in range(GRIDS)
            ] + [none, none]
            return [
                rdoq_loops.GridStack(
                    grids[k], grids[k + 1], grids[k + 2], grids[max(k - 1, 0)], grids[max(k - 2, 0)]
                )
                for k in range(GRIDS)
            ]

        bands = [stacks_of(rows) for rows in self._bands()]

        def count(part: int) -> None:
            for k in range(GRIDS):
                for grids, first, last in _within(bands, k, *self._share(k, part)):
                    rdoq_loops.count_bits(grids, net, first, last)

        def move(k: int, share: tuple[int, int]) -> int:
            found, step = 0, max(1, CELLS // widths[k])
            for grids, first, last in _within(bands, k, *share):
                for at in range(first, last, step):
                    if late():
                        return found
                    found += rdoq_loops.rdoq_symbols(
                        k, grids, net, picture, heights, widths, at, min(at + step, last), costs
                    )
            return found

        self.run(count)
        moved = 0.0
        for k in reversed(range(RDOQ_GRIDS)):
            if self.visual is not None:
                np.clip(picture.colours, 0, 1, out=self.shown)
                self.visual.second_order(self.shown, 2**k, *self._wanted)
            shares = [self._share(k, part) for part in range(self.parts)]
            if min(last - first for first, last in shares) < 2 * APART:
                shares = [(0, self.shapes[k][0])]
            inner = [(first, last - APART) for first, last in shares[:-1]] + shares[-1:]
            between = [(last - APART, last) for _, last in shares[:-1]]
            moved += self.run(lambda at: move(k, inner[at]), range(len(inner)))
            moved += sum(move(k, share) for share in between)
        if self.visual is not None and self._worse(weights, lmbda, before[0]):
            # what was moved together bent the distortion more than was foreseen
            for symbols, kept in zip(self.symbols, before[1]):
                np.copyto(symbols, kept)
            return 0
        self._latents_follow()
        return int(moved)

    def _worse(self, weights: Weights, lmbda: float, before: Loss) -> bool:
        """Whether the loss of the symbols as they are is larger than one before."""
        found, per_bit = self.loss(weights), lmbda / self.pixels
        return found.distortion + per_bit * found.bits > before.distortion + per_bit * before.bits

    def _rdoq_layers(self, weights: Weights) -> tuple[rdoq_loops.ContextNet, FloatArray, rdoq_loops.Picture]:
        """The layers as RDOQ takes them, the grids' biases, and the picture as it is."""
        n = weights.parts
        self.upsample(weights)
        self.synthesise(weights, None)
        w1, w2, p = (np.ascontiguousarray(n[name].T) for name in ("w1", "w2", "p"))
        net = rdoq_loops.ContextNet(w1, w2, n["b2"], n["w3"], n["b3"])
        layers = n["taps"], p, n["pb"], n["q"], n["qb"], n["s"], n["k"]
        colours = np.empty_like(self.target) if self.visual is None else self._grad_shown
        picture = rdoq_loops.Picture(self.finest, self.mixed, colours, *self._wanted, *layers)
        self.run(lambda part: rdoq_loops.synthesis_conv(picture, *self._share(0, part)))
        return net, n["b1"], picture

    def _latents_follow(self) -> None:
        """Latents whose symbol was moved go there."""
        for symbols, latents in zip(self.symbols, self.latents):
            cells = symbols[1:, LEFT : LEFT + latents.shape[1]]
            np.copyto(latents, cells, where=np.floor(latents + np.float32(0.5)) != cells)

    # --- passes

    def loss(self, weights: Weights) -> Loss:
        """Of the symbols as they are."""
        bits = self.rate(weights, None)
        self.upsample(weights)
        squared = self.synthesise(weights, None)
        return Loss(squared, bits, self.distortion)

    def picture(self, weights: Weights) -> NDArray[np.uint8]:
        """What the last pass saw, (H, W, 3)."""
        return np.rint(self._colours(weights).transpose(1, 2, 0) * 255).astype(np.uint8)

    def ssimulacra2(self, weights: Weights) -> float:
        """Of what ``loss`` of these weights has just seen, about."""
        if self.visual is not None:
            return 100 - self.visual.lacks(self.shown)
        if self._judge is None:
            self._judge = Ssimulacra2(self.target, self._over_rows)
        return 100 - self._judge.value(self._colours(weights))

    def _colours(self, weights: Weights) -> FloatArray:
        """Of the last pass, (3, H, W), clipped."""
        found, rows = np.empty_like(self.target), Rows(0, self.height, self.width)
        shown.show(self.mixed, weights.parts["k"], self.target, rows, found)
        return found

    def gradients(self, weights: Weights, lmbda: float, turn: int | None = None) -> tuple[Loss, Weights]:
        """Of the symbols as they are; the second is the gradient of distortion + lmbda * bits / pixels by weights.

        Args:
            turn: of a large picture, the gradient by matrices is estimated, from every fourth row; from which on, follows
                from this number.
        """
        learn_from = (
            ALL if turn is None or self.pixels < SAMPLE else RowSample(LEARN_EVERY, turn % LEARN_EVERY)
        )
        gradient = Weights.zeros(weights.width)
        bits = self.rate(weights, gradient, learn_from=learn_from)
        for group in gradient.groups[:2]:
            gradient.flat[group] *= np.float32(lmbda / self.pixels)
        self.upsample(weights)
        squared = self.synthesise(weights, gradient, learn_from=learn_from)
        self.upsample_back(weights, gradient)
        return Loss(squared, bits, self.distortion), gradient

    def step(
        self,
        lmbda: float,
        size: float,
        beta1: float = 0.8,
        beta2: float = 0.99,
        held: int = 0,
        paces: Sequence[float] = (1.0,) * GRIDS,
    ) -> None:
        """One step of Adam for the latents, from the gradients that were found last, of ``size`` times the pace of a grid, finest
        first. For the eye, those of smooth areas stay where they are in ``held`` grids, the finest ones."""
        self._steps += 1
        inverse1, inverse2 = 1 / (1 - beta1**self._steps), 1 / (1 - beta2**self._steps)
        sizes = np.float32(size) * np.asarray(paces, np.float32)
        adam = latent_loops.AdamStep(sizes, lmbda / self.pixels, inverse1, inverse2, beta1, beta2)

        grads = tuple(self.grad_rate)
        for slopes, smooth in zip(self.slopes[:held], self._smooth):
            slopes[smooth] = 0
        self.run(
            lambda part: latent_loops.step(self._state, grads, self._grad_error, self._shares[part], adam)
        )


def _taker(band: int, bands: int, parts: int) -> int:
    """The part that has a band, where parts are of whole bands."""
    return band * parts // bands


def _evenly_shared(height: int, parts: int) -> bool:
    """Whether parts of whole bands are about as large as each other."""
    bands = -(-height // BAND)
    rows = [0] * parts
    for band in range(bands):
        rows[_taker(band, bands, parts)] += min(BAND, height - BAND * band)
    return bands >= parts and max(rows) <= MOST_UNEVEN * height / parts


def _sharing(pool: ThreadPoolExecutor | None, parts: int, tall: int) -> SharedRows:
    """How work on rows is shared, of pictures that are so tall: part by part; what the parts give. Few rows, those of a scale at a quarter
    of the size, are no work for several. Nothing here holds the objective: it goes as soon as nobody does."""

    def rows(work: Callable[[int, int], T], count: int) -> list[T]:
        cuts = [count * part // parts for part in range(parts + 1)]
        if pool is None or count <= tall // 4:
            return [work(*ends) for ends in zip(cuts, cuts[1:])]
        jobs = [pool.submit(work, *ends) for ends in zip(cuts, cuts[1:])]
        try:
            return [job.result() for job in jobs]
        finally:
            wait(jobs)

    return rows


def _context_gradients() -> rate_loops.ContextGradients:
    """Zeros, for the biases of all grids."""
    shapes = (16, 16), (GRIDS, 16), (16, 16), (16,), (4, 16), (4,)
    return rate_loops.ContextGradients(*(np.zeros(shape, np.float32) for shape in shapes))


def _synthesis_net(weights: Weights) -> distortion.SynthesisNet:
    """The layers padded with zeros."""
    n, c = weights.parts, weights.width
    p, q, s = np.zeros((c, 8), np.float32), np.zeros((4, c), np.float32), np.zeros((4, 8), np.float32)
    p[:, :GRIDS], p[:, GRIDS], q[:3], s[:3, :GRIDS] = n["p"], n["pb"], n["q"], n["s"]
    qb = np.zeros(4, np.float32)
    qb[:3] = n["qb"]
    return distortion.SynthesisNet(p, q, qb, s, n["k"], *(np.ascontiguousarray(m.T) for m in (p, q, s)))


def _synthesis_gradients(width: int) -> distortion.SynthesisGradients:
    shapes = (width, 8), (4, width), (4,), (4, 8), (3, 3, 3, 3)
    return distortion.SynthesisGradients(*(np.zeros(shape, np.float32) for shape in shapes))


def _band(rows: Sequence[slice], k: int) -> NDArray[np.int64]:
    """Where a band of grid k and of the next two lies, see ``kernels.rate``."""
    own, next_, after = rows[k : k + 3]
    return np.array([own.start, next_.start, next_.stop, after.start, after.stop], np.int64)


def _within(
    bands: Sequence[list[rdoq_loops.GridStack]], k: int, first: int, last: int
) -> Iterator[tuple[rdoq_loops.GridStack, int, int]]:
    """The bands that some rows of grid k lie in, and which of them those are."""
    for stacks in bands:
        grid = stacks[k].grid
        low, high = max(first, int(grid.band[0])), min(last, grid.end)
        if low < high:
            yield stacks[k], low, high


def _striped(first: int, last: int, one_in: int) -> list[tuple[int, int]]:
    """Stripes of rows that are 1 / one_in of all."""
    if one_in == 1:
        return [(first, last)]
    return [(at, min(at + STRIPE, last)) for at in range(first, last, STRIPE * one_in)]


def _sampled(tasks: NDArray[np.void], one_in: int) -> NDArray[np.void]:
    """Stripes of the tasks' rows; coarse grids are taken whole."""
    found = []
    for task in tasks:
        if task["grid"] > 2:
            found.append(task)
            continue
        stripes = _striped(int(task["first"]), int(task["last"]), one_in)
        weight = (task["last"] - task["first"]) / sum(last - first for first, last in stripes)
        for first, last in stripes:
            part = task.copy()
            part["first"], part["last"], part["weight"] = first, last, weight
            found.append(part)
    return np.array(found, rate_loops.RATE_TASK)


def _cells_within(area: NDArray[np.bool_], k: int, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The cells of grid k all of whose pixels lie in an area, (H, W)."""
    side = 2**k
    missing = [(0, cells * side - pixels) for cells, pixels in zip(shape, area.shape)]
    blocks = np.pad(area, missing, mode="edge").reshape(shape[0], side, shape[1], side)
    return np.logical_and.reduce(blocks, (1, 3))


def _padded(shape: tuple[int, int]) -> FloatArray:
    return _apart((shape[0] + 1, latent_loops.row_length(shape[1])))


def _apart(shape: tuple[int, int], make: Callable[..., FloatArray] = np.zeros) -> FloatArray:
    """An array with room behind it. A loop takes its numbers by the vector only if what it writes lies further off than a
    few vectors from what it reads, and rounds differently if not: small arrays side by side would make a fit's file
    depend on where they happen to lie."""
    size = shape[0] * shape[1]
    return make(size + BETWEEN, np.float32)[:size].reshape(shape)
