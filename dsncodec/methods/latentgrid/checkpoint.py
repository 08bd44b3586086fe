"""A fit that is kept in a file while it runs, and goes on from there: the setting ``checkpoint`` of method latentgrid."""

from __future__ import annotations

import time
import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import SettingError
from ...files import replacing

State = dict[str, NDArray[Any]]

# Seconds between two writes, and how many times as long as a write takes at least
KEPT_EVERY, KEPT_SHARE = 10.0, 30.0


class Checkpoint:
    """The file that keeps a fit.

    Args:
        path: of an .npz file, whatever its suffix.
        name: of the fit: what it must be the same of for a state to serve.
    Raises:
        SettingError: what stands there is no checkpoint, or one of another fit.
    """

    def __init__(self, path: str, name: str) -> None:
        self.path, self.name = path, name
        self.state = self._read()
        # whether what stands there is one of this fit, and may be replaced
        self._ours = self.state is not None
        self._wait, self._written = KEPT_EVERY, time.monotonic()

    def _read(self) -> State | None:
        try:
            with open(self.path, "rb") as file, np.load(file, allow_pickle=False) as packed:
                state = {key: packed[key] for key in packed.files}
            name = str(state.pop("name"))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as exc:
            raise self.broken() from exc
        if name != self.name:
            raise SettingError(f"the checkpoint {self.path} is of another picture, or of other settings")
        return state

    def broken(self) -> SettingError:
        """What to raise where a state is none of a fit."""
        return SettingError(f"{self.path} is not a checkpoint of a fit")

    def number(self, name: str) -> float:
        """One of the state's numbers.

        Raises:
            SettingError: it is not there.
        """
        try:
            return float((self.state or {})[name])
        except (KeyError, TypeError, ValueError) as exc:
            raise self.broken() from exc

    def is_due(self) -> bool:
        """Whether it is time to write again."""
        return time.monotonic() - self._written > self._wait

    def write(self, state: State) -> None:
        """Put a state in the place of the last one.

        Raises:
            OSError: it cannot be written.
        """
        begun = time.monotonic()
        with replacing(self.path, force=self._ours) as partial, open(partial, "wb") as file:
            np.savez(file, name=np.array(self.name), **state)  # type: ignore[arg-type]
        self._ours, self._written = True, time.monotonic()
        self._wait = max(KEPT_EVERY, KEPT_SHARE * (self._written - begun))
