"""What a decode may cost: its memory and time, compared before they are spent or between one piece of work and the next.

A caller's limits hold for all that happens inside of ``spending``, in whatever module: decoders ask for ``room`` before they
allocate what grows with a picture, and ``tick`` between layers, bands and tiles. Outside of it nothing is limited, as when an
encoder looks at what it has just written.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field

from .errors import LimitExceeded

BYTES_A_PIXEL = 14  # of memory, for each pixel that ``max_pixels`` allows: 2.4 GiB at the default
SLOW_STEPS = 2**20  # of a loop in Python, some 0.1 ms each; and one more for so many pixels:
PIXELS_A_SLOW_STEP = 64


@dataclass
class Allowance:
    """What a caller allows. ``max_pixels`` None: any size, and any memory. ``max_seconds`` are of the decoder's own work,
    and run only inside of ``spending``."""

    max_pixels: int | None = None
    max_seconds: float | None = None
    _spent_s: float = field(default=0.0, repr=False)
    _since: float | None = field(default=None, repr=False)

    @property
    def spent_s(self) -> float:
        """Seconds so far."""
        return self._spent_s + (0.0 if self._since is None else time.monotonic() - self._since)


_current: ContextVar[Allowance | None] = ContextVar("dsncodec_allowance", default=None)


@contextlib.contextmanager
def spending(allowance: Allowance) -> Iterator[None]:
    """Work at the expense of an allowance; again and again, of a picture that comes in parts."""
    token = _current.set(allowance)
    allowance._since = time.monotonic()
    try:
        yield
    finally:
        allowance._spent_s, allowance._since = allowance.spent_s, None
        _current.reset(token)


def tick() -> None:
    """Go on only while there is time.

    Raises:
        LimitExceeded: more than ``max_seconds`` are spent.
    """
    allowed = _current.get()
    if allowed is None or allowed.max_seconds is None:
        return
    spent = allowed.spent_s
    if spent > allowed.max_seconds:
        raise LimitExceeded(
            f"not decoded within {allowed.max_seconds:g} s; raise max_seconds if you trust the file",
            asked=spent,
            limit=allowed.max_seconds,
        )


def room(what: str, size_bytes: int) -> None:
    """Ask for the memory that a decoder is about to need, the finished picture included.

    Raises:
        LimitExceeded: it is more than ``BYTES_A_PIXEL`` for each pixel that the caller allows.
    """
    allowed = _current.get()
    if allowed is None or allowed.max_pixels is None:
        return
    limit = BYTES_A_PIXEL * allowed.max_pixels
    if size_bytes > limit:
        raise LimitExceeded(
            f"{what} needs {size_bytes} bytes of memory, {limit} are allowed for at most {allowed.max_pixels} pixels; "
            "raise max_pixels if you trust the file",
            asked=size_bytes,
            limit=limit,
        )


def slowly(what: str, steps: int, pixels: int) -> None:
    """Ask for steps of a loop in Python, where compiled code is missing.

    Raises:
        LimitExceeded: they are many more than a picture of so many pixels needs, unless it is long and narrow.
    """
    allowed = _current.get()
    limit = SLOW_STEPS + pixels // PIXELS_A_SLOW_STEP
    if allowed is not None and allowed.max_pixels is not None and steps > limit:
        raise LimitExceeded(
            f"{what} takes {steps} steps in Python, {limit} are allowed: pip install dsncodec[fit], or max_pixels=None",
            asked=steps,
            limit=limit,
        )
