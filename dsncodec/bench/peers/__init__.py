"""The codecs that the bench runs: one file per family, and the folder is the list.

A family's module has ``codecs() -> list[Codec]``. It is called in the process that is to run them, and
raises MissingComponent where a package, a program or a weight file is absent: the bench then names the
family and goes on without it.
"""

from __future__ import annotations

import fnmatch
import importlib
import io
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...errors import MissingComponent, SettingError

UInt8Array = NDArray[np.uint8]  # (H, W, 3) RGB


@dataclass(frozen=True)
class Codec:
    """One curve: a codec in one way of running it, on one thread.

    ``encode`` takes a picture (H, W, 3) uint8 and a setting and returns a whole file; ``decode`` takes
    the file alone. ``settings`` run from the smallest file to the largest; numbers between them that are
    multiples of ``step`` are settings too. ``version`` names everything that shapes the bytes.
    """

    key: str  # in file names, tables and --codecs
    label: str
    detail: str  # the settings that do not vary, in a line
    kind: Literal["peer", "twin", "ours"]
    version: str
    settings: tuple[float, ...]
    step: float
    encode: Callable[[UInt8Array, float], bytes]
    decode: Callable[[bytes], UInt8Array]
    default: bool = True  # False: only when --codecs names it
    # of a file that holds another codec's: the bytes of that codec's own file that it leaves out
    boxes: Callable[[bytes], int] | None = None


def families() -> list[str]:
    """The names of the modules in this folder, in the order of reports."""
    order = ("dsn", "latentgrid", "avif", "jxl", "j2k", "webp", "jpegli", "jpeg", "twins", "cjxl")
    found = [module.name for module in pkgutil.iter_modules(__path__)]
    return sorted(found, key=lambda name: (order.index(name) if name in order else len(order), name))


@cache
def family(name: str) -> tuple[Codec, ...]:
    """The codecs of one module.

    Raises:
        MissingComponent: what they need is not installed; the message says what that is.
    """
    module: Any = importlib.import_module(f"{__name__}.{name}")
    return tuple(module.codecs())


def find(name: str, key: str) -> Codec:
    """The codec of a family that has this key."""
    return next(codec for codec in family(name) if codec.key == key)


def available() -> tuple[dict[str, list[Codec]], dict[str, str]]:
    """Codecs by family, and the reason for each family that cannot run here."""
    found, missing = {}, {}
    for name in families():
        try:
            found[name] = list(family(name))
        except MissingComponent as exc:
            missing[name] = str(exc)
    return found, missing


def choose(wanted: Sequence[str] = ()) -> tuple[list[tuple[str, Codec]], dict[str, str]]:
    """(family, codec) pairs to run, and the families that cannot run with the reason for each.

    Args:
        wanted: keys of codecs, with * and ? for any letters; none: every codec that runs by default.
    Raises:
        SettingError: a key that nothing has.
    """
    found, missing = available()
    keys = [codec.key for codecs in found.values() for codec in codecs]
    for pattern in wanted:
        absent = any(pattern.startswith(name) for name in missing)
        if not absent and not fnmatch.filter(keys, pattern):
            raise SettingError(f"no codec {pattern}: one of {', '.join(sorted(keys))}")
    chosen = [
        (name, codec)
        for name, codecs in found.items()
        for codec in codecs
        if any(fnmatch.fnmatchcase(codec.key, pattern) for pattern in wanted)
        or (codec.default and not wanted)
    ]
    named = {
        name: why
        for name, why in missing.items()
        if not wanted or any(pattern.startswith(name) for pattern in wanted)
    }
    return chosen, named


def require(package: str) -> Any:
    """Import a package that a peer needs.

    Raises:
        MissingComponent: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except Exception as exc:  # a package that does not fit its neighbours raises anything
        reason = str(exc).splitlines() or [type(exc).__name__]
        raise MissingComponent(f"the package {package} cannot be imported: {reason[0]}") from exc


def saved(picture: UInt8Array, format_name: str, **options: Any) -> bytes:
    """The file that Pillow writes."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format_name, **options)
    return buffer.getvalue()


def opened(data: bytes) -> UInt8Array:
    """The picture that Pillow reads, as RGB."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))
