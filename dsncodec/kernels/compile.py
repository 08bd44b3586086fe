"""Python functions to machine code, by numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

from ..errors import DsnWarning, warn

Function = TypeVar("Function", bound=Callable[..., Any])

_kept = True


def compiled(function: Function, **options: Any) -> Function:
    """Machine code, made at the first call; kept for the next process where a folder for that can be written."""
    global _kept
    try:
        return numba.njit(cache=True, nogil=True, **options)(function)
    except RuntimeError:  # there is no such folder
        if _kept:
            warn(
                "no folder can be written where numba would keep its machine code: every process that fits compiles again, "
                "and others go without, more slowly; set NUMBA_CACHE_DIR to a folder that can be written",
                DsnWarning,
            )
        _kept = False
        return numba.njit(nogil=True, **options)(function)


def keeps() -> bool:
    """Whether the machine code of all that was compiled so far is kept for other processes."""
    return _kept
