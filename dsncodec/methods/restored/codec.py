"""A standard codec under a network: base codec -> file, and file -> base codec -> restoration network.

The network was trained for one base codec at all its qualities. The encoder decodes what it wrote, and
stores how much of the network's correction brings the picture nearest to the original: none, if none does. How near is
said by the tune: by SSIMULACRA 2 ("visual"), or by squared error ("psnr").
At low rates the base codec may carry the picture at half its size (scale 2). What is compared is what a reader gets:
pictures after the network, rounded to grey levels. An estimate only says what to look at.

Source: Cai et al., "Deep Sampling Networks", 2017, section 4.4 codes the low-resolution layer with a
standard codec; here that codec is lossy, as in Guleryuz et al., "Sandwiched image compression", 2021.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from ... import carriers, container
from ...container import Header
from ...metrics import SSIMULACRA2_SMALLEST
from ...networks import registry
from ...networks.inference import Tile, Window, common, moved, network, tiles
from ...options import Restored
from ...planes import TO_YCBCR, crop_padded, visible
from ...processes import thread_count
from .. import DEFAULT_EFFORT, FIDELITY, Job, rate_control
from ..sections import encode_alpha
from . import exact, kept
from .bitstream import NO_MODEL, UNIT_STRENGTH, UNIT_WEIGHT, Parameters, Parsed, check_weights
from .exact import is_flat
from .half_size import doubled, half_shape, halved
from .judge import Judge, SquaredJudge, VisualJudge, squared_error

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]

TILE = 256  # pixels of a side, a multiple of every network's unit
# of SSIMULACRA 2: below, running a network is not worth a reader's time
LEAST_GAIN_POINTS = 0.05
# What is tried of the weights that least squares finds, until it helps
WEIGHED_SHARES = (1.0, 0.5)
# of the first correction's energy
RIDGE = 1e-3
LEAST_GAIN_DB = 0.01  # below, running a network is not worth a reader's time
# Of luma SSIM, the most that a gain of PSNR may cost; and of PSNR in dB, the most that a gain of SSIMULACRA 2 may
SIMILARITY_LOSS = 0.0004
LUMA = TO_YCBCR[0]

# What effort buys
HALF_FROM_EFFORT = 4  # half the size is tried too, at low qualities
# The larger network, which a reader waits for, too: for the eye it wins little
BEST_FROM_EFFORT = {"psnr": 6, "visual": 8}
OTHERS_FROM_EFFORT = 8  # all base codecs are tried

LEAST_SIDE_OF_HALF = 32
# Half the size did not win squared error where halving alone, without a codec, errs by so much more than full size through
# codec and network
HALVING_LOSS_DB = 1.0

# Payloads of two neighbouring qualities differ by about this factor: where to look for the largest that fits,
# and from where on the next one is taken not to fit
SIZE_STEP = 1.08
NEAR_ENOUGH = 1.03
# Where half the size or another codec is nearer to the original than it need be, this many qualities lower are looked at first,
# and so many files are made
FIRST_STEP_DOWN = 4
MOST_STEPS_DOWN = 3

# Corrections of so many pixels are kept, 12 bytes each; of larger pictures the network runs over a sample first, of
# which a strength is made, and then over all to see what that gives: blocks of this side, in equal numbers from
# where the base codec erred least to where it erred most
MOST_KEPT_PIXELS = 2**23
SAMPLE_BLOCK = 96
SAMPLE_SHARE = 1 / 12  # of all blocks, and at least as many as there are ranks
SAMPLE_RANKS = 4
WORTH_ANOTHER_LOOK = 0.995  # what another strength must leave of the error


@dataclass(frozen=True)
class HalfSize:
    """Where half the size is worth a try: up to a quality of the base codec, at qualities so much ``higher``, which need as
    many bytes; and what it must gain in distance. Found on the tuning pictures."""

    up_to_quality: int
    higher: tuple[int, int]
    least_gain: float


# For the eye it must be clearly better by SSIMULACRA 2, and have full size's PSNR without the network: where it has less, LPIPS
# is a fifth to twice as far, however many points are gained
HALF_SIZES = {"psnr": HalfSize(26, (8, 30), 0.0), "visual": HalfSize(31, (20, 36), 2.0)}


@dataclass(frozen=True)
class BaseLayer:
    """What carries a picture under the network: a base codec, at full size (scale 1) or at half of it (2)."""

    base: str
    scale: int


@dataclass(frozen=True)
class AtHalf:
    """An operating point between two of full size: half the size at a quality of the base codec."""

    quality: int


# A quality of the base codec, whatever carries the picture there, or half the size in any case
Point = int | AtHalf


@dataclass(frozen=True)
class Coded:
    """A picture as a file would hold it. ``distance`` and ``similarity``, by the tune's judge, are of what a reader gets;
    ``plain_similarity`` is of the base picture, at full size.
    """

    payload: bytes
    parameters: Parameters
    distance: float
    similarity: float
    plain_similarity: float


class Encoder:
    """One picture on its way into files. A point is a quality of the base codec, 0..100 on its own scale, at full
    size, or at half of it if ``scale`` is 2. With ``scale`` None, whatever serves a reader better with no more bytes
    may take its place, half the size or another base codec: with as many bytes as leave the picture as near to its
    original, so that a point means the same with it and without.
    """

    def __init__(
        self,
        header: Header,
        pixels: UInt8Array,
        threads: int | None,
        effort: int = DEFAULT_EFFORT,
        scale: int | None = None,
        base: str = "auto",
        tune: str = "psnr",
    ) -> None:
        self.header, self.threads, self.effort, self.scale = header, thread_count(threads), effort, scale
        self.base, self.tune = base, tune
        self.colour = np.ascontiguousarray(pixels[..., : header.colour_planes])
        self.alpha = pixels[..., -1] if header.has_alpha else None
        self.seen, self.uneven = visible(pixels), is_flat(pixels)
        self._payloads: dict[tuple[BaseLayer, int], bytes] = {}
        self._coded: dict[tuple[BaseLayer, int], Coded] = {}
        self._pictures: dict[bytes, UInt8Array] = {}  # payload -> what a reader gets, of the last point alone

    @property
    def points(self) -> Sequence[Point]:
        """The base codec's own qualities; tuned for the eye those that write different files."""
        return list(range(101) if self.tune == "psnr" else carriers.BASE_CODECS[self._base].qualities)

    def point_of_quality(self, quality: int) -> int:
        """The base codec's own quality for one of ours."""
        return carriers.BASE_CODECS[self._base].own_quality(quality, self.tune)

    def between(self, low: Point, high: Point) -> Sequence[Point]:
        """Above a point that half the size carries: half the size at more qualities, up to as many bytes as full size has."""
        layer, best = self._best(low)
        if self.scale is not None or layer.scale == 1:
            return []
        limit = self.size(high)
        qualities = [q for q in carriers.BASE_CODECS[layer.base].qualities if q > best.parameters.quality]
        return [AtHalf(q) for q in itertools.takewhile(lambda q: self._size(layer, q) <= limit, qualities)]

    def sections(self, point: Point) -> list[tuple[str, bytes]]:
        """The coded picture as (tag, payload)."""
        _, best = self._best(point)
        sections = [("PARM", best.parameters.pack()), ("BASE", best.payload)]
        if self.alpha is not None:
            sections.append(("ALPH", self._alpha_payload))
        return sections

    def reconstruct(self, point: Point) -> UInt8Array:
        """The colour planes a reader of this quality gets, (H, W, 1 or 3)."""
        layer, best = self._best(point)
        if best.payload not in self._pictures:
            self._pictures[best.payload] = self._shown(
                layer, best.parameters, self._decoded(layer, best.payload)
            )
        return self._pictures[best.payload]

    def size(self, point: Point) -> int:
        """Bytes of the base codec's payload."""
        return self._size(*self._asked(point))

    def distance(self, point: Point) -> float:
        """By the tune's judge."""
        return self._best(point)[1].distance

    @property
    def _base(self) -> str:
        return self.base if self.base != "auto" else self._bases[0]

    @cached_property
    def _bases(self) -> list[str]:
        """The base codecs that hold the picture."""
        fitting = [
            name
            for name, row in carriers.BASE_CODECS.items()
            if row.holds(self.colour) and carriers.has_base(name)
        ]
        return fitting or ["jxl"]  # which says what it holds

    @cached_property
    def _half(self) -> UInt8Array:
        return halved(self.colour)

    @cached_property
    def _alpha_payload(self) -> bytes:
        assert self.alpha is not None
        return encode_alpha(self.alpha, self.effort)

    @cached_property
    def _judge(self) -> Judge:
        visual = self.tune == "visual" and min(self.colour.shape[:2]) >= SSIMULACRA2_SMALLEST
        return VisualJudge(self.colour, self.seen) if visual else SquaredJudge(self.colour, self.seen)

    @cached_property
    def _halving_distance(self) -> float:
        """What halving and doubling cost, without any codec."""
        return self._judge(doubled(self._half, self.colour.shape).__getitem__)[0]

    def _asked(self, point: Point) -> tuple[BaseLayer, int]:
        """What a point says by itself, before anything takes its place."""
        if isinstance(point, AtHalf):
            return BaseLayer(self._base, 2), point.quality
        return BaseLayer(self._base, self.scale or 1), point

    def _best(self, point: Point) -> tuple[BaseLayer, Coded]:
        """The base codec at this quality, or what takes its place: smaller and as near to the original, where with as many
        bytes it is nearer, and no less similar to it than the base codec's picture."""
        layer, quality = self._asked(point)
        asked = best = self._code(layer, quality)
        floor = asked.plain_similarity - SIMILARITY_LOSS
        if isinstance(point, int):
            for other, qualities, least_gain in self._others(layer, point, asked.distance):
                fitting = self._largest_within(other, qualities, len(asked.payload))
                if fitting is not None:
                    candidate = self._code(other, fitting)
                    if candidate.distance < best.distance - least_gain and candidate.similarity >= floor:
                        layer, best = other, candidate
        if best is not asked:
            best = self._smallest_as_near(layer, best, asked.distance)
        self._pictures = {key: shown for key, shown in self._pictures.items() if key == best.payload}
        return layer, best

    def _smallest_as_near(self, layer: BaseLayer, nearer: Coded, distance: float) -> Coded:
        """Of a picture that is nearer to its original than is asked for: the smallest file found that is near enough.

        Goes down by a few qualities, and then where a straight line between what is known meets the distance.
        """
        qualities = carriers.BASE_CODECS[layer.base].qualities
        high = qualities.index(nearer.parameters.quality)
        best, low = nearer, -1
        at = high - FIRST_STEP_DOWN
        for _ in range(MOST_STEPS_DOWN):
            if not low < at < high:
                break
            tried = self._code(layer, qualities[at])
            slope = (tried.distance - best.distance) / (high - at)
            if tried.distance <= distance:
                best, high = tried, at
            else:
                low = at
            at = high - math.floor((distance - best.distance) / slope) if slope > 0 else low
            at = max(at, low + 1)
        return best

    def _others(
        self, layer: BaseLayer, point: int, distance: float
    ) -> Iterator[tuple[BaseLayer, Sequence[int], float]]:
        """What else is worth a try at this effort, the qualities among which it would be, and what it must gain.

        Args:
            distance: of the base codec at this quality, as a reader gets it.
        """
        if self.scale is not None:
            return
        half, tried = BaseLayer(layer.base, 2), HALF_SIZES[self.tune]
        if (
            self.effort >= HALF_FROM_EFFORT
            and point <= tried.up_to_quality
            and min(self.colour.shape[:2]) >= LEAST_SIDE_OF_HALF
            and self._model(half) is not None
            and self._halving_can_win(distance)
        ):
            low, high = (point + more for more in tried.higher)
            qualities = [q for q in carriers.BASE_CODECS[layer.base].qualities if low <= q <= high]
            yield half, qualities, tried.least_gain
        if self.effort >= OTHERS_FROM_EFFORT and self.base == "auto":
            for base in self._bases[1:]:
                yield BaseLayer(base, 1), carriers.BASE_CODECS[base].qualities, 0.0

    def _halving_can_win(self, distance: float) -> bool:
        """Whether halving alone leaves the picture near enough; a network may lessen squared error, by a little."""
        more = 10 ** (HALVING_LOSS_DB / 10) if isinstance(self._judge, SquaredJudge) else 1.0
        return self._halving_distance < distance * more

    def _largest_within(self, layer: BaseLayer, qualities: Sequence[int], limit: int) -> int | None:
        """The highest of some qualities whose payload is no larger, or one so near that the next would not fit; None if
        none fits. Sizes rise with quality, by about the same factor from one to the next.
        """
        low, high, at = -1, len(qualities), len(qualities) // 2
        while high - low > 1:
            size = self._size(layer, qualities[at])
            low, high = (at, high) if size <= limit else (low, at)
            if size <= limit < size * NEAR_ENOUGH:
                break
            if low >= 0 and high < len(qualities):
                below, above = (math.log(self._size(layer, qualities[i])) for i in (low, high))
                at = low + int((math.log(limit) - below) / max(above - below, 1e-9) * (high - low))
            else:
                at += math.floor(math.log(limit / size) / math.log(SIZE_STEP))
            at = min(max(at, low + 1), high - 1)
        return qualities[low] if low >= 0 else None

    def _model(self, layer: BaseLayer) -> registry.Restoration | None:
        return registry.restoration(
            layer.base, self.effort >= BEST_FROM_EFFORT[self.tune], layer.scale, self.tune
        )

    def _payload(self, layer: BaseLayer, quality: int) -> bytes:
        if (layer, quality) not in self._payloads:
            colour = self.colour if layer.scale == 1 else self._half
            coded = carriers.encode_base(colour, quality, layer.base, self.effort, self.threads, self.tune)
            self._payloads[layer, quality] = coded
        return self._payloads[layer, quality]

    def _size(self, layer: BaseLayer, quality: int) -> int:
        return len(self._payload(layer, quality))

    def _decoded(self, layer: BaseLayer, payload: bytes) -> carriers.Colour:
        """The base picture at full size, as the network is given it."""
        shape = self.colour.shape
        if layer.scale == 1:
            return carriers.decode_base(payload, shape)
        return doubled(carriers.eight_bits(carriers.decode_base(payload, half_shape(shape))), shape)

    def _shown(self, layer: BaseLayer, parameters: Parameters, decoded: carriers.Colour) -> UInt8Array:
        file = Parsed(self.header, parameters, layer.base, decoded, decoded, None)
        return _restored(file, None, self.threads)

    def _code(self, layer: BaseLayer, quality: int) -> Coded:
        if (layer, quality) not in self._coded:
            coded, shown = self._chosen(layer, quality, self._payload(layer, quality))
            self._coded[layer, quality] = coded
            if shown is not None:
                self._pictures[coded.payload] = shown
        return self._coded[layer, quality]

    def _chosen(self, layer: BaseLayer, quality: int, payload: bytes) -> tuple[Coded, UInt8Array | None]:
        """With how much of the network's corrections a reader gets most of this picture, and that picture, None where only parts
        of it were looked at.

        With none of them no network is run.
        """
        decoded = self._decoded(layer, payload)
        plain = carriers.eight_bits(decoded)
        error = squared_error(self.colour, plain, self.seen)
        psnr = 10 * math.log10(255**2 / error) if error else 99.0
        parameters = Parameters(quality, psnr, 0, 0.0, NO_MODEL, layer.scale).rounded()
        distance, similarity = self._judge(plain.__getitem__)
        best = Coded(payload, parameters, distance, similarity, similarity), plain
        model = self._model(layer)
        if model is None or not error:
            return best
        corrections = Corrections(Restorer(model, decoded, parameters, self.threads))
        if model.hypotheses > 1:
            return self._weighed(corrections, best)
        return self._strengthened(corrections, best, error)

    def _weighed(
        self, corrections: Corrections, plain: tuple[Coded, UInt8Array]
    ) -> tuple[Coded, UInt8Array | None]:
        """By the weights that leave least of the squared error, if that gains something by the judge, or else by half of them. Of
        a picture whose corrections are not kept the network runs where the judge looks."""
        restorer = corrections.restorer
        solved = self._first_look(corrections).weights
        for share in WEIGHED_SHARES:
            weights = tuple(int(w) for w in np.clip(np.rint(solved * share * UNIT_WEIGHT), -128, 127))
            if not any(weights):
                continue
            said = replace(restorer.parameters, weights=weights, model_id=restorer.model.wire_id)
            whole = self._added(corrections, said.shares) if corrections.kept else None
            seen = partial(restorer.shown, shares=said.shares) if whole is None else whole.__getitem__
            judged = self._judge(seen)
            gaining = self._gaining(said, plain[0], *judged)
            if gaining is not None:
                return Coded(plain[0].payload, gaining.rounded(), *judged, plain[0].plain_similarity), whole
        return plain

    def _gaining(
        self, said: Parameters, plain: Coded, distance: float, similarity: float
    ) -> Parameters | None:
        """With what a picture wins over the plain one; None, where that is not worth a reader's time."""
        if isinstance(self._judge, VisualJudge):
            points = plain.distance - distance
            return replace(said, gain_points=points) if points > LEAST_GAIN_POINTS else None
        gain_db = _gain_db(plain.distance, distance)
        return replace(said, gain_db=gain_db) if _is_fine(plain, gain_db, similarity) else None

    def _strengthened(
        self, corrections: Corrections, plain: tuple[Coded, UInt8Array], error: float
    ) -> tuple[Coded, UInt8Array]:
        """By strengths in turn, until one gives what a reader sees nearer to the original, over the whole picture, and leaves
        SSIM where it was.

        Args:
            error: the plain picture's mean squared error.
        """
        best, most = plain, 255
        seen = self._first_look(corrections)
        strength = seen.strength
        while strength and seen.gain_db(strength) >= LEAST_GAIN_DB:
            shown, seen = self._look(corrections, strength)
            mse = squared_error(self.colour, shown, self.seen)
            distance, similar = self._judge(shown.__getitem__)
            gain_db = _gain_db(error, mse)
            fine = _is_fine(plain[0], gain_db, similar)
            if fine and distance < best[0].distance:
                parameters, model = corrections.restorer.parameters, corrections.restorer.model
                said = replace(parameters, strength=strength, gain_db=gain_db, model_id=model.wire_id)
                best = (
                    Coded(plain[0].payload, said.rounded(), distance, similar, plain[0].similarity),
                    shown,
                )
            if not fine or (self.tune == "visual" and best[0].parameters.strength != strength):
                most = strength * 2 // 3
            wanted = min(seen.strength, most)
            if fine and seen.left(wanted) > WORTH_ANOTHER_LOOK * seen.left(strength):
                break
            strength = wanted
        return best

    def _first_look(self, corrections: Corrections) -> LeastSquares:
        """What the corrections would do; of a picture whose corrections are not kept, by a sample."""
        restorer = corrections.restorer
        sample = [] if corrections.kept else self._sample(restorer)
        found = ((tile, restorer.corrections(tile)) for tile in sample) if sample else corrections
        return sum(
            (self._least_squares(restorer, tile, correction) for tile, correction in found),
            LeastSquares.none(restorer.model.hypotheses),
        )

    def _look(self, corrections: Corrections, strength: int) -> tuple[UInt8Array, LeastSquares]:
        """What a reader gets with a strength, and what the correction does to all of the picture."""
        restorer, seen = corrections.restorer, LeastSquares.none(1)
        shown = np.empty(restorer.decoded.shape, np.uint8)
        shares = np.array([strength / UNIT_STRENGTH], np.float32)
        for tile, correction in corrections:
            seen += self._least_squares(restorer, tile, correction)
            shown[tile.inner] = added(restorer.decoded[tile.inner], correction, shares)
        return shown, seen

    def _added(self, corrections: Corrections, shares: FloatArray) -> UInt8Array:
        """What a reader gets with these shares of the corrections."""
        restorer = corrections.restorer
        shown = np.empty(restorer.decoded.shape, np.uint8)
        for tile, found in corrections:
            shown[tile.inner] = added(restorer.decoded[tile.inner], found, shares)
        return shown

    def _sample(self, restorer: Restorer) -> list[Tile]:
        """Blocks of the picture, from all ranks of the base codec's error; none of one that is narrower than a block."""
        blocks = list(restorer.blocks(SAMPLE_BLOCK))
        if not blocks:
            return []
        errors = [float(np.square(self._wanted(restorer, tile)).sum()) for tile in blocks]
        ranked = [blocks[i] for i in np.argsort(errors, kind="stable")]
        count = max(SAMPLE_RANKS, round(SAMPLE_SHARE * len(blocks)))
        return [ranked[(2 * i + 1) * len(ranked) // (2 * count)] for i in range(count)]

    def _wanted(self, restorer: Restorer, tile: Tile) -> FloatArray:
        """What is missing in a tile, cut at the picture's edges, in grey levels."""
        wanted: FloatArray = self.colour[tile.inner].astype(np.float32)
        wanted -= levels(restorer.decoded[tile.inner])
        if self.seen is not None:
            wanted[~self.seen[tile.inner]] = 0
        return wanted

    def _least_squares(self, restorer: Restorer, tile: Tile, corrections: FloatArray) -> LeastSquares:
        wanted = self._wanted(restorer, tile).ravel()
        if self.seen is not None:
            corrections = corrections * self.seen[tile.inner][..., None]
        rows = corrections.reshape(len(corrections), -1)
        # sums of float32 in the order of the samples; a matrix product takes another on other processors
        along = [float(np.vdot(row, wanted)) for row in rows]
        length = [[float(np.vdot(a, b)) for b in rows] for a in rows]
        return LeastSquares(np.array(along), np.array(length), float(np.vdot(wanted, wanted)))


def _is_fine(plain: Coded, gain_db: float, similarity: float) -> bool:
    """Whether a gain of PSNR over the plain picture is worth a reader's time, and leaves it as similar."""
    return gain_db >= LEAST_GAIN_DB and similarity >= plain.similarity - SIMILARITY_LOSS


def _gain_db(before: float, after: float) -> float:
    """Of PSNR, from two squared errors."""
    return 10 * math.log10(before / after) if after else 99.0


@dataclass(frozen=True)
class LeastSquares:
    """Sums over samples: of each correction times what is wanted (K,), of the corrections times each other (K, K), and of the
    wanted's square."""

    along: NDArray[np.float64]
    length: NDArray[np.float64]
    error: float = 0.0

    @classmethod
    def none(cls, count: int) -> LeastSquares:
        """Of no samples."""
        return cls(np.zeros(count), np.zeros((count, count)))

    @property
    def weights(self) -> NDArray[np.float64]:
        """With which least of the error is left, but for rounding; a little ridge pulls them to the first correction alone."""
        count = len(self.along)
        ridge = RIDGE * max(self.length[0, 0], 1e-9) * np.eye(count)
        found: NDArray[np.float64] = np.linalg.solve(self.length + ridge, self.along + ridge[0])
        return found

    @property
    def strength(self) -> int:
        """The same of one correction, in 64ths."""
        along, length = float(self.along[0]), float(self.length[0, 0])
        return min(255, round(UNIT_STRENGTH * along / length)) if along > 0 else 0

    def left(self, strength: int) -> float:
        """What part of the squared error a strength of one correction leaves, but for rounding."""
        share = strength / UNIT_STRENGTH
        won = 2 * share * float(self.along[0]) - share**2 * float(self.length[0, 0])
        return max(0.0, 1 - won / max(self.error, 1e-9))

    def gain_db(self, strength: int) -> float:
        """The same as a gain of PSNR."""
        return -10 * math.log10(max(self.left(strength), 1e-9))

    def __add__(self, other: LeastSquares) -> LeastSquares:
        return LeastSquares(self.along + other.along, self.length + other.length, self.error + other.error)


@dataclass(frozen=True)
class Restorer:
    """A base codec's picture under its network."""

    model: registry.Restoration
    # (H, W, 1 or 3), at full size
    decoded: carriers.Colour
    # as a reader has them
    parameters: Parameters
    threads: int

    def tiles(self, window: Window) -> Iterator[Tile]:
        """Tiles that cover a window, in whole units of the network; the last ones may reach beyond the picture."""
        unit, (rows, columns) = self.model.unit, self.decoded.shape[:2]
        bounds = -(-rows // unit) * unit, -(-columns // unit) * unit
        y, x = (slice(side.start // unit * unit, -(-side.stop // unit) * unit) for side in window)
        return tiles((y, x), bounds, TILE, self.model.halo)

    def blocks(self, side: int) -> Iterator[Tile]:
        """Whole blocks of a side in pixels, as many as there are."""
        rows, columns = (length // side * side for length in self.decoded.shape[:2])
        unit = self.model.unit
        bounds = tuple(-(-length // unit) * unit for length in self.decoded.shape[:2])
        return tiles((slice(0, rows), slice(0, columns)), (bounds[0], bounds[1]), side, self.model.halo)

    def corrections(self, tile: Tile) -> FloatArray:
        """What the network would add in a tile, (hypotheses, rows, columns, 1 or 3), in grey levels, cut at the picture's edges."""
        colour = crop_padded(self.decoded, *tile.outer)
        if colour.shape[2] == 1:
            colour = colour.repeat(3, 2)
        white = np.float32(255 if colour.dtype == np.uint8 else 1023)
        x = np.ascontiguousarray(colour.transpose(2, 0, 1)).astype(np.float32) / white
        net = network(registry.checked_file(self.model), self.threads)
        known = self.parameters.quality / 100, self.parameters.rmse
        quality, rmse = (np.full((1, 1, 1), value, np.float32) for value in known)
        found = net(x, quality, rmse)
        if self.model.hypotheses == 1:
            found = found - x
        planes = found[:, *tile.crop].reshape(self.model.hypotheses, 3, *found[0, *tile.crop].shape)
        planes = planes * np.float32(255)
        if self.decoded.shape[2] == 1:
            planes = np.stack([np.tensordot(LUMA, one, 1)[None] for one in planes])
        rows, columns = (side.stop - side.start for side in self._inside(tile))
        return np.ascontiguousarray(planes[:, :, :rows, :columns].transpose(0, 2, 3, 1))

    def shown(self, window: Window, shares: FloatArray) -> UInt8Array:
        """A window of the picture with these shares of the corrections, (rows, columns, 1 or 3)."""
        rows, columns = (side.stop - side.start for side in window)
        out = np.empty((rows, columns, self.decoded.shape[2]), np.uint8)
        for tile in self.tiles(window):
            part = common(tile.inner, window)
            found = self.corrections(tile)[:, *moved(part, tile.inner)]
            out[moved(part, window)] = added(self.decoded[part], found, shares)
        return out

    def _inside(self, tile: Tile) -> Window:
        y, x = tile.inner
        rows, columns = self.decoded.shape[:2]
        return slice(y.start, min(y.stop, rows)), slice(x.start, min(x.stop, columns))


class Corrections:
    """What a network would add to a whole picture: tiles, and the corrections of each. The network runs once if they are
    ``kept``, else each time that they are asked for.
    """

    def __init__(self, restorer: Restorer) -> None:
        rows, columns = restorer.decoded.shape[:2]
        self.restorer, self._window = restorer, (slice(0, rows), slice(0, columns))
        self.kept = rows * columns * restorer.model.hypotheses <= MOST_KEPT_PIXELS
        self._found: list[tuple[Tile, FloatArray]] = []

    def __iter__(self) -> Iterator[tuple[Tile, FloatArray]]:
        found = ((tile, self.restorer.corrections(tile)) for tile in self.restorer.tiles(self._window))
        if not self.kept:
            return found
        self._found = self._found or list(found)
        return iter(self._found)


def levels(colour: carriers.Colour) -> FloatArray:
    """Colour of 8 or 10 bits in grey levels of 8 bits, not rounded."""
    found: FloatArray = colour.astype(np.float32)
    if colour.dtype != np.uint8:
        found *= np.float32(255 / 1023)
    return found


def added(base: carriers.Colour, corrections: FloatArray, shares: FloatArray) -> UInt8Array:
    """Shares (K,) of the corrections (K, rows, columns, 1 or 3) on the base picture, rounded half up to 8 bits."""
    values = levels(base)
    for share, correction in zip(shares, corrections):
        values = values + share * correction
    return np.asarray(np.clip(values + np.float32(0.5), 0, 255), np.float32).astype(np.uint8)


def _restored(layer: Parsed, region: Window | None, threads: int, decoder: str = FIDELITY) -> UInt8Array:
    """A region of the colour planes after the network, (rows, columns, 1 or 3)."""
    window = region or (slice(0, layer.header.height), slice(0, layer.header.width))
    parameters, shares = layer.parameters, layer.parameters.shares
    if decoder != FIDELITY:
        model, shares = registry.restoration_of_decoder(layer.base, decoder), np.ones(1, np.float32)
    elif parameters.runs_network:
        model = registry.restoration_of_wire_id(parameters.model_id, layer.base, parameters.scale)
        check_weights(parameters, model)
    else:
        return carriers.eight_bits(layer.colour[window])
    return Restorer(model, layer.colour, parameters, threads).shown(window, shares)


def decode(layer: Parsed, region: Window | None, threads: int | None, decoder: str = FIDELITY) -> UInt8Array:
    """The base codec's picture to pixels, (rows, columns, channels) uint8 with alpha last.

    Args:
        region: rows and columns of the full picture; None is all of it.
        decoder: "fidelity", the network that the file names, or "perceptual", one for all files of a base codec.
    Raises:
        SettingError: files of this base codec have no such decoder.
        UnsupportedVersion: the network is not in this release.
        Corrupt: the network is not for this base codec.
    """
    window = region or (slice(0, layer.header.height), slice(0, layer.header.width))
    return layer.with_alpha(_restored(layer, window, thread_count(threads), decoder), window)


def encode(job: Job, options: Restored) -> bytes:
    """A whole codestream, see ``dsncodec.encode``.

    Raises:
        SettingError: the target is out of reach.
    """
    header = job.header(options.method)
    if options.keep:
        return kept.encode(job, header)
    if options.is_lossless(job.target.quality):
        return exact.encode(job, header)
    # a base quality means full size, unless told otherwise
    scale = 1 if options.base_quality is not None and options.scale is None else options.scale
    encoder = Encoder(header, job.picture.pixels, job.threads, job.effort, scale, options.base, options.tune)

    def pack(point: Point) -> bytes:
        return container.pack(header, encoder.sections(point) + job.metadata)

    if options.base_quality is not None:
        return pack(options.base_quality)
    found = exact.alternative(job, header) if options.may_be_lossless else None
    return rate_control.search(encoder, job.target, pack, found)
