"""Python functions to machine code, by numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

from ..errors import DsnWarning, warn

Function = TypeVar("Function", bound=Callable[..., Any])

_kept = True


def compiled(function: Function, **options: Any) -> Function:
    """Machine code, made at the first call; kept for the next process where a folder for that can be written.

    What is kept is read as a pickle: who can write to that folder runs code here.
    """
    global _kept
    try:
        dispatcher = numba.njit(cache=True, nogil=True, **options)(function)
    except RuntimeError:  # there is no such folder
        if _kept:
            warn(
                "no folder can be written where numba would keep its machine code: every process that fits compiles again, "
                "and others go without, more slowly; set NUMBA_CACHE_DIR to a folder that can be written",
                DsnWarning,
            )
        _kept = False
        return numba.njit(nogil=True, **options)(function)
    dispatcher._cache = _Forgiving(dispatcher._cache)
    return dispatcher


def keeps() -> bool:
    """Whether the machine code of all that was compiled so far is kept for other processes."""
    return _kept


class _Forgiving:
    """numba's cache of a function, without its errors: a full disk and a damaged file cost the time of a compilation."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def load_overload(self, *args: Any) -> Any | None:
        """What is kept; None, of which numba compiles, if it cannot be read."""
        try:
            return self._cache.load_overload(*args)
        except Exception:
            return None

    def save_overload(self, *args: Any) -> None:
        """Keep code, where there is room."""
        try:
            self._cache.save_overload(*args)
        except Exception:
            return
