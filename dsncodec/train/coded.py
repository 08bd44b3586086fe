"""Pictures beside what a lossy codec made of them: the training data of restoration networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..backends import load_base
from ..codecs import DEFAULT_EFFORT
from ..codecs.halves import doubled, halved
from ..errors import SettingError
from .data import PackedImages

UInt8Array = NDArray[np.uint8]


class CodedPairs:
    """Originals, and each of them coded and decoded at K qualities.

    ``coded`` has shape (K, total, 3) and lies as ``originals.pixels`` does; ``quality`` (0..100),
    ``size_bytes`` and ``mse`` (of 8-bit RGB) have shape (K, images).
    """

    def __init__(
        self,
        originals: PackedImages,
        coded: UInt8Array,
        quality: NDArray[np.float32],
        size_bytes: NDArray[np.int64],
        mse: NDArray[np.float32],
    ) -> None:
        self.originals, self.coded = originals, coded
        self.quality, self.size_bytes, self.mse = quality, size_bytes, mse

    @classmethod
    def code(
        cls,
        originals: PackedImages,
        codec: str,
        quality: NDArray[np.float32],
        scale: int = 1,
        efforts: Sequence[int] = (DEFAULT_EFFORT,),
    ) -> CodedPairs:
        """Code every picture at its column of ``quality``, (K, images), as the method "restored" does.

        Args:
            codec: a base codec, which has the qualities as its own.
            scale: with 2 at half its size, and doubled again.
            efforts: ours, in turn of the K.
        Raises:
            SettingError: no such codec.
        """
        base = load_base(codec)
        coded = np.empty((len(quality), *originals.pixels.shape), np.uint8)
        size_bytes, mse = np.empty(quality.shape, np.int64), np.empty(quality.shape, np.float32)
        for i in range(len(originals)):
            rgb = np.ascontiguousarray(originals[i])
            given = rgb if scale == 1 else halved(rgb)
            for k in range(len(quality)):
                data = base.encode(given, round(float(quality[k, i])), efforts[k % len(efforts)], 1)
                got = base.decode(data, given.shape)
                if scale != 1:
                    got = doubled(got, rgb.shape)
                coded[k, originals.offsets[i] : originals.offsets[i + 1]] = got.reshape(-1, 3)
                size_bytes[k, i] = len(data)
                mse[k, i] = np.square(got.astype(np.float32) - rgb).mean()
        return cls(originals, coded, quality, size_bytes, mse)

    @property
    def bpp(self) -> NDArray[np.float64]:
        """Bits per pixel of each payload, (K, images)."""
        bits: NDArray[np.float64] = 8.0 * self.size_bytes / np.prod(self.originals.sizes, 1)
        return bits

    def picture(self, k: int, i: int) -> UInt8Array:
        """Picture i at its k-th quality, (H, W, 3)."""
        start, stop = self.originals.offsets[i : i + 2]
        return self.coded[k, start:stop].reshape(*self.originals.sizes[i], 3)

    def save(self, path: str | Path) -> None:
        """Write the coded side as one .npz file, without the originals."""
        np.savez(
            path, coded=self.coded, quality=self.quality, size=self.size_bytes, mse=self.mse,
            sizes=self.originals.sizes,
        )  # fmt: skip

    @classmethod
    def read(cls, path: str | Path, originals: PackedImages) -> CodedPairs:
        """What ``save`` wrote.

        Raises:
            SettingError: the file is of other originals.
        """
        with np.load(path, allow_pickle=False) as packed:
            if not np.array_equal(packed["sizes"], originals.sizes):
                raise SettingError(f"{path} was coded from other pictures: remove it, or name another cache")
            quality, mse = packed["quality"].astype(np.float32), packed["mse"].astype(np.float32)
            return cls(originals, packed["coded"], quality, packed["size"], mse)

    def patches(
        self, rng: np.random.Generator, count: int, size: int, align: int
    ) -> tuple[UInt8Array, UInt8Array, NDArray[np.intp], NDArray[np.int64]]:
        """Random patches: coded and original (count, size, size, 3), and of each its k and its picture."""
        drawn, rows = self.originals.places(rng, count, size, align)
        k = rng.integers(0, len(self.coded), count)
        return self.coded[k[:, None, None], rows], self.originals.pixels[rows], k, drawn


def spread_qualities(
    rng: np.random.Generator, passes: int, images: int, bounds: Sequence[float]
) -> NDArray[np.float32]:
    """Whole qualities (passes, images): pass k draws from the k-th part of ``bounds``."""
    edges = np.linspace(bounds[0], bounds[1], passes + 1)
    drawn = edges[:-1, None] + rng.random((passes, images)) * np.diff(edges)[:, None]
    return np.round(drawn).astype(np.float32)
