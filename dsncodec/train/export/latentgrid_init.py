"""An init of method "latentgrid" -> the file that readers use, and its manifest row. Needs neither torch nor numba."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import asdict, dataclass
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
    """Where an init comes from: the recipe's name, and the steps of a batch, seconds and seed from random weights on, or from
    the published init that it began with.

    ``tune`` is what it was trained for, as in ``options.LatentGrid``. ``phase`` says how far the training went, ``settings``
    which recipe it was, for a run that goes on.
    """

    recipe: str
    steps: int
    seconds: float
    seed: int
    tune: str = "psnr"
    phase: int = 0
    settings: str = ""


@dataclass(frozen=True, eq=False)
class TrainedInit:
    """What a training leaves for each lmbda: all weights, (n,) float32, in the order of docs/format.md, 9."""

    lmbda: float
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
            lmbda=self.lmbda,
            **asdict(self.info),
        )
        write(str(path), buffer.getvalue(), force)

    @classmethod
    def read(cls, path: str | Path) -> TrainedInit:
        """Raises SettingError: the file is missing, or none that ``save`` wrote."""
        try:
            with np.load(path, allow_pickle=False) as file:
                said = {key: file[key].item() for key in ("width", "recipe", "steps", "seconds", "seed")}
                # none until 0.3
                later = {key: file[key].item() for key in ("tune", "phase", "settings") if key in file}
                # "lam" until 0.2
                lmbda = file["lmbda" if "lmbda" in file else "lam"].item()
                flat = np.asarray(file["weights"], np.float32)
        except FileNotFoundError as exc:
            raise SettingError(f"checkpoint {path}: {exc.strerror}") from exc
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as exc:
            raise SettingError(f"{path} is not an init that dsncodec trained") from exc
        info = Info(said["recipe"], said["steps"], said["seconds"], said["seed"], **later)
        return cls(lmbda, said["width"], flat, info)


def short(lmbda: float) -> str:
    """A lmbda as names have it.

    >>> short(0.002), short(2.5e-4), short(1.0)
    ('2e-3', '2.5e-4', '1e0')
    """
    digits, exponent = f"{lmbda:e}".split("e")
    return f"{float(digits):g}e{int(exponent)}"


def name_of(checkpoint: str | Path) -> str:
    """The name that a trained init has by default. Raises as ``TrainedInit.read``."""
    init = TrainedInit.read(checkpoint)
    return f"{init.info.recipe}-{short(init.lmbda)}"


def export(checkpoint: str | Path, folder: str | Path, name: str | None = None) -> str:
    """``export_init`` of what ``dsncodec train`` wrote."""
    init = TrainedInit.read(checkpoint)
    return export_init(folder, name or name_of(checkpoint), init.lmbda, init.flat, init.width, init.info)


def integers(flat: FloatArray, width: int) -> Int32Array:
    """All weights as a file has them: six lists of integers, one behind the other.

    Raises:
        SettingError: not as many as this width has, or one is beyond its limit.
    """
    sides = counts(width)
    if flat.shape != (sum(sides),):
        raise SettingError(f"an init of width {width} has {sum(sides)} weights, not {flat.size}")
    found = []
    for number, part in enumerate(np.split(flat.astype(np.float64), np.cumsum(sides)[:-1])):
        numbers = np.rint(part * 2.0 ** UNITS[number])
        limit = {CONTEXT_WEIGHTS: MAX_CONTEXT_WEIGHT, BIASES: MAX_BIAS}.get(number, WEIGHT_LIMIT - 1)
        if not (np.abs(numbers) <= limit).all():  # and so none is no number
            raise SettingError(f"a weight of list {number} is beyond {limit / 2.0 ** UNITS[number]:g}")
        found.append(numbers)
    return np.concatenate(found).astype(np.int32)


def export_init(folder: str | Path, name: str, lmbda: float, flat: FloatArray, width: int, info: Info) -> str:
    """Write an init, ``name``.i32, into ``folder`` and add its row to the manifest there.

    Args:
        folder: usually models/; made when it is not there. A row of the same name is replaced.
        lmbda: that it was made for, distortion on the scale of the squared error (samples in 0..1) for a bit per pixel.
        flat: (n,) float32, as ``weights.Weights.flat``.
        width: of the synthesis.
    Returns:
        The manifest row, as TOML.
    Raises:
        SettingError: the weights cannot be those of an init.
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
            f"lambda = {short(lmbda)}",
            *([f'tune = "{info.tune}"'] if info.tune != "psnr" else []),
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
