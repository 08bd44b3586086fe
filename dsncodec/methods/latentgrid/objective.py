"""One picture, its latents, and what a set of weights makes of them: squared error, bits, and both gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .bitstream import BAND, band_rows, grid_shapes
from .entropy_model import GRIDS
from .kernels import objective as fitting
from .kernels import rdoq
from .weights import Weights

FloatArray = NDArray[np.float32]
Rows = tuple[int, int]  # one in so many, and the first

ALL: Rows = (1, 0)
LEARN_EVERY = 4  # rows: the gradient by matrices is taken from one of them, another one at each step
SAMPLE = 2**15  # pixels that an estimate looks at, about
STRIPE = 8  # rows that it takes at a time
REFINED = 4  # grids whose symbols are moved one by one: in the coarser ones hardly any is worth it
CELLS = 2**12  # that a thread looks at between two looks at the clock
BETWEEN = 64  # numbers between two arrays, see ``_apart``
APART = 12  # rows of a grid between two threads: what one moves, the other does not see


@dataclass(frozen=True)
class Task:
    """Rows of a grid, where its band lies (see ``kernels.fitting.rate``), and how many rows each of them stands for."""

    grid: int
    first: int
    last: int
    band: NDArray[np.int64]
    weight: float


@dataclass(frozen=True)
class Loss:
    """``squared`` is summed over samples in 0..1, ``bits`` over symbols."""

    squared: float
    bits: float

    def mse(self, pixels: int) -> float:
        return self.squared / (3 * pixels)


class Canvas:
    """Buffers for one picture.

    Args:
        target: (H, W, 1 or 3) uint8.
        latents: start of the latents, one (rows, columns) float32 array for each grid; default: zeros.
    """

    def __init__(
        self, target: NDArray[np.uint8], threads: int = 1, latents: list[FloatArray] | None = None
    ) -> None:
        height, width = target.shape[:2]
        self.height, self.width, self.threads = height, width, threads
        self.pixels = height * width
        colour = target if target.shape[2] == 3 else np.repeat(target, 3, 2)
        self.target = np.ascontiguousarray(colour.transpose(2, 0, 1), np.float32) / np.float32(255)
        self.shapes = grid_shapes((height, width))
        self.latents = latents or [_apart(shape) for shape in self.shapes]
        self.slopes = [_apart(shape) for shape in self.shapes]
        self.means = [_apart(shape) for shape in self.shapes]
        self.squares = [_apart(shape) for shape in self.shapes]
        self.symbols = [_padded(shape) for shape in self.shapes]
        self._none = np.zeros((2, fitting.row_length(-(-self.shapes[-1][1] // 2))), np.float32)
        self.by_bits = [np.zeros((threads, *symbols.shape), np.float32) for symbols in self.symbols]
        self._by_none = np.zeros((threads, *self._none.shape), np.float32)
        # planes[k][level]: grid k doubled to the size of grid level
        self.planes = [[_apart(shape) for shape in self.shapes[: k + 1]] for k in range(GRIDS)]
        row = -(-width // fitting.LANES) * fitting.LANES + fitting.LANES
        self.finest = np.zeros((GRIDS, height, row), np.float32)
        border = fitting.row_length(width)
        self.mixed = np.zeros((3, height + 2, border), np.float32)
        self.by_colours = np.zeros((3, height + 2, border), np.float32)
        self._steps = 0
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._rate_tasks = self._cut_rows()
        one_in = max(1, self.pixels // SAMPLE)
        self._stripes = _striped(0, height, one_in)
        self._sampled_tasks = [
            [part for task in tasks for part in _sampled(task, one_in)] for tasks in self._rate_tasks
        ]

    def _cut_rows(self) -> list[list[Task]]:
        """The rate's work, for each thread."""
        tasks: list[list[Task]] = [[] for _ in range(self.threads)]
        for rows in self._bands():
            for k in range(GRIDS):
                band = _band(rows, k)
                cuts = np.linspace(rows[k].start, rows[k].stop, self.threads + 1).astype(int)
                for thread in range(self.threads):
                    if cuts[thread] < cuts[thread + 1]:
                        tasks[thread].append(Task(k, int(cuts[thread]), int(cuts[thread + 1]), band, 1.0))
        return tasks

    def _bands(self) -> Iterator[list[slice]]:
        """The rows of each grid, band by band, and those of two more grids that have none."""
        for number in range(-(-self.height // BAND)):
            yield [*band_rows((self.height, self.width), number), slice(0, 0), slice(0, 0)]

    def run(self, work: Callable[[int], float | None], items: Iterable[int] | None = None) -> float:
        """Work on items side by side, or once in each thread; the sum of what it gives."""
        items = range(self.threads) if items is None else items
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

    # --- the stages of a pass

    def soften(self, temperature: float, noise: float, seed: int) -> None:
        """Latents to soft symbols."""

        def part(thread: int) -> None:
            for k in range(GRIDS):
                first, last = self._share(k, thread)
                fitting.soften(
                    self.latents[k],
                    self.symbols[k],
                    self.slopes[k],
                    first,
                    last,
                    temperature,
                    noise,
                    (seed * 8 + k) & 0x7FFFFFFF,
                )

        self.run(part)

    def harden(self) -> None:
        """Latents to symbols, rounded: nothing for a ``step`` to follow."""

        def part(thread: int) -> None:
            for k in range(GRIDS):
                first, last = self._share(k, thread)
                fitting.harden(self.latents[k], self.symbols[k], first, last)

        self.run(part)

    def _share(self, k: int, thread: int) -> tuple[int, int]:
        rows = self.shapes[k][0]
        return rows * thread // self.threads, rows * (thread + 1) // self.threads

    def rate(
        self, weights: Weights, gradient: Weights | None, sampled: bool = False, learn_from: Rows = ALL
    ) -> float:
        """Bits of the symbols; with ``gradient``, by_bits is set and its context network added to, an estimate from some
        rows; ``sampled``: so are the bits, from others."""
        n = weights.parts
        w3, b3 = np.zeros((4, 16), np.float32), np.zeros(4, np.float32)
        w3[:2], b3[:2] = n["w3"], n["b3"]
        w1t, w2t, w3t = (np.ascontiguousarray(m.T) for m in (n["w1"], n["w2"], w3))
        backward = gradient is not None
        tasks = self._sampled_tasks if sampled else self._rate_tasks
        own = [
            [
                np.zeros((16, 16), np.float32),
                np.zeros((GRIDS, 16), np.float32),
                np.zeros((16, 16), np.float32),
                np.zeros(16, np.float32),
                np.zeros((4, 16), np.float32),
                np.zeros(4, np.float32),
            ]
            for _ in range(self.threads)
        ]

        def part(thread: int) -> float:
            dw1, db1, dw2, db2, dw3, db3 = own[thread]
            by = [g[thread] for g in self.by_bits] + [self._by_none[thread]] * 2
            if backward:
                for g in by:
                    g.fill(0)
            symbols = [*self.symbols, self._none, self._none]
            return sum(
                task.weight
                * fitting.rate(
                    symbols[k],
                    symbols[k + 1],
                    symbols[k + 2],
                    self.shapes[k][1],
                    task.first,
                    task.last,
                    task.band,
                    n["w1"],
                    n["b1"][k],
                    n["w2"],
                    n["b2"],
                    w3,
                    b3,
                    w1t,
                    w2t,
                    w3t,
                    by[k],
                    by[k + 1],
                    by[k + 2],
                    dw1,
                    db1[k],
                    dw2,
                    db2,
                    dw3,
                    db3,
                    backward,
                    *learn_from,
                )
                for task in tasks[thread]
                for k in [task.grid]
            )

        bits = self.run(part)
        if gradient is not None:
            d = gradient.parts
            for dw1, db1, dw2, db2, dw3, db3 in own:
                for name, value in (
                    ("w1", dw1),
                    ("b1", db1),
                    ("w2", dw2),
                    ("b2", db2),
                    ("w3", dw3[:2]),
                    ("b3", db3[:2]),
                ):
                    d[name] += value * np.float32(learn_from[0])
        return bits

    def enlarge(self, weights: Weights) -> None:
        """Symbols to seven planes of the picture's size."""
        taps = weights.parts["taps"]

        def chain(k: int) -> None:
            symbols = self.symbols[k][1:, fitting.LEFT : fitting.LEFT + self.shapes[k][1]]
            if k == 0:
                self.finest[0, :, : self.width] = symbols
                return
            planes = self.planes[k]
            np.copyto(planes[k], symbols)
            for level in range(k - 1, 0, -1):
                fitting.double(planes[level + 1], taps[level], planes[level], *self.shapes[level])
            fitting.double(planes[1], taps[0], self.finest[k], self.height, self.width)

        self.run(chain, range(GRIDS - 1, -1, -1))

    def enlarge_back(self, weights: Weights, gradient: Weights) -> None:
        """From the gradient by the seven planes to those by symbols, which take the planes' place."""
        taps = weights.parts["taps"]
        own = [np.zeros((GRIDS - 1, 4), np.float32) for _ in range(GRIDS)]

        def chain(k: int) -> None:
            planes = self.planes[k]
            if k == 0:
                np.copyto(planes[0], self.finest[0, :, : self.width])
                return
            by_finer = self.finest[k]
            for level in range(k):
                by = _apart(self.shapes[level + 1], np.empty)
                fitting.double_back(
                    planes[level + 1], taps[level], by_finer, *self.shapes[level], by, own[k][level]
                )
                by_finer = by
            np.copyto(planes[k], by_finer)

        self.run(chain, range(GRIDS - 1, -1, -1))
        gradient.parts["taps"][:] += sum(own)

    def synthesise(
        self, weights: Weights, gradient: Weights | None, sampled: bool = False, learn_from: Rows = ALL
    ) -> float:
        """Planes to colours: the squared error; with ``gradient``, which is added to, an estimate from some rows, that by
        planes takes their place; ``sampled``: so is the error, from others."""
        n = weights.parts
        c = weights.width
        p, q, s = np.zeros((c, 8), np.float32), np.zeros((4, c), np.float32), np.zeros((4, 8), np.float32)
        p[:, :GRIDS], p[:, GRIDS], q[:3], s[:3, :GRIDS] = n["p"], n["pb"], n["q"], n["s"]
        qb = np.zeros(4, np.float32)
        qb[:3] = n["qb"]
        shares = [self._share(0, thread) for thread in range(self.threads)]
        own = [
            [
                np.zeros((3, 3, 3, 3), np.float32),
                np.zeros((c, 8), np.float32),
                np.zeros((4, c), np.float32),
                np.zeros(4, np.float32),
                np.zeros((4, 8), np.float32),
            ]
            for _ in shares
        ]
        if sampled and len(self._stripes) > 1:
            return self._synthesise_stripes(n["k"], p, q, qb, s)

        def forward(thread: int) -> None:
            first, last = shares[thread]
            fitting.synthesise(self.finest, first, last, self.width, p, q, qb, s, self.mixed)

        def compare(thread: int) -> float:
            first, last = shares[thread]
            return float(
                fitting.colours(
                    self.mixed,
                    n["k"],
                    self.target,
                    first,
                    last,
                    self.width,
                    self.by_colours,
                    own[thread][0],
                    scale,
                )
            )

        def back(thread: int) -> None:
            first, last = shares[thread]
            fitting.synthesise_back(
                self.finest,
                self.by_colours,
                n["k"],
                first,
                last,
                self.width,
                p,
                pt,
                qt,
                st,
                *own[thread][1:],
                *learn_from,
            )

        scale = 1 / (3 * self.pixels)
        self.run(forward)
        squared = self.run(compare)
        if gradient is None:
            return squared
        pt, qt, st = (np.ascontiguousarray(m.T) for m in (p, q, s))
        self.run(back)
        d = gradient.parts
        rows = np.float32(learn_from[0])
        for dk, dp, dq, dqb, ds in own:
            d["k"] += dk
            d["p"] += dp[:, :GRIDS] * rows
            d["pb"] += dp[:, GRIDS] * rows
            d["q"] += dq[:3] * rows
            d["qb"] += dqb[:3] * rows
            d["s"] += ds[:3, :GRIDS] * rows
        return squared

    def grids(self) -> list[NDArray[np.int8]]:
        """The symbols, which are rounded."""
        return [
            symbols[1:, fitting.LEFT : fitting.LEFT + shape[1]].astype(np.int8)
            for symbols, shape in zip(self.symbols, self.shapes)
        ]

    def _synthesise_stripes(self, k: FloatArray, *layers: FloatArray) -> float:
        """The squared error, from stripes of rows."""
        kernel_gradient, scale = np.zeros((3, 3, 3, 3), np.float32), 1 / (3 * self.pixels)

        def part(thread: int) -> float:
            found = 0.0
            for first, last in self._stripes[thread :: self.threads]:
                around = max(first - 1, 0), min(last + 1, self.height)
                fitting.synthesise(self.finest, *around, self.width, *layers, self.mixed)
                found += fitting.colours(
                    self.mixed,
                    k,
                    self.target,
                    first,
                    last,
                    self.width,
                    self.by_colours,
                    kernel_gradient,
                    scale,
                )
            return found

        rows = sum(last - first for first, last in self._stripes)
        return self.run(part) * self.height / rows

    # --- symbols, moved one by one

    def refine(self, weights: Weights, trade: float, late: Callable[[], bool] = lambda: False) -> int:
        """Rounded symbols moved by one, each once, coarser grids first, wherever the loss of these weights falls; the
        latents follow. How many were moved.

        Args:
            late: asked now and then; the symbols stay as they are once it says so.
        """
        law, biases, picture = self._laid_out(weights)
        heights, widths = (np.array(sides, np.int64) for sides in zip(*self.shapes))
        bits = [np.empty(shape, np.float32) for shape in self.shapes]
        none = rdoq.Grid(self._none, bits[0], biases[0], np.zeros(5, np.int64), 0)

        def grids_of(band: Sequence[slice]) -> list[rdoq.Grid]:
            return [
                rdoq.Grid(self.symbols[k], bits[k], biases[k], _band(band, k), band[k].stop)
                for k in range(GRIDS)
            ] + [none, none]

        bands = [grids_of(rows) for rows in self._bands()]

        def count(thread: int) -> None:
            for k in range(GRIDS):
                for grids, first, last in _within(bands, k, *self._share(k, thread)):
                    rdoq.count_bits(grids[k], grids[k + 1], grids[k + 2], law, first, last)

        def move(k: int, share: tuple[int, int]) -> int:
            found, step = 0, max(1, CELLS // widths[k])
            for grids, first, last in _within(bands, k, *share):
                for at in range(first, last, step):
                    if late():
                        return found
                    found += rdoq.refine(
                        k,
                        grids[k],
                        grids[k + 1],
                        grids[k + 2],
                        grids[max(k - 1, 0)],
                        grids[max(k - 2, 0)],
                        law,
                        picture,
                        heights,
                        widths,
                        at,
                        min(at + step, last),
                        trade / self.pixels,
                        1 / (3 * self.pixels),
                    )
            return found

        self.run(count)
        moved = 0.0
        for k in reversed(range(REFINED)):
            shares = [self._share(k, thread) for thread in range(self.threads)]
            if min(last - first for first, last in shares) < 2 * APART:
                shares = [(0, self.shapes[k][0])]
            inner = [(first, last - APART) for first, last in shares[:-1]] + shares[-1:]
            between = [(last - APART, last) for _, last in shares[:-1]]
            moved += self.run(lambda at: move(k, inner[at]), range(len(inner)))
            moved += sum(move(k, share) for share in between)
        self._follow()
        return int(moved)

    def _laid_out(self, weights: Weights) -> tuple[rdoq.Law, FloatArray, rdoq.Picture]:
        """The layers as ``refine`` takes them, the grids' biases, and the picture as it is."""
        n = weights.parts
        self.enlarge(weights)
        self.synthesise(weights, None)
        w1, w2, p = (np.ascontiguousarray(n[name].T) for name in ("w1", "w2", "p"))
        law = rdoq.Law(w1, w2, n["b2"], n["w3"], n["b3"])
        colours = np.empty_like(self.target)
        picture = rdoq.Picture(
            self.finest,
            self.mixed,
            colours,
            self.target,
            n["taps"],
            p,
            n["pb"],
            n["q"],
            n["qb"],
            n["s"],
            n["k"],
        )
        self.run(lambda thread: rdoq.colour(picture, *self._share(0, thread)))
        return law, n["b1"], picture

    def _follow(self) -> None:
        """Latents whose symbol was moved go there."""
        for symbols, latents in zip(self.symbols, self.latents):
            cells = symbols[1:, fitting.LEFT : fitting.LEFT + latents.shape[1]]
            np.copyto(latents, cells, where=np.floor(latents + np.float32(0.5)) != cells)

    # --- passes

    def loss(self, weights: Weights) -> Loss:
        """Of the symbols as they are."""
        bits = self.rate(weights, None)
        self.enlarge(weights)
        return Loss(self.synthesise(weights, None), bits)

    def gradients(self, weights: Weights, trade: float, turn: int | None = None) -> tuple[Loss, Weights]:
        """Of the symbols as they are; the second is the gradient of MSE + trade * bits / pixels by weights.

        Args:
            turn: of a large picture, the gradient by matrices is estimated, from every fourth row; from which on, follows
                from this number.
        """
        learn_from = ALL if turn is None or self.pixels < SAMPLE else (LEARN_EVERY, turn % LEARN_EVERY)
        gradient = Weights.zeros(weights.width)
        bits = self.rate(weights, gradient, learn_from=learn_from)
        for group in gradient.groups[:2]:
            gradient.flat[group] *= np.float32(trade / self.pixels)
        self.enlarge(weights)
        squared = self.synthesise(weights, gradient, learn_from=learn_from)
        self.enlarge_back(weights, gradient)
        return Loss(squared, bits), gradient

    def step(self, trade: float, size: float, beta1: float = 0.8, beta2: float = 0.99) -> None:
        """One step of Adam for the latents, from the gradients that were found last."""
        self._steps += 1
        inverse1, inverse2 = 1 / (1 - beta1**self._steps), 1 / (1 - beta2**self._steps)
        scale = trade / self.pixels

        def part(thread: int) -> None:
            for k in range(GRIDS):
                first, last = self._share(k, thread)
                fitting.step(
                    self.latents[k],
                    self.by_bits[k],
                    self.planes[k][k],
                    self.slopes[k],
                    self.means[k],
                    self.squares[k],
                    first,
                    last,
                    size,
                    scale,
                    inverse1,
                    inverse2,
                    beta1,
                    beta2,
                )

        self.run(part)


def _band(rows: Sequence[slice], k: int) -> NDArray[np.int64]:
    """Where a band of grid k and of the next two lies, see ``kernels.fitting.rate``."""
    own, next_, after = rows[k : k + 3]
    return np.array([own.start, next_.start, next_.stop, after.start, after.stop], np.int64)


def _within(
    bands: Sequence[list[rdoq.Grid]], k: int, first: int, last: int
) -> Iterator[tuple[list[rdoq.Grid], int, int]]:
    """The bands that some rows of grid k lie in, and which of them those are."""
    for grids in bands:
        low, high = max(first, int(grids[k].band[0])), min(last, grids[k].end)
        if low < high:
            yield grids, low, high


def _striped(first: int, last: int, one_in: int) -> list[tuple[int, int]]:
    """Stripes of rows that are 1 / one_in of all."""
    if one_in == 1:
        return [(first, last)]
    return [(at, min(at + STRIPE, last)) for at in range(first, last, STRIPE * one_in)]


def _sampled(task: Task, one_in: int) -> list[Task]:
    """The stripes of a task; coarse grids are taken whole."""
    if task.grid > 2:
        return [task]
    stripes = _striped(task.first, task.last, one_in)
    weight = (task.last - task.first) / sum(last - first for first, last in stripes)
    return [replace(task, first=first, last=last, weight=weight) for first, last in stripes]


def _padded(shape: tuple[int, int]) -> FloatArray:
    return _apart((shape[0] + 1, fitting.row_length(shape[1])))


def _apart(shape: tuple[int, int], make: Callable[..., FloatArray] = np.zeros) -> FloatArray:
    """An array with room behind it. A loop takes its numbers by the vector only if what it writes lies further off than a
    few vectors from what it reads, and rounds differently if not: small arrays side by side would make a fit's file
    depend on where they happen to lie."""
    size = shape[0] * shape[1]
    return make(size + BETWEEN, np.float32)[:size].reshape(shape)
