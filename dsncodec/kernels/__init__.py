"""Inner loops as machine code, by numba: the extra [fit].

Nothing needs them: what they do, NumPy does too, slower, and to the same symbols. They are used wherever numba is
installed, unless the environment variable ``DSNCODEC_NUMBA`` is 0. numba is imported with the first one that is used.
Compiling takes some seconds, once: the code is kept beside the modules, or in a folder of the user's. Where neither can be
written, every process would compile again, for longer than NumPy takes for a picture of several megapixels: there NumPy reads,
unless the process fits, or ``DSNCODEC_NUMBA`` is 1. That is said once.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import warnings
from typing import Any

_insisted = False


def available() -> bool:
    """Whether numba is there, and not turned off by ``DSNCODEC_NUMBA=0``."""
    return os.environ.get("DSNCODEC_NUMBA", "1") != "0" and _installed()


@functools.cache
def _installed() -> bool:
    return importlib.util.find_spec("numba") is not None


# The modules of loops that others ask for by name: numba comes in with them
READING = "dsncodec.methods.latentgrid.kernels.entropy"
SEEING = "dsncodec.kernels.ssimulacra2"
# Those that cannot be imported here, which is told once
_broken: set[str] = set()


def insist() -> None:
    """This process works long enough for machine code to pay, whether or not it can be kept."""
    global _insisted
    _insisted = True


def load(module: str) -> Any | None:
    """READING or SEEING; None without a numba that works, or where compiling costs more than it wins: the caller has another way."""
    if not available() or module in _broken:
        return None
    try:
        loaded = importlib.import_module(module)
        kept = importlib.import_module("dsncodec.kernels.compile").keeps()
    except Exception as exc:  # whatever an installation lacks: the slow way is there
        _broken.add(module)
        warnings.warn(f"numba cannot be used, NumPy is slower: {exc}", RuntimeWarning, stacklevel=2)
        return None
    worth = _insisted or kept or os.environ.get("DSNCODEC_NUMBA") == "1"
    return loaded if worth else None
