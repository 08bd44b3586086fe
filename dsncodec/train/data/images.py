"""Training images: one packed uint8 array in memory, and random patches of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...errors import SettingError
from ...files import find
from ...reading import suffixes


def find_images(folders: Iterable[str | Path]) -> list[Path]:
    """All picture files below the folders, sorted, so that a seed names the same patches; hidden ones are left out."""
    found: list[Path] = []
    for folder in map(Path, folders):
        if not folder.exists():
            raise SettingError(f"training data: no such file or folder: {folder}")
        found += [folder] if folder.is_file() else find(folder, suffixes())
    if not found:
        raise SettingError(f"training data: no pictures below {', '.join(map(str, folders))}")
    return found


class PackedImages:
    """RGB images of any sizes in one flat uint8 array.

    ``pixels`` has shape (total, 3); image i is ``pixels[offsets[i]:][: h*w].reshape(h, w, 3)``
    with ``h, w = sizes[i]``. ``save`` and ``load`` keep all of it in one .npz file, so that a
    whole training set travels as one file.
    """

    def __init__(self, pixels: NDArray[np.uint8], sizes: NDArray[np.int64]) -> None:
        self.pixels, self.sizes = pixels, sizes
        self.offsets = np.concatenate([[0], np.cumsum(sizes[:, 0] * sizes[:, 1])])

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        height, width = self.sizes[index]
        return self.pixels[self.offsets[index] : self.offsets[index + 1]].reshape(height, width, 3)

    @classmethod
    def read(cls, folders: Sequence[str | Path], limit: int | None = None) -> PackedImages:
        """Decode every picture below the folders, or a file that ``save`` wrote."""
        if any(str(folder).endswith(".npz") for folder in folders):
            if len(folders) != 1:
                raise SettingError("training data: give one .npz file, or folders and pictures")
            with np.load(folders[0], allow_pickle=False) as packed:
                pixels, sizes = packed["pixels"], packed["sizes"][:limit]
            return cls(pixels[: int(np.prod(sizes, 1).sum())], sizes)
        arrays = []
        for path in find_images(folders)[:limit]:
            with Image.open(path) as image:
                arrays.append(np.asarray(image.convert("RGB")))
        sizes = np.array([a.shape[:2] for a in arrays], np.int64)
        return cls(np.concatenate([a.reshape(-1, 3) for a in arrays]), sizes)

    def save(self, path: str | Path) -> None:
        """Write one .npz file that ``read`` takes in place of a folder."""
        np.savez(path, pixels=self.pixels, sizes=self.sizes)

    def patches(self, rng: np.random.Generator, count: int, size: int) -> NDArray[np.uint8]:
        """Random patches, each turned and mirrored at random, shape (count, size, size, 3).

        Images are drawn in proportion to their pixels; those smaller than a patch are left out.
        """
        return self.pixels[self.places(rng, count, size)[1]]

    def places(
        self, rng: np.random.Generator, count: int, size: int, align: int = 1
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where random patches lie: the image of each (count,), and rows of ``pixels`` (count, size, size).

        The top left corners are multiples of ``align``, so that a patch keeps a codec's grid of blocks.
        """
        fits = np.flatnonzero(self.sizes.min(1) >= size)
        if not len(fits):
            raise SettingError(f"training data: no picture is as large as a patch, {size} pixels")
        areas = np.prod(self.sizes[fits], 1)
        drawn = rng.choice(fits, count, p=areas / areas.sum())
        height, width = self.sizes[drawn].T
        y = align * rng.integers(0, (height - size) // align + 1)[:, None, None]
        x = align * rng.integers(0, (width - size) // align + 1)[:, None, None]
        mirrored, upset, turned = rng.integers(0, 2, (3, count, 1, 1)).astype(bool)
        rows, columns = np.mgrid[:size, :size][:, None]  # (1, size, size) each
        rows, columns = np.where(turned, columns, rows), np.where(turned, rows, columns)
        rows = y + np.where(upset, size - 1 - rows, rows)
        columns = x + np.where(mirrored, size - 1 - columns, columns)
        starts = self.offsets[drawn][:, None, None]
        return drawn, starts + rows * width[:, None, None] + columns
