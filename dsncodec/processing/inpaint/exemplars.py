"""Wide holes filled with what the rest of the picture shows: patches that fit, from coarse to fine, joined without seams.

At each size of the picture, every patch that touches the hole looks for the one it is most like among the known ones, and each
missing pixel becomes a mean of what its patches found there; again and again. At the full size pixels are copied, and a
Poisson equation makes the copies' differences, rather than their values, meet at the rim.

Sources: Wexler, Shechtman and Irani, "Space-time completion of video", 2007 (the iteration, and weights that fall from the rim);
Barnes et al., "PatchMatch", 2009 (the search); Newson et al., "Non-local patch-based image inpainting", 2017 (the beginning,
layer by layer, and a measure of texture in the distance). The implementation is ours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .areas import BoolArray, box_sum, deepest, depths, grown
from .smooth import FloatArray, halved, plate, with_gradients

UInt8Array = NDArray[np.uint8]
IntArray = NDArray[np.intp]

# Patches of 7 x 7 pixels; of four bytes each: colour and texture, or grey, texture and two zeros
REACH = 3
SIDE = 2 * REACH + 1
CHANNELS = 4
OFFSETS = tuple((dy, dx) for dy in range(-REACH, REACH + 1) for dx in range(-REACH, REACH + 1))
# A grey level of mean difference between neighbours counts as so many of colour
TEXTURE = 3.0
# A patch one pixel farther from the rim has so much less to say, as far as DEEP pixels
FALLING = 1.3
DEEP = 24
# Distance by which a patch's say falls: this percentile of all
SPREAD = 75
# Iterations at each size, at most, and the mean change in grey levels at which they end
STEPS = 10
STILL = 0.1
# Fewer known patches than this are not enough to choose from
FEWEST = 50
# nor are they where so many times as many are sought
SCARCE = 20
# A beginning of more patches is smooth only; most known patches that each layer of a smaller one looks at
MOST_PEELED = 2**13
LOOKED_AT = 4000
# Patches that are compared at once
AT_ONCE = 8192
# A size with more patches to find keeps what half the size found; times iterations, the most that are found at one size
MOST_SOUGHT = 2**17
WORK = 2**18
POISSON_STEPS = 400


class _Level:
    """A window at one size, framed by REACH pixels so that no patch leaves the array; places are flat indices there."""

    def __init__(
        self, pixels: FloatArray, texture: FloatArray, missing: BoolArray, barred: BoolArray
    ) -> None:
        height, width, self.planes = pixels.shape
        framed = np.zeros((height + 2 * REACH, width + 2 * REACH, CHANNELS), np.uint8)
        own = framed[REACH:-REACH, REACH:-REACH]
        own[..., : self.planes] = np.rint(pixels)
        own[..., self.planes] = np.rint(np.minimum(TEXTURE * texture, 255))
        self.shape, self.stride = framed.shape[:2], framed.shape[1]
        self.flat = framed.reshape(-1, CHANNELS)
        # where a patch may have its centre
        inside = np.zeros(self.shape, np.bool_)
        inside[2 * REACH : -2 * REACH, 2 * REACH : -2 * REACH] = True
        self.missing, barred = np.pad(missing, REACH), np.pad(barred, REACH)
        self.known = (inside & ~grown(self.missing | barred, REACH)).reshape(-1)
        self.sources = np.flatnonzero(self.known)
        self.targets = np.flatnonzero(inside & grown(self.missing, REACH))
        self.holes = np.flatnonzero(self.missing)
        self.number = np.full(self.flat.shape[0], -1, np.intp)
        self.number[self.targets] = np.arange(len(self.targets))
        self.reached = np.array([dy * self.stride + dx for dy, dx in OFFSETS])
        trust = np.pad(FALLING ** -depths(missing, DEEP), REACH, constant_values=1)
        self.trust = trust.reshape(-1)[self.targets].astype(np.float32)

    def patches(self, centres: IntArray) -> UInt8Array:
        """(n, 7 * 7 * CHANNELS)."""
        # a pixel is taken as one number of 32 bits
        numbers = self.flat.view(np.uint32).reshape(-1)
        return numbers.take(centres[:, None] + self.reached).view(np.uint8)

    def centres(self, places: IntArray) -> IntArray:
        """The patch for each pixel that has it nearest its middle: the one around it but for the picture's edges."""
        y = np.clip(places // self.stride, 2 * REACH, self.shape[0] - 1 - 2 * REACH)
        x = np.clip(places % self.stride, 2 * REACH, self.shape[1] - 1 - 2 * REACH)
        return np.asarray(y * self.stride + x)


def _apart(level: _Level, targets: UInt8Array, sources: IntArray) -> FloatArray:
    """Squared distances of patches, row by row. Sums of whole numbers below 2**24: exact in any order."""
    found = np.empty(len(sources), np.float32)
    for start in range(0, len(sources), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        apart = level.patches(sources[part]).astype(np.float32)
        apart -= targets[part]
        found[part] = np.einsum("ij,ij->i", apart, apart)
    return found


def _searched(level: _Level, match: IntArray, rng: np.random.Generator, rounds: int) -> FloatArray:
    """Better sources for every target, in place, and their distances: PatchMatch, all targets at once.

    A target tries what its neighbours found, moved along, and places around its own, ever nearer.
    """
    targets = level.patches(level.targets)
    apart = _apart(level, targets, match)

    def tried(places: IntArray) -> None:
        places = np.clip(places, 0, len(level.known) - 1)
        chosen = np.flatnonzero(level.known[places] & (places != match))
        places = places[chosen]
        distances = _apart(level, targets[chosen], places)
        better = distances < apart[chosen]
        match[chosen[better]], apart[chosen[better]] = places[better], distances[better]

    for turn in range(rounds):
        for stride in (8, 3, 1) if turn % 2 else (1, 2, 4, 1):
            for move in (stride, -stride, stride * level.stride, -stride * level.stride):
                neighbour = level.number[np.clip(level.targets + move, 0, len(level.known) - 1)]
                tried(np.where(neighbour < 0, match, match[neighbour] - move))
        radius = max(level.shape)
        while radius:
            y, x = rng.integers(-radius, radius + 1, (2, len(match)))
            tried(match + y * level.stride + x)
            radius //= 2
    return apart


def _say(apart: FloatArray) -> FloatArray:
    """How much patches at such distances count."""
    spread = max(float(np.percentile(apart, SPREAD)), 1.0)
    return np.exp(-apart / np.float32(2 * spread)) + np.float32(1e-8)


def _voted(level: _Level, places: IntArray, match: IntArray, say: FloatArray, number: IntArray) -> UInt8Array:
    """What the patches that cover each of ``places`` found there: a weighted mean (n, CHANNELS).

    Args:
        match, say: of each patch, its source and its weight.
        number: of each place, the patch around it, or -1.
    """
    total = np.zeros((len(places), CHANNELS), np.float32)
    weight = np.zeros((len(places), 1), np.float32)
    for offset in level.reached:
        patch = number[places - offset]
        own = np.where(patch < 0, np.float32(0), say[patch])[:, None]
        total += own * level.flat[np.where(patch < 0, places, match[patch] + offset)]
        weight += own
    return np.asarray(np.rint(total / weight), np.uint8)


def _peeled(level: _Level, rng: np.random.Generator) -> None:
    """A beginning: the hole is filled from the rim inwards, by patches that fit what is known of them so far."""
    sources = level.sources
    most = min(LOOKED_AT, 2**22 // len(level.targets))
    if len(sources) > most:
        sources = np.sort(rng.choice(sources, most, replace=False))
    # (49, CHANNELS, sources)
    shown = np.ascontiguousarray(
        level.patches(sources).reshape(-1, len(OFFSETS), CHANNELS).transpose(1, 2, 0).astype(np.float32)
    )
    unknown = level.missing.copy()
    inside = np.zeros_like(unknown)
    inside[REACH:-REACH, REACH:-REACH] = True
    while unknown.any():
        places = np.flatnonzero(unknown & grown(~unknown & inside, 1))
        known = (~unknown).reshape(-1)
        centres = np.unique(level.centres(places))
        match, least = np.empty(len(centres), np.intp), np.empty(len(centres), np.float32)
        for start in range(0, len(centres), 256):
            some = centres[start : start + 256]
            apart = np.zeros((len(some), len(sources)), np.float32)
            for offset, colours in zip(level.reached, shown):
                seen = np.flatnonzero(known[some + offset])
                own = level.flat[some[seen] + offset].astype(np.float32)
                for channel in range(level.planes + 1):
                    apart[seen] += (own[:, channel, None] - colours[channel]) ** 2
            best = apart.argmin(1)
            match[start : start + 256], least[start : start + 256] = sources[best], apart.min(1)
        number = np.full(level.flat.shape[0], -1, np.intp)
        number[centres] = np.arange(len(centres))
        level.flat[places] = _voted(level, places, match, _say(least), number)
        unknown.reshape(-1)[places] = False


def _settled(level: _Level, match: IntArray, rng: np.random.Generator, rounds: int, steps: int) -> float:
    """Search and vote until little changes: the mean distance, which falls as the hole fits its surroundings."""
    apart = np.zeros(len(match), np.float32)
    for step in range(steps):
        apart = _searched(level, match, rng, rounds if step == 0 else 1)
        say = level.trust * _say(apart)
        last = level.flat[level.holes].astype(np.int16)
        level.flat[level.holes] = _voted(level, level.holes, match, say, level.number)
        if np.abs(level.flat[level.holes] - last)[:, : level.planes].mean() < STILL:
            break
    return float((apart * level.trust).sum() / level.trust.sum())


def _allowed(level: _Level, steps: int) -> int:
    """Iterations at this size."""
    return max(1, min(steps, WORK // len(level.targets)))


def _begun(level: _Level, rng: np.random.Generator, steps: int) -> tuple[IntArray, float]:
    """The smallest size: from two beginnings, peeled and smooth, the one that ends nearer to the known patches."""
    empty = level.flat.copy()
    found: list[tuple[float, IntArray, UInt8Array]] = []
    beginnings = (_peeled, _smoothed) if len(level.targets) <= MOST_PEELED else (_smoothed,)
    for begin in beginnings:
        level.flat[:] = empty
        begin(level, rng)
        match = rng.choice(level.sources, len(level.targets))
        energy = _settled(level, match, rng, 4, _allowed(level, steps))
        found.append((energy, match, level.flat.copy()))
    energy, match, level.flat[:] = min(found, key=lambda each: each[0])
    return match, energy


def _smoothed(level: _Level, rng: np.random.Generator) -> None:
    """A beginning: a smooth surface."""
    own = slice(REACH, -REACH), slice(REACH, -REACH)
    flat = level.flat.reshape(*level.shape, CHANNELS)
    missing = level.missing[own]
    surface = plate(flat[own].astype(np.float32), missing, np.zeros_like(missing))
    level.flat[level.holes] = np.clip(surface[missing] + 0.5, 0, 255).astype(np.uint8)


def _finer(level: _Level, coarse: _Level, match: IntArray, rng: np.random.Generator) -> IntArray:
    """What was found at half the size, moved to this one; and the hole filled with it."""
    y, x = level.targets // level.stride - REACH, level.targets % level.stride - REACH
    parent = coarse.centres((y // 2 + REACH) * coarse.stride + x // 2 + REACH)
    source = match[coarse.number[parent]]
    down = source // coarse.stride - parent // coarse.stride
    right = source % coarse.stride - parent % coarse.stride
    place = level.targets + 2 * (down * level.stride + right)
    place = np.clip(place, 0, len(level.known) - 1)
    good = level.known[place]
    found = np.where(good, place, rng.choice(level.sources, len(place)))
    say = np.where(good, np.float32(1), np.float32(1e-3))
    level.flat[level.holes] = _voted(level, level.holes, found, say, level.number)
    return found


def texture_of(pixels: FloatArray, known: BoolArray, reach: int) -> FloatArray:
    """The mean difference of neighbours that are both ``known``, in squares of 2 ``reach`` + 1 pixels. (H, W)."""
    grey = pixels.mean(-1)
    total, count = np.zeros(grey.shape), np.zeros(grey.shape)
    for axis in (0, 1):
        both = np.zeros(grey.shape, np.bool_)
        apart = np.zeros(grey.shape, np.float32)
        part = (slice(-1), slice(None)) if axis == 0 else (slice(None), slice(-1))
        apart[part] = np.abs(np.diff(grey, axis=axis))
        both[part] = np.take(known, range(1, known.shape[axis]), axis) & known[part]
        total += box_sum(apart * both, reach)
        count += box_sum(both, reach)
    return np.asarray(total / np.maximum(count, 1), np.float32)


def exemplary(
    pixels: FloatArray, missing: BoolArray, barred: BoolArray, steps: int = STEPS, seed: int = 0
) -> tuple[FloatArray, float] | None:
    """A window with its hole filled from what is around, or None where too little is known to choose from.

    Args:
        pixels: (H, W, C), 1 or 3 planes, whole grey levels.
        missing: (H, W), the hole.
        barred: (H, W), pixels that no patch may be taken from, such as those of other holes; none lies next to this one.
        steps: iterations at each size, at most.
    Returns:
        The window (H, W, C), as ``pixels`` where not missing, and how far the hole's patches are from their exemplars: the mean
        square, as a part of 255**2. The same for the same arguments.
    """
    rng = np.random.default_rng(seed)
    depth = deepest(missing)
    sizes = [(pixels, missing, barred)]
    while depth / 2 ** (len(sizes) - 1) > SIDE / 2 + 0.5:
        last, hole, bars = sizes[-1]
        # a pixel is missing where any of the four is, so that every patch has one to come from
        smaller, _ = halved(last, hole)
        sizes.append((smaller, _any_of_four(hole), _any_of_four(bars)))
    texture = texture_of(pixels, ~(missing | barred), 2 ** (len(sizes) - 1))
    textures = [texture[:: 2**size, :: 2**size] for size in range(len(sizes))]
    levels: list[_Level] = []
    for (shown, hole, bars), measure in zip(sizes, textures):
        if min(hole.shape) <= 2 * REACH:
            break
        level = _Level(shown, measure, hole, bars)
        if len(level.sources) < max(FEWEST, len(level.targets) // SCARCE):
            break
        levels.append(level)
    if not levels:
        return None
    level = levels.pop()
    match, energy = _begun(level, rng, steps)
    while levels:
        coarse, level = level, levels.pop()
        match = _finer(level, coarse, match, rng)
        if len(match) <= MOST_SOUGHT:
            energy = _settled(level, match, rng, 2, _allowed(level, steps))
            _searched(level, match, rng, 1)
    return _copied(level, match), energy / (len(OFFSETS) * level.planes * 255**2)


def _any_of_four(area: BoolArray) -> BoolArray:
    height, width = area.shape
    even = np.pad(area, ((0, height % 2), (0, width % 2)))
    return np.asarray(even.reshape(even.shape[0] // 2, 2, -1, 2).any((1, 3)))


def _copied(level: _Level, match: IntArray) -> FloatArray:
    """Each missing pixel from its patch's source; then the sources' differences rather than their values."""
    colours = level.flat[:, : level.planes].astype(np.float32)
    centres = level.centres(level.holes)
    # what is known comes from where it is
    source = np.arange(len(colours))
    source[level.holes] = match[level.number[centres]] + level.holes - centres
    copied = colours[source]
    missing = level.missing.reshape(-1)
    wanted: list[FloatArray] = []
    for step in (level.stride, 1):
        rise, count = np.zeros_like(colours), np.zeros((len(colours), 1), np.float32)
        places = np.arange(len(colours) - step)
        for end in (0, step):
            # seen from the pixel itself, and from the next one
            some = places[missing[places + end]]
            origin = source[some + end] - end
            rise[some] += colours[origin + step] - colours[origin]
            count[some] += 1
        mean = np.asarray(rise / np.maximum(count, 1), np.float32)
        wanted.append(mean.reshape(*level.shape, -1))
    own = slice(REACH, -REACH), slice(REACH, -REACH)
    hole = level.missing[own]
    shown = copied.reshape(*level.shape, -1)[own]
    joined = with_gradients(shown, hole, wanted[0][own], wanted[1][own], POISSON_STEPS)
    seen = colours[level.sources]
    return np.where(hole[..., None], np.clip(joined, seen.min(0), seen.max(0)), shown)
