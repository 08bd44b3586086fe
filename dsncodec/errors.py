"""Everything this package raises on purpose.

::

    DsnError
      CodestreamError(ValueError)     these bytes are not a valid file; carries offset and field
        NotADsnFile                     the magic bytes are not ours
        UnsupportedVersion              written by a newer release, or needs a part we do not have
        Truncated                       the bytes end too soon
        Corrupt                         a checksum or a rule of the format is broken
      LimitExceeded                   valid, but larger than the caller allows; carries asked and limit
      SettingError(ValueError)        the caller asked for something impossible
      MissingComponent(ImportError)   an extra or a weight file is absent
    DsnWarning(UserWarning)
      FitWarning                      a fit ran away and went back to its best weights, or had too few seconds
      LossWarning                     something of a picture was left behind, and what

All of them survive ``pickle`` and ``copy`` with what they carry, whatever their ``__init__`` asks for: a process pool hands
them from a worker to its caller.
"""

from __future__ import annotations

import builtins
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any


class DsnError(Exception):
    """Base of every exception raised on purpose by dsncodec."""

    def __reduce__(self) -> tuple[Callable[..., DsnError], tuple[Any, ...]]:
        """Without this, pickle would call ``__init__`` with the message alone, and fail where it asks for more."""
        return _rebuilt, (type(self), self.args, dict(self.__dict__))


def _rebuilt(kind: type[DsnError], args: tuple[Any, ...], fields: dict[str, Any]) -> DsnError:
    """An error as it was before pickle: its ``__init__`` has run already, and only that of Python's own base runs again."""
    error = kind.__new__(kind, *args)
    base: Any = next(parent for parent in kind.__mro__ if parent.__module__ == builtins.__name__)
    base.__init__(error, *args)
    error.__dict__.update(fields)
    return error


class CodestreamError(DsnError, ValueError):
    """These bytes are not a valid file. ``offset`` is in bytes, ``field`` names the part."""

    def __init__(self, message: str, *, offset: int | None = None, field: str | None = None) -> None:
        where = "".join([f" in {field}" if field else "", f" at byte {offset}" if offset is not None else ""])
        super().__init__(message + (f" ({where.strip()})" if where else ""))
        self.offset, self.field = offset, field


class NotADsnFile(CodestreamError):
    """The file does not start with the magic bytes of a .dsn file."""


class UnsupportedVersion(CodestreamError):
    """The file needs a newer release, or a model or backend that this one does not have."""


class Truncated(CodestreamError):
    """The file ends before its header says it does."""


class Corrupt(CodestreamError):
    """A checksum does not match, or a field breaks a rule of the format."""


class LimitExceeded(DsnError):
    """The file is larger, or takes longer, than the caller allows; carries ``asked`` and ``limit``, in pixels, bytes or seconds."""

    def __init__(self, message: str, *, asked: float, limit: float) -> None:
        super().__init__(message)
        self.asked, self.limit = asked, limit


class SettingError(DsnError, ValueError):
    """The caller asked for something impossible; the message names what is allowed."""


class MissingComponent(DsnError, ImportError):
    """An extra or a weight file is absent; the message says the command that brings it."""


class DsnWarning(UserWarning):
    """Base of every warning about a picture: there is a result, and the caller should know something of it."""


class FitWarning(DsnWarning):
    """The fit of a network to a picture ran away: it went back to the best weights it had, at a lower rate; or the picture's mean
    colour was better than all it had found, and was taken. Or its seconds were too few for so large a picture."""


class LossWarning(DsnWarning):
    """The picture came through, and something of it did not: metadata that has no place, colours, precision, other frames.
    The message names it."""


_heard: ContextVar[list[str] | None] = ContextVar("heard", default=None)
_OURS = ("dsncodec", "PIL")  # whose frames are no caller's


def warn(message: str, kind: type[DsnWarning] = LossWarning, about: str = "") -> None:
    """Tell whoever listens by ``heard``; nobody: a Python warning, at the line outside of this package that asked, with the
    name of the file that it is ``about``."""
    listener = _heard.get()
    if listener is not None:
        listener.append(message)
        return
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _OURS:
        level, frame = level + 1, frame.f_back
    warnings.warn(f"{about}: {message}" if about else message, kind, stacklevel=level)


@contextmanager
def heard() -> Iterator[list[str]]:
    """The messages of ``warn`` meanwhile, of this thread alone. They do not become Python warnings."""
    messages: list[str] = []
    token = _heard.set(messages)
    try:
        yield messages
    finally:
        _heard.reset(token)


def reason(exc: BaseException) -> str:
    """An exception as one line for a person; one that nobody foresaw keeps its type's name."""
    if isinstance(exc, OSError) and exc.strerror:
        text = exc.strerror
    elif isinstance(exc, (DsnError, OSError)):
        text = str(exc)
    else:
        text = f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
    return " ".join(text.split())
