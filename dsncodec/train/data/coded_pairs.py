"""Pictures beside what a lossy codec made of them: the training data of restoration networks."""

from __future__ import annotations

import io
import os
import sys
import time
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...carriers import BASE_CODECS, Colour, decode_base, eight_bits, encode_base, load_base
from ...errors import SettingError
from ...methods import DEFAULT_EFFORT
from ...methods.restored.half_size import doubled, halved
from .images import PackedImages

UInt8Array = NDArray[np.uint8]
UInt16Array = NDArray[np.uint16]

# Codecs that pictures are coded with for training, and bits of a sample; -half: at half their size, and doubled again. Those
# without tune=iq are base codecs as the method "restored" has them: AVIF for squared error, the others for either tune
TRAINING_CODECS = {
    "avif-iq8": 8,
    "avif-iq10": 10,
    "avif-iq10-half": 10,
    "avif": 8,
    "jpeg": 8,
    "jxl": 8,
    "j2k": 8,
}


def of_wide(wide: Colour) -> UInt8Array:
    """Samples of 0..65535 as 8 bits."""
    return ((wide.astype(np.uint32) + 128) // 257).astype(np.uint8)


def coded_for_training(rgb: UInt8Array, codec: str, quality: int, speed: int) -> tuple[int, UInt16Array]:
    """A picture (H, W, 3) as AVIF with tune=iq, 4:4:4, or as another base codec, one thread: the payload's bytes, and what is
    decoded, 0..65535.

    Args:
        codec: one of TRAINING_CODECS. 8 bits by Pillow's libavif, 10 by that of imagecodecs, whose own tune is iq.
        speed: libavif's; of other base codecs it is our effort.
    """
    if codec.endswith("-half"):
        size, small = coded_for_training(halved(rgb), codec.removesuffix("-half"), quality, speed)
        return size, doubled(of_wide(small), rgb.shape).astype(np.uint16) * 257
    if codec in BASE_CODECS:
        payload = encode_base(rgb, quality, codec, speed, 1, "psnr")
        return len(payload), eight_bits(decode_base(payload, rgb.shape)).astype(np.uint16) * 257
    if TRAINING_CODECS[codec] == 8:
        buffer = io.BytesIO()
        Image.fromarray(rgb).save(
            buffer,
            "AVIF",
            quality=quality,
            speed=speed,
            subsampling="4:4:4",
            max_threads=1,
            advanced={"tune": "iq"},
        )
        with Image.open(buffer) as image:
            return len(buffer.getvalue()), np.asarray(image.convert("RGB")).astype(np.uint16) * 257
    wide = (rgb.astype(np.uint32) * 1023 + 127) // 255
    file = imagecodecs.avif_encode(
        wide.astype(np.uint16),
        level=quality,
        speed=speed,
        bitspersample=10,
        pixelformat="444",
        codec="aom",
        numthreads=1,
    )
    got = imagecodecs.avif_decode(file, numthreads=1).astype(np.uint32)
    return len(file), ((got * 65535 + 511) // 1023).astype(np.uint16)


class CodedPairs:
    """Originals, and each of them coded and decoded at K qualities.

    ``coded`` has shape (K, total, 3) and lies as ``originals.pixels`` does, uint8, or uint16 over its whole range where the
    codec has more than 8 bits; ``quality`` (0..100), ``size_bytes`` and ``mse`` (of 8-bit RGB) have shape (K, images).
    """

    def __init__(
        self,
        originals: PackedImages,
        coded: UInt8Array | UInt16Array,
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
                got = eight_bits(base.decode(data, given.shape))
                if scale != 1:
                    got = doubled(got, rgb.shape)
                coded[k, originals.offsets[i] : originals.offsets[i + 1]] = got.reshape(-1, 3)
                size_bytes[k, i] = len(data)
                mse[k, i] = np.square(got.astype(np.float32) - rgb).mean()
        return cls(originals, coded, quality, size_bytes, mse)

    @classmethod
    def code_in(
        cls,
        folder: str | Path,
        originals: PackedImages,
        codecs: Sequence[str],
        quality: NDArray[np.float32],
        speeds: Sequence[int],
        threads: int = 0,
    ) -> CodedPairs:
        """Code every picture with one of TRAINING_CODECS, into files of a folder that are read in place of memory.

        Takes hours where the speeds are slow: it says how far it is, and after a stop goes on where it was. Picture i at its
        k-th quality has speed number k + i, and codec number k + i // len(speeds), each counted round and round.

        Args:
            threads: pictures coded at a time; 0 is one for each core that this process may use.
        Raises:
            SettingError: no such codec, or the folder is of other pictures or settings.
        """
        folder = Path(folder)
        if unknown := set(codecs) - set(TRAINING_CODECS):
            raise SettingError(f"codec {sorted(unknown)[0]!r}: one of {', '.join(TRAINING_CODECS)}")
        # crops of one size are told apart by what they show
        shown = f"{zlib.crc32(np.ascontiguousarray(originals.pixels)):08x}"
        about = np.array([",".join(codecs), ",".join(map(str, speeds)), shown])
        if not (folder / "about.npz").exists():
            folder.mkdir(parents=True, exist_ok=True)
            for name, dtype, shape in (
                ("coded", np.uint16, (len(quality), *originals.pixels.shape)),
                ("size", np.int64, quality.shape),
                ("mse", np.float32, quality.shape),
            ):
                file = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, shape)
                if name == "mse":
                    # not coded yet
                    file[:] = -1
            np.savez(folder / "about.npz", quality=quality, sizes=originals.sizes, about=about)
        with np.load(folder / "about.npz", allow_pickle=False) as packed:
            same = np.array_equal(packed["sizes"], originals.sizes) and np.array_equal(packed["about"], about)
            if not same or packed["quality"].shape != quality.shape:
                raise SettingError(
                    f"{folder} was coded from other pictures: remove it, or name another cache"
                )
            quality = packed["quality"]
        coded, size_bytes, mse = (
            np.load(folder / f"{name}.npy", mmap_mode="r+") for name in ("coded", "size", "mse")
        )

        def code(place: tuple[int, int]) -> None:
            k, i = place
            codec, speed = codecs[(k + i // len(speeds)) % len(codecs)], speeds[(k + i) % len(speeds)]
            rgb = np.ascontiguousarray(originals[i])
            size_bytes[k, i], got = coded_for_training(rgb, codec, round(float(quality[k, i])), speed)
            coded[k, originals.offsets[i] : originals.offsets[i + 1]] = got.reshape(-1, 3)
            mse[k, i] = np.square(got / np.float32(257) - rgb).mean()

        left = [(int(k), int(i)) for i, k in np.argwhere(mse.T < 0)]
        began = spoke = time.monotonic()
        with ThreadPoolExecutor(threads or len(os.sched_getaffinity(0))) as pool:
            for done, _ in enumerate(pool.map(code, left), 1):
                if time.monotonic() - spoke > 60 or done == len(left):
                    spoke = time.monotonic()
                    print(
                        f"{folder}: {done} of {len(left)} coded in {spoke - began:.0f} s",
                        file=sys.stderr,
                        flush=True,
                    )
        return cls(originals, coded, quality, size_bytes, mse)

    @property
    def bpp(self) -> NDArray[np.float64]:
        """Bits per pixel of each payload, (K, images)."""
        bits: NDArray[np.float64] = 8.0 * self.size_bytes / np.prod(self.originals.sizes, 1)
        return bits

    def picture(self, k: int, i: int) -> UInt8Array | UInt16Array:
        """Picture i at its k-th quality, (H, W, 3)."""
        start, stop = self.originals.offsets[i : i + 2]
        return self.coded[k, start:stop].reshape(*self.originals.sizes[i], 3)

    def save(self, path: str | Path) -> None:
        """Write the coded side as one .npz file, without the originals."""
        np.savez(
            path,
            coded=self.coded,
            quality=self.quality,
            size=self.size_bytes,
            mse=self.mse,
            sizes=self.originals.sizes,
        )

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
    ) -> tuple[UInt8Array | UInt16Array, UInt8Array, NDArray[np.intp], NDArray[np.int64]]:
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
