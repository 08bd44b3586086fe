"""Numbers that callers give. NumPy's are as good as Python's; True is not a number."""

from __future__ import annotations

import numbers
import operator
from typing import Any

from .errors import SettingError


def whole(name: str, value: Any, low: int, high: int | None = None) -> int:
    """``value`` as an int in low..high.

    Raises:
        SettingError: it is not a whole number, or outside; the message names it.

    >>> import numpy as np
    >>> whole("quality", np.int64(50), 0, 100)
    50
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < low or (high is not None and number > high):
        allowed = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise SettingError(f"{name} must be a whole number {allowed}, not {value!r}")
    return number


def positive(name: str, value: Any) -> float:
    """``value`` as a positive finite float.

    Raises:
        SettingError: it is not one; the message names it.
    """
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number or not 0 < value < 1e18:
        raise SettingError(f"{name} must be a positive number, not {value!r}")
    return float(value)


def fraction(name: str, value: Any) -> float:
    """``value`` as a float from 0 to 1.

    Raises:
        SettingError: it is not one; the message names it.

    >>> fraction("strength", 1)
    1.0
    """
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number or not 0 <= value <= 1:
        raise SettingError(f"{name} must be a number from 0 to 1, not {value!r}")
    return float(value)
