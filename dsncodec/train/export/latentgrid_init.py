"""A start of method "latentgrid" -> the file that readers use, and its manifest row. Needs neither torch nor numba."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import SettingError
from ...files import write
from ...methods.latentgrid.bitstream import (
    BIASES,
    CONTEXT_WEIGHTS,
    MAX_BIAS,
    MAX_CONTEXT_WEIGHT,
    UNITS,
    WEIGHT_LIMIT,
    counts,
)
from . import manifest

FloatArray = NDArray[np.float32]
Int32Array = NDArray[np.int32]


@dataclass(frozen=True)
class Info:
    """Where a start comes from: the recipe's name, and the steps of a batch, seconds and seed from random weights on."""

    recipe: str
    steps: int
    seconds: float
    seed: int


@dataclass(frozen=True, eq=False)
class TrainedStart:
    """What a training leaves for each price of a bit: all weights, (n,) float32, in the order of docs/format.md, 9."""

    lam: float
    width: int
    flat: FloatArray
    info: Info

    def save(self, path: str | Path, force: bool = True) -> None:
        """Write an .npz file that ``read`` takes, with ``force`` in the place of one that may be there."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            weights=self.flat,
            width=self.width,
            lam=self.lam,
            recipe=self.info.recipe,
            steps=self.info.steps,
            seconds=self.info.seconds,
            seed=self.info.seed,
        )
        write(str(path), buffer.getvalue(), force)

    @classmethod
    def read(cls, path: str | Path) -> TrainedStart:
        """Raises SettingError: the file is missing, or none that ``save`` wrote."""
        try:
            with np.load(path, allow_pickle=False) as file:
                said = {
                    key: file[key].item() for key in ("width", "lam", "recipe", "steps", "seconds", "seed")
                }
                flat = np.asarray(file["weights"], np.float32)
        except FileNotFoundError as exc:
            raise SettingError(f"checkpoint {path}: {exc.strerror}") from exc
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as exc:
            raise SettingError(f"{path} is not a start that dsncodec trained") from exc
        info = Info(said["recipe"], said["steps"], said["seconds"], said["seed"])
        return cls(said["lam"], said["width"], flat, info)


def short(lam: float) -> str:
    """A price as names have it.

    >>> short(0.002), short(2.5e-4), short(1.0)
    ('2e-3', '2.5e-4', '1e0')
    """
    digits, exponent = f"{lam:e}".split("e")
    return f"{float(digits):g}e{int(exponent)}"


def name_of(checkpoint: str | Path) -> str:
    """The name that a trained start has by default. Raises as ``TrainedStart.read``."""
    start = TrainedStart.read(checkpoint)
    return f"{start.info.recipe}-{short(start.lam)}"


def export(checkpoint: str | Path, folder: str | Path, name: str | None = None) -> str:
    """``export_start`` of what ``dsncodec train`` wrote."""
    start = TrainedStart.read(checkpoint)
    return export_start(folder, name or name_of(checkpoint), start.lam, start.flat, start.width, start.info)


def integers(flat: FloatArray, width: int) -> Int32Array:
    """All weights as a file has them: six lists of integers, one behind the other.

    Raises:
        SettingError: not as many as this width has, or one is beyond its limit.
    """
    sides = counts(width)
    if flat.shape != (sum(sides),):
        raise SettingError(f"a start of width {width} has {sum(sides)} weights, not {flat.size}")
    found = []
    for number, part in enumerate(np.split(flat.astype(np.float64), np.cumsum(sides)[:-1])):
        numbers = np.rint(part * 2.0 ** UNITS[number])
        limit = {CONTEXT_WEIGHTS: MAX_CONTEXT_WEIGHT, BIASES: MAX_BIAS}.get(number, WEIGHT_LIMIT - 1)
        if not (np.abs(numbers) <= limit).all():  # and so none is no number
            raise SettingError(f"a weight of list {number} is beyond {limit / 2.0 ** UNITS[number]:g}")
        found.append(numbers)
    return np.concatenate(found).astype(np.int32)


def export_start(folder: str | Path, name: str, lam: float, flat: FloatArray, width: int, info: Info) -> str:
    """Write a start, ``name``.i32, into ``folder`` and add its row to the manifest there.

    Args:
        folder: usually models/; made when it is not there. A row of the same name is replaced.
        lam: the price of a bit that it was made for, in squared error (samples in 0..1) for a bit per pixel.
        flat: (n,) float32, as ``fit.networks.Weights.flat``.
        width: of the synthesis.
    Returns:
        The manifest row, as TOML.
    Raises:
        SettingError: the weights cannot be those of a start.
    """
    data = integers(flat, width).astype("<i4").tobytes()
    folder = Path(folder)
    write(str(folder / f"{name}.i32"), data, force=True)
    sha256 = hashlib.sha256(data).hexdigest()
    wire_id = hashlib.sha256(sha256.encode("ascii")).digest()[:8]
    row = "\n".join(
        [
            "[[start]]",
            f'name = "{name}"',
            f'wire_id = "{wire_id.hex()}"',
            f"width = {width}",
            f"lambda = {short(lam)}",
            f'recipe = "dsncodec/train/recipes/{info.recipe}.toml"',
            f"steps = {info.steps}",
            f"seconds = {round(info.seconds)}",
            f"seed = {info.seed}",
            'licence = "Apache-2.0"',
            "[start.files]",
            f'start = {{ name = "{name}.i32", sha256 = "{sha256}" }}\n',
        ]
    )
    manifest.add(folder, name, row)
    return row
