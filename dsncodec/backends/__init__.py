"""Symbols <-> payload. One module per backend; ``load`` imports it only when it is used.

A backend module has two functions::

    encode(symbols: UInt8Array, levels: int, effort: int) -> bytes
    decode(payload: bytes, shape: tuple[int, int], levels: int) -> UInt8Array

``symbols`` is 2-D, (rows, columns), each in 0..levels-1: planes of one section lie below each other.
``decode`` returns exactly ``shape``, or raises CodestreamError; it checks the payload's own idea of its
size against ``shape`` before it allocates anything, and never lets a library's exception through.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import CodestreamError, Corrupt, MissingComponent, SettingError, UnsupportedVersion

UInt8Array = NDArray[np.uint8]


class BackendModule(Protocol):
    """What every module of the table offers."""

    def encode(self, symbols: UInt8Array, levels: int, effort: int) -> bytes: ...

    def decode(self, payload: bytes, shape: tuple[int, int], levels: int) -> UInt8Array: ...


@dataclass(frozen=True)
class Backend:
    """A row: the number on the wire, the module, and what the payload is as a file of its own."""

    wire_id: int
    module: str
    extension: str
    try_from_effort: int


# The wire id is in every file ever written: never reuse or renumber one.
BACKENDS = {
    "lzma2": Backend(1, "dsncodec.backends.lzma2", ".lzma2", 0),
    "7z": Backend(2, "dsncodec.backends.sevenzip", ".7z", 10),
    "j2k": Backend(3, "dsncodec.backends.j2k", ".j2k", 6),
    "jxl": Backend(4, "dsncodec.backends.jxl", ".jxl", 2),
    "jpegls": Backend(5, "dsncodec.backends.jpegls", ".jls", 0),
    "webp": Backend(6, "dsncodec.backends.webp", ".webp", 9),
}


def load(name: str) -> BackendModule:
    """Import a backend's module.

    Raises:
        SettingError: no such backend.
        MissingComponent: a package it needs is not installed.
    """
    if name not in BACKENDS:
        raise SettingError(f"unknown backend {name!r}; one of {', '.join(['auto', *BACKENDS])}")
    try:
        module: BackendModule = importlib.import_module(BACKENDS[name].module)
    except ImportError as exc:
        raise MissingComponent(
            f"backend {name} needs the package {exc.name}: pip install {exc.name}"
        ) from exc
    return module


def encode(symbols: UInt8Array, levels: int, backend: str, effort: int) -> bytes:
    """One section's payload: a byte that names the backend, then the backend's own bytes.

    Args:
        symbols: (C, h, w), each in 0..levels-1.
        backend: a name of BACKENDS, or "auto": those worth trying at this effort, the smallest wins.
        effort: 0..9.
    """
    stacked = symbols.reshape(-1, symbols.shape[-1])
    if backend != "auto":
        return bytes([BACKENDS[backend].wire_id]) + load(backend).encode(stacked, levels, effort)
    tried = []
    for name, row in BACKENDS.items():
        if effort >= row.try_from_effort:
            try:
                tried.append(bytes([row.wire_id]) + load(name).encode(stacked, levels, effort))
            except SettingError:  # this one cannot hold this shape; another can
                continue
    return min(tried, key=len)


def backend_name(payload: bytes) -> str:
    """The name of the backend that wrote a section's payload."""
    if not payload:
        raise Corrupt("the section is empty", field="backend")
    for name, row in BACKENDS.items():
        if row.wire_id == payload[0]:
            return name
    raise UnsupportedVersion(f"unknown backend {payload[0]}", field="backend")


def decode(payload: bytes, shape: tuple[int, int, int], levels: int) -> UInt8Array:
    """A section's payload back to symbols of exactly ``shape`` (C, h, w).

    Raises:
        CodestreamError: whatever is wrong with the bytes.
    """
    name = backend_name(payload)
    module = load(name)
    planes, rows, columns = shape
    try:
        symbols = module.decode(payload[1:], (planes * rows, columns), levels)
    except CodestreamError:
        raise
    except Exception as exc:  # whatever a library raises over hostile bytes
        raise Corrupt(f"the {name} payload cannot be decoded: {exc}", field=name) from exc
    if symbols.shape != (planes * rows, columns) or symbols.dtype != np.uint8:
        raise Corrupt(f"the {name} payload holds {symbols.dtype} {symbols.shape}", field=name)
    if symbols.size and int(symbols.max()) >= levels:
        raise Corrupt(f"a symbol is outside 0..{levels - 1}", field=name)
    return symbols.reshape(shape)
