"""Python functions to machine code, by numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function, **options: Any) -> Function:
    """Machine code, made at the first call; kept for the next process where a folder for that can be written."""
    try:
        return numba.njit(cache=True, nogil=True, **options)(function)
    except RuntimeError:  # there is no such folder
        return numba.njit(nogil=True, **options)(function)
