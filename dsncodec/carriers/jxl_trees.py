"""The trees of decisions of a modular JPEG XL frame, read before a library walks down them for every sample.

A decision costs a fraction of a bit, and 2047 of them below each other some 4 µs a sample; a transform costs a few bits and is a
walk over all samples, a palette a channel more. So what stands before the samples of each part of a frame is read here.

Source: ISO/IEC 18181-1, annex H (modular coding).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..errors import Corrupt
from .jxl_patches import Numbers

MAX_DEPTH = 64  # decisions below each other; libjxl writes at most 21
MIN_NODES, SAMPLES_A_NODE = 1024, 32  # nodes of all trees of a frame; libjxl writes one for 40 samples
MIN_PALETTES = 2**12  # samples of all palettes of a frame, beside as many as it has
MAX_TRANSFORMS = 8  # of a part; libjxl writes a palette for each channel, one of all, a rotation

_NODE_CONTEXTS = 6
_THRESHOLD, _PROPERTY, _PREDICTOR, _OFFSET, _SHIFT, _FACTOR = range(_NODE_CONTEXTS)
_COLOURS, _PALETTE = 0, 1  # kinds of transforms
_PREDICTOR_BITS = 5 * 7 + 4 * 4  # of a predictor's weights, if not the usual
_COUNTS = ((0, 0, 4, 8), (0, 1, 2, 18))
_CHANNELS = ((3, 6, 10, 13), (0, 8, 72, 1096))
_ROTATIONS = ((0, 2, 4, 6), (6, 0, 2, 10))
_TOGETHER = ((0, 0, 0, 13), (1, 3, 4, 1))
_PALETTE_SIZES = ((8, 10, 12, 16), (0, 256, 1280, 5376))
_DELTAS = ((0, 8, 10, 16), (0, 1, 257, 1281))
_USUAL_FACTORS_BITS = 3 * 16  # of the lowest frequencies, if not the usual


class Reader(Protocol):
    """Numbers of so many bits, from a place."""

    at: int

    def take(self, count: int) -> int: ...

    def u32(self, kind: tuple[tuple[int, ...], tuple[int, ...]]) -> int: ...


class Trees:
    """What the trees of one frame may have, and have had."""

    def __init__(self, samples: int) -> None:
        self.nodes = MIN_NODES + samples // SAMPLES_A_NODE
        self.of_palettes = MIN_PALETTES + samples

    def check(self, bits: Reader, groups: Sequence[tuple[int, int]]) -> None:
        """Read what a frame says behind its patches, and of each group that has a part of its own (place, bytes).

        Raises:
            Corrupt: it asks for more work than a picture needs, or cannot be read.
        """
        if not bits.take(1):
            bits.take(_USUAL_FACTORS_BITS)
        shared = bits.take(1) == 1
        if shared:
            leaves = self._tree(bits)
            Numbers(bits, leaves)  # how the samples are coded
        self._part(bits, shared)
        for place, length in groups:
            if length:
                bits.at = place
                self._part(bits, shared)

    def _part(self, bits: Reader, shared: bool) -> None:
        """What stands before the samples of a part."""
        own = not bits.take(1)
        if not own and not shared:
            raise Corrupt("a part without a tree", field="jxl")
        if not bits.take(1):
            bits.take(_PREDICTOR_BITS)
        count = bits.u32(_COUNTS)
        if count > MAX_TRANSFORMS:
            raise Corrupt(f"{count} transforms, at most {MAX_TRANSFORMS} are allowed", field="jxl")
        for _ in range(count):
            kind = bits.take(2)
            if kind not in (_COLOURS, _PALETTE):
                raise Corrupt("a transform that a plain picture does not need", field="jxl")
            bits.u32(_CHANNELS)
            if kind == _COLOURS:
                bits.u32(_ROTATIONS)
                continue
            channels = bits.u32(_TOGETHER)
            self.of_palettes -= channels * (bits.u32(_PALETTE_SIZES) + bits.u32(_DELTAS))
            bits.take(4)  # the predictor
            if self.of_palettes < 0:
                raise Corrupt("palettes of more colours than the picture has", field="jxl")
        if own:
            self._tree(bits)

    def _tree(self, bits: Reader) -> int:
        """The number of its leaves. Nodes are written level by level."""
        numbers = Numbers(bits, _NODE_CONTEXTS)
        leaves, level = 0, 1
        for _ in range(MAX_DEPTH + 1):
            self.nodes -= level
            if self.nodes < 0:
                raise Corrupt("trees of more decisions than the picture needs", field="jxl")
            deeper = 0
            for _ in range(level):
                if numbers.next(_PROPERTY):
                    numbers.next(_THRESHOLD)
                    deeper += 2
                else:
                    for context in (_PREDICTOR, _OFFSET, _SHIFT, _FACTOR):
                        numbers.next(context)
                    leaves += 1
            level = deeper
            if not level:
                numbers.finish()
                return leaves
        raise Corrupt(f"more than {MAX_DEPTH} decisions below each other", field="jxl")
