"""Judges of pictures that see as people do, more or less: a table, and the panel that a run asks.

All of them judge in the process that keeps the rows: no codec's memory or time counts them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import DsnError, MissingComponent, SettingError
from ..metrics import ssimulacra2
from .peers import require
from .store import Row

UInt8Array = NDArray[np.uint8]
Score = Callable[[UInt8Array], float]  # of a picture, (H, W, 3), beside the reference it was made for
Judge = Callable[[UInt8Array], Score]  # of a reference

BUTTERAUGLI = "butteraugli_main"
# where the weights of LPIPS and DISTS are, unless a caller says it
FOLDER_VARIABLE = "DSNCODEC_LOSS_NETWORKS"
DEFAULT = ("ssimulacra2",)


@dataclass(frozen=True)
class Referee:
    """A row: what makes the judge, given the folder of weights, and the least side of what it judges, in pixels."""

    make: Callable[[str], Judge]
    smallest: int


def _ssimulacra2(folder: str) -> Judge:
    return lambda reference: partial(ssimulacra2, reference)


def _butteraugli(folder: str) -> Judge:
    if shutil.which(BUTTERAUGLI) is None:
        raise MissingComponent(f"the program {BUTTERAUGLI} is not installed (Debian: libjxl-devtools)")
    return lambda reference: partial(butteraugli, reference)


def butteraugli(reference: UInt8Array, picture: UInt8Array) -> float:
    """The 3-norm of Butteraugli's map, by libjxl's program with its defaults: 0 when equal, about 1 where errors can be seen.

    Args:
        reference, picture: (H, W, 3), sRGB.
    Raises:
        DsnError: the program failed, or says something else.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder, name)) for name in ("reference.ppm", "picture.ppm")]
        for path, pixels in zip(paths, (reference, picture)):
            Image.fromarray(pixels).save(path)
        done = subprocess.run([BUTTERAUGLI, *paths], capture_output=True, text=True, check=False)
    found = re.search(r"3-norm: (\S+)", done.stdout)
    if done.returncode or not found:
        raise DsnError(f"{BUTTERAUGLI} failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return float(found[1])


def _by_features(name: str, folder: str) -> Judge:
    if not folder:
        raise MissingComponent(
            f"no folder of weights: --loss-networks or {FOLDER_VARIABLE} says where they are"
        )
    torch = require("torch")
    require("safetensors.torch")
    torch.set_num_threads(1)
    judge: Judge = getattr(require(f"{__package__}.perceptual"), name)(folder).of
    return judge


# The order of reports; where higher is not better, report.METRICS says so
REFEREES = {
    "ssimulacra2": Referee(_ssimulacra2, 8),
    "butteraugli": Referee(_butteraugli, 8),
    "lpips": Referee(partial(_by_features, "Lpips"), 31),
    "dists": Referee(partial(_by_features, "Dists"), 16),
}


class Panel:
    """The referees of a run that can judge here; ``missing`` has the reasons of the others, by name."""

    def __init__(self, wanted: Sequence[str] = DEFAULT, folder: str | os.PathLike[str] | None = None) -> None:
        """Load them.

        Args:
            wanted: names of REFEREES.
            folder: of the weights that LPIPS and DISTS need; default: what the environment's DSNCODEC_LOSS_NETWORKS says.
        Raises:
            SettingError: a name that no referee has.
        """
        for name in wanted:
            if name not in REFEREES:
                raise SettingError(f"no referee {name}: one of {', '.join(REFEREES)}")
        where = os.fspath(folder) if folder is not None else os.environ.get(FOLDER_VARIABLE, "")
        self.missing: dict[str, str] = {}
        self._judges: dict[str, Judge] = {}
        for name, referee in REFEREES.items():
            if name in wanted:
                try:
                    self._judges[name] = referee.make(where)
                except (MissingComponent, SettingError) as exc:
                    self.missing[name] = str(exc)
        self._sha256 = ""  # of the reference that the scores are for
        self._scores: dict[str, Score] = {}

    @property
    def names(self) -> list[str]:
        """Those that judge."""
        return list(self._judges)

    def scores(self, reference: UInt8Array, picture: UInt8Array) -> dict[str, float]:
        """What they say of one picture beside a reference; nothing of those that cannot judge one so small.

        Args:
            reference, picture: (H, W, 3).
        Raises:
            DsnError: a referee failed.
        """
        side = min(reference.shape[:2])
        return {
            name: judge(reference)(picture)
            for name, judge in self._judges.items()
            if side >= REFEREES[name].smallest
        }

    def lacks(self, row: Row) -> bool:
        """Whether a row has no score of one of them that could judge a picture of its size."""
        return any(np.isnan(getattr(row, name)) for name in self._judges if _can(name, row))

    def judged(self, row: Row, reference: UInt8Array, picture: UInt8Array) -> Row:
        """The row with their scores; a score that a row has of another run stays.

        Args:
            reference, picture: (H, W, 3).
        Raises:
            DsnError: a referee failed.
        """
        if row.image_sha256 != self._sha256:
            self._sha256, self._scores = row.image_sha256, {}
        found: dict[str, Any] = {}
        for name, judge in self._judges.items():
            if _can(name, row):
                if name not in self._scores:
                    self._scores[name] = judge(reference)
                found[name] = self._scores[name](picture)
        return replace(row, **found)


def kept(row: Row, before: Mapping[str, Row]) -> Row:
    """The row with the scores that the same file got in another run, where it has none of its own.

    Args:
        before: rows by the digest of their file.
    """
    old = before.get(row.file_sha256)
    if old is None or old.image_sha256 != row.image_sha256:
        return row
    scores = {name: getattr(old, name) for name in REFEREES if np.isnan(getattr(row, name))}
    return replace(row, **scores)


def _can(name: str, row: Row) -> bool:
    return min(row.width, row.height) >= REFEREES[name].smallest
